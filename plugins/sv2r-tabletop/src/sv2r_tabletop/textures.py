"""Bitmap textures from a seed: wood, stone, fabric, print, glazes. sRGB, (H, W, 3) in [0, 1].

All repeat without a seam. Noise is a random field with a power-law spectrum, made by one FFT.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from itertools import pairwise
from types import MappingProxyType

import numpy as np

from sv2r_tabletop.fields import SIZE, grid, mixed, noise
from sv2r_tabletop.looks import Look
from sv2r_tabletop.meshes import Floats
from sv2r_tabletop.patterns import BUSY

Painter = Callable[[Look, np.random.Generator], Floats]


def paint(look: Look) -> Floats:
    """Return the texture of a look; v = 0 is its first row."""
    picture: Floats = PAINTERS[look.pattern](look, np.random.default_rng(look.seed))
    return picture.clip(0.01, 0.97)


def paint_around(look: Look, bands: Mapping[str, tuple[float, float]]) -> Floats:
    """Return packaging for a turned shape: print twice around it, the cap in the second tone."""
    rng = np.random.default_rng(look.seed)
    rows = 2 * SIZE
    picture = np.broadcast_to(look.tone, (rows, rows, 3)).copy()
    for name, (first, last) in bands.items():
        top, bottom = round(first * rows), round(last * rows)
        if name == "cap":
            picture[top:bottom] = look.second
        elif bottom > top:
            printed = _print(look, rng, (bottom - top, SIZE))[::-1]
            picture[top:bottom] = np.concatenate([printed, printed], axis=1)
    return picture


def paint_faces(look: Look) -> Floats:
    """Return prints for the six faces of a block, three in a row (see `meshes.block`)."""
    rng = np.random.default_rng(look.seed)
    front, side, end = (_print(look, rng, (SIZE // 2, SIZE // 2)) for _ in range(3))
    rows = np.concatenate([side, side, front], axis=1), np.concatenate([front, end, end], axis=1)
    return np.concatenate([row[::-1] for row in rows])  # v grows upwards


def _plain(look: Look, rng: np.random.Generator) -> Floats:
    return np.asarray(look.tone) * (1 + 0.025 * noise(rng, 1.2)[..., None])


def _grain(look: Look, rng: np.random.Generator, size: int = SIZE) -> Floats:
    """Return wood cut along its fibres (they run in y): rings, fibres and pores."""
    _, x = grid(size)
    bend = 0.035 * noise(rng, 2.2, (6, 1), size)
    waves = 2 * np.pi * rng.integers(3, 8) * (x + bend) + 1.2 * noise(rng, 1.8, (9, 1), size)
    fibres = noise(rng, 0.7, (40, 1), size)
    tone = np.asarray(look.tone)
    dark = tone * [0.55, 0.48, 0.42]
    shade = 0.42 + 0.26 * np.sin(waves) + 0.16 * fibres
    picture = mixed(tone * 1.12, dark, shade)
    return picture * (1 - 0.25 * (noise(rng, 0.35, (25, 1), size) > 1.9))[..., None]


def _planks(look: Look, rng: np.random.Generator) -> Floats:
    """Return boards side by side, each of its own cut and shade."""
    count = int(rng.choice([1, 3, 4, 5]))
    if count == 1:
        return _grain(look, rng, 2 * SIZE)
    size = 2 * SIZE
    picture = _grain(look, rng, size)
    edges = np.linspace(0, size, count + 1).astype(int)
    for left, right in pairwise(edges):
        board = np.roll(picture[:, left:right], int(rng.integers(size)), axis=0)
        picture[:, left:right] = board * rng.uniform(0.82, 1.14)
        picture[:, left : left + 2] *= 0.4
        joint = int(rng.integers(size))
        picture[joint : joint + 2, left:right] *= 0.5
    return picture


def _marble(look: Look, rng: np.random.Generator) -> Floats:
    cloud = noise(rng, 2.0)
    veins = 1 - np.abs(noise(rng, 1.9) + 0.25 * noise(rng, 1.0))
    sharp = (veins.clip(0) ** 6) * (0.4 + 0.6 * (cloud > -0.3))
    base = mixed(np.asarray(look.tone), np.asarray(look.tone) * 0.78, 0.5 + 0.35 * cloud)
    vein = np.asarray(look.tone) * (0.35 if sum(look.tone) > 1.2 else 1.9)
    return mixed(base, vein, 0.75 * sharp)


def _granite(look: Look, rng: np.random.Generator) -> Floats:
    grains = noise(rng, 0.55)
    picture = np.asarray(look.tone) * (1 + 0.16 * noise(rng, 1.3)[..., None])
    picture = mixed(picture, (0.1, 0.1, 0.11), (grains - 0.9) * 3)
    return mixed(picture, (0.85, 0.83, 0.8), (-grains - 1.2) * 3)


def _tiles(look: Look, rng: np.random.Generator) -> Floats:
    """Return tiles with joints, each a little different."""
    rows = int(rng.integers(2, 5))
    y, x = grid()
    shift = 0.5 * (np.floor(y * rows) % 2) * rng.integers(0, 2)
    across = x * rows + shift
    shades = 1 + 0.07 * rng.standard_normal((rows + 1, rows + 1))
    shade = shades[np.floor(y * rows).astype(int), np.floor(across).astype(int) % rows]
    picture = mixed(look.tone, np.asarray(look.tone) * 0.85, 0.5 + 0.3 * noise(rng, 1.6))
    edge = np.minimum(np.abs((y * rows) % 1 - 0.5), np.abs(across % 1 - 0.5))
    wide = np.maximum(np.abs((y * rows) % 1 - 0.5), np.abs(across % 1 - 0.5))
    joint = ((wide - 0.475) * 80).clip(0, 1)
    light = 0.5 + 0.3 * float(np.mean(look.tone))
    return mixed(picture * shade[..., None], (light,) * 3, joint) * (1 - 0.02 * edge[..., None])


def _threads(count: int) -> Floats:
    y, x = grid()
    over = np.sin(2 * np.pi * count * x) * np.sin(2 * np.pi * count * y)
    return 0.5 + 0.5 * over


def _weave(look: Look, rng: np.random.Generator) -> Floats:
    shade = 0.72 + 0.28 * _threads(32) + 0.06 * noise(rng, 0.4) + 0.02 * noise(rng, 1.4)
    return np.asarray(look.tone) * shade[..., None]


def _check(look: Look, rng: np.random.Generator) -> Floats:
    """Return a checked cloth: the second colour in bands both ways."""
    y, x = grid()
    count = int(rng.integers(2, 6))
    width = rng.uniform(0.3, 0.55)
    bands = ((x * count) % 1 < width).astype(float) + ((y * count) % 1 < width)
    base = np.asarray(look.tone) * 0.35 + 0.6
    cloth = mixed(base, look.second, bands * 0.5)
    return cloth * (0.8 + 0.2 * _threads(40) + 0.04 * noise(rng, 0.4))[..., None]


def _carpet(look: Look, rng: np.random.Generator) -> Floats:
    tufts = noise(rng, 0.25)
    return np.asarray(look.tone) * 0.8 * (1 + 0.2 * tufts + 0.12 * noise(rng, 1.5))[..., None]


def _felt(look: Look, rng: np.random.Generator) -> Floats:
    """Return the hairy cloth of a tennis ball, with its line."""
    y, x = grid()
    line = np.abs(y - 0.5 - 0.22 * np.sin(4 * np.pi * x)) < 0.018
    cloth = np.asarray(look.tone) * (1 + 0.13 * noise(rng, 0.3))[..., None]
    return mixed(cloth, (0.9, 0.9, 0.86), line.astype(float))


def _peel(look: Look, rng: np.random.Generator) -> Floats:
    """Return a fruit's skin: pores, blushes and the place of its stalk."""
    y, _ = grid()
    blush = 0.5 + 0.4 * noise(rng, 2.2)
    skin = mixed(np.asarray(look.tone), np.asarray(look.tone) * [0.9, 0.6, 0.5], blush * 0.7)
    skin = skin * (1 - 0.12 * (noise(rng, 0.3) > 1.4))[..., None]
    return mixed(skin, (0.25, 0.18, 0.08), (y - 0.955) * 40)


