"""Whether what no label covers is still the same scene: its structure where it was, no noise.

Edges of the ground (`edges.orientation`), coarse, labels left out, are correlated at every
displacement at once through the Fourier transform. Where the picture shows the same room, table
edge or horizon, the correlation is high where nothing is displaced, higher than elsewhere; with
another scene or noise it is a place like any other. Texture, light and colour may change.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from sv2r.checks.edges import dilated, orientation, pooled, smoothed

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import Tensor

SIDE = 192  # px, about: the longer side at which edges are compared
MARGIN = 4  # px around labels that are theirs
EDGES = 0.008  # mean squared edge length: a ground with less has no structure to keep
SHARE = 1 / 3  # of a side: how far around no displacement is compared with
LIKELY = 0.1  # of the picture: what is added to the area that two displaced grounds share
CELL = 8  # px: what is coarse
NOISE = 3.0  # fine against coarse variation from which a picture is noise ...
NOISIER = 2.0  # ... where that is so many times as much as in the source
FLAT, SEEN = 0.1, 4.0  # share of the source's variation, where that is so many levels


@dataclass(frozen=True)
class Ground:
    """What became of what no label covers.

    background: 0 (another scene, noise, nothing) to 1 (the structure that the source has, where it
        has it).
    noise: fine variation (levels) against that over squares of 8 px; white noise has 6.
    contrast: variation over squares of 8 px against the source's.
    """

    background: float
    noise: float
    contrast: float


def ground(source: Tensor, picture: Tensor, labels: NDArray[np.integer]) -> Ground | None:
    """Return what became of the ground, None where the source shows nothing of it to go by.

    source, picture: (3, H, W) float32 levels. labels: (H, W), 0 = background.
    """
    import torch

    free = torch.from_numpy((labels == 0).astype(np.float32)).to(source.device)
    free = 1 - dilated(1 - free, MARGIN)
    cells = pooled(free[None], CELL)[0] > 0.99 if min(free.shape) >= CELL else free[:0] > 0
    if int(cells.sum()) < 4:
        return None
    was, now = (_coarse_spread(image, cells) for image in (source, picture))
    noise = _roughness(picture, free, now)
    noisy = noise > NOISE and noise > NOISIER * _roughness(source, free, was)
    if noisy or (was > SEEN and now < FLAT * was):
        return Ground(0.0, noise, now / (was + 1))
    kept = _structure_kept(source, picture, free)
    return None if kept is None else Ground(kept, noise, now / (was + 1))


def _coarse_spread(image: Tensor, cells: Tensor) -> float:
    return float(pooled(image, CELL)[:, cells].std(1).max())


def _roughness(image: Tensor, free: Tensor, coarse: float) -> float:
    fine = (image - smoothed(image, 1.0)).square().sum(0)
    variance = float((fine * free).sum() / (3 * free.sum()).clamp(min=1))
    return math.sqrt(variance) / (coarse + 1)


def _structure_kept(source: Tensor, picture: Tensor, free: Tensor) -> float | None:
    """Return how clearly the ground's edges lie where they did, 0 to 1.

    The geometric mean of their correlation, of how far that stands out of those at all other
    displacements (standard deviations), and of its share of the greatest of them.
    """
    import torch

    factor = max(2, math.ceil(max(free.shape) / SIDE))
    if min(free.shape) < 8 * factor:
        return None
    known = (pooled(free[None], factor)[0] > 0.99).float()
    fields = [orientation(smoothed(pooled(i, factor), 1.0)) * known for i in (source, picture)]
    energy = [float((field**2).sum()) for field in fields]
    if energy[0] < EDGES * max(1.0, float(known.sum())):
        return None
    height, width = known.shape
    planes = [torch.complex(field[0], field[1]) for field in fields]
    mask = known.to(planes[0].dtype)
    surface = _correlated(*planes)
    shared = _correlated(mask, mask) + LIKELY * height * width
    reach = int(height * SHARE), int(width * SHARE)
    around = torch.roll(surface / shared, reach, (0, 1))
    around = around[: 2 * reach[0] + 1, : 2 * reach[1] + 1]
    here = around[reach[0] - 1 : reach[0] + 2, reach[1] - 1 : reach[1] + 2].max()
    correlation = float(here * shared[0, 0]) / math.sqrt(max(energy[0] * energy[1], 1e-12))
    apart = float((here - around.mean()) / around.std().clamp(min=1e-9))
    share = float(here / around.max().clamp(min=1e-9))
    kept = math.cbrt(max(correlation, 0) * max(apart, 0) * min(max(share, 0), 1))
    return min(1.0, kept)


def _correlated(one: Tensor, other: Tensor) -> Tensor:
    """Return the correlation of (h, w) planes at displacements modulo twice their size or more."""
    import torch

    # Multiples of 32 are quick to transform.
    size = [-(-2 * side // 32) * 32 for side in one.shape]
    product = torch.fft.fft2(one, s=size).conj() * torch.fft.fft2(other, s=size)
    surface: Tensor = torch.fft.ifft2(product).real
    return surface
