"""The outlines that a label map draws, walked around in order and sampled evenly.

An outline runs on the cracks between pixels. Each crack knows the next one; where all of them stand
in their outline is found by doubling steps (list ranking, Wyllie 1979), without a walk in Python.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float32]
    Ints = NDArray[np.int64]

ROWS = 64  # along an instance's outlines, whatever their length
POINTS = 4  # that are averaged into a row
SMOOTHING = 1.5  # cracks, sigma: takes the stairs out of an outline
_RADIUS = 4  # cracks to either side that are smoothed over
# A crack leads right, down, left or up, its owner on its right. Where it starts, from the owner's
# top left corner; where it leads; and where the pixel across it lies.
_STARTS = ((0, 0), (0, 1), (1, 1), (1, 0))
_LEADS = ((0, 1), (1, 0), (0, -1), (-1, 0))
_ACROSS = ((-1, 0), (0, 1), (1, 0), (0, -1))


@dataclass(frozen=True)
class Perimeters:
    """Points on the outlines of the instances that have one inside the picture, (I, ROWS, POINTS).

    ids: (I,) int64. y, x: positions in pixels, to a fraction. ny, nx: unit normals, pointing
    outward. neighbour: ids across the outline, 0 = background. length: (I,) cracks around each.
    """

    ids: Ints
    y: Floats
    x: Floats
    ny: Floats
    nx: Floats
    neighbour: Ints
    length: Ints


def perimeters(labels: NDArray[np.integer]) -> Perimeters:
    """Return the outlines of all instances of an (H, W) label map, 0 = background.

    The picture's own border is no outline. All pieces and holes of an instance follow each other.
    """
    padded = np.pad(labels.astype(np.int64), 1, constant_values=-1)
    owner, neighbour, direction, corner = _cracks(padded)
    if not len(owner):
        empty = np.zeros((0, ROWS, POINTS), np.float32)
        none = np.zeros(0, np.int64)
        return Perimeters(none, empty, empty, empty, empty, empty.astype(np.int64), none)
    following = _following(owner, direction, corner, padded.shape)
    y, x, ny, nx = _smoothed(following, direction, corner, padded.shape[1])
    order = _in_order(owner, following)
    ids, first, length = np.unique(owner[order], return_index=True, return_counts=True)
    share = (np.arange(ROWS * POINTS) + 0.5) / (ROWS * POINTS)
    chosen = order[first[:, None] + (share * length[:, None]).astype(np.int64)]
    chosen = chosen.reshape(-1, ROWS, POINTS)
    return Perimeters(ids, y[chosen], x[chosen], ny[chosen], nx[chosen], neighbour[chosen], length)


def _cracks(padded: Ints) -> tuple[Ints, Ints, Ints, Ints]:
    """Return owner, id across, direction and first corner (flat, in the padded map) of each."""
    inner = padded[1:-1, 1:-1]
    found = []
    for number, (start, across) in enumerate(zip(_STARTS, _ACROSS, strict=True)):
        rows = slice(1 + across[0], padded.shape[0] - 1 + across[0])
        columns = slice(1 + across[1], padded.shape[1] - 1 + across[1])
        other = padded[rows, columns]
        y, x = np.nonzero((inner > 0) & (other != inner) & (other >= 0))
        corner = (y + 1 + start[0]) * padded.shape[1] + x + 1 + start[1]
        found.append((inner[y, x], other[y, x], np.full(len(y), number), corner))
    owner, neighbour, direction, corner = (
        np.concatenate(part) for part in zip(*found, strict=True)
    )
    return owner, neighbour, direction, corner


def _following(owner: Ints, direction: Ints, corner: Ints, shape: tuple[int, ...]) -> Ints:
    """Return the crack that each one leads to, itself where an outline meets the border.

    Where two of an owner's pixels touch by their corners, an outline turns right: around one.
    """
    size = shape[0] * shape[1]
    table = np.full(4 * size, -1, np.int64)
    table[direction * size + corner] = np.arange(len(owner))
    leads = np.array([dy * shape[1] + dx for dy, dx in _LEADS])
    end = corner + leads[direction]
    following = np.arange(len(owner))
    for turn in (-1, 0, 1):  # the last that is found counts: right before straight before left
        found = table[(direction + turn) % 4 * size + end]
        same = (found >= 0) & (owner[found] == owner)
        following = np.where(same, found, following)
    return following


def _smoothed(
    following: Ints, direction: Ints, corner: Ints, width: int
) -> tuple[Floats, Floats, Floats, Floats]:
    """Return y, x, ny, nx: the cracks' middles and normals under a Gaussian along the outline."""
    number = np.arange(len(following))
    preceding = number.copy()
    led = following != number
    preceding[following[led]] = number[led]
    lead = np.array(_LEADS, np.float32)[direction]
    corners = np.stack(np.divmod(corner, width), -1)
    middle: Floats = (corners - 1.5 + lead / 2).astype(np.float32)
    place, along = middle.copy(), lead.copy()
    total, ahead, behind = 1.0, number, number
    for step in range(1, _RADIUS + 1):
        weight = math.exp(-0.5 * (step / SMOOTHING) ** 2)
        ahead, behind = following[ahead], preceding[behind]
        place += weight * (middle[ahead] + middle[behind])
        along += weight * (lead[ahead] + lead[behind])
        total += 2 * weight
    place /= np.float32(total)
    norm = np.maximum(np.hypot(along[:, 0], along[:, 1]), 1e-6)
    normal: Floats = (along / norm[:, None]).astype(np.float32)
    return place[:, 0], place[:, 1], -normal[:, 1], normal[:, 0]


def _in_order(owner: Ints, following: Ints) -> Ints:
    """Return the order that sorts cracks by owner, outline, and place in it."""
    number = np.arange(len(following))
    rounds = max(1, len(following).bit_length())
    least, ahead = number.copy(), following.copy()
    for _ in range(rounds):
        least, ahead = np.minimum(least, least[ahead]), ahead[ahead]
    # A closed outline has no end: it is cut before its least crack.
    closed = following[ahead] != ahead
    end = np.where(closed & (least == following), number, following)
    left = (end != number).astype(np.int64)
    for _ in range(rounds):
        left, end = left + left[end], end[end]
    return np.lexsort((-left, end, owner))
