"""Where each tile of a source lies in a picture, and the one motion that most tiles agree with.

Fields of edges (`edges.orientation`) are correlated through the Fourier transform.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from sv2r.checks.edges import pooled

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import Tensor

    Floats = NDArray[np.floating]

FARTHEST = 0.25  # of a side: what the coarse pass looks for
CLOSE = 4  # px: a search that is no wider keeps to the tile itself
SHARPNESS = 0.7  # px: a tile's correlation is smoothed by this before its top is looked for
FEW = 3.0  # tiles, by their say: fewer tell a displacement alone, no zoom and no turn


@dataclass(frozen=True)
class Tiles:
    """Where each of n tiles was found again, in px of a pooled picture.

    design: (n, 2, 4) displacement (dy, dx) per unit of (dy, dx, zoom, turn). found: (n, 2).
    stiffness: (n, 2, 2) bend of the correlation. coefficient: (n,) its height, at most 1.
    strength: (n,) mean squared edge length. grid: rows, columns.
    """

    design: Floats
    found: Floats
    stiffness: Floats
    coefficient: Floats
    strength: Floats
    grid: tuple[int, int]


def coarse_motion(before: Tensor, after: Tensor) -> Floats:
    """Return (dy, dx), a multiple of 4 px, by correlating the whole fields at a quarter."""
    import torch

    small = [pooled(field, 4 if min(field.shape[-2:]) >= 64 else 1) for field in (before, after)]
    height, width = small[0].shape[-2:]
    window = _taper(height, height // 6, small[0])[:, None] * _taper(width, width // 6, small[0])
    reach = [max(1, int(side * FARTHEST)) for side in (height, width)]
    size = (height + reach[0] + 1, width + reach[1] + 1)
    surface = _correlated(small[0] * window, small[1] * window, size, 0.0)
    surface = torch.roll(surface, reach, (0, 1))[: 2 * reach[0] + 1, : 2 * reach[1] + 1]
    at = int(surface.argmax())
    down, across = divmod(at, surface.shape[1])
    scale = before.shape[-1] / width
    return np.array([(down - reach[0]) * scale, (across - reach[1]) * scale])


def _correlated(template: Tensor, field: Tensor, size: tuple[int, int], sigma: float) -> Tensor:
    """Return the correlation of (..., 2, h, w) fields for displacements modulo the size."""
    import torch

    one, two = (
        torch.fft.fft2(torch.complex(part.select(-3, 0), part.select(-3, 1)), s=size)
        for part in (template, field)
    )
    product = one.conj() * two
    if sigma:
        down, across = (
            torch.exp(-2 * (math.pi * sigma * torch.fft.fftfreq(n, device=template.device)) ** 2)
            for n in size
        )
        product = product * (down[:, None] * across)
    surface: Tensor = torch.fft.ifft2(product).real
    return surface


def find_tiles(
    before: Tensor, after: Tensor, guess: Floats, pooling: int, size: int, search: int
) -> Tiles:
    """Return where each tile of the source lies in the picture, within `search` of the guess."""
    import torch

    before, after = pooled(before, pooling), pooled(after, pooling)
    height, width = before.shape[-2:]
    size = min(size, max(8, min(height, width) // 2))
    rows, columns = height // size, width // size
    top = (height - rows * size) // 2 + np.repeat(np.arange(rows), columns) * size
    left = (width - columns * size) // 2 + np.tile(np.arange(columns), rows) * size
    design = design_of(top + (size - 1) / 2, left + (size - 1) / 2, height, width)
    ahead = np.rint(design @ scaled(guess, 1 / pooling)).astype(np.int64)
    window = _taper(size, size // 4, before)
    template = _cut(before, top, left, size) * (window[:, None] * window)
    # Alike windows make a picture that has not moved lie at exactly 0; a wide search needs more.
    margin = search if search > CLOSE else 0
    corner = top + ahead[:, 0] - margin, left + ahead[:, 1] - margin
    field = _cut(after, *corner, size + 2 * margin)
    if not margin:
        field = field * (window[:, None] * window)
    surface = _correlated(template, field, (size + 2 * search,) * 2, SHARPNESS)
    shift = (search - margin,) * 2
    surface = torch.roll(surface, shift, (1, 2))[:, : 2 * search + 1, : 2 * search + 1]
    steps = torch.arange(-search, search + 1, device=surface.device)
    nearer = 1 - 0.15 * (steps[:, None] ** 2 + steps**2) / (2 * search**2)
    energy = [(part * part).sum((1, 2, 3)).cpu().numpy() for part in (template, field)]
    offset, height_, stiffness = _tops((surface * nearer).cpu().numpy().astype(np.float64))
    # The field's energy is that of a larger square than the template's window looks at.
    share = float(window.square().mean()) ** 2 * (size / (size + 2 * margin)) ** 2
    share = share if margin else 1.0
    coefficient = np.minimum(height_ / np.maximum(np.sqrt(energy[0] * energy[1] * share), 1e-6), 1)
    strength = energy[0] / (size * size)
    return Tiles(design, ahead + offset, stiffness, coefficient, strength, (rows, columns))


def _cut(field: Tensor, top: NDArray[np.int64], left: NDArray[np.int64], size: int) -> Tensor:
    """Return (n, 2, size, size) squares of a (2, H, W) field, zero outside of it."""
    import torch
    from torch.nn.functional import pad

    height, width = field.shape[-2:]
    wide = pad(field, [size] * 4)
    corners = zip(
        (top.clip(-size, height) + size).tolist(),
        (left.clip(-size, width) + size).tolist(),
        strict=True,
    )
    return torch.stack([wide[:, y : y + size, x : x + size] for y, x in corners])


def _tops(surface: Floats) -> tuple[Floats, Floats, Floats]:
    """Return each surface's highest point (n, 2) from its middle, its height and its bend."""
    count, side = surface.shape[:2]
    inner = surface[:, 1:-1, 1:-1].reshape(count, -1)
    down, across = np.divmod(inner.argmax(1), side - 2)
    tiles = np.arange(count)

    def at(dy: int, dx: int) -> Floats:
        level: Floats = surface[tiles, down + 1 + dy, across + 1 + dx]
        return level

    top = at(0, 0)
    bend_y, bend_x = at(1, 0) + at(-1, 0) - 2 * top, at(0, 1) + at(0, -1) - 2 * top
    mixed = (at(1, 1) + at(-1, -1) - at(1, -1) - at(-1, 1)) / 4
    part_y = (at(-1, 0) - at(1, 0)) / (2 * np.minimum(bend_y, -1e-9))
    part_x = (at(0, -1) - at(0, 1)) / (2 * np.minimum(bend_x, -1e-9))
    part = np.clip(np.stack([part_y, part_x], -1), -0.5, 0.5)
    offset = np.stack([down, across], -1) + 1 - side // 2 + part
    bend = -np.stack([np.stack([bend_y, mixed], -1), np.stack([mixed, bend_x], -1)], -2)
    values, vectors = np.linalg.eigh(bend)
    stiffness = (vectors * np.maximum(values, 0)[:, None]) @ vectors.transpose(0, 2, 1)
    return offset, top, stiffness


