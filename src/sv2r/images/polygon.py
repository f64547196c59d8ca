"""Polygons with corners on pixels, filled as OpenCV fills them: what YOLO's trainer sees."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Ints = NDArray[np.int64]


# OpenCV computes in fixed point with so many bits after the point.
_BITS = 16
_ONE = 1 << _BITS


def fill_polygon(corners: NDArray[np.integer], size: tuple[int, int]) -> NDArray[np.bool_]:
    """Return the (H, W) mask that ``cv2.fillPoly`` draws: the even-odd inside, and the outline.

    corners: (N, 2) columns and rows of pixels, in order; the last is joined to the first. What lies
    outside of the picture is left out.
    """
    height, width = size
    mask = np.zeros((height, width), bool)
    start = corners.astype(np.int64)
    end = np.roll(start, -1, axis=0)
    rows = start[:, 1], end[:, 1]
    inside = ((start >= 0) & (start < (width, height))).all(1)
    outside = ~(inside & np.roll(inside, -1))
    start, end = start.copy(), end.copy()
    for edge in np.flatnonzero(outside).tolist():
        start[edge], end[edge] = _clipped(start[edge].tolist(), end[edge].tolist(), size)
    columns, lines = _outline(start, end)
    within = (columns >= 0) & (columns < width) & (lines >= 0) & (lines < height)
    mask[lines[within], columns[within]] = True
    _fill(mask, _Edges.of(start, end, rows))
    return mask


@dataclass(frozen=True)
class _Edges:
    """Edges that are not level: the rows from `top` to before `low`, each `across` at its top.

    across, slope: in fixed point; slope per row.
    """

    top: Ints
    low: Ints
    across: Ints
    slope: Ints

    @classmethod
    def of(cls, start: Ints, end: Ints, rows: tuple[Ints, Ints]) -> Self:
        """Return the edges of lines that were cut off at the border.

        rows: where the lines began and ended before: an edge keeps its rows, and takes the slope of
        what is left of it.
        """
        first, last = start[:, 0] * _ONE, end[:, 0] * _ONE
        tall = end[:, 1] - start[:, 1]
        # A line that is level once it is cut off keeps the ends that it had.
        level = (tall == 0) & (rows[0] != rows[1])
        tall = np.where(level, rows[1] - rows[0], tall)
        steep = rows[0] != rows[1]
        slope = np.zeros_like(first)
        slope[steep] = _towards_zero(last[steep] - first[steep], tall[steep])
        down = rows[0] < rows[1]
        top, low = np.where(down, rows[0], rows[1]), np.where(down, rows[1], rows[0])
        begun = np.where(level, rows[0], start[:, 1]), np.where(level, rows[1], end[:, 1])
        at = np.where(
            down, first + (rows[0] - begun[0]) * slope, last + (rows[1] - begun[1]) * slope
        )
        return cls(top[steep], low[steep], at[steep], slope[steep])


def _towards_zero(dividend: Ints, divisor: Ints) -> Ints:
    quotient: Ints = np.abs(dividend) // np.abs(divisor) * np.sign(dividend) * np.sign(divisor)
    return quotient


def _fill(mask: NDArray[np.bool_], edges: _Edges) -> None:
    """Set the pixels between the first and second, third and fourth ... crossing of each row."""
    height, width = mask.shape
    counts = edges.low - edges.top
    if not counts.sum():
        return
    edge = np.repeat(np.arange(len(counts)), counts)
    down = np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts)
    row, across = edges.top[edge] + down, edges.across[edge] + down * edges.slope[edge]
    order = np.lexsort((across, row))
    # Every row is crossed an even number of times, since each edge owns its upper end alone.
    row, across = row[order], across[order]
    left, right, row = (across[0::2] + _ONE - 1) >> _BITS, across[1::2] >> _BITS, row[0::2]
    seen = (row >= 0) & (row < height) & (right >= 0) & (left < width) & (left <= right)
    left, right, row = left[seen].clip(0), right[seen].clip(max=width - 1), row[seen]
    change = np.zeros((height, width + 1), np.int32)
    np.add.at(change, (row, left), 1)
    np.add.at(change, (row, right + 1), -1)
    mask |= change.cumsum(1)[:, :width] > 0


def _outline(start: Ints, end: Ints) -> tuple[Ints, Ints]:
    """Return the columns and rows of straight lines: Bresenham's, drawn from the left end."""
    swapped = (end[:, 0] < start[:, 0])[:, None]
    start, end = np.where(swapped, end, start), np.where(swapped, start, end)
    across, down = (end - start).T
    upward = np.where(down < 0, -1, 1)
    down = np.abs(down)
    longer, shorter = np.maximum(across, down), np.minimum(across, down)
    line = np.repeat(np.arange(len(longer)), longer + 1)
    first = np.cumsum(longer + 1) - (longer + 1)
    step = np.arange((longer + 1).sum()) - first[line]
    whole = np.maximum(longer[line], 1)
    aside = (2 * shorter[line] * step + whole - 1) // (2 * whole)
    flat = (across >= down)[line]
    columns = start[line, 0] + np.where(flat, step, aside)
    rows = start[line, 1] + upward[line] * np.where(flat, aside, step)
    return columns, rows


def _clipped(
    start: list[int], end: list[int], size: tuple[int, int]
) -> tuple[tuple[int, int], tuple[int, int]]:
    """Return a line's ends brought into the picture as ``cv2.clipLine`` does (Cohen, Sutherland).

    A line that lies outside comes back outside.
    """
    (x1, y1), (x2, y2) = start, end
    bottom, right = size[0] - 1, size[1] - 1

    def sides(x: int, y: int) -> int:
        return (x < 0) + 2 * (x > right) + 4 * (y < 0) + 8 * (y > bottom)

    one, other = sides(x1, y1), sides(x2, y2)
    if one & other or not one | other:
        return (x1, y1), (x2, y2)
    if one & 12:
        y = 0 if one < 8 else bottom
        x1, y1 = x1 + int((y - y1) * (x2 - x1) / (y2 - y1)), y
        one = sides(x1, y1) & 3
    if other & 12:
        y = 0 if other < 8 else bottom
        x2, y2 = x2 + int((y - y2) * (x2 - x1) / (y2 - y1)), y
        other = sides(x2, y2) & 3
    if one & other:
        return (x1, y1), (x2, y2)
    if one:
        x = 0 if one == 1 else right
        x1, y1 = x, y1 + int((x - x1) * (y2 - y1) / (x2 - x1))
    if other:
        x = 0 if other == 1 else right
        x2, y2 = x, y2 + int((x - x2) * (y2 - y1) / (x2 - x1))
    return (x1, y1), (x2, y2)
