"""What is done about a picture that does not fit its labels: undo, try again, restore, reject.

Each step that was taken is in the record. Labels are never touched.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from math import ceil, hypot
from typing import TYPE_CHECKING, Literal, get_args

from pydantic import Field, field_validator

from sv2r.images.restore import move_back, restore_instances
from sv2r.plugin.options import Options
from sv2r.plugin.specs import Check
from sv2r.types import CheckResult, Frame

if TYPE_CHECKING:
    from torch import Tensor

Step = Literal["undo", "retry", "restore", "reject", "keep"]


class DamageOptions(Options):
    """What is done about a picture that a check refuses: always tried in the order given here."""

    steps: tuple[Step, ...] = Field(
        ("undo", "retry", "restore", "reject"),
        description="Steps, with commas between. undo: move a picture back that is shifted as a "
        "whole; retry: another seed, then less strength and more control; restore: put the "
        "source's pixels back where instances are damaged. What is damaged after these: reject "
        "publishes nothing, and is what happens where neither is named; keep publishes "
        "the best, with its scores.",
    )
    retries: int = Field(2, ge=0, le=20, description="How often a picture is tried again.")
    undo_from: float = Field(
        0.25, ge=0, description="Pixels: a smaller shift of the whole picture is let be."
    )
    undo_to: float = Field(
        8.0, gt=0, description="Pixels: a larger shift of the whole picture is not undone."
    )
    feather: int = Field(
        3,
        ge=0,
        le=32,
        description="Pixels over which restored instances blend into the background.",
    )

    @field_validator("steps", mode="before")
    @classmethod
    def _split(cls, value: object) -> object:
        parts = [value] if isinstance(value, str) else value
        if not isinstance(parts, (list, tuple)):
            return value
        words = tuple(word.strip() for part in parts for word in str(part).split(","))
        if wrong := [word for word in words if word not in get_args(Step)]:
            raise ValueError(f"must be some of {', '.join(get_args(Step))}, not {wrong[0]!r}")
        return words

    @field_validator("steps")
    @classmethod
    def _one_end(cls, value: tuple[Step, ...]) -> tuple[Step, ...]:
        if {"keep", "reject"} <= set(value):
            raise ValueError("must name one of reject and keep, not both")
        if not value:
            raise ValueError("must name one step at least; reject alone tries to mend nothing")
        return value

    @property
    def keeps(self) -> bool:
        """Return whether what is damaged in the end is published all the same."""
        return "keep" in self.steps


@dataclass(frozen=True)
class Verdict:
    """A picture and what the checks say of it. steps: what was done to it."""

    image: Tensor
    results: Mapping[str, CheckResult]
    steps: tuple[str, ...] = ()

    @property
    def reasons(self) -> list[str]:
        """Return why it must not be published, a line per check."""
        return [f"{name}: {r.reason}" for name, r in self.results.items() if r.reason]

    @property
    def damaged(self) -> frozenset[int]:
        """Return the instances that do not fit their labels any more."""
        return frozenset().union(*(r.damaged for r in self.results.values()))

    @property
    def reach(self) -> int:
        """Return how many pixels around the damaged instances their damage goes, at most."""
        found = [r.reach[id_] for r in self.results.values() for id_ in r.damaged & set(r.reach)]
        return ceil(max(found, default=0.0))

    @property
    def displacement(self) -> tuple[float, float] | None:
        """Return how far (down, right) the picture has moved in pixels, where that was measured."""
        found = [r.displacement for r in self.results.values() if r.displacement is not None]
        return found[0] if found else None


def judge(frame: Frame, image: Tensor, checks: Sequence[tuple[str, Check]]) -> Verdict:
    """Return what the checks say of a (3, H, W) uint8 picture."""
    return Verdict(image, {name: check(frame, image) for name, check in checks})


def undo_shift(
    frame: Frame, verdict: Verdict, options: DamageOptions, checks: Sequence[tuple[str, Check]]
) -> Verdict:
    """Return the verdict on the picture moved back, where it has moved as a whole."""
    if "undo" not in options.steps or verdict.displacement is None:
        return verdict
    down, right = verdict.displacement
    distance = hypot(down, right)
    if not options.undo_from <= distance <= options.undo_to:
        return verdict
    moved = judge(frame, move_back(verdict.image, down, right), checks)
    after = hypot(*moved.displacement) if moved.displacement else 0.0
    if after >= distance or better(verdict, moved) or not _nowhere_worse(moved, verdict):
        return verdict  # the measurement was no true shift
    return replace(moved, steps=(*verdict.steps, f"undo: moved back by {distance:.2f} px"))


def restore(
    frame: Frame, verdict: Verdict, options: DamageOptions, checks: Sequence[tuple[str, Check]]
) -> Verdict:
    """Return the verdict on the picture with its damaged instances' pixels from the source.

    What is taken beside them goes as far as the damage was seen to go; where that does not mend
    all, twice as far once more, with whatever the first seam did not mend.
    """
    if "restore" not in options.steps or not verdict.damaged:
        return verdict
    ids, margin, best = verdict.damaged, verdict.reach, verdict
    for _ in range(2):
        mended = _restored(frame, verdict, sorted(ids), margin, options.feather, checks)
        if better(mended, best):
            best = mended
        if not mended.damaged and not mended.reasons:
            break
        ids, margin = ids | mended.damaged, 2 * max(margin, options.feather)
    return best


def _restored(
    frame: Frame,
    verdict: Verdict,
    ids: Sequence[int],
    margin: int,
    feather: int,
    checks: Sequence[tuple[str, Check]],
) -> Verdict:
    image = restore_instances(verdict.image, frame, ids, feather=feather, margin=margin)
    what = f"instance{'s' if len(ids) > 1 else ''} {', '.join(map(str, ids))}"
    words = f"restore: {what}, with {margin} px around" if margin else f"restore: {what}"
    return replace(judge(frame, image, checks), steps=(*verdict.steps, words))


def better(one: Verdict, other: Verdict) -> bool:
    """Return whether one picture is less damaged than another."""
    return (len(one.damaged), len(one.reasons)) < (len(other.damaged), len(other.reasons))


def _nowhere_worse(one: Verdict, other: Verdict) -> bool:
    """Return whether every check that gives a merit finds one picture at least as good."""
    merits = {name: result.merit for name, result in other.results.items()}
    pairs = [(result.merit, merits.get(name)) for name, result in one.results.items()]
    return all(new >= old for new, old in pairs if new is not None and old is not None)
