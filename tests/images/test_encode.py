from __future__ import annotations

import io
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from sv2r.errors import SampleError
from sv2r.images.encode import WRITABLE, encode_picture

FORMATS = {
    ".png": "PNG",
    ".jpg": "JPEG",
    ".jpeg": "JPEG",
    ".webp": "WEBP",
    ".tif": "TIFF",
    ".tiff": "TIFF",
    ".bmp": "BMP",
}


def picture(height: int = 31, width: int = 22) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (height, width, 3)).astype(np.uint8)


def test_the_suffixes_are_those_that_people_have():
    assert set(WRITABLE) == set(FORMATS)


@pytest.mark.parametrize("suffix", FORMATS)
@pytest.mark.parametrize("size", [(31, 22), (1, 1), (1, 5), (7, 9)])
def test_a_suffix_names_the_format_and_the_size_comes_back(suffix, size):
    with Image.open(io.BytesIO(encode_picture(picture(*size), suffix))) as image:
        assert (image.format, image.mode) == (FORMATS[suffix], "RGB")
        assert image.size == (size[1], size[0])


@pytest.mark.parametrize("suffix", sorted(set(FORMATS) - {".jpg", ".jpeg"}))
def test_all_formats_but_jpeg_keep_every_pixel(suffix):
    pixels = picture()
    with Image.open(io.BytesIO(encode_picture(pixels, suffix))) as image:
        assert np.array_equal(np.asarray(image), pixels)


def test_jpeg_keeps_the_colours_resolution_and_has_no_exif():
    with Image.open(io.BytesIO(encode_picture(picture(), ".jpg"))) as image:
        assert [layer[1:3] for layer in image.layer] == [(1, 1)] * 3
        assert "exif" not in image.info


def test_jpeg_has_pillows_tables_of_quality_95_unless_told():
    def tables(file: bytes) -> dict[int, list[int]]:
        with Image.open(io.BytesIO(file)) as image:
            return image.quantization

    expected = io.BytesIO()
    Image.fromarray(picture()).save(expected, "JPEG", quality=95)
    assert tables(encode_picture(picture(), ".jpg")) == tables(expected.getvalue())
    assert tables(encode_picture(picture(), ".jpg", jpeg_quality=60)) != tables(expected.getvalue())


def test_a_suffix_in_capitals_is_the_same():
    assert encode_picture(picture(), ".PNG") == encode_picture(picture(), ".png")


def test_png_takes_its_level_and_filter():
    flat = np.zeros((64, 64, 3), np.uint8)
    stored = encode_picture(picture(), ".png", png_filter="none")
    assert stored != encode_picture(picture(), ".png", png_filter="sub")
    assert encode_picture(flat, ".png", png_level=0) != encode_picture(flat, ".png", png_level=3)


@pytest.mark.parametrize("suffix", [".gif", "", ".npy"])
def test_an_unknown_suffix_is_refused_with_the_known_ones(suffix):
    with pytest.raises(SampleError, match=r"choose one of \.png, \.jpg, \.jpeg, \.webp"):
        encode_picture(picture(), suffix)


def test_a_picture_too_large_for_its_format_is_refused_with_the_fix():
    with pytest.raises(SampleError, match=r"WEBP cannot hold 16384x1 pixels .*; write PNG instead"):
        encode_picture(picture(1, 16384), ".webp")


def test_its_defaults_can_be_listed_without_numpy():
    script = "import sys, sv2r.images.encode; print({'numpy', 'PIL', 'isal'} & set(sys.modules))"
    command = [sys.executable, "-c", script]
    result = subprocess.run(command, capture_output=True, text=True, check=True)
    assert result.stdout == "set()\n"
