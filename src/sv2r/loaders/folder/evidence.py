"""What speaks for and against what some masks were taken for, in numbers.

Everything is counted from a mask's raw values: which of them fill areas, which lie along edges
alone, in how many pieces they are, which reach the frame.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from sv2r.images.label_image import LabelImage

if TYPE_CHECKING:
    from numpy.typing import NDArray

# The part of a mask that is looked at closely, in its middle.
_SIDE = 1024
# A value that fills an area has this share of its pixels inside of it.
_FILLS = 0.2
# A value that is a line has at most this share of its pixels more than 3 px from others.
_THIN = 0.02
# The pieces of a value that lies on edges alone are smaller than this, in pixels.
_SPECK = 6.0
# How far an edge is smoothed, in pixels, to either side.
_REACH = 3
# How far from the colours on both sides that of a smoothed edge may be: JPEG overshoots.
_RINGING = 24
_FAR = 1 << 40


@dataclass(frozen=True, slots=True)
class MaskValue:
    """How one value of a mask lies in it.

    pixels: how many have it. inside: how many of these have it all around; deep: how many have it
    for 3 px around. pieces: how many separate areas they form, at least (holes are taken off).
    sides: of the frame, that it reaches.
    """

    number: int
    pixels: int
    inside: int
    deep: int
    pieces: int
    sides: int

    @property
    def fills(self) -> bool:
        """Return whether it fills an area, as an object or a ground does."""
        return self.inside >= _FILLS * self.pixels

    @property
    def thin(self) -> bool:
        """Return whether it is nowhere wider than a line."""
        return self.deep <= _THIN * self.pixels

    @property
    def specks(self) -> bool:
        """Return whether it is scattered in specks, as the values of a smoothed edge are."""
        return not self.fills and self.pixels < _SPECK * self.pieces


@dataclass(frozen=True)
class MaskEvidence:
    """What one mask shows.

    values: by number. pixels: of the part that was looked at. blended: of the pixels in specks,
    the share whose value lies between the areas on both sides. borders: by value, the share of all
    borders between two values that it takes part in. neighbours: by value, those it touches.
    """

    name: str
    values: Mapping[int, MaskValue]
    pixels: int
    blended: float
    borders: Mapping[int, float]
    neighbours: Mapping[int, frozenset[int]]

    @property
    def objects(self) -> list[MaskValue]:
        """Return the values that are not 0."""
        return [value for value in self.values.values() if value.number]

    @property
    def specks(self) -> list[MaskValue]:
        """Return the values that are scattered in specks."""
        return [value for value in self.values.values() if value.specks]


def weigh(name: str, label: LabelImage) -> MaskEvidence:
    """Return what a mask shows; of a large one, its middle."""
    values, numbers = _indexed(_middle(_plain(label)))
    right, down = values[:, 1:] == values[:, :-1], values[1:] == values[:-1]
    square = right[1:] & right[:-1] & down[:, 1:] & down[:, :-1]
    count = len(numbers)
    pixels = np.bincount(values.ravel(), minlength=count)
    joints = _count(values[:, 1:][right], count) + _count(values[1:][down], count)
    pieces = pixels - joints + _count(values[1:, 1:][square], count)
    around = _surrounded(values)
    inside = _count(values[around], count)
    deep = _count(values[_eroded(_eroded(around))], count)
    sides = np.sum([_count(np.unique(side), count) for side in _frame(values)], axis=0)
    found = {
        number: MaskValue(number, *map(int, counts))
        for number, *counts in zip(
            numbers.tolist(), pixels, inside, deep, np.maximum(pieces, 1), sides, strict=True
        )
    }
    borders, neighbours = _borders(values, numbers)
    blended = _blended(values, numbers, found, colour=_is_colour(label))
    return MaskEvidence(name, found, values.size, blended, borders, neighbours)


def _is_colour(label: LabelImage) -> bool:
    return label.kind == "colour" and not bool(
        (label.values == (label.values & 255) * 0x010101).all()
    )


def _plain(label: LabelImage) -> NDArray[Any]:
    """Return the values, those of equal channels as grey."""
    grey = label.kind == "colour" and not _is_colour(label)
    return label.values & 255 if grey else label.values


def _middle(values: NDArray[Any]) -> NDArray[Any]:
    top, left = (max(0, (side - _SIDE) // 2) for side in values.shape)
    return values[top : top + _SIDE, left : left + _SIDE]


def _indexed(values: NDArray[Any]) -> tuple[NDArray[np.int32], NDArray[Any]]:
    """Return a map of indices and the value of each."""
    numbers, indices = np.unique(values, return_inverse=True)
    return indices.reshape(values.shape).astype(np.int32), numbers


def _count(indices: NDArray[Any], length: int) -> NDArray[np.int64]:
    return np.bincount(indices.ravel(), minlength=length).astype(np.int64)


def _frame(values: NDArray[np.int32]) -> Iterable[NDArray[np.int32]]:
    return values[0], values[-1], values[:, 0], values[:, -1]


def _surrounded(values: NDArray[np.int32]) -> NDArray[np.bool_]:
    """Return which pixels have their own value all around; what lies out of the frame has it."""
    padded = np.pad(values, 1, mode="edge")
    right, down = padded[:, 1:] == padded[:, :-1], padded[1:] == padded[:-1]
    square = right[1:] & right[:-1] & down[:, 1:] & down[:, :-1]
    around: NDArray[np.bool_] = (
        square[1:, 1:] & square[:-1, 1:] & square[1:, :-1] & square[:-1, :-1]
    )
    return around


def _eroded(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    padded = np.pad(mask, 1, mode="edge")
    rows = padded[:-2] & padded[1:-1] & padded[2:]
    return rows[:, :-2] & rows[:, 1:-1] & rows[:, 2:]


def _borders(
    values: NDArray[np.int32], numbers: NDArray[Any]
) -> tuple[dict[int, float], dict[int, frozenset[int]]]:
    """Return each value's share of the pairs of unlike neighbours, and whom it touches."""
    pairs = [(values[:, 1:], values[:, :-1]), (values[1:], values[:-1])]
    unlike = np.concatenate([np.stack([a[a != b], b[a != b]]) for a, b in pairs], axis=1)
    if not unlike.shape[1]:
        return {}, {}
    count = _count(unlike, len(numbers)) / unlike.shape[1]
    touching: dict[int, set[int]] = {}
    low, high = np.sort(unlike, axis=0).astype(np.int64)
    for pair in np.unique(low * len(numbers) + high).tolist():
        one, other = (int(numbers[index]) for index in divmod(pair, len(numbers)))
        touching.setdefault(one, set()).add(other)
        touching.setdefault(other, set()).add(one)
    shares = {int(number): float(share) for number, share in zip(numbers, count, strict=True)}
    return shares, {number: frozenset(others) for number, others in touching.items()}