def _stripes(look: Look, rng: np.random.Generator) -> Floats:
    y, x = grid()
    count = int(rng.integers(2, 6))
    along = x if rng.uniform() < 0.6 else y
    weight = (np.sin(2 * np.pi * count * along) * 12).clip(-1, 1) * 0.5 + 0.5
    return mixed(look.tone, look.second, weight) * (1 + 0.02 * noise(rng, 1)[..., None])


def _bands(look: Look, rng: np.random.Generator) -> Floats:
    """Return a glaze with painted rings."""
    picture = _plain(look, rng)
    y, _ = grid()
    for _ in range(int(rng.integers(1, 5))):
        at, width = rng.uniform(0.05, 0.5), rng.uniform(0.006, 0.045)
        edge = np.abs(y - at - 0.002 * noise(rng, 1.5, (1, 3))) - width
        picture = mixed(picture, look.second, 0.5 - edge * 150)
    return picture


def _speckle(look: Look, rng: np.random.Generator) -> Floats:
    """Return a reactive glaze: specks, and a second colour that runs from the rim."""
    y, _ = grid()
    runs = (0.1 + 0.04 * noise(rng, 1.4, (4, 1)) - np.abs(y - 0.48)) * 14
    picture = mixed(_plain(look, rng), look.second, 0.85 * runs * (rng.uniform() < 0.5))
    return mixed(picture, np.asarray(look.tone) * 0.25, (noise(rng, 0.6) - 1.7) * 3)


