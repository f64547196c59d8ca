"""Lines between instances, in numpy: as masks, drawn on a picture, and as closed paths."""

from __future__ import annotations

import colorsys
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

LabelMap: TypeAlias = NDArray[np.integer]
Mask: TypeAlias = NDArray[np.bool_]
Point: TypeAlias = tuple[int, int]

# Its multiples, modulo 1, spread evenly however many there are, and neighbours lie far apart.
_GOLDEN = 0.6180339887498949
# In the order of right turns, with y growing downwards.
_EAST, _SOUTH, _WEST, _NORTH = range(4)


def boundary_mask(labels: LabelMap, thickness: int = 2) -> Mask:
    """Return the (H, W) mask of lines between pixels of different labels, centred on the cracks.

    A pixel is on a line where the square of thickness + 1 pixels around it shows two labels or
    more; an odd thickness has its extra pixel above and to the left. The picture's edge is none.

    Args:
        labels: (H, W) integers, 0 = background.
        thickness: of a line, in pixels, at least 1.
    """
    before = thickness // 2
    reach = (before, thickness - before)
    mask: Mask = _slide(labels, np.maximum, reach) != _slide(labels, np.minimum, reach)
    return mask


def outline_mask(labels: LabelMap, thickness: int = 1) -> Mask:
    """Return the (H, W) mask of the instances' pixels within thickness pixels of another label.

    Distances are counted along rows, columns and diagonals alike. Touching instances have their
    lines side by side, each inside its own instance.
    """
    mask: Mask = boundary_mask(labels, 2 * thickness) & (labels > 0)
    return mask


def draw_outlines(
    pixels: NDArray[np.uint8], labels: LabelMap, thickness: int = 1
) -> NDArray[np.uint8]:
    """Return a copy of an (H, W, 3) picture with each instance outlined in a hue of its own.

    The same labels get the same hues on any picture.
    """
    mask = outline_mask(labels, thickness)
    ids, order = np.unique(labels[mask], return_inverse=True)
    drawn = pixels.copy()
    drawn[mask] = distinct_colours(len(ids))[order]
    return drawn


def distinct_colours(count: int) -> NDArray[np.uint8]:
    """Return (count, 3) saturated RGB colours; those next to each other differ most in hue."""
    colours = [colorsys.hsv_to_rgb(number * _GOLDEN % 1, 1, 1) for number in range(count)]
    return np.rint(np.array(colours).reshape(count, 3) * 255).astype(np.uint8)


def contour_paths(labels: LabelMap) -> dict[int, list[list[Point]]]:
    """Return the closed paths around each instance, along the cracks between pixels.

    A path is its corners as (x, y), where pixel (row, column) covers x in [column, column + 1] and
    y in [row, row + 1]; its last corner joins its first. Outer paths run clockwise on screen, holes
    the other way; pixels that touch by a corner alone are apart. Filled by either rule, an
    instance's paths cover its pixels exactly.
    """
    cracks = _cracks(labels)
    following, turns = _followers(cracks)
    found: dict[int, list[list[Point]]] = defaultdict(list)
    corners = list(zip(cracks.x.tolist(), cracks.y.tolist(), strict=True))
    passed = bytearray(len(corners))
    # In reading order: a path begins at the first of its corners, which it passes only once.
    for start, instance in enumerate(cracks.instance.tolist()):
        if not passed[start]:
            found[instance].append(_trace(start, following, turns, corners, passed))
    return dict(found)


def _slide(values: LabelMap, reduce: np.ufunc, reach: tuple[int, int]) -> LabelMap:
    """Return the reduction over each pixel's square window, the edge repeated beyond itself."""
    for axis in (0, 1):
        length = values.shape[axis]
        border = [(0, 0), (0, 0)]
        border[axis] = reach
        padded = np.moveaxis(np.pad(values, border, mode="edge"), axis, 0)
        result = padded[:length].copy()
        for offset in range(1, sum(reach) + 1):
            reduce(result, padded[offset : offset + length], out=result)
        values = np.moveaxis(result, 0, axis)
    return values


@dataclass(frozen=True)
class _Cracks:
    """The unit cracks around instances, each with its instance on the right hand.

    By instance, then in reading order of where they start. place: a number of that start, of the
    instance's own. width: how far the number of the corner below is.
    """

    instance: NDArray[np.int64]
    x: NDArray[np.int64]
    y: NDArray[np.int64]
    direction: NDArray[np.int64]
    place: NDArray[np.int64]
    width: int


def _cracks(labels: LabelMap) -> _Cracks:
    bordered = np.pad(labels, 1)
    middle = bordered[1:-1, 1:-1]
    # From which corner of its pixel a crack starts, as (x, y).
    sides = (
        (bordered[:-2, 1:-1], (0, 0), _EAST),
        (bordered[1:-1, 2:], (1, 0), _SOUTH),
        (bordered[2:, 1:-1], (1, 1), _WEST),
        (bordered[1:-1, :-2], (0, 1), _NORTH),
    )
    parts = []
    for neighbours, (dx, dy), direction in sides:
        rows, columns = np.nonzero((middle != neighbours) & (middle > 0))
        instance = middle[rows, columns].astype(np.int64)
        parts.append((instance, columns + dx, rows + dy, np.full(len(rows), direction)))
    instance, x, y, heading = (np.concatenate(part) for part in zip(*parts, strict=True))
    height, width = labels.shape[0] + 1, labels.shape[1] + 1
    rank = np.unique(instance, return_inverse=True)[1].reshape(-1)
    place = (rank * height + y) * width + x
    order = np.argsort(place, kind="stable")
    return _Cracks(instance[order], x[order], y[order], heading[order], place[order], width)


def _followers(cracks: _Cracks) -> tuple[list[int], list[bool]]:
    """Return for each crack the one that follows it on its path, and whether the path turns there.

    Where two pixels of an instance touch by a corner alone, two cracks leave it: the path turns
    right, which keeps to the pixel whose edge it has come along.
    """
    place, direction = cracks.place, cracks.direction
    end = place + np.array([1, cracks.width, -1, -cracks.width])[direction]
    following = np.searchsorted(place, end)
    second = np.minimum(following + 1, len(place) - 1)
    right = (direction + 1) % 4
    following = np.where((place[second] == end) & (direction[second] == right), second, following)
    return following.tolist(), (direction[following] != direction).tolist()


def _trace(
    start: int,
    following: Sequence[int],
    turns: Sequence[bool],
    corners: Sequence[Point],
    passed: bytearray,
) -> list[Point]:
    """Return the corners of the path that a crack begins, and mark its cracks as passed."""
    path = [corners[start]]
    crack = start
    while True:
        passed[crack] = 1
        crack, turned = following[crack], turns[crack]
        if crack == start:
            return path
        if turned:
            path.append(corners[crack])
