"""Whether a displacement is real: what the labels' outlines say of it, and only then the rest.

Two textures always lie on each other best somewhere, so the place where edges correlate best is
no displacement yet. It has to be read off the picture as well: along the labels' contours the
picture must show more of an edge where the displacement puts them than where they are. A step
that follows a contour adds up over a section with its sign; texture does not. Where the labels
have too little outline to tell, the source's own edges are asked in the same way, block by block,
and have to be much surer.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from sv2r.checks.contours import trace

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray
    from torch import Tensor

    from sv2r.checks.contours import Contours

    Floats = NDArray[np.floating]
    Field = Callable[[Floats, Floats], Floats]

FAINT = 4.0  # levels: a step across a contour that begins to be visible ...
CLEAR = 12.0  # ... and one that is clearly so
SECTIONS = 6.0  # sections, by their weight: fewer do not decide
BLOCK = 32  # px: a side of the squares that the source's own edges are asked in
AWAY, STILL = 5.0, 3.0  # px around an outline, and standard errors by which it is no better there
LEAST = 1 / 20  # of a section's scatter: what is taken for it where sections happen to agree


@dataclass(frozen=True)
class Evidence:
    """What speaks for a displacement against none.

    gain: -1 to 1, how much more of an edge there is where the displacement puts it.
    sure: the same in standard errors; 2 and more is hardly chance.
    parts: how many sections or blocks had a say, by their weight.
    """

    gain: float
    sure: float
    parts: float


class Outlines:
    """The labels' outlines, asked whether a picture shows them displaced."""

    def __init__(self, source: Tensor, picture: Tensor, labels: NDArray[np.integer]) -> None:
        """Read both (3, H, W) float32 pictures, under a Gaussian of 1 px, along (H, W) labels."""
        self._contours = trace(labels, 2)
        self._picture, self._size = picture, labels.shape
        still = np.zeros((len(self._contours.y), 2))
        was = _steps(source, self._contours, still)
        self._shown = np.clip((was - FAINT) / (CLEAR - FAINT), 0, 1) * self._contours.counts
        self._here = _steps(picture, self._contours, still)

    def speak_for(self, moved: Field) -> Evidence:
        """Return what the outlines say of a displacement.

        moved: gives (N, 2) displacements (down, right) of points at (N,) rows and (N,) columns.
        """
        contours = self._contours
        if not len(contours.starts):
            return Evidence(0.0, 0.0, 0.0)
        by = moved(contours.y, contours.x)
        there = _steps(self._picture, contours, by)
        across = np.abs(contours.ny * by[:, 0] + contours.nx * by[:, 1])
        inside = _within(contours.y + by[:, 0], contours.x + by[:, 1], self._size)
        # A contour that slides along itself tells nothing.
        telling = np.minimum(_mean(across, contours), 1) * (_mean(inside, contours) > 0.9)
        gain = (there - self._here) / (there + self._here + FAINT)
        return _weighed(gain, self._shown * telling)

    @property
    def lie_still(self) -> bool:
        """Return whether the picture shows the outlines where they are, and not around."""
        return all(
            told.parts >= SECTIONS and told.sure <= -STILL
            for told in map(
                self.speak_for, map(_by, ((AWAY, 0), (-AWAY, 0), (0, AWAY), (0, -AWAY)))
            )
        )


def _by(step: tuple[float, float]) -> Field:
    def moved(y: Floats, x: Floats) -> Floats:
        return np.full((len(y), 2), step)

    return moved


def _steps(image: Tensor, contours: Contours, by: Floats) -> Floats:
    """Return (K,): the step across each section (levels), the contours displaced by (N, 2)."""
    if not len(contours.starts):
        return np.zeros(0)
    sides = np.array([-1.0, 1.0])
    y = (contours.y + by[:, 0])[:, None] + contours.ny[:, None] * sides
    x = (contours.x + by[:, 1])[:, None] + contours.nx[:, None] * sides
    levels = _read(image, y, x)
    step = np.add.reduceat(levels[:, 1] - levels[:, 0], contours.starts, axis=0)
    height: Floats = np.sqrt(((step / contours.counts[:, None]) ** 2).sum(-1))
    return height


def _mean(values: Floats | NDArray[np.bool_], contours: Contours) -> Floats:
    mean: Floats = np.add.reduceat(values.astype(np.float64), contours.starts) / contours.counts
    return mean


def _within(y: Floats, x: Floats, size: tuple[int, ...]) -> NDArray[np.bool_]:
    height, width = size
    inside: NDArray[np.bool_] = (y > 2) & (y < height - 3) & (x > 2) & (x < width - 3)
    return inside


def of_edges(before: Tensor, after: Tensor, moved: Field) -> Evidence:
    """Return what the source's own edges say of a displacement.

    before, after: (2, h, w) edges (`edges.orientation`), moved: as above, in their pixels.
    """
    height, width = before.shape[-2:]
    strength = (before * before).sum(0)
    y, x = (part.cpu().numpy() for part in (strength > 0.25).nonzero(as_tuple=True))
    stride = max(1, len(y) // 20_000)
    y, x = y[::stride], x[::stride]
    if not len(y):
        return Evidence(0.0, 0.0, 0.0)
    by = moved(y.astype(np.float64), x.astype(np.float64))
    was = _read(before, y, x)
    here, there = _read(after, y, x), _read(after, y + by[:, 0], x + by[:, 1])
    gain = (was * (there - here)).sum(-1) * _within(y + by[:, 0], x + by[:, 1], (height, width))
    block = (y // BLOCK) * (width // BLOCK + 1) + x // BLOCK
    _, index = np.unique(block, return_inverse=True)
    counts = np.bincount(index)
    return _weighed(np.bincount(index, gain) / counts, np.sqrt(counts))


def _read(planes: Tensor, y: Floats, x: Floats) -> Floats:
    """Return (..., C): (C, H, W) planes at fractional rows and columns."""
    import torch
    from torch.nn.functional import grid_sample

    height, width = planes.shape[-2:]
    rows, columns = y.reshape(len(y), -1), x.reshape(len(x), -1)
    points = np.stack([2 * columns / max(width - 1, 1) - 1, 2 * rows / max(height - 1, 1) - 1], -1)
    where = torch.from_numpy(points.astype(np.float32)).to(planes.device)
    found = grid_sample(
        planes[None], where[None], mode="bilinear", padding_mode="border", align_corners=True
    )
    read: Floats = found[0].permute(1, 2, 0).cpu().numpy()
    return read.reshape(*y.shape, -1)


def _weighed(gain: Floats, weight: Floats) -> Evidence:
    total = float(weight.sum())
    if total <= 0:
        return Evidence(0.0, 0.0, 0.0)
    mean = float((weight * gain).sum()) / total
    parts = total**2 / float((weight**2).sum())
    scatter = float(np.sqrt((weight**2 * (gain - mean) ** 2).sum())) / total
    return Evidence(mean, mean / max(scatter, LEAST / np.sqrt(parts)), parts)
