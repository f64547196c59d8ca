"""A picture that is like a photograph to a codec, always the same."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Pixels = NDArray[np.uint8]


def made_photograph(size: int) -> Pixels:
    """Return a (size, size, 3) picture like a photograph: discs, texture, sensor noise."""
    random = np.random.default_rng(20)
    frequency = np.hypot(np.fft.fftfreq(size)[:, None], np.fft.rfftfreq(size)[None])
    frequency[0, 0] = np.inf
    spectrum = np.fft.rfft2(random.normal(size=(4, size, size))) / frequency**1.5
    noise = np.fft.irfft2(spectrum, s=(size, size))
    noise /= noise.std(axis=(1, 2), keepdims=True)
    # Brightness varies more than colour. The exponent and the noise are chosen so that Pillow packs
    # it about as far as it packs photographs of this size.
    picture = 110 + 38 * noise[0] + 7 * noise[1:]
    rows, columns = np.mgrid[:size, :size] / size
    for _ in range(40):
        y, x = random.random(2)
        inside = np.hypot(rows - y, columns - x) < random.uniform(0.02, 0.12)
        colour = random.uniform(30, 220, (3, 1))
        picture[:, inside] = colour + 0.4 * (picture[:, inside] - 110)
    picture += random.normal(0, 0.8, picture.shape)
    return np.ascontiguousarray(picture.clip(0, 255).astype(np.uint8).transpose(1, 2, 0))