def design_of(y: Floats, x: Floats, height: int, width: int) -> Floats:
    """Return (n, 2, 4): what a unit of (dy, dx, zoom, turn) does to points, down and across."""
    y, x = y - (height - 1) / 2, x - (width - 1) / 2
    one, none = np.ones_like(y), np.zeros_like(y)
    return np.stack([np.stack([one, none, y, x], -1), np.stack([none, one, x, -y], -1)], -2)


def fitted(tiles: Tiles, start: Floats, tolerance: float) -> Floats:
    """Return (dy, dx, zoom, turn) that most tiles agree with to the tolerance (px)."""
    design, stiffness = tiles.design, tiles.stiffness
    trust = np.maximum(tiles.coefficient, 0) ** 2
    reach = np.abs(design[:, 0, 2:]).max() + 1
    motion_ = start
    say = trust * np.trace(stiffness, axis1=1, axis2=2)
    counting = say.sum() ** 2 / max(float((say**2).sum()), 1e-12)
    rigid = 1e-4 if counting >= FEW else 1e4
    for _ in range(8):
        weight = trust / (1 + misfit_of(tiles, motion_) / tolerance**2) ** 2
        weighted = stiffness * weight[:, None, None]
        normal = np.einsum("nik,nij,njl->kl", design, weighted, design)
        wanted = np.einsum("nik,nij,nj->k", design, weighted, tiles.found)
        stiff = (normal[0, 0] + normal[1, 1]) / 2
        # A picture with edges in one corner only says nothing of its zoom: hold that near zero.
        hold = np.diag([1e-9, 1e-9, rigid * reach**2 / 16, rigid * reach**2 / 16])
        motion_ = np.linalg.solve(normal + stiff * hold + 1e-12 * np.eye(4), wanted)
    return motion_


def misfit_of(tiles: Tiles, motion_: Floats) -> Floats:
    """Return (n,) squared px by which tiles disagree, along the directions that they can tell."""
    off = tiles.found - tiles.design @ motion_
    along = np.einsum("ni,nij,nj->n", off, tiles.stiffness, off)
    misfit: Floats = along / np.maximum(np.trace(tiles.stiffness, axis1=1, axis2=2), 1e-9)
    return misfit


def scaled(motion_: Floats, factor: float) -> Floats:
    """Return a motion in pixels of another size."""
    result: Floats = motion_ * np.array([factor, factor, 1, 1])
    return result


def _taper(size: int, edge: int, like: Tensor) -> Tensor:
    """Return a window (size,): 1, falling to 0 as a cosine over its last px to either side."""
    import torch

    edge = max(1, min(edge, size // 4))
    fall = 0.5 - 0.5 * torch.cos(math.pi * (torch.arange(edge, device=like.device) + 0.5) / edge)
    middle = torch.ones(size - 2 * edge, device=like.device)
    return torch.cat([fall, middle, fall.flip(0)])
