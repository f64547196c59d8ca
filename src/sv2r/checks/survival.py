"""Refuses a picture in which an instance has lost the boundary that its label draws."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

from pydantic import Field

from sv2r.plugin.hookspecs import hookimpl
from sv2r.plugin.options import Options
from sv2r.plugin.specs import Check, CheckSpec, Runtime
from sv2r.types import CheckResult, Frame

if TYPE_CHECKING:
    from torch import Tensor

    from sv2r.checks.fit import Survival

# Of the scores: a record has it, and `verify` tells where another one scored a picture.
VERSION = 3
# px beyond where a lost boundary was found that its edge, and what it left behind, take up; and px
# around an instance of which so much of the outline is lost, or so little contrast left, that it
# may have run into all of them.
_RIM, _AROUND = 3.0, 9.0
_GONE, _FADED = 0.5, 0.3


class SurvivalOptions(Options):
    """Options of the survival check."""

    min_survival: float = Field(
        0.5,
        ge=0,
        le=1,
        description="An instance whose survival is below this is damaged.",
    )
    min_length: float = Field(
        20.0,
        ge=1,
        description="Pixels of outline that an instance must have to be scored.",
    )
    min_visible: float = Field(
        0.05,
        ge=0,
        le=1,
        description="Share of its outline that the source must show for an instance to be scored, "
        "unless the network is sure all the same.",
    )


def build(options: SurvivalOptions, runtime: Runtime) -> Check:
    """Return the check; it computes on the runtime's device.

    Raises:
        ConfigError: the network's weights are missing or altered.
    """
    from sv2r.checks.edges import smoothed
    from sv2r.checks.fit import network, survivals

    network(runtime.device)

    def check(frame: Frame, picture: Tensor) -> CheckResult:
        """Return what became of every instance's boundary in a (3, H, W) uint8 picture.

        Scores per instance: `survival` (probability that the label still fits; left out where the
        source shows too little of the boundary to say), `offset` and `moved` (px along the normal),
        `lost` (share of the outline), `contrast`, `visible`. A crowd is scored but never damaged:
        its outline is drawn around several objects.
        """
        before, after = (
            smoothed(image.to(runtime.device).float() * scale, 1.0)
            for image, scale in ((frame.image, 255), (picture, 1))
        )
        found = survivals(
            before,
            after,
            frame.instances.labels,
            min_length=options.min_length,
            min_visible=options.min_visible,
        )
        damaged = _damaged(found, frame)
        scored = [b.survival for b in found.values() if b.survival is not None]
        lowest = {"lowest": round(min(scored), 4)} if scored else {}
        return CheckResult(
            _reason(damaged) if damaged else None,
            {
                "scored": float(len(scored)),
                "damaged": float(len(damaged)),
                **lowest,
                "version": float(VERSION),
            },
            {id_: survival_scores(survival) for id_, survival in found.items()},
            damaged=frozenset(damaged),
            reach={id_: _reach(found[id_]) for id_ in damaged},
            merit=sum(scored) / len(scored) if scored else None,
        )

    def _damaged(found: Mapping[int, Survival], frame: Frame) -> dict[int, float]:
        crowds = {id_ for id_, instance in frame.instances.table.items() if instance.crowd}
        scored = {id_: b.survival for id_, b in found.items() if b.survival is not None}
        low = {i: s for i, s in scored.items() if s < options.min_survival and i not in crowds}
        return dict(sorted(low.items(), key=lambda item: item[1]))

    def _reason(damaged: Mapping[int, float]) -> str:
        some = ", ".join(f"{id_} ({survival:.2f})" for id_, survival in list(damaged.items())[:5])
        more = f" and {len(damaged) - 5} more" if len(damaged) > 5 else ""
        instances = "instance has" if len(damaged) == 1 else "instances have"
        return f"{len(damaged)} {instances} lost the boundary: {some}{more}"

    return check


def _reach(found: Survival) -> float:
    reach = _RIM + max(found.moved, *(abs(float(px)) for px in found.stretches.displacement))
    return max(reach, _AROUND) if found.lost > _GONE or found.contrast < _FADED else reach


def survival_scores(found: Survival) -> dict[str, float]:
    """Return one instance's scores as a record has them, `visible` alone where it is unscorable."""
    visible = {"visible": round(found.visible, 4)}
    if found.survival is None:
        return visible
    names = ("survival", "offset", "moved", "lost", "contrast")
    return {name: round(float(getattr(found, name)), 4) for name in names} | visible


@hookimpl
def sv2r_checks() -> Iterable[CheckSpec[SurvivalOptions]]:
    """Return the survival check."""
    return [
        CheckSpec(
            name="survival",
            summary="Whether every instance still has the boundary that its label draws.",
            options=SurvivalOptions,
            build=build,
        )
    ]
