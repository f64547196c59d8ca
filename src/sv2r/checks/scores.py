"""The checks' numbers for any two pictures and a label map, without a job around them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from sv2r.checks.edges import levels, smoothed
from sv2r.checks.fit import Survival, survivals
from sv2r.checks.ground import Ground, ground
from sv2r.checks.motion import Motion, motion
from sv2r.checks.structure import Structure, structure

if TYPE_CHECKING:
    from numpy.typing import NDArray


@dataclass(frozen=True)
class Scores:
    """What the checks say of a picture against its source and labels.

    motion: how the picture lies on its source; None where the source has no edges.
    structure: what stands on the ground that the source does not explain.
    ground: what became of what no label covers; None where the source shows nothing of it.
    instances: what became of each instance, by id.
    """

    motion: Motion | None
    structure: Structure
    ground: Ground | None
    instances: Mapping[int, Survival]

    @property
    def picture(self) -> dict[str, float]:
        """Return the numbers of the picture as a whole, as a record has them."""
        found = {} if self.motion is None else motion_scores(self.motion)
        kept = {} if self.ground is None else {"background": self.ground.background}
        return {**found, "invention": self.structure.invention, **kept}


def measure(
    source: NDArray[np.uint8],
    translated: NDArray[np.uint8],
    labels: NDArray[np.integer],
    device: str = "cpu",
) -> Scores:
    """Return the scores of (H, W, 3) uint8 pictures and an (H, W) label map, 0 = background.

    Raises:
        ValueError: pictures and label map that differ in height or width, or are no such arrays.
    """
    source, translated = np.asarray(source), np.asarray(translated)
    labels = np.asarray(labels)
    _require_labels(labels)
    for name, picture in (("source", source), ("translated", translated)):
        if picture.dtype.name != "uint8" or picture.shape != (*labels.shape, 3):
            expected = "x".join(str(side) for side in (*labels.shape, 3))
            given = "x".join(str(side) for side in picture.shape)
            raise ValueError(f"{name}: {given} {picture.dtype}, expected {expected} uint8")
    before, after = levels(source, device), levels(translated, device)
    soft_before, soft_after = smoothed(before, 1.0), smoothed(after, 1.0)
    return Scores(
        motion=motion(soft_before, soft_after, labels),
        structure=structure(before, after, labels),
        ground=ground(before, after, labels),
        instances=survivals(soft_before, soft_after, labels),
    )


def _require_labels(labels: NDArray[np.integer]) -> None:
    if labels.dtype.kind not in "iu":
        fix = "give whole numbers, one id per instance"
        raise ValueError(f"labels: {labels.dtype}, expected integers; {fix}")
    if labels.ndim != 2:
        given = "x".join(str(side) for side in labels.shape)
        raise ValueError(f"labels: {given}, expected height x width; give one map of ids")
    if labels.size and (least := int(np.min(labels))) < 0:
        raise ValueError(f"labels: an id of {least}, expected 0 = background and ids above 0")


def motion_scores(found: Motion) -> dict[str, float]:
    """Return a motion as the scores of a record."""
    names = ("dx", "dy", "zoom", "turn", "shift", "sure", "local", "agreement")
    return {name: float(getattr(found, name)) for name in names}
