"""The shapes of a picture's instances: areas, boxes, and who covers or touches whom."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from sv2r.types import Box, Instances

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Ints = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class InstanceShape:
    """An instance's pixels in numbers.

    area: all of them. visible: those that no other instance covers.
    box: (left, top, right, bottom) around all of them, None where there are none.
    """

    area: int
    visible: int
    box: Box | None


@dataclass(frozen=True, slots=True)
class InstancePair:
    """Two instances that share pixels. upper: the one that the label map shows there."""

    lower: int
    upper: int
    pixels: int


def measure_shapes(instances: Instances) -> dict[int, InstanceShape]:
    """Return the shape of every instance in the table."""
    visible = _visible(instances.labels)
    return {id_: _shape(instances, id_, *visible.get(id_, (0, None))) for id_ in instances.table}


def _visible(labels: NDArray[np.int32]) -> dict[int, tuple[int, Ints]]:
    """Return the count and the (left, top, right, bottom) of each label, from runs along rows."""
    height, width = labels.shape
    breaks = np.ones((height, width), bool)
    breaks[:, 1:] = labels[:, 1:] != labels[:, :-1]
    starts = np.flatnonzero(breaks)
    length = np.diff(starts, append=labels.size)
    row, column = starts // width, starts % width
    ids, run = np.unique(labels.reshape(-1)[starts], return_inverse=True)
    order = np.argsort(run, kind="stable")
    first = np.searchsorted(run[order], np.arange(len(ids)))
    count = np.add.reduceat(length[order], first)
    low = [np.minimum.reduceat(side[order], first) for side in (column, row)]
    high = [np.maximum.reduceat(side[order], first) for side in (column + length, row + 1)]
    boxes = np.stack([*low, *high], axis=1)
    return {id_: (n, box) for id_, n, box in zip(ids.tolist(), count.tolist(), boxes, strict=True)}


def _shape(instances: Instances, id_: int, visible: int, box: Ints | None) -> InstanceShape:
    hidden = instances.overlaps.get(id_)
    if hidden is not None and len(hidden):
        row, column = hidden // instances.size[1], hidden % instances.size[1]
        more = np.array([np.min(column), np.min(row), np.max(column) + 1, np.max(row) + 1])
        low, high = (more, more) if box is None else (np.minimum(box, more), np.maximum(box, more))
        box = np.concatenate([low[:2], high[2:]])
        return InstanceShape(visible + len(hidden), visible, _as_box(box))
    return InstanceShape(visible, visible, None if box is None else _as_box(box))


def _as_box(box: Ints) -> Box:
    left, top, right, bottom = (float(side) for side in box)
    return left, top, right, bottom


def sharing(instances: Instances) -> Iterator[InstancePair]:
    """Yield the pairs of instances that share pixels, of which the label map shows one."""
    flat = instances.labels.reshape(-1)
    for lower, hidden in instances.overlaps.items():
        above, counts = np.unique(flat[hidden], return_counts=True)
        for upper, count in zip(above.tolist(), counts.tolist(), strict=True):
            both_hidden = _common(hidden, instances.overlaps.get(upper))
            yield InstancePair(lower, upper, count + both_hidden)


def _common(one: Ints, other: Ints | None) -> int:
    if other is None:
        return 0
    return len(np.intersect1d(one, other, assume_unique=True))


def touching(instances: Instances) -> set[int]:
    """Return the instances that touch another one of their own category, side by side."""
    labels, table = instances.labels, instances.table
    found: set[int] = set()
    for one, other in ((labels[:, :-1], labels[:, 1:]), (labels[:-1], labels[1:])):
        meet = (one != other) & (one > 0) & (other > 0)
        pairs = np.unique(np.stack([one[meet], other[meet]]), axis=1)
        for a, b in pairs.T.tolist():
            if a in table and b in table and table[a].category == table[b].category:
                found |= {a, b}
    return found


def share_of(inner: Box, outer: Box) -> float:
    """Return the share of one box's area that lies in another box; 0 for a box without area."""
    area = (inner[2] - inner[0]) * (inner[3] - inner[1])
    width = min(inner[2], outer[2]) - max(inner[0], outer[0])
    height = min(inner[3], outer[3]) - max(inner[1], outer[1])
    return max(0.0, width) * max(0.0, height) / area if area > 0 else 0.0
