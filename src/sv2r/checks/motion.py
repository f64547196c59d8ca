"""How a picture lies on its source: one translation, zoom and turn, and what is left on tiles.

Edges are correlated, not colours: fields of doubled edge angles (`edges.orientation`), the whole
picture first and coarsely, then tile by tile and finely, all through the Fourier transform. It is
phase correlation (Kuglin & Hines 1975) on gradients (Argyriou & Vlachos 2003), without whitening.
A parabola through the top of a correlation gives fractions of a pixel, its bend says in which
direction a tile can tell anything at all (a straight edge tells nothing along itself); tiles that
disagree lose their say in the fit (iteratively reweighted least squares, Geman-McClure weights).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from sv2r.checks.edges import orientation, pooled

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import Tensor

    Floats = NDArray[np.floating]

WORKING_SIDE = 768  # px: larger pictures are measured on averages of 2 x 2, 3 x 3 ... pixels
FARTHEST = 0.25  # of a side: what the coarse pass looks for
TILE = 64  # px at the working size
PASSES = ((2, 32, 10, 3.0), (1, TILE, 4, 1.0))  # pooling, tile, search (px), tolerance (px)
REFINED = (1, TILE, 3, 0.5)
CLOSE = 4  # px: a search that is no wider keeps to the tile itself
SHARPNESS = 0.7  # px: a tile's correlation is smoothed by this before its top is looked for
FAINT = 0.02  # mean squared edge length of a tile that has nothing to show
FEW = 3.0  # tiles, by their say: fewer tell a displacement alone, no zoom and no turn
SURE = 0.5  # a tile's correlation coefficient from which its displacement is believed


@dataclass(frozen=True)
class Motion:
    """How a picture lies on its source. Displacements are in px, down and to the right.

    dx, dy: at the picture's centre. zoom: 1.02 where it is 2 % larger. turn: degrees, clockwise.
    shift: the largest displacement that these four give anywhere in the picture.
    agreement: correlation of the edges once they lie on each other, about 0 where the picture
        shows something else, 1 where it is the source.
    tiles: (rows, columns, 2) displacement (dx, dy) of each tile, NaN where it has no structure or
        none that is found again.
    local: the largest displacement of a tile against the whole, counted along what it can tell.
    """

    dx: float
    dy: float
    zoom: float
    turn: float
    shift: float
    agreement: float
    tiles: NDArray[np.float32]
    local: float


def motion(source: Tensor, picture: Tensor) -> Motion | None:
    """Return how a picture lies on its source, or None where the source has no edges to go by.

    source, picture: (3, H, W) float32 levels under a Gaussian of 1 px (`edges.smoothed`).
    """
    factor = -(-max(source.shape[-2:]) // WORKING_SIDE)
    before, after = (orientation(pooled(image, factor)) for image in (source, picture))
    if min(before.shape[-2:]) < 16 or float((before**2).sum(0).mean()) < 1e-4:
        return None
    guess = np.append(_coarse(before, after), [0.0, 0.0])
    size = source.shape[-2], source.shape[-1]
    for pooling, tile, search, tolerance in PASSES:
        found = _tiles(before, after, guess, pooling, tile, search)
        guess = _fit(found, _scaled(guess, 1 / pooling), tolerance / pooling)
        guess = _scaled(guess, pooling)
    if _reach(guess, size) / factor > 1:
        found = _tiles(before, after, guess, *REFINED[:3])
        guess = _fit(found, guess, REFINED[3])
    return _described(guess, found, factor, size)


@dataclass(frozen=True)
class _Tiles:
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


def _coarse(before: Tensor, after: Tensor) -> Floats:
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


def _tiles(
    before: Tensor, after: Tensor, guess: Floats, pooling: int, size: int, search: int
) -> _Tiles:
    """Return where each tile of the source lies in the picture, within `search` of the guess."""
    import torch

    before, after = pooled(before, pooling), pooled(after, pooling)
    height, width = before.shape[-2:]
    size = min(size, max(8, min(height, width) // 2))
    rows, columns = height // size, width // size
    top = (height - rows * size) // 2 + np.repeat(np.arange(rows), columns) * size
    left = (width - columns * size) // 2 + np.tile(np.arange(columns), rows) * size
    design = _design(top + (size - 1) / 2, left + (size - 1) / 2, height, width)
    ahead = np.rint(design @ _scaled(guess, 1 / pooling)).astype(np.int64)
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
    return _Tiles(design, ahead + offset, stiffness, coefficient, strength, (rows, columns))


def _cut(field: Tensor, top: NDArray[np.int64], left: NDArray[np.int64], size: int) -> Tensor:
    """Return (n, 2, size, size) squares of a (2, H, W) field, zero outside of it."""
    import torch
    from torch.nn.functional import pad

    height, width = field.shape[-2:]
    wide = pad(field, [1, 1, 1, 1])
    steps = torch.arange(size, device=field.device)
    rows = torch.as_tensor(top, device=field.device)[:, None] + steps + 1
    columns = torch.as_tensor(left, device=field.device)[:, None] + steps + 1
    rows, columns = rows.clamp(0, height + 1), columns.clamp(0, width + 1)
    return wide[:, rows[:, :, None], columns[:, None, :]].transpose(0, 1)


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


def _design(y: Floats, x: Floats, height: int, width: int) -> Floats:
    """Return (n, 2, 4): what a unit of (dy, dx, zoom, turn) does to points, down and across."""
    y, x = y - (height - 1) / 2, x - (width - 1) / 2
    one, none = np.ones_like(y), np.zeros_like(y)
    return np.stack([np.stack([one, none, y, x], -1), np.stack([none, one, x, -y], -1)], -2)


def _fit(tiles: _Tiles, start: Floats, tolerance: float) -> Floats:
    """Return (dy, dx, zoom, turn) that most tiles agree with to the tolerance (px)."""
    design, stiffness = tiles.design, tiles.stiffness
    trust = np.maximum(tiles.coefficient, 0) ** 2
    reach = np.abs(design[:, 0, 2:]).max() + 1
    motion_ = start
    say = trust * np.trace(stiffness, axis1=1, axis2=2)
    counting = say.sum() ** 2 / max(float((say**2).sum()), 1e-12)
    rigid = 1e-4 if counting >= FEW else 1e4
    for _ in range(8):
        weight = trust / (1 + _misfit(tiles, motion_) / tolerance**2) ** 2
        weighted = stiffness * weight[:, None, None]
        normal = np.einsum("nik,nij,njl->kl", design, weighted, design)
        wanted = np.einsum("nik,nij,nj->k", design, weighted, tiles.found)
        stiff = (normal[0, 0] + normal[1, 1]) / 2
        # A picture with edges in one corner only says nothing of its zoom: hold that near zero.
        hold = np.diag([1e-9, 1e-9, rigid * reach**2 / 16, rigid * reach**2 / 16])
        motion_ = np.linalg.solve(normal + stiff * hold + 1e-12 * np.eye(4), wanted)
    return motion_


def _misfit(tiles: _Tiles, motion_: Floats) -> Floats:
    """Return (n,) squared px by which tiles disagree, along the directions that they can tell."""
    off = tiles.found - tiles.design @ motion_
    along = np.einsum("ni,nij,nj->n", off, tiles.stiffness, off)
    misfit: Floats = along / np.maximum(np.trace(tiles.stiffness, axis1=1, axis2=2), 1e-9)
    return misfit


def _described(motion_: Floats, tiles: _Tiles, factor: int, size: tuple[int, int]) -> Motion:
    sure = (tiles.coefficient > SURE) & (tiles.strength > FAINT)
    shown = np.where(sure[:, None], tiles.found, np.nan)[:, ::-1] * factor
    trusted = tiles.strength * (tiles.strength > FAINT)
    agreement = (tiles.coefficient * trusted).sum() / max(trusted.sum(), 1e-9)
    local = np.sqrt(_misfit(tiles, motion_))[sure].max(initial=0.0) * factor
    moved = _scaled(motion_, factor)
    return Motion(
        dx=float(moved[1]),
        dy=float(moved[0]),
        zoom=float(1 + moved[2]),
        turn=float(-math.degrees(moved[3])),
        shift=_reach(moved, size),
        agreement=float(agreement),
        tiles=shown.reshape(*tiles.grid, 2).astype(np.float32),
        local=float(local),
    )


def _reach(motion_: Floats, size: tuple[int, int]) -> float:
    """Return the largest displacement in a picture: it is found in a corner."""
    height, width = size
    y, x = np.array([0, 0, height - 1, height - 1.0]), np.array([0, width - 1, 0, width - 1.0])
    moved = _design(y, x, height, width) @ motion_
    return float(np.sqrt((moved**2).sum(-1)).max())


def _scaled(motion_: Floats, factor: float) -> Floats:
    scaled: Floats = motion_ * np.array([factor, factor, 1, 1])
    return scaled


def _taper(size: int, edge: int, like: Tensor) -> Tensor:
    """Return a window (size,): 1, falling to 0 as a cosine over its last px to either side."""
    import torch

    edge = max(1, min(edge, size // 4))
    fall = 0.5 - 0.5 * torch.cos(math.pi * (torch.arange(edge, device=like.device) + 0.5) / edge)
    middle = torch.ones(size - 2 * edge, device=like.device)
    return torch.cat([fall, middle, fall.flip(0)])
