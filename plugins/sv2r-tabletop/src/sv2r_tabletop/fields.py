"""Fields to paint textures with: noise, coordinates, mixtures. All repeat without a seam."""

from __future__ import annotations

import numpy as np

from sv2r_tabletop.meshes import Floats

SIZE = 256


def noise(
    rng: np.random.Generator, power: float, stretch: tuple[float, float] = (1, 1), size: int = SIZE
) -> Floats:
    """Return a (size, size) field of mean 0 and deviation 1 that repeats.

    power: how fast amplitudes fall with frequency, 0 for white. stretch: how much longer features
    are in y and x.
    """
    fy = np.fft.fftfreq(size)[:, None] * size * stretch[0]
    fx = np.fft.rfftfreq(size)[None] * size * stretch[1]
    amplitude = (1 + np.hypot(fy, fx)) ** -power
    amplitude[0, 0] = 0
    field = np.fft.irfft2(np.fft.rfft2(rng.standard_normal((size, size))) * amplitude, (size, size))
    scaled: Floats = field / field.std()
    return scaled


def grid(size: int = SIZE) -> tuple[Floats, Floats]:
    """Return y and x of each pixel in [0, 1)."""
    y, x = np.mgrid[0:size, 0:size] / size
    return y, x


def mixed(one: object, other: object, weight: Floats) -> Floats:
    """Return colours between two, (H, W, 3), by a weight (H, W) that is clipped to [0, 1]."""
    part = weight.clip(0, 1)[..., None]
    between: Floats = np.asarray(one) * (1 - part) + np.asarray(other) * part
    return between
