"""Encodes pictures in the format that their suffix names."""

from __future__ import annotations

import io
from collections.abc import Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from sv2r.errors import SampleError
from sv2r.images.png import FILTER, LEVEL, RowFilter, encode_png

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

JPEG_QUALITY = 95

# suffix -> Pillow's name of the format and what it is saved with.
# Lossy WebP halves the colour's resolution whatever its quality, which smears the edges that labels
# are drawn on: WebP is written without loss, where quality and method are effort alone, and the
# least effort already gives smaller files than PNG. TIFF has the predictor that photographs need
# (tag 317).
_FORMATS: Mapping[str, tuple[str, Mapping[str, Any]]] = MappingProxyType(
    {
        ".jpg": ("JPEG", {"subsampling": 0}),
        ".jpeg": ("JPEG", {"subsampling": 0}),
        ".webp": ("WEBP", {"lossless": True, "quality": 0, "method": 0}),
        ".tif": ("TIFF", {"compression": "tiff_adobe_deflate", "tiffinfo": {317: 2}}),
        ".tiff": ("TIFF", {"compression": "tiff_adobe_deflate", "tiffinfo": {317: 2}}),
        ".bmp": ("BMP", {}),
    }
)

WRITABLE = (".png", *_FORMATS)
"""The suffixes that pictures can be written under, in lower case."""


def encode_picture(
    pixels: NDArray[np.uint8],
    suffix: str,
    *,
    jpeg_quality: int = JPEG_QUALITY,
    png_level: int = LEVEL,
    png_filter: RowFilter = FILTER,
) -> bytes:
    """Return a picture file; all formats but JPEG decode to exactly these pixels.

    JPEG keeps the colour's full resolution (4:4:4). No metadata is written, so no EXIF orientation.

    Args:
        pixels: (H, W, 3) uint8, sRGB.
        suffix: ".png", ".jpg", ".jpeg", ".webp", ".tif", ".tiff" or ".bmp", in either case.
        jpeg_quality: 1 to 100, of JPEG alone.
        png_level: see `encode_png`.
        png_filter: see `encode_png`.

    Raises:
        SampleError: no such format, or the picture is too large for it.
    """
    suffix = suffix.lower()
    if suffix not in WRITABLE:
        raise SampleError(
            f"pictures cannot be written as {suffix or 'a file without a suffix'};"
            f" choose one of {', '.join(WRITABLE)}"
        )
    if suffix == ".png":
        return encode_png(pixels, level=png_level, row_filter=png_filter)
    name, settings = _FORMATS[suffix]
    if name == "JPEG":
        settings = {**settings, "quality": jpeg_quality}
    return _save(pixels, name, settings)


def _save(pixels: NDArray[np.uint8], name: str, settings: Mapping[str, Any]) -> bytes:
    from PIL import Image

    file = io.BytesIO()
    try:
        Image.fromarray(pixels).save(file, name, **settings)
    except (OSError, ValueError) as error:
        height, width = pixels.shape[:2]
        raise SampleError(
            f"{name} cannot hold {width}x{height} pixels ({error}); write PNG instead"
        ) from error
    return file.getvalue()
