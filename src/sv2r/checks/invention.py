"""Refuses a picture that shows an object where its source shows none."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from pydantic import Field

from sv2r.plugin.hookspecs import hookimpl
from sv2r.plugin.options import Options
from sv2r.plugin.specs import Check, CheckSpec, Runtime
from sv2r.types import CheckResult, Frame

if TYPE_CHECKING:
    from torch import Tensor


class InventionOptions(Options):
    """Options of the invention check."""

    max_invention: float = Field(
        6.0,
        gt=0,
        description="How far something new on the ground may stand out of its surroundings and "
        "of the picture's own edges.",
    )


def build(options: InventionOptions, runtime: Runtime) -> Check:
    """Return the check; it computes on the runtime's device."""
    from sv2r.checks.structure import structure

    def check(frame: Frame, picture: Tensor) -> CheckResult:
        """Return how clearly a (3, H, W) uint8 picture shows an object that nothing explains.

        Scores: `invention`, and where it is refused `y`, `x` (px), where it is strongest.
        """
        before = frame.image.to(runtime.device) * 255
        found = structure(before, picture.to(runtime.device).float(), frame.instances.labels)
        (y, x), invention = found.place, found.invention
        reason = (
            f"new structure around x {x}, y {y} that the source does not have "
            f"({invention:.1f}; max_invention {options.max_invention:g})"
        )
        scores = {"invention": round(invention, 4)}
        if invention <= options.max_invention:
            return CheckResult(None, scores, merit=-options.max_invention)
        return CheckResult(reason, {**scores, "y": float(y), "x": float(x)}, merit=-invention)

    return check


@hookimpl
def sv2r_checks() -> Iterable[CheckSpec[InventionOptions]]:
    """Return the invention check."""
    return [
        CheckSpec(
            name="invention",
            summary="Strong new structure where the source has none.",
            options=InventionOptions,
            build=build,
        )
    ]
