from __future__ import annotations

import io
import struct
import zlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from PIL import Image

from sv2r.images.png import chunk, encode_png, filter_rows, png_file

FILTERS = ("none", "sub", "up", "average", "paeth", "adaptive")


def decode(file: bytes) -> np.ndarray:
    with Image.open(io.BytesIO(file)) as image:
        return np.asarray(image)


def photograph(size: int = 96) -> np.ndarray:
    """Soft shades, an edge and a little noise."""
    y, x = np.mgrid[:size, :size]
    shade = 128 + 60 * np.sin(x / 9) + 50 * np.cos(y / 13) + 40 * (x > y)
    noise = np.random.default_rng(0).normal(0, 3, (size, size, 3))
    return (shade[..., None] + noise).clip(0, 255).astype(np.uint8)


def chunks(file: bytes) -> list[tuple[bytes, bytes]]:
    found, at = [], 8
    while at < len(file):
        (length,) = struct.unpack(">I", file[at : at + 4])
        found.append((file[at + 4 : at + 8], file[at + 8 : at + 8 + length]))
        at += 12 + length
    return found


@given(
    arrays(np.uint8, array_shapes(min_dims=2, max_dims=2, max_side=40).map(lambda s: (*s, 3))),
    st.sampled_from(FILTERS),
    st.integers(0, 3),
)
def test_pillow_decodes_every_size_filter_and_level_to_the_same_pixels(pixels, row_filter, level):
    file = encode_png(pixels, level=level, row_filter=row_filter)
    assert np.array_equal(decode(file), pixels)


@given(
    arrays(np.uint16, array_shapes(min_dims=2, max_dims=2, max_side=40)), st.sampled_from(FILTERS)
)
def test_sixteen_bit_ids_come_back(ids, row_filter):
    assert np.array_equal(decode(encode_png(ids, row_filter=row_filter)), ids)


@pytest.mark.parametrize("shape", [(1, 1, 3), (1, 5, 3), (5, 1, 3), (7, 9, 3), (7, 9)])
@pytest.mark.parametrize("row_filter", FILTERS)
def test_the_smallest_pictures_come_back(shape, row_filter):
    pixels = np.random.default_rng(1).integers(0, 256, shape).astype(np.uint8)
    assert np.array_equal(decode(encode_png(pixels, row_filter=row_filter)), pixels)


def test_a_picture_of_several_row_blocks_comes_back():
    pixels = np.random.default_rng(2).integers(0, 256, (3, 70_000, 3)).astype(np.uint8)
    assert np.array_equal(decode(encode_png(pixels)), pixels)
    pixels = np.ascontiguousarray(pixels.transpose(1, 0, 2))
    assert np.array_equal(decode(encode_png(pixels, row_filter="adaptive")), pixels)


def test_pixels_need_not_lie_together_in_memory():
    channels_first = np.random.default_rng(3).integers(0, 256, (3, 6, 5)).astype(np.uint8)
    view = channels_first.transpose(1, 2, 0)
    assert np.array_equal(decode(encode_png(view)), view)


@pytest.mark.parametrize(
    ("row_filter", "expected"),
    [
        ("none", [[0, 10, 20, 40], [0, 14, 50, 41]]),
        ("sub", [[1, 10, 10, 20], [1, 14, 36, 247]]),
        ("up", [[2, 10, 20, 40], [2, 4, 30, 1]]),
        ("average", [[3, 10, 15, 30], [3, 9, 33, 252]]),
        ("paeth", [[4, 10, 10, 20], [4, 4, 30, 247]]),
    ],
)
def test_rows_are_filtered_as_the_specification_says(row_filter, expected):
    rows = np.array([[10, 20, 40], [14, 50, 41]], np.uint8)
    assert filter_rows(rows, 1, row_filter).tolist() == expected


def test_adaptive_takes_for_each_row_the_filter_that_leaves_least():
    ramp = np.arange(0, 200, 8, dtype=np.uint8)
    rows = np.stack([ramp, ramp, np.full_like(ramp, 3)])
    # The ramp: differences to the left; the same again: nothing left over the row above.
    assert filter_rows(rows, 1, "adaptive")[:, 0].tolist() == [1, 2, 1]


@pytest.mark.parametrize("values", [range(6), (0, 1, 2, 127, 128, 129, 253, 254, 255)])
def test_pillow_agrees_on_ties_and_extremes_of_the_paeth_predictor(values):
    pixels = np.random.default_rng(4).choice(np.array(values, np.uint8), (300, 300))
    assert np.array_equal(decode(encode_png(pixels, row_filter="paeth")), pixels)


def test_the_default_is_smaller_than_no_filter_on_a_photograph():
    assert len(encode_png(photograph())) < 0.8 * len(encode_png(photograph(), row_filter="none"))


def test_a_file_holds_its_header_one_run_of_pixels_and_an_end():
    file = encode_png(np.zeros((2, 3, 3), np.uint8), row_filter="none")
    (header, body, end) = chunks(file)
    assert file.startswith(b"\x89PNG\r\n\x1a\n")
    assert header == (b"IHDR", bytes([0, 0, 0, 3, 0, 0, 0, 2, 8, 2, 0, 0, 0]))
    assert (body[0], zlib.decompress(body[1])) == (b"IDAT", bytes(2 * 10))
    assert end == (b"IEND", b"")


def test_a_chunk_ends_with_the_checksum_of_its_kind_and_data():
    assert chunk(b"IEND", b"") == bytes.fromhex("0000000049454e44ae426082")


def test_a_palette_can_stand_before_the_pixels():
    palette = chunk(b"PLTE", bytes([255, 0, 0, 0, 0, 255]))
    rows = filter_rows(np.array([[0, 1]], np.uint8), 1, "none")
    file = png_file(rows, size=(1, 2), bit_depth=8, colour_type=3, chunks=[palette])
    with Image.open(io.BytesIO(file)) as image:
        assert image.convert("RGB").tobytes() == bytes([255, 0, 0, 0, 0, 255])


@pytest.mark.parametrize(
    "pixels",
    [np.zeros((2, 2, 4), np.uint8), np.zeros((2, 2), np.float32), np.zeros(4, np.uint8)],
)
def test_other_shapes_and_types_are_refused(pixels):
    with pytest.raises(ValueError, match="no PNG for pixels of shape"):
        encode_png(pixels)