def _blended(
    values: NDArray[np.int32],
    numbers: NDArray[Any],
    found: Mapping[int, MaskValue],
    *,
    colour: bool,
) -> float:
    """Return the share of the pixels in specks whose value lies between the areas around them."""
    fills = np.array([found[number].fills for number in numbers.tolist()])[values]
    specks = np.array([found[number].specks for number in numbers.tolist()])[values]
    if not specks.any() or not fills.any():
        return 0.0
    if not colour:
        grey = numbers.astype(np.int64)[values]
        low, high = _around(grey, fills)
        return float(np.mean(((low < grey) & (grey < high))[specks]))
    near = np.ones_like(specks)
    for shift in (16, 8, 0):
        channel = (numbers >> shift & 255).astype(np.int64)[values]
        low, high = _around(channel, fills)
        near &= (low - _RINGING <= channel) & (channel <= high + _RINGING)
    return float(np.mean(near[specks]))


def _around(
    channel: NDArray[np.int64], fills: NDArray[np.bool_]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the lowest and the highest value of the areas within reach of each pixel."""
    low = _spread(np.where(fills, channel, _FAR), np.minimum)
    return low, _spread(np.where(fills, channel, -_FAR), np.maximum)


def _spread(values: NDArray[np.int64], better: Any) -> NDArray[np.int64]:
    """Return the lowest or highest value within reach of each pixel."""
    for axis in (0, 1):
        out = values.copy()
        for step in range(1, _REACH + 1):
            ahead, behind = [slice(None)] * 2, [slice(None)] * 2
            ahead[axis], behind[axis] = slice(step, None), slice(None, -step)
            better(out[tuple(behind)], values[tuple(ahead)], out=out[tuple(behind)])
            better(out[tuple(ahead)], values[tuple(behind)], out=out[tuple(ahead)])
        values = out
    return values


def numbers_line(seen: Sequence[MaskEvidence]) -> str:
    """Return in one line what was counted."""
    held = [len(one.values) for one in seen]
    objects = [value for one in seen for value in one.objects]
    whole = sum(value.pieces == 1 for value in objects)
    specks = sum(value.specks for value in objects)
    span = f"{min(held)}" if min(held) == max(held) else f"{min(held)} to {max(held)}"
    masks = f"{len(seen)} mask{'' if len(seen) == 1 else 's'}"
    return (
        f"looked at {masks}: {span} values each; of {len(objects):,} values that are not 0, "
        f"{whole:,} in one piece, {specks:,} in specks along edges"
    )
