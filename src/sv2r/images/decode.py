"""Reads picture files: any common format and pixel type, as 8-bit sRGB on the raw pixel grid."""

from __future__ import annotations

import hashlib
import io
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from sv2r.images import picture_file
from sv2r.images.colour import to_srgb
from sv2r.images.picture_file import MAX_PIXELS, PICTURE_SUFFIXES

__all__ = ["MAX_PIXELS", "PICTURE_SUFFIXES", "Picture", "picture_size", "read_picture"]


@dataclass(frozen=True)
class Picture:
    """A picture as its labels see it.

    pixels: (H, W, 3) uint8, sRGB, on the file's own pixel grid. Read-only.
    normalised: what was done to the file's pixels to get there, in plain words; () where nothing.
    sha256: of the file's bytes, as hexadecimal digits.
    """

    pixels: NDArray[np.uint8]
    normalised: tuple[str, ...]
    sha256: str

    def __post_init__(self) -> None:
        self.pixels.setflags(write=False)


def read_picture(path: Path, name: str) -> Picture:
    """Return a picture; its file is read once, for the pixels and the hash alike.

    The format is told by the content, not by the suffix. Alpha is dropped, an embedded colour
    profile applied, an EXIF or TIFF orientation not applied; ``normalised`` names each such step.

    Args:
        path: a PNG, JPEG, WebP, TIFF or BMP file.
        name: how an error calls the file.

    Raises:
        SampleError: missing, no file, empty, truncated, damaged, larger than MAX_PIXELS, or of a
            kind that has no plain reading as one 8-bit sRGB picture.
    """
    data = picture_file.read_file(path, name)
    source = picture_file.open_image(io.BytesIO(data), name, data)
    steps = []
    if path.suffix.lower() not in picture_file.SUFFIXES[source.format]:
        steps.append(f"{source.format} data under a {path.suffix or 'suffixless'} name")
    if source.format == "JPEG" and "mp" in source.image.info:
        steps.append("first of several pictures in the file")
    with picture_file.pillow_errors(name, source.format, data):
        image, orientation = picture_file.load_raw(source, name)
        if orientation != 1:
            steps.append(f"EXIF orientation {orientation} not applied")
        image, done = to_srgb(image, source.raw_mode, name)
        pixels = np.array(image, np.uint8)
    return Picture(pixels, (*steps, *done), hashlib.sha256(data).hexdigest())


def picture_size(path: Path, name: str) -> tuple[int, int]:
    """Return (height, width) of the raw pixel grid from the file's header; no pixel is decoded.

    Raises:
        SampleError: as `read_picture`, as far as the header tells.
    """
    with picture_file.opened(path, name) as stream:
        return picture_file.open_image(stream, name).size
