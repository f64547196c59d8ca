"""The band around every outline, unrolled: what a picture shows across it, row by row.

Rows follow an outline, columns run along its normals, from inside to outside. The levels of several
points of an outline are averaged into a row: an edge that follows the outline adds up, texture and
noise do not. Geometry is taken from the labels alone and is read from any number of pictures; the
reading is pure torch, and gradients flow to the picture.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch.nn.functional import grid_sample

from sv2r.checks.perimeter import Perimeters, perimeters

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import Tensor

    Floats = NDArray[np.float32]

REACH = 10  # px to either side
COLUMNS = 2 * REACH + 1
PLACES = 16  # inside an instance, evenly over its area
_SMALL = 1 << 16  # ids below this are looked up in a table


@dataclass(frozen=True)
class Band:
    """Where the bands of I instances lie in an (H, W) picture.

    ids: (I,) int64. points: (1, I * R, P * C, 2) and places: (1, I, PLACES, 2), as grid_sample
    takes them. weight: (I, R, P, C), how much a point counts in its row: 0 where along the normal
    another label than the owner's (inside) or the neighbour's (outside) lies. known: (I, R, C),
    share of a row's points that do count. normal: (I, R, 2) y and x. neighbour: (I, R), share of a
    row that borders on another instance. size: (I, 2), px around it and of its area.
    start: (I, R / 2, 2), y and x in px at which every second row begins.
    """

    ids: NDArray[np.int64]
    points: Tensor
    places: Tensor
    weight: Tensor
    known: Tensor
    normal: Tensor
    neighbour: Tensor
    size: Tensor
    start: Tensor


@dataclass(frozen=True)
class Reading:
    """What a picture shows: levels (I, 3, R, C), their spread in a row (I, R, C), and inside."""

    levels: Tensor
    spread: Tensor
    inside: Tensor


def bands(labels: NDArray[np.integer], device: str = "cpu") -> Band:
    """Return the bands around all outlines of an (H, W) label map, 0 = background."""
    lines = perimeters(labels)
    offsets = np.arange(-REACH, REACH + 1, dtype=np.float32)
    y = lines.y[..., None] + lines.ny[..., None] * offsets
    x = lines.x[..., None] + lines.nx[..., None] * offsets
    counted = _counted(labels, lines, y, x).astype(np.float32)
    known = counted.mean(2)
    normal = np.stack([lines.ny.mean(2), lines.nx.mean(2)], -1)
    rank = _rank(labels, lines.ids)
    area = np.bincount(rank, minlength=len(lines.ids) + 1)[1:]
    size = np.stack([lines.length, area], -1).astype(np.float32)
    count, rows, points = lines.y.shape
    arrays = (
        _normalised(y, x, labels.shape).reshape(1, count * rows, points * COLUMNS, 2),
        _normalised(*_places(rank, area, labels.shape[1]), labels.shape)[None],
        counted / np.maximum(counted.sum(2, keepdims=True), 1),
        known,
        normal,
        (lines.neighbour > 0).mean(2, dtype=np.float32),
        size,
        np.stack([lines.y[:, ::2, 0], lines.x[:, ::2, 0]], -1),
    )
    return Band(lines.ids, *(torch.from_numpy(array).to(device) for array in arrays))


def read(image: Tensor, band: Band) -> Reading:
    """Return what (3, H, W) float32 levels, smoothed a little, show in the bands."""
    count, rows, points, columns = band.weight.shape
    found = _sampled(image, band.points).view(3, count, rows, points, columns)
    levels = (found * band.weight).sum(3)
    away = (found - levels[:, :, :, None]).square().sum(0)
    spread = ((away * band.weight).sum(2) + 1e-3).sqrt()
    inside = _sampled(image, band.places).view(3, count, PLACES)
    return Reading(levels.transpose(0, 1), spread, inside.permute(1, 2, 0))


def _sampled(image: Tensor, points: Tensor) -> Tensor:
    return grid_sample(
        image[None], points, mode="bilinear", padding_mode="border", align_corners=True
    )[0]


def _normalised(y: Floats, x: Floats, shape: tuple[int, ...]) -> Floats:
    height, width = shape
    points: Floats = np.stack(
        [2 * x / max(width - 1, 1) - 1, 2 * y / max(height - 1, 1) - 1], -1
    ).astype(np.float32)
    return points


def _counted(
    labels: NDArray[np.integer], lines: Perimeters, y: Floats, x: Floats
) -> NDArray[np.bool_]:
    """Return (I, R, P, C): where a normal has not yet left the two labels that it parts."""
    height, width = labels.shape
    row, column = np.rint(y).astype(np.int32), np.rint(x).astype(np.int32)
    within = (row >= 0) & (row < height) & (column >= 0) & (column < width)
    found = labels[np.clip(row, 0, height - 1), np.clip(column, 0, width - 1)]
    same = np.empty(found.shape, bool)
    same[..., :REACH] = found[..., :REACH] == lines.ids[:, None, None, None]
    same[..., REACH:] = found[..., REACH:] == lines.neighbour[..., None]
    same[..., REACH - 1 : REACH + 2] = True  # rounding may fall on either side
    same &= within
    same[..., REACH:] = np.logical_and.accumulate(same[..., REACH:], axis=-1)
    inwards = same[..., REACH::-1]
    same[..., : REACH + 1] = np.logical_and.accumulate(inwards, axis=-1)[..., ::-1]
    return same


def _rank(labels: NDArray[np.integer], ids: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return, flat, 1 + the place of each pixel's id among the ids, 0 where it is none of them."""
    flat = labels.ravel()
    if not len(ids):
        return np.zeros(len(flat), np.int64)
    if ids[-1] < _SMALL and int(np.max(flat)) < _SMALL:
        table = np.zeros(_SMALL, np.int64)
        table[ids] = np.arange(1, len(ids) + 1)
        ranks: NDArray[np.int64] = table[flat]
        return ranks
    place = np.searchsorted(ids, flat).clip(max=len(ids) - 1)
    return np.where(ids[place] == flat, place + 1, 0)


def _places(rank: NDArray[np.int64], area: NDArray[np.int64], width: int) -> tuple[Floats, Floats]:
    """Return y and x, (I, PLACES): pixels of each instance at even steps through its area."""
    pixels = np.flatnonzero(rank)
    order = pixels[np.argsort(rank[pixels].astype(np.int32), kind="stable")]
    share = (np.arange(PLACES) + 0.5) / PLACES
    chosen = order[(np.cumsum(area) - area)[:, None] + (share * area[:, None]).astype(np.int64)]
    y, x = np.divmod(chosen, width)
    return y.astype(np.float32), x.astype(np.float32)
