"""Benign changes of labelled pictures: another look, every boundary where it was."""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from benchmarks.lib.pixels import resized, smooth
from benchmarks.lib.scenes import Picture, fractal, pattern, to_uint8

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Pixels = NDArray[np.uint8]

Benign = Callable[[np.random.Generator, Picture, "Pixels"], "Pixels"]


def gamma(rng: np.random.Generator, picture: Picture, other: Pixels) -> Pixels:
    """Return the picture through a gamma curve of 0.5 to 2, another gain and lift."""
    curve = (picture.image / 255.0) ** np.exp(rng.uniform(np.log(0.5), np.log(2)))
    return to_uint8(255 * (rng.uniform(0, 0.12) + rng.uniform(0.75, 1.0) * curve))


def hue(rng: np.random.Generator, picture: Picture, other: Pixels) -> Pixels:
    """Return the picture with its colours turned about grey and their saturation changed."""
    angle, saturation = rng.uniform(0.3, 2 * np.pi - 0.3), rng.uniform(0.4, 1.4)
    axis = np.ones(3) / np.sqrt(3)
    cross = np.array([[0, -1, 1], [1, 0, -1], [-1, 1, 0]]) / np.sqrt(3)
    grey = np.outer(axis, axis)
    turn = grey + saturation * (np.cos(angle) * (np.eye(3) - grey) + np.sin(angle) * cross)
    return to_uint8(picture.image @ turn.T)


def texture(rng: np.random.Generator, picture: Picture, other: Pixels) -> Pixels:
    """Return the picture with a texture of its own on every region that the labels draw."""
    height, width = picture.labels.shape
    grain = np.zeros((height, width), np.float32)
    for region in np.unique(picture.labels):
        inside, box = region_of(picture, int(region))
        weave = pattern(rng, *inside.shape)
        grain[box][inside] = rng.uniform(5, 22) * weave[inside]
    return to_uint8(picture.image + grain[..., None] * rng.uniform(0.7, 1.3, 3))


def noise(rng: np.random.Generator, picture: Picture, other: Pixels) -> Pixels:
    """Return the picture under sensor noise of deviation 4 to 16."""
    return to_uint8(picture.image + rng.normal(0, rng.uniform(4, 16), picture.image.shape))


def blur(rng: np.random.Generator, picture: Picture, other: Pixels) -> Pixels:
    """Return the picture out of focus, sigma 0.7 to 2 px."""
    return to_uint8(smooth(picture.image, float(rng.uniform(0.7, 2.0))))


