"""Benign changes that photographs bring: strong textures, prints, highlights, shadows, haze.

Every boundary stays where it was. `benign` has the milder ones of an image filter.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING

import numpy as np

from benchmarks.lib.benign import Benign, region_of
from benchmarks.lib.pixels import grid, grown, resized, smooth
from benchmarks.lib.scenes import Picture, fractal, outline, pattern, to_uint8

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Pixels = NDArray[np.uint8]
    Floats = NDArray[np.floating]
    Mask = NDArray[np.bool_]


def textured(rng: np.random.Generator, picture: Picture, other: Pixels) -> Pixels:
    """Return the picture with a strong texture inside every instance, of 15 to 60 levels."""
    out = picture.image.astype(np.float32)
    for region in _some(rng, picture):
        inside, box = region_of(picture, region)
        weave = rng.uniform(15, 60) * pattern(rng, *inside.shape)[inside]
        out[box][inside] += weave[:, None] * rng.uniform(0.5, 1.3, 3)
    return to_uint8(_blended(picture, out))


def printed(rng: np.random.Generator, picture: Picture, other: Pixels) -> Pixels:
    """Return the picture with a print inside instances: bands, spots, pieces of another picture."""
    out = picture.image.astype(np.float32)
    guest = resized(other, picture.labels.shape)
    for region in _some(rng, picture):
        inside, box = region_of(picture, region)
        out[box][inside] = _print(rng, out[box], inside, guest[box])[inside]
    return to_uint8(_blended(picture, out))


def _print(rng: np.random.Generator, seen: Floats, inside: Mask, guest: Pixels) -> Floats:
    """Return a box of a picture with a print over it that leaves some of its rim as it was."""
    height, width = inside.shape
    kind, share = rng.integers(4), rng.uniform(0.4, 1.0)
    shade = seen.mean(2, keepdims=True) / max(1.0, float(seen[inside].mean()))
    if kind == 0:
        return seen + share * (guest * shade - seen)
    y, x = grid((height, width))
    angle = rng.choice([0, np.pi / 2, rng.uniform(0, np.pi)])
    along = (y * np.sin(angle) + x * np.cos(angle)) / max(height, width)
    if kind == 1:
        low = rng.uniform(along.min(), along.max())
        mask = (along > low) & (along < low + rng.uniform(0.1, 0.5))
    elif kind == 2:
        mask = (along * rng.uniform(2, 8)) % 1 < 0.5
    else:
        centre = np.argwhere(inside)[rng.integers(inside.sum())].astype(float)
        size = rng.uniform(0.15, 0.5) * min(height, width)
        mask = outline(rng, height, width, centre, max(2.0, float(size)))
    colour = rng.uniform(10, 245, 3) * shade
    return np.where(mask[..., None], seen + share * (colour - seen), seen)


def highlights(rng: np.random.Generator, picture: Picture, other: Pixels) -> Pixels:
    """Return the picture with bright spots and streaks on its instances, soft to sharp."""
    out = picture.image.astype(np.float32)
    for region in _some(rng, picture):
        inside, box = region_of(picture, region)
        light = np.zeros(inside.shape, np.float32)
        y, x = grid(inside.shape)
        for _ in range(int(rng.integers(1, 4))):
            at = np.argwhere(inside)[rng.integers(inside.sum())]
            size = np.sqrt(inside.sum()) * rng.uniform(0.04, 0.25, 2) + 0.7
            turn = rng.uniform(0, np.pi)
            v = (y - at[0]) * np.cos(turn) + (x - at[1]) * np.sin(turn)
            u = (x - at[1]) * np.cos(turn) - (y - at[0]) * np.sin(turn)
            away = (v / size[0]) ** 2 + (u / size[1]) ** 2
            light += np.exp(-0.5 * away ** rng.uniform(0.8, 4))
        strength = (rng.uniform(0.3, 1.0) * light.clip(0, 1) * inside)[..., None]
        out[box] += strength * (rng.uniform(225, 255) - out[box])
    return to_uint8(_blended(picture, out))


def shadowed(rng: np.random.Generator, picture: Picture, other: Pixels) -> Pixels:
    """Return the picture with cast shadows, or patches of sun, hard to soft, over everything."""
    height, width = picture.labels.shape
    light = np.ones((height, width, 1), np.float32)
    for _ in range(int(rng.integers(1, 4))):
        centre = rng.uniform(0, 1, 2) * (height, width)
        size = rng.uniform(0.1, 0.5) * min(height, width)
        shape = outline(rng, height, width, centre, float(size)).astype(np.float32)[..., None]
        depth = rng.uniform(0.3, 0.75)
        light *= 1 - depth * smooth(shape, float(rng.uniform(0.5, 8)))
    return to_uint8(picture.image * light * (rng.uniform(1, 1.3) / light.mean()))


def ground(rng: np.random.Generator, picture: Picture, other: Pixels) -> Pixels:
    """Return the picture with another texture on what no label covers, of 10 to 50 levels."""
    height, width = picture.labels.shape
    back = picture.labels == 0
    out = picture.image.astype(np.float32)
    weave = rng.uniform(10, 50) * np.asarray(pattern(rng, height, width))
    out[back] += (weave[..., None] * rng.uniform(0.5, 1.3, 3))[back]
    return to_uint8(_blended(picture, out))


def haze(rng: np.random.Generator, picture: Picture, other: Pixels) -> Pixels:
    """Return the picture behind 35 to 85 % of a grey veil, uneven, a little noisy."""
    height, width = picture.labels.shape
    field = fractal(rng, height, width, coarse=max(32, 2 ** int(np.log2(height / 2))), fine=32)
    share = (rng.uniform(0.35, 0.85) + 0.08 * field).clip(0.2, 0.9)[..., None]
    veil = rng.uniform(90, 240) + rng.normal(0, 5, 3)
    return to_uint8(
        picture.image * (1 - share) + veil * share + rng.normal(0, rng.uniform(0, 3), share.shape)
    )


def softness(rng: np.random.Generator, picture: Picture, other: Pixels) -> Pixels:
    """Return the picture as a weak lens has it: blurred, flare over it, noise after it."""
    soft = smooth(picture.image, float(rng.uniform(0.8, 2.2)))
    flare = smooth(picture.image, 12.0)
    out = soft + rng.uniform(0, 0.4) * (flare - soft)
    return to_uint8(out + rng.normal(0, rng.uniform(0.5, 5), out.shape))


def low_contrast(rng: np.random.Generator, picture: Picture, other: Pixels) -> Pixels:
    """Return the picture at 15 to 50 % of its contrast, about some grey, with fine noise."""
    share = rng.uniform(0.15, 0.5)
    mean = picture.image.mean((0, 1))
    out = mean + share * (picture.image - mean) + rng.uniform(-50, 50) * share
    return to_uint8(out + rng.normal(0, rng.uniform(0, 2), out.shape))


def dim(rng: np.random.Generator, picture: Picture, other: Pixels) -> Pixels:
    """Return the picture at an eighth to a half of its light, with the noise that this brings."""
    light = picture.image * rng.uniform(0.125, 0.5)
    return to_uint8(light + rng.normal(0, 1, light.shape) * np.sqrt(0.05 * light + 1))


LOOKS: Mapping[str, Benign] = MappingProxyType(
    {
        "strong texture inside": textured,
        "prints inside": printed,
        "highlights": highlights,
        "shadow added": shadowed,
        "background texture": ground,
        "haze": haze,
        "photograph-like softness": softness,
        "low contrast": low_contrast,
        "dim light": dim,
    }
)


def _some(rng: np.random.Generator, picture: Picture) -> list[int]:
    """Return ids of most instances, drawn."""
    ids = [i for i in np.unique(picture.labels).tolist() if i]
    return [i for i in ids if rng.random() < 0.8]


def _blended(picture: Picture, out: Floats) -> Floats:
    """Return levels with the labels' borders as smooth as a renderer's."""
    rim = np.zeros(picture.labels.shape, bool)
    rim[1:] |= picture.labels[1:] != picture.labels[:-1]
    rim[:, 1:] |= picture.labels[:, 1:] != picture.labels[:, :-1]
    near = smooth(grown(rim, 1)[..., None].astype(np.float32), 0.6)
    blended: Floats = out + near * (smooth(out, 0.7) - out)
    return blended
