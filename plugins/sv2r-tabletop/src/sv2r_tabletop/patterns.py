"""Busy textures, on and behind cluttered things: collages, camouflage, house fronts, leaves."""

from __future__ import annotations

import colorsys
from collections.abc import Callable, Mapping
from types import MappingProxyType

import numpy as np

from sv2r_tabletop.fields import grid, mixed, noise
from sv2r_tabletop.looks import Look
from sv2r_tabletop.meshes import Floats


def _collage(look: Look, rng: np.random.Generator) -> Floats:
    """Return rectangles and discs of all tones over each other, each plain or striped."""
    y, x = grid()
    picture = np.broadcast_to(look.tone, (*x.shape, 3)).copy()
    for _ in range(int(rng.integers(10, 40))):
        dy, dx = (
            (at - where + 0.5) % 1 - 0.5
            for at, where in zip((y, x), rng.uniform(size=2), strict=True)
        )
        wide, tall = np.exp(rng.uniform(np.log(0.02), np.log(0.25), 2))
        disc = rng.uniform() < 0.4
        inside = np.hypot(dy, dx) < wide if disc else (np.abs(dx) < wide) & (np.abs(dy) < tall)
        tone = np.array(colorsys.hsv_to_rgb(*rng.uniform((0, 0, 0.1), (1, 0.9, 0.95))))
        shade = np.ones_like(x)
        if rng.uniform() < 0.35:
            shade = 0.75 + 0.25 * np.sign(np.sin(2 * np.pi * int(rng.integers(8, 40)) * (x + y)))
        picture[inside] = tone * shade[inside][:, None]
    return picture * (1 + 0.03 * noise(rng, 0.8)[..., None])


def _camouflage(look: Look, rng: np.random.Generator) -> Floats:
    """Return blots of four tones near the look's."""
    picture = np.broadcast_to(look.tone, (256, 256, 3))
    for part in (0.5, 1.5, 0.8):
        tone = np.asarray(look.tone) * part * 0.7 + np.asarray(look.second) * 0.3
        picture = mixed(picture, tone.clip(0, 1), (noise(rng, 1.7) - 0.4) * 12)
    return picture


def _windows(look: Look, rng: np.random.Generator) -> Floats:
    """Return a house front: rows of windows, some lit, with sills and a plaster between."""
    y, x = grid()
    rows, columns = int(rng.integers(4, 8)), int(rng.integers(4, 8))
    cell_y, cell_x = (y * rows) % 1, (x * columns) % 1
    number = np.floor(y * rows).astype(int) * columns + np.floor(x * columns).astype(int)
    wide, tall = rng.uniform(0.22, 0.36), rng.uniform(0.26, 0.38)
    pane = (np.abs(cell_x - 0.5) < wide) & (np.abs(cell_y - 0.5) < tall)
    frame = (np.abs(cell_x - 0.5) < wide + 0.05) & (np.abs(cell_y - 0.5) < tall + 0.05) & ~pane
    bars = pane & (np.abs(cell_x - 0.5) < 0.02)
    glass = np.array([0.16, 0.2, 0.26]) * rng.uniform(0.5, 1.8, rows * columns)[number][..., None]
    wall = np.asarray(look.tone) * (1 + 0.05 * noise(rng, 1.0)[..., None])
    picture = mixed(wall, look.second, (frame | bars).astype(float))
    return np.where((pane & ~bars)[..., None], glass, picture)


def _leaves(look: Look, rng: np.random.Generator) -> Floats:
    """Return foliage: bright and dark specks."""
    specks = noise(rng, 0.7)
    picture = mixed(np.asarray(look.tone) * 0.45, np.asarray(look.tone) * 1.3, 0.5 + 0.45 * specks)
    return picture * (1 + 0.15 * noise(rng, 1.6)[..., None])


def _asphalt(look: Look, rng: np.random.Generator) -> Floats:
    """Return a road: grit, patches, and a dashed line."""
    y, x = grid()
    road = np.asarray(look.tone) * (1 + 0.1 * noise(rng, 0.3) + 0.08 * noise(rng, 1.7))[..., None]
    line = (np.abs(x - 0.5) < 0.012) & (y < 0.55)
    return mixed(road, (0.85, 0.85, 0.8), line.astype(float))


BUSY: Mapping[str, Callable[[Look, np.random.Generator], Floats]] = MappingProxyType(
    {
        "collage": _collage,
        "camouflage": _camouflage,
        "windows": _windows,
        "leaves": _leaves,
        "asphalt": _asphalt,
    }
)