def relighting(rng: np.random.Generator, picture: Picture, other: Pixels) -> Pixels:
    """Return the picture in soft, coloured light from elsewhere."""
    height, width = picture.labels.shape
    coarse = max(64, 2 ** int(np.log2(min(height, width) / 2)))
    field = fractal(rng, height, width, coarse=coarse, fine=coarse // 2)
    light = np.exp(rng.uniform(0.2, 0.45) * field)[..., None] * rng.uniform(0.8, 1.2, 3)
    return in_range(picture.image * light)


def style(rng: np.random.Generator, picture: Picture, other: Pixels) -> Pixels:
    """Return the picture with another's low-frequency amplitudes (FDA, Yang & Soatto 2020)."""
    guest = resized(other, picture.labels.shape).astype(np.float64)
    ours = np.fft.fft2(picture.image.astype(np.float64), axes=(0, 1))
    theirs = np.fft.fft2(guest, axes=(0, 1))
    beta = rng.uniform(0.004, 0.02)
    rows = np.abs(np.fft.fftfreq(ours.shape[0])) < beta
    columns = np.abs(np.fft.fftfreq(ours.shape[1])) < beta
    low = (rows[:, None] & columns)[..., None]
    amplitude = np.where(low, np.abs(theirs), np.abs(ours))
    swapped = np.fft.ifft2(amplitude * np.exp(1j * np.angle(ours)), axes=(0, 1))
    return in_range(swapped.real)


def repaint(rng: np.random.Generator, picture: Picture, other: Pixels) -> Pixels:
    """Return the picture with every labelled region in another colour, tone and texture.

    What a strong translation does: the look is new, polarity may flip, boundaries stay. A region
    keeps its distance from the colours of those that it touches, or its boundary would be gone.
    """
    out = picture.image.astype(np.float64)
    touching = contacts(picture.labels)
    painted: dict[int, NDArray[np.float64]] = {}
    for region in np.unique(picture.labels).tolist():
        inside, box = region_of(picture, region)
        pixels = out[box][inside]
        mean = pixels.mean(0)
        beside = [painted[other] for other in touching[region] if other in painted]
        target = painted[region] = apart(rng, mean, 50 if region == 0 else 80, beside)
        grain = rng.uniform(0, 14) * pattern(rng, *inside.shape)[inside]
        out[box][inside] = target + rng.uniform(0.6, 1.2) * (pixels - mean) + grain[:, None]
    return to_uint8(smooth(out, 0.6))


def contacts(labels: NDArray[np.integer]) -> Mapping[int, set[int]]:
    """Return the regions that touch each region, the background among them."""
    found: dict[int, set[int]] = {int(region): set() for region in np.unique(labels)}
    for one, two in ((labels[1:], labels[:-1]), (labels[:, 1:], labels[:, :-1])):
        border = one != two
        pairs = np.unique(np.stack([one[border], two[border]]), axis=1)
        for first, second in pairs.T.tolist():
            found[first].add(second)
            found[second].add(first)
    return found


def apart(
    rng: np.random.Generator,
    mean: NDArray[np.floating],
    reach: float,
    nearby: Sequence[NDArray[np.float64]],
) -> NDArray[np.float64]:
    """Return a colour near the mean, 40 levels from others in a channel, or as far as it gets."""
    drawn = np.clip(mean + rng.uniform(-1, 1, (32, 3)) * reach, 20, 235)
    distance = np.full(len(drawn), np.inf)
    for other in nearby:
        distance = np.minimum(distance, np.abs(drawn - other).max(1))
    best: NDArray[np.float64] = drawn[int(np.minimum(distance, 40).argmax())]
    return best


BENIGN: Mapping[str, Benign] = MappingProxyType(
    {
        "gamma": gamma,
        "hue": hue,
        "texture": texture,
        "noise": noise,
        "blur": blur,
        "relighting": relighting,
        "style": style,
        "repaint": repaint,
    }
)


# What nothing was tuned on.


def jpeg(rng: np.random.Generator, picture: Picture, other: Pixels) -> Pixels:
    """Return the picture through JPEG at a quality of 20 to 60."""
    buffer = io.BytesIO()
    Image.fromarray(picture.image).save(buffer, "JPEG", quality=int(rng.integers(20, 61)))
    return np.asarray(Image.open(buffer).convert("RGB"))


def fog(rng: np.random.Generator, picture: Picture, other: Pixels) -> Pixels:
    """Return the picture behind 30 to 60 % of an even grey, thicker towards the top."""
    height = picture.labels.shape[0]
    share = rng.uniform(0.3, 0.6) * np.linspace(1, 0.6, height)[:, None, None]
    return to_uint8(picture.image * (1 - share) + rng.uniform(150, 230) * share)


def negative(rng: np.random.Generator, picture: Picture, other: Pixels) -> Pixels:
    """Return the picture with dark and bright exchanged."""
    return 255 - picture.image


def faded(rng: np.random.Generator, picture: Picture, other: Pixels) -> Pixels:
    """Return the picture with 30 to 60 % of its colour."""
    luma = (picture.image @ np.array([0.299, 0.587, 0.114]))[..., None]
    return to_uint8(luma + rng.uniform(0.3, 0.6) * (picture.image - luma))


def sharpened(rng: np.random.Generator, picture: Picture, other: Pixels) -> Pixels:
    """Return the picture under an unsharp mask of 1 to 2.5."""
    detail = picture.image - smooth(picture.image, 1.5)
    return to_uint8(picture.image + rng.uniform(1, 2.5) * detail)


def few_levels(rng: np.random.Generator, picture: Picture, other: Pixels) -> Pixels:
    """Return the picture in 6 to 10 levels a channel."""
    steps = int(rng.integers(6, 11)) - 1
    return to_uint8(np.rint(picture.image / 255 * steps) * (255 / steps))


UNSEEN_BENIGN: Mapping[str, Benign] = MappingProxyType(
    {
        "jpeg": jpeg,
        "fog": fog,
        "negative": negative,
        "faded": faded,
        "sharpened": sharpened,
        "few levels": few_levels,
    }
)


def region_of(picture: Picture, region: int) -> tuple[NDArray[np.bool_], tuple[slice, slice]]:
    """Return a region's mask in its box, and the box."""
    mask = picture.labels == region
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    box = slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1)
    return mask[box], box


def in_range(levels: NDArray[np.floating]) -> Pixels:
    """Return levels pressed into 0 ... 255 where more than 1 % of them would be clipped.

    A highlight or shadow that swallows a boundary is no benign change.
    """
    low, high = min(0.0, np.percentile(levels, 0.5)), max(255.0, np.percentile(levels, 99.5))
    return to_uint8((levels - low) * (255 / (high - low)))
