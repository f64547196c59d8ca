"""Repairs of a picture that does not fit its labels: undo, redo, restore, reject.

Each step that was taken is in the record. Labels are never touched.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from math import ceil, hypot
from typing import TYPE_CHECKING, Any

from sv2r.config.sections import LATENT_CELL, DamageOptions, SmallOptions
from sv2r.images.restore import move_back, restore_instances, restored_share
from sv2r.plugin.specs import Check
from sv2r.types import CheckResult, Frame
from sv2r.worker.small import Crop, crops_around

if TYPE_CHECKING:
    from torch import Tensor

# How the step begins that is noted where too much would have to be put back.
OVERDONE = "not restored"
_CONTEXT = 2.5  # sides of an instance that the crop it is redone in has, at least


@dataclass(frozen=True)
class Verdict:
    """A picture and what the checks say of it.

    steps: what was done to it. rendered: share of its pixels that are the source's.
    restored: the instances whose pixels are the source's.
    overdone: why it was not restored, though it might have been; "" where that is not so.
    """

    image: Tensor
    results: Mapping[str, CheckResult]
    steps: tuple[str, ...] = ()
    rendered: float = 0.0
    restored: tuple[int, ...] = ()
    overdone: str = ""

    @property
    def reasons(self) -> list[str]:
        """Return why it must not be published, a line per check."""
        found = [f"{name}: {r.reason}" for name, r in self.results.items() if r.reason]
        return [*found, *([self.overdone] if self.overdone else [])]

    @property
    def scores(self) -> dict[str, Any]:
        """Return what the checks measured, as a record has it."""
        return {
            name: {
                "picture": dict(result.picture),
                "instances": {str(id_): dict(scores) for id_, scores in result.instances.items()},
            }
            for name, result in self.results.items()
            if result.picture or result.instances
        }

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


def redo_resolution(size: tuple[int, int], small: SmallOptions) -> int:
    """Return the side (px) that crops are redone at: the model has seen pictures of that size."""
    return max(LATENT_CELL, min(*size, small.resolution) // LATENT_CELL * LATENT_CELL)


def crops_to_redo(
    frame: Frame, verdict: Verdict, options: DamageOptions, small: SmallOptions
) -> tuple[Crop, ...]:
    """Return the crops in which the damaged instances are drawn again; none where not asked to."""
    if "redo" not in options.steps:
        return ()
    resolution = redo_resolution(frame.size, small)
    asked = small.model_copy(update={"resolution": resolution, "context": _CONTEXT})
    return crops_around(frame.instances, verdict.damaged, asked)


def patched(frame: Frame, verdict: Verdict, options: DamageOptions) -> Frame:
    """Return the frame as the picture that was made, its damaged instances the source's."""
    ids, feather, margin = sorted(verdict.damaged), options.feather, verdict.reach
    image = restore_instances(verdict.image, frame, ids, feather=feather, margin=margin)
    return Frame(frame.sample, image / 255, frame.instances, frame.normalised, frame.sha256)


def redone(
    frame: Frame,
    verdict: Verdict,
    image: Tensor,
    ids: Sequence[int],
    checks: Sequence[tuple[str, Check]],
) -> Verdict:
    """Return the verdict on a picture with some instances drawn again, where that is better."""
    made = judge(frame, image, checks)
    words = f"redo: {_named(ids)}"
    return replace(made, steps=(*verdict.steps, words)) if better(made, verdict) else verdict


def restore(
    frame: Frame, verdict: Verdict, options: DamageOptions, checks: Sequence[tuple[str, Check]]
) -> Verdict:
    """Return the verdict on the picture with its damaged instances' pixels from the source.

    What is taken next to them goes as far as the damage was seen to go; where that does not fix
    all, twice as far once more, with whatever the first seam did not fix.
    """
    if "restore" not in options.steps or not verdict.damaged:
        return verdict
    ids, margin, best = verdict.damaged, verdict.reach, verdict
    for _ in range(2):
        share = _labelled_share(frame, ids)
        if share > options.max_restored:
            return _overdone(best, share, options.max_restored)
        fixed = _restored(frame, verdict, sorted(ids), margin, options.feather, checks)
        if better(fixed, best):
            best = fixed
        if not fixed.damaged and not fixed.reasons:
            break
        ids, margin = ids | fixed.damaged, 2 * max(margin, options.feather)
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
    words = (
        f"restore: {_named(ids)}, with {margin} px around" if margin else f"restore: {_named(ids)}"
    )
    share = restored_share(frame, ids, feather=feather, margin=margin)
    return replace(
        judge(frame, image, checks),
        steps=(*verdict.steps, words),
        rendered=share,
        restored=tuple(ids),
    )


def _overdone(verdict: Verdict, share: float, most: float) -> Verdict:
    """Return the verdict on a picture of which too much would have to be put back."""
    if not verdict.reasons:
        return verdict
    told = f"{share:.0%} of the labelled pixels would be the render's, over --max-restored {most:g}"
    words = f"{OVERDONE}: {told}"
    return replace(verdict, steps=(*verdict.steps, words), overdone=words)


def _labelled_share(frame: Frame, ids: Iterable[int]) -> float:
    """Return the share of all instances' pixels that some instances have, 0 to 1."""
    import numpy as np

    labels = frame.instances.labels
    labelled = max(1, int(np.count_nonzero(labels)))
    return int(np.count_nonzero(np.isin(labels, list(ids)))) / labelled


def _named(ids: Sequence[int]) -> str:
    return f"instance{'s' if len(ids) > 1 else ''} {', '.join(map(str, ids))}"


def better(one: Verdict, other: Verdict) -> bool:
    """Return whether one picture is less damaged than another."""
    return (len(one.damaged), len(one.reasons)) < (len(other.damaged), len(other.reasons))


def _nowhere_worse(one: Verdict, other: Verdict) -> bool:
    """Return whether every check that gives a merit finds one picture at least as good."""
    merits = {name: result.merit for name, result in other.results.items()}
    pairs = [(result.merit, merits.get(name)) for name, result in one.results.items()]
    return all(new >= old for new, old in pairs if new is not None and old is not None)
