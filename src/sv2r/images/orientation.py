"""Whether labels were drawn on a picture as it is stored or as its EXIF orientation turns it."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

# Pixels of border between labels that it takes to tell.
_LEAST = 20


def turned(array: NDArray[Any], orientation: int) -> NDArray[Any]:
    """Return an (H, W, ...) array as a viewer shows it that obeys an EXIF orientation (1 to 8)."""
    if orientation >= 5:
        array = array.swapaxes(0, 1)
    # Of the turned rows and columns: which run backwards.
    rows = orientation in (3, 4, 7, 8)
    columns = orientation in (2, 3, 6, 7)
    return array[:: -1 if rows else 1, :: -1 if columns else 1]


def upright_fit(pixels: NDArray[np.uint8], labels: NDArray[np.int32], orientation: int) -> float:
    """Return how much better labels fit the turned picture than the stored one; 1 where even.

    It is the mean contrast of the picture along the borders of labels, turned, over that as stored.

    pixels: (H, W, 3). labels: (H, W) as in the file, of equal size whether turned or not.
    """
    stored = _contrast(pixels)
    upright = turned(stored, orientation)
    border = _border(labels)
    if upright.shape != stored.shape or int(border.sum()) < _LEAST:
        return 1.0
    return float((upright[border].mean() + 1e-3) / (stored[border].mean() + 1e-3))


def _contrast(pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
    grey = pixels.mean(axis=2, dtype=np.float32)
    down, right = np.gradient(grey)
    contrast: NDArray[np.float32] = np.hypot(down, right)
    return contrast


def _border(labels: NDArray[np.int32]) -> NDArray[np.bool_]:
    border = np.zeros(labels.shape, bool)
    down, right = labels[1:] != labels[:-1], labels[:, 1:] != labels[:, :-1]
    border[1:] |= down
    border[:-1] |= down
    border[:, 1:] |= right
    border[:, :-1] |= right
    return border
