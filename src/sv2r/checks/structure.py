"""Where a picture shows an object that neither its source nor its labels explain.

Two things mark an object against texture, light and shadow. It has an edge that is sharp and has
two sides: it is there at a fine and at a coarse scale (texture averages away at the coarse one, a
soft change of light has nothing at the fine one). And it stands alone (`standing`). Edges are
explained by any edge of the source nearby, scaled by how much stronger edges have become on the
whole, and by the boundaries that the labels draw; what is left over is set against what its own
region has everywhere. Only the ground is looked at: what no label covers, and what is as large as a
ground. A print, a highlight or another texture inside an instance is no invention.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from sv2r.checks.edges import dilated, gradients, pooled, smoothed
from sv2r.checks.standing import standing_out

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import Tensor

FINE, COARSE = 0.8, 2.5  # px of the half-size picture
SOFT = 0.5  # share of an edge at one scale alone that may have become one at both
NEARBY = 2  # px of the half-size picture within which an edge of the source explains one
STRONG = 15.0  # levels of 255: edges of the source that tell how much stronger edges have become
BLOCK, AROUND = 8, 3.0  # px of the half-size picture, and blocks: what is around a pixel
DARK = 10.0  # levels: where a source is darker than this, no ratio is taken
GATHER = 2.0  # px of the half-size picture over which unexplained edges are added up
COMMON = 4.0  # times what a region has everywhere: as much is its texture
GROUND = 3.0  # levels: the least that unexplained edges are set against
LARGE = 0.3  # share of the picture from which a labelled region is ground for others


@dataclass(frozen=True)
class Structure:
    """What stands on the ground that the source does not explain.

    invention: how far a place stands out of its surroundings, times how far the strongest group of
        unexplained edges at it stands out of the picture's own level; below 1 there is nothing, an
        object of clear contrast has 10 or more.
    map: (H, W) float32, the same everywhere.
    place: (y, x) of the strongest group, px.
    """

    invention: float
    map: NDArray[np.float32]
    place: tuple[int, int]


def structure(source: Tensor, picture: Tensor, labels: NDArray[np.integer]) -> Structure:
    """Return what a picture shows that nothing explains.

    source, picture: (3, H, W) float32 levels. labels: (H, W), 0 = background.
    """
    import torch
    from torch.nn.functional import interpolate

    height, width = labels.shape
    if min(height, width) < 16:
        return Structure(0.0, np.zeros((height, width), np.float32), (0, 0))
    halves = pooled(source, 2), pooled(picture, 2)
    (before, before_any), (after, _) = (_steps(half) for half in halves)
    regions = torch.as_tensor(labels[: height // 2 * 2 : 2, : width // 2 * 2 : 2].astype(np.int64))
    regions = regions.to(source.device)
    gain = _gain(before, after)
    explained = dilated(before_any, NEARBY) * _local_gain(before, after, halves, gain)
    new = (after - explained).clamp(min=0) / gain
    new = new * (1 - dilated(_borders(regions), NEARBY))
    for edge in (new[:2], new[-2:], new[:, :2], new[:, -2:]):
        edge.zero_()
    apart = (new - COMMON * _usual(new, regions)).clamp(min=0)
    gathered, ground = smoothed(torch.stack([apart, new]), GATHER)
    level = torch.quantile(ground.flatten()[::7], 0.9) + GROUND
    ground_only = _ground(regions)
    found = standing_out(*halves, ground_only, gathered / level * ground_only)
    row, column = divmod(int(found.argmax()), found.shape[1])
    full = interpolate(found[None, None], (height, width), mode="bilinear")[0, 0]
    place = (min(2 * row, height - 1), min(2 * column, width - 1))
    return Structure(float(found.max()), full.cpu().numpy(), place)


def _steps(image: Tensor) -> tuple[Tensor, Tensor]:
    """Return the height (levels) of edges that two scales agree on, and of those at either."""
    heights = []
    for sigma in (FINE, COARSE):
        down, across = gradients(smoothed(image, sigma))
        slope = (down * down + across * across).sum(0).sqrt()
        heights.append(slope * sigma * math.sqrt(2 * math.pi))
    fine, coarse = heights
    both = fine.minimum(dilated(coarse, 1))
    return both, both.maximum(SOFT * fine.maximum(coarse))


def _gain(before: Tensor, after: Tensor) -> float:
    """Return how much stronger the source's strong edges have become, 0.2 to 2."""
    strong = before > STRONG
    if int(strong.sum()) < 50:
        return 1.0
    ratio = dilated(after, 1)[strong] / dilated(before, 1)[strong]
    return min(max(float(ratio.median()), 0.2), 2.0)


def _local_gain(
    before: Tensor, after: Tensor, halves: tuple[Tensor, Tensor], gain: float
) -> Tensor:
    """Return (h, w): how much stronger an edge of the source may have become around a pixel.

    The greater of what its edges became there (a regression that the strong ones rule, so that
    an edge from nowhere has no say), and of how much brighter the place became: light multiplies.
    """
    import torch
    from torch.nn.functional import interpolate

    was, now = dilated(before, 1), dilated(after, 1)
    found = torch.stack([was * now, was * was, *(half.mean(0) for half in halves)])
    blocks = smoothed(pooled(found, min(BLOCK, *before.shape)), AROUND)
    edges = (blocks[0] + gain * STRONG**2 / 4) / (blocks[1] + STRONG**2 / 4)
    light = (blocks[3] + DARK) / (blocks[2] + DARK)
    local = edges.maximum(light).clamp(min=gain / 2, max=gain * 4)
    return interpolate(local[None, None], before.shape, mode="bilinear")[0, 0]


def _ground(regions: Tensor) -> Tensor:
    """Return 1 where a place is ground and no border of a label is near, else 0."""
    import torch

    ids, index, counts = torch.unique(regions, return_inverse=True, return_counts=True)
    large = (ids == 0) | (counts >= LARGE * regions.numel())
    borders = _borders(regions)
    ground: Tensor = large[index].to(borders.dtype) * (1 - dilated(borders, NEARBY))
    return ground


def _borders(regions: Tensor) -> Tensor:
    """Return 1 on the pixels before a change of label, down or across."""
    border = (regions * 0).float()
    border[1:] += (regions[1:] != regions[:-1]).float()
    border[:, 1:] += (regions[:, 1:] != regions[:, :-1]).float()
    return border.clamp(max=1)


def _usual(new: Tensor, regions: Tensor) -> Tensor:
    """Return for every pixel what its region has everywhere: the squared mean of square roots."""
    import torch

    _, index = torch.unique(regions, return_inverse=True)
    index = index.flatten()
    count = torch.bincount(index).clamp(min=1)
    total = torch.bincount(index, new.sqrt().flatten())
    return ((total / count) ** 2)[index].reshape(new.shape).to(new.dtype)
