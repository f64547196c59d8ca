"""How far pictures have come from renders to photos, by features of a frozen network."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor

# Returns (B, D) float vectors of (B, 3, H, W) pictures in [0, 1].
Describe = Callable[["Tensor"], "Tensor"]

_BATCH = 8


class Nearness:
    """Compares sets of pictures with renders and photos held out.

    describe: what sets are compared by. renders, photos: (N, 3, R, R) in [0, 1].
    """

    def __init__(self, describe: Describe, renders: Tensor, photos: Tensor) -> None:
        self._describe = describe
        self._photos = self._described(photos)
        self._mean, self._scale = self._photos.mean(0), self._photos.std(0) + 1e-6
        self._whole = self._distance(self._described(renders))

    def share(self, pictures: Tensor) -> float:
        """Return 0 for what is as far from photos as renders are, 1 for what is no nearer to
        photos than they are to each other.
        """  # noqa: D205
        if self._whole <= 0:
            return 1.0
        return min(1.0, max(0.0, 1 - self._distance(self._described(pictures)) / self._whole))

    def _described(self, pictures: Tensor) -> Tensor:
        import torch

        with torch.no_grad():
            parts = torch.split(pictures, _BATCH)
            return torch.cat([self._describe(part) for part in parts]).double()

    def _distance(self, found: Tensor) -> float:
        """Return the kernel distance to photos, its square without bias by how many there are.

        The polynomial kernel of M. Bińkowski et al., Demystifying MMD GANs, ICLR 2018, on
        features that have deviation 1 among photos.
        """
        photos = (self._photos - self._mean) / self._scale
        found = (found - self._mean) / self._scale
        squared = float(_apart(found) + _apart(photos) - 2 * _kernel(found, photos).mean())
        return math.sqrt(max(0.0, squared))


def _kernel(one: Tensor, other: Tensor) -> Tensor:
    kernel: Tensor = (one @ other.T / one.shape[1] + 1) ** 3
    return kernel


def _apart(one: Tensor) -> Tensor:
    """Return the mean kernel over pairs of different rows."""
    count = len(one)
    kernel = _kernel(one, one)
    mean: Tensor = (kernel.sum() - kernel.diagonal().sum()) / max(count * (count - 1), 1)
    return mean
