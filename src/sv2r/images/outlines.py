"""Lines between instances, in numpy: as masks, drawn on a picture, and as closed paths."""

from __future__ import annotations

import colorsys
from collections import defaultdict
from collections.abc import Iterator
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

Labels: TypeAlias = NDArray[np.integer]
Mask: TypeAlias = NDArray[np.bool_]
Point: TypeAlias = tuple[int, int]

# Its multiples, modulo 1, spread evenly however many there are, and neighbours lie far apart.
_GOLDEN = 0.6180339887498949
# East, south, west, north, with y growing downwards.
_STEPS = ((1, 0), (0, 1), (-1, 0), (0, -1))
_EAST, _SOUTH, _WEST, _NORTH = range(4)


def boundary_mask(labels: Labels, thickness: int = 2) -> Mask:
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


def outline_mask(labels: Labels, thickness: int = 1) -> Mask:
    """Return the (H, W) mask of the instances' pixels within thickness pixels of another label.

    Distances are counted along rows, columns and diagonals alike. Touching instances have their
    lines side by side, each inside its own instance.
    """
    mask: Mask = boundary_mask(labels, 2 * thickness) & (labels > 0)
    return mask


def draw_outlines(
    pixels: NDArray[np.uint8], labels: Labels, thickness: int = 1
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


def contour_paths(labels: Labels) -> dict[int, list[list[Point]]]:
    """Return the closed paths around each instance, along the cracks between pixels.

    A path is its corners as (x, y), where pixel (row, column) covers x in [column, column + 1] and
    y in [row, row + 1]; its last corner joins its first. Outer paths run clockwise on screen, holes
    the other way; pixels that touch by a corner alone are apart. Filled by either rule, an
    instance's paths cover its pixels exactly.
    """
    outgoing: dict[int, dict[Point, list[int]]] = defaultdict(lambda: defaultdict(list))
    for instance, x, y, direction in _cracks(labels):
        outgoing[instance][x, y].append(direction)
    return {instance: _trace(edges) for instance, edges in sorted(outgoing.items())}


def _slide(values: Labels, reduce: np.ufunc, reach: tuple[int, int]) -> Labels:
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


def _cracks(labels: Labels) -> Iterator[tuple[int, int, int, int]]:
    """Yield (instance, x, y, direction) for each unit crack, the instance on its right hand."""
    bordered = np.pad(labels, 1)
    middle = bordered[1:-1, 1:-1]
    # From which corner of its pixel a crack starts, as (x, y).
    sides = (
        (bordered[:-2, 1:-1], (0, 0), _EAST),
        (bordered[1:-1, 2:], (1, 0), _SOUTH),
        (bordered[2:, 1:-1], (1, 1), _WEST),
        (bordered[1:-1, :-2], (0, 1), _NORTH),
    )
    for neighbours, (dx, dy), direction in sides:
        rows, columns = np.nonzero((middle != neighbours) & (middle > 0))
        instances = middle[rows, columns].tolist()
        for instance, x, y in zip(instances, columns.tolist(), rows.tolist(), strict=True):
            yield instance, x + dx, y + dy, direction


def _trace(outgoing: dict[Point, list[int]]) -> list[list[Point]]:
    """Return the closed paths that use each directed crack once."""
    starts = sorted(outgoing, key=lambda point: point[::-1])
    return [_follow(outgoing, start) for start in starts if outgoing[start]]


def _follow(outgoing: dict[Point, list[int]], start: Point) -> list[Point]:
    """Return the corners of one path, its cracks taken out of outgoing.

    Its start is the first of all corners left in reading order, so that only one crack leaves it:
    whoever is back there has closed the path.
    """
    corners = [start]
    direction = outgoing[start].pop()
    x, y = start[0] + _STEPS[direction][0], start[1] + _STEPS[direction][1]
    while (x, y) != start:
        ways = outgoing[x, y]
        # Right before straight on before left: keeps to the pixel whose edge brought us here.
        turn = next(turn for turn in (1, 0, 3) if (direction + turn) % 4 in ways)
        direction = (direction + turn) % 4
        ways.remove(direction)
        if turn:
            corners.append((x, y))
        x, y = x + _STEPS[direction][0], y + _STEPS[direction][1]
    return corners