def _brushed(look: Look, rng: np.random.Generator) -> Floats:
    return np.asarray(look.tone) * (1 + 0.06 * noise(rng, 0.5, (1, 30)))[..., None]


def _card(look: Look, rng: np.random.Generator) -> Floats:
    flutes = 0.03 * np.sin(2 * np.pi * 40 * grid()[0])
    return np.asarray(look.tone) * (1 + 0.07 * noise(rng, 0.7, (1, 4)) + flutes)[..., None]


def _print(look: Look, rng: np.random.Generator, shape: tuple[int, int]) -> Floats:
    """Return packaging: blocks of colour, a round mark, headlines and lines of small print."""
    rows, columns = shape
    y, x = np.mgrid[0:rows, 0:columns]
    y, x = y / rows, x / columns
    picture = np.broadcast_to(look.tone, (rows, columns, 3)).copy()
    third = rng.uniform(0, 1, 3)
    top = rng.uniform(0.15, 0.6)
    slope = rng.uniform(-0.15, 0.15)
    picture[(y + slope * np.sin(2 * np.pi * x) > top) & (y < top + rng.uniform(0.15, 0.4))] = (
        look.second
    )
    where, radius = rng.uniform(0.25, 0.75, 2), rng.uniform(0.08, 0.2)
    away = (
        np.hypot((y - where[0]) * rows / columns, x - where[1])
        if rows < columns
        else np.hypot(y - where[0], (x - where[1]) * columns / rows)
    )
    picture[away < radius] = third
    picture[away < radius * rng.uniform(0.3, 0.8)] = np.asarray(look.second) * 0.5 + 0.45
    ink = (0.06, 0.06, 0.08) if rng.uniform() < 0.55 else (0.95, 0.95, 0.92)
    for _ in range(int(rng.integers(2, 5))):
        _words(picture, rng, ink, height=rng.uniform(0.05, 0.14))
    for _ in range(int(rng.integers(3, 8))):
        _words(picture, rng, ink, height=rng.uniform(0.015, 0.03))
    return picture.clip(0.02, 0.95)


def _words(picture: Floats, rng: np.random.Generator, ink: object, height: float) -> None:
    """Paint a line of letter-like strokes into a picture."""
    rows, columns = picture.shape[:2]
    tall = max(2, int(height * rows))
    top = int(rng.uniform(0.05, 0.92 - height) * rows)
    left = int(rng.uniform(0.05, 0.4) * columns)
    right = int(left + rng.uniform(0.25, 0.55) * columns)
    pitch = max(2, int(0.7 * tall))
    for start in range(left, min(right, columns - pitch), pitch):
        letter = rng.uniform(size=(3, 2)) < 0.68
        if rng.uniform() < 0.15:  # between words
            continue
        cells = np.kron(letter, np.ones((-(-tall // 3), -(-pitch // 2))))[
            :tall, : max(1, pitch - 1)
        ]
        region = picture[top : top + tall, start : start + cells.shape[1]]
        region[cells[: region.shape[0]] > 0] = ink


PAINTERS: Mapping[str, Painter] = MappingProxyType(
    {
        "plain": _plain,
        "grain": _grain,
        "planks": _planks,
        "marble": _marble,
        "granite": _granite,
        "tiles": _tiles,
        "weave": _weave,
        "check": _check,
        "carpet": _carpet,
        "felt": _felt,
        "peel": _peel,
        "stripes": _stripes,
        "bands": _bands,
        "speckle": _speckle,
        "brushed": _brushed,
        "card": _card,
        **BUSY,
    }
)
