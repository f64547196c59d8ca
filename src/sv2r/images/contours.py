"""Outlines of masks as one polygon each, such that filling the polygon gives the mask again."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Ints = NDArray[np.int64]


def polygon_of(mask: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Return the (N, 2) columns and rows of one polygon for an (H, W) mask with a pixel or more.

    `polygon.fill_polygon` gives the mask again where it is of one piece, holes included. Further
    pieces are joined to it by straight lines, one pixel wide, which go there and back: these pixels
    are the only ones too many.
    """
    rows, columns = (np.flatnonzero(mask.any(axis)) for axis in (1, 0))
    top, left = int(rows[0]), int(columns[0])
    inner = mask[top : int(rows[-1]) + 1, left : int(columns[-1]) + 1]
    joined = _joined([np.array(border) for border in borders(inner)])
    corners = _corners(joined)
    if len(corners) < 3:  # a pixel, or a straight line: a polygon has three corners
        corners = np.concatenate([corners, corners[[-1] * (3 - len(corners))]])
    return corners[:, ::-1] + (left, top)


def borders(mask: NDArray[np.bool_]) -> list[list[tuple[int, int]]]:
    """Return the outer and inner borders of a mask's pieces: each a closed path of its own pixels.

    Pieces are connected by sides and corners. S. Suzuki, K. Abe, Topological Structural Analysis of
    Digitized Binary Images by Border Following, CVGIP 1985, algorithm 1, without the tree.
    """
    width = mask.shape[1] + 2
    padded = np.pad(mask, 1)
    follower = _Follower(padded.tobytes(), width)
    # Left of a border's first pixel, or right of it, there is nothing.
    begins = padded & ~(np.roll(padded, 1, 1) & np.roll(padded, -1, 1))
    paths = (follower.at(place) for place in np.flatnonzero(begins).tolist())
    return [[(n // width - 1, n % width - 1) for n in path] for path in paths if path]


class _Follower:
    """Follows the borders of a picture with an empty margin, one row after the other.

    image: a byte for each pixel, not 0 where there is something. A pixel is its place in it.
    """

    def __init__(self, image: bytes, width: int) -> None:
        self._image, self._marks = image, dict[int, int]()
        # The eight neighbours, clockwise from the left.
        up, down = -width, width
        self._around = (-1, up - 1, up, up + 1, 1, down + 1, down, down - 1)
        self._place = {step: place for place, step in enumerate(self._around)}
        self._number = 1

    def at(self, start: int) -> list[int]:
        """Return the border that begins at a pixel, [] where none does or it is known already."""
        mark = self._marks.get(start, 1)
        self._number += 1
        if mark == 1 and not self._image[start - 1]:
            return self._followed(start, start - 1)
        if mark >= 1 and not self._image[start + 1]:
            return self._followed(start, start + 1)
        return []

    def _followed(self, start: int, outside: int) -> list[int]:
        first, _ = self._next(start, outside, range(8))
        if first is None:
            self._marks[start] = -self._number
            return [start]
        path, before, here = [], first, start
        while True:
            path.append(here)
            after, saw_right = self._next(here, before, range(-1, -9, -1))
            if saw_right:
                self._marks[here] = -self._number
            elif self._marks.get(here, 1) == 1:
                self._marks[here] = self._number
            if after is None or (after == start and here == first):
                return path
            before, here = here, after

    def _next(self, here: int, begin: int, turns: range) -> tuple[int | None, bool]:
        """Return the next pixel around one, and whether the right one was seen to be empty.

        begin: the neighbour that turns are counted from, clockwise.
        """
        place, saw_right = self._place[begin - here], False
        for turn in turns:
            step = self._around[(place + turn) % 8]
            if self._image[here + step]:
                return here + step, saw_right
            saw_right |= step == 1
        return None, saw_right


def _joined(paths: list[Ints]) -> Ints:
    """Return one closed path through all of them, each joined to those before where it is nearest.

    The nearest comes first, so that no joint crosses another border: joints to holes stay inside.
    """
    joined, rest = paths[0], paths[1:]
    while rest:
        nearest = [_nearest(joined, path) for path in rest]
        chosen = min(range(len(rest)), key=lambda place: nearest[place][0])
        _, here, there = nearest[chosen]
        path = rest.pop(chosen)
        around = np.concatenate([path[there:], path[: there + 1]])
        joined = np.concatenate([joined[: here + 1], around, joined[here:]])
    return joined


def _nearest(one: Ints, other: Ints) -> tuple[int, int, int]:
    """Return the squared distance of the nearest points of two paths, and their places."""
    away = np.square(one[:, None] - other[None]).sum(2)
    here, there = divmod(int(np.argmin(away.ravel())), len(other))
    return int(away[here, there]), here, there


def _corners(path: Ints) -> Ints:
    """Return a closed path without the points at which it goes straight on by single pixels."""
    into = path - np.roll(path, 1, 0)
    out = np.roll(path, -1, 0) - path
    straight = (into == out).all(1) & (np.abs(into).max(1) == 1)
    return path if straight.all() else path[~straight]
