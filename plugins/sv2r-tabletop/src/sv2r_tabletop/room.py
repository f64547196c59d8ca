"""The light from all sides, as a picture around the scene: windows, lamps, walls, or a sky."""

from __future__ import annotations

import numpy as np

from sv2r_tabletop.colour import lamp
from sv2r_tabletop.fields import noise
from sv2r_tabletop.meshes import Floats

HEIGHT, WIDTH = 64, 128


def paint_room(seed: int) -> Floats:
    """Return linear light from all directions, (64, 128, 3), the zenith in the first row.

    Its mean, weighted by solid angle, has luminance 1.
    """
    rng = np.random.default_rng(seed)
    above = (0.5 - (np.arange(HEIGHT) + 0.5) / HEIGHT)[:, None] * np.pi
    around = (np.arange(WIDTH) + 0.5)[None] / WIDTH * 2 * np.pi
    base = np.interp(above, [-1.5, -0.3, 0.3, 1.5], [0.25, 0.4, 0.8, 1.3])
    clutter = np.exp(0.45 * noise(rng, 1.2, size=WIDTH)[:HEIGHT])
    picture = (base * clutter)[..., None] * lamp(float(rng.uniform(3200, 6500)))
    for _ in range(int(rng.integers(1, 4))):
        picture = picture + _window(above, around, rng)
    for _ in range(int(rng.integers(0, 4))):
        picture = picture + _bulb(above, around, rng)
    return _even(picture, above)


def paint_sky(seed: int) -> Floats:
    """Return linear light of a sky with clouds over a dim ground, as `paint_room` returns it."""
    rng = np.random.default_rng(seed)
    above = (0.5 - (np.arange(HEIGHT) + 0.5) / HEIGHT)[:, None] * np.pi
    zenith, horizon = lamp(float(rng.uniform(8000, 14000))), lamp(float(rng.uniform(5000, 7500)))
    part = np.sin(above.clip(0))[..., None] ** 0.5
    clear = (1.3 * (1 - part) * horizon + 0.7 * part * zenith) * np.ones((1, WIDTH, 1))
    cover = (1.2 * noise(rng, 1.8, (2, 1), WIDTH)[:HEIGHT] + rng.normal(0, 0.8)).clip(0, 1)
    cloud = 1.5 * lamp(6200.0)
    sky = clear + (cloud - clear) * cover[..., None]
    ground = 0.25 * lamp(5500.0) * np.ones_like(sky)
    return _even(np.where(above[..., None] > 0, sky, ground), above)


def _even(picture: Floats, above: Floats) -> Floats:
    """Return light whose mean luminance over all directions is 1."""
    weight = np.cos(above)[..., None]
    luminance = picture @ [0.2126, 0.7152, 0.0722]
    mean = float((luminance * weight[..., 0]).sum() / (weight.sum() * WIDTH))
    return picture / mean


def _window(above: Floats, around: Floats, rng: np.random.Generator) -> Floats:
    middle, width = rng.uniform(0, 2 * np.pi), rng.uniform(0.12, 0.5)
    low, high = rng.uniform(0.0, 0.3), rng.uniform(0.5, 1.0)
    side = np.abs((around - middle + np.pi) % (2 * np.pi) - np.pi)
    inside = _step(width - side) * _step(above - low) * _step(high - above)
    bars = _step(0.03 - side) + _step(0.03 - np.abs(above - (low + high) / 2))
    light = np.exp(rng.uniform(np.log(6), np.log(30))) * lamp(float(rng.uniform(5200, 9500)))
    window: Floats = (inside * (1 - 0.8 * bars.clip(0, 1)))[..., None] * light
    return window


def _bulb(above: Floats, around: Floats, rng: np.random.Generator) -> Floats:
    at, height = rng.uniform(0, 2 * np.pi), rng.uniform(0.3, 1.3)
    cosine = np.sin(above) * np.sin(height) + np.cos(above) * np.cos(height) * np.cos(around - at)
    spot = np.exp((cosine - 1) / rng.uniform(0.004, 0.03))
    light = rng.uniform(10, 60) * lamp(float(rng.uniform(2700, 4200)))
    bulb: Floats = spot[..., None] * light
    return bulb


def _step(distance: Floats) -> Floats:
    """Return 0 outside and 1 inside, over about a pixel."""
    return (distance / 0.05 + 0.5).clip(0, 1)
