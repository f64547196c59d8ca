"""The boundaries that a label map draws: points on them, their normals, and short sections."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.floating]
    Ints = NDArray[np.int64]

SECTION = 16  # px: long enough to average texture away, short enough to follow a dent
MOST_POINTS = 8000
WINDOW = 3  # px around a point that its normal is taken from
_STEPS = ((-1, 0), (1, 0), (0, -1), (0, 1))


@dataclass(frozen=True)
class Contours:
    """Points on instance boundaries, sorted by section; between two instances, each has its own.

    y, x: (N,) positions in pixels, to a fraction. ny, nx: (N,) unit normals, pointing outward.
    length: px of boundary that one point stands for.
    starts: (K,) the first point of each section. owner, neighbour: (K,) ids on its two sides.
    inside: (N, S), with `offsets`: where the label along the normal is still the owner's (negative
        offsets) or the neighbour's (positive ones).
    offsets: (S,) px along the normal.
    """

    y: Floats
    x: Floats
    ny: Floats
    nx: Floats
    length: float
    starts: Ints
    owner: Ints
    neighbour: Ints
    inside: NDArray[np.bool_]
    offsets: Floats

    @property
    def counts(self) -> Ints:
        """Return (K,) the number of points of each section."""
        return np.diff(self.starts, append=len(self.y))


def trace(labels: NDArray[np.integer], reach: int) -> Contours:
    """Return the boundaries of all instances of an (H, W) label map, 0 = background.

    reach: px along the normal, to either side, that `inside` covers. The picture's own border is
    no boundary. No more than MOST_POINTS points are kept, evenly thinned.
    """
    padded = np.pad(labels.astype(np.int64), WINDOW, constant_values=-1)
    y, x, length = _boundary_pixels(padded)
    window = _window(padded, y, x)
    owner = padded[y, x]
    ny, nx, depth = _normals(window, owner)
    neighbour = _neighbours(padded, y, x, ny, nx)
    order, starts = _sections(owner, neighbour, y, x)
    at_y = ((y - WINDOW) + ny * depth)[order].astype(np.float32)
    at_x = ((x - WINDOW) + nx * depth)[order].astype(np.float32)
    ny, nx, owner, neighbour = ny[order], nx[order], owner[order], neighbour[order]
    offsets = np.arange(-reach, reach + 1, dtype=np.float32)
    inside = _inside(labels, (at_y, at_x), (ny, nx), owner, neighbour, offsets)
    sides = owner[starts], neighbour[starts]
    return Contours(at_y, at_x, ny, nx, length, starts, *sides, inside, offsets)


def _boundary_pixels(padded: Ints) -> tuple[Ints, Ints, float]:
    middle = padded[1:-1, 1:-1]
    edge = np.zeros(middle.shape, bool)
    for dy, dx in _STEPS:
        other = padded[1 + dy : padded.shape[0] - 1 + dy, 1 + dx : padded.shape[1] - 1 + dx]
        edge |= (other != middle) & (other >= 0)
    edge &= middle > 0
    y, x = np.nonzero(edge)
    stride = max(1, -(-len(y) // MOST_POINTS))
    return y[::stride] + 1, x[::stride] + 1, float(stride)


def _window(padded: Ints, y: Ints, x: Ints) -> Ints:
    steps = np.arange(-WINDOW, WINDOW + 1)
    window: Ints = padded[y[:, None, None] + steps[:, None], x[:, None, None] + steps]
    return window


def _normals(window: Ints, owner: Ints) -> tuple[Floats, Floats, Floats]:
    """Return ny, nx and how far outside the pixel's centre the boundary runs (px).

    The gradient of the owner's mask under a Gaussian gives the normal, the mask's share under
    it the distance: a straight boundary at distance d leaves a share of Phi(d / sigma).
    """
    steps = np.arange(-WINDOW, WINDOW + 1, dtype=np.float32)
    sigma = 1.5
    bell = np.exp(-0.5 * (steps / sigma) ** 2)
    weight = bell[:, None] * bell
    mask = (window == owner[:, None, None]).astype(np.float32)
    known = (window >= 0).astype(np.float32)
    share = (mask * weight).sum((1, 2)) / (known * weight).sum((1, 2))
    mask = np.where(window >= 0, mask, share[:, None, None])
    ny = -(mask * (weight * steps[:, None])).sum((1, 2))
    nx = -(mask * (weight * steps)).sum((1, 2))
    norm = np.hypot(ny, nx) + 1e-6
    depth = np.clip((share - 0.5) * sigma * np.sqrt(2 * np.pi), 0, 1)
    return ny / norm, nx / norm, depth.astype(np.float32)


def _neighbours(padded: Ints, y: Ints, x: Ints, ny: Floats, nx: Floats) -> Ints:
    """Return the id across the boundary, of the differing 4-neighbour nearest to the normal."""
    owner = padded[y, x]
    best, found = np.full(len(y), -np.inf, np.float32), np.zeros(len(y), np.int64)
    for dy, dx in _STEPS:
        other = padded[y + dy, x + dx]
        along = np.where((other != owner) & (other >= 0), dy * ny + dx * nx, -np.inf)
        better = along > best
        best, found = np.where(better, along, best), np.where(better, other, found)
    return found


def _sections(owner: Ints, neighbour: Ints, y: Ints, x: Ints) -> tuple[Ints, Ints]:
    """Return the order that sorts points by section, and where each section starts.

    A section is what one cell of a grid over the instance's box holds of the boundary between the
    same two ids; the grid divides the box evenly, so that no slivers are cut off.
    """
    if not len(owner):
        empty = np.zeros(0, np.int64)
        return empty, empty
    ids, index = np.unique(owner, return_inverse=True)
    cells = [_cells(index, len(ids), at) for at in (y, x)]
    keys = np.stack([index, neighbour, *cells])
    order = np.lexsort(keys[::-1])
    keys = keys[:, order]
    new = np.ones(len(order), bool)
    new[1:] = (keys[:, 1:] != keys[:, :-1]).any(0)
    return order, np.flatnonzero(new)


def _cells(index: Ints, count: int, at: Ints) -> Ints:
    low, high = np.full(count, np.iinfo(np.int64).max), np.zeros(count, np.int64)
    np.minimum.at(low, index, at)
    np.maximum.at(high, index, at)
    side = high - low + 1
    cells = np.maximum(1, np.rint(side / SECTION)).astype(np.int64)
    cell: Ints = ((at - low[index]) * cells[index]) // side[index]
    return cell


def _inside(
    labels: NDArray[np.integer],
    at: tuple[Floats, Floats],
    normal: tuple[Floats, Floats],
    owner: Ints,
    neighbour: Ints,
    offsets: Floats,
) -> NDArray[np.bool_]:
    height, width = labels.shape
    ys, xs = (
        np.rint(start[:, None] + step[:, None] * offsets).astype(np.int64)
        for start, step in zip(at, normal, strict=True)
    )
    within = (ys >= 0) & (ys < height) & (xs >= 0) & (xs < width)
    found = labels[np.clip(ys, 0, height - 1), np.clip(xs, 0, width - 1)]
    middle = len(offsets) // 2
    expected = np.where(offsets < 0, owner[:, None], neighbour[:, None])
    same: NDArray[np.bool_] = within & (found == expected)
    same[:, middle - 1 : middle + 2] = within[:, middle - 1 : middle + 2]
    same[:, middle:] = np.logical_and.accumulate(same[:, middle:], axis=1)
    same[:, : middle + 1] = np.logical_and.accumulate(same[:, middle::-1], axis=1)[:, ::-1]
    return same
