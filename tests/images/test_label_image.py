import io
import struct
import zlib
from contextlib import suppress

import numpy as np
import pytest
import tifffile
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from PIL import Image

from sv2r.errors import SampleError
from sv2r.images.label_image import encode_label_png, read_label_image


def chunk(kind, data):
    checksum = struct.pack(">I", zlib.crc32(kind + data))
    return struct.pack(">I", len(data)) + kind + data + checksum


def small_png(row, bits, colour_type=0, palette=b""):
    """Return a PNG of one row, its values packed as bytes already."""
    width = len(row) * 8 // bits
    header = struct.pack(">IIBBBBB", width, 1, bits, colour_type, 0, 0, 0)
    return b"".join(
        (
            b"\x89PNG\r\n\x1a\n",
            chunk(b"IHDR", header),
            chunk(b"PLTE", palette) if palette else b"",
            chunk(b"IDAT", zlib.compress(b"\0" + row)),
            chunk(b"IEND", b""),
        )
    )


def saved(values, kind="PNG", mode=None, **settings):
    file = io.BytesIO()
    Image.fromarray(np.asarray(values), mode).save(file, kind, **settings)
    return file.getvalue()


def tiff(values, **settings):
    file = io.BytesIO()
    tifffile.imwrite(file, values, **settings)
    return file.getvalue()


ONE_HOT = np.array([[[0, 1, 0], [0, 0, 0], [0, 0, 0]], [[0, 0, 0], [1, 1, 0], [0, 0, 0]]], np.uint8)


def npz(values, named="arr_0", **more):
    file = io.BytesIO()
    np.savez_compressed(file, **{named: values}, **more)
    return file.getvalue()


def npy(values):
    file = io.BytesIO()
    np.save(file, values)
    return file.getvalue()


def read(tmp_path, data, name="a.png"):
    (tmp_path / name).write_bytes(data)
    return read_label_image(tmp_path / name, f"masks/{name}")


def error_of(tmp_path, data, name="a.png"):
    with pytest.raises(SampleError) as caught:
        read(tmp_path, data, name)
    assert str(caught.value).startswith(f"masks/{name}: ")
    return str(caught.value).removeprefix(f"masks/{name}: ")


IDS_8 = np.array([[0, 1, 2], [254, 255, 7]], np.uint8)
IDS_16 = np.array([[0, 26001, 65535]], np.uint16)
IDS_32 = np.array([[0, 65536, 2**31 - 1]], np.int32)


@pytest.mark.parametrize(
    ("name", "data", "values", "kind", "bits"),
    [
        ("a.png", saved(IDS_8), IDS_8, "ids", 8),
        ("a.bmp", saved(IDS_8, "BMP"), IDS_8, "ids", 8),
        ("a.tif", tiff(IDS_8), IDS_8, "ids", 8),
        ("a.png", saved(IDS_16), IDS_16, "ids", 16),
        ("a.tif", tiff(IDS_16), IDS_16, "ids", 16),
        ("a.tif", tiff(IDS_16, byteorder=">", compression="zlib"), IDS_16, "ids", 16),
        ("a.tiff", tiff(IDS_32), IDS_32, "ids", 32),
        ("a.tiff", tiff(IDS_32, compression="zlib"), IDS_32, "ids", 32),
        ("a.tiff", tiff(IDS_32, byteorder=">"), IDS_32, "ids", 32),
        ("a.tiff", tiff(IDS_32.astype(np.uint32) * 2), IDS_32.astype(np.uint32) * 2, "ids", 32),
        ("a.npy", npy(IDS_32), IDS_32, "ids", 32),
        ("a.npy", npy(IDS_16.astype(">u2")), IDS_16, "ids", 16),
        ("a.npy", npy(np.asfortranarray(IDS_8)), IDS_8, "ids", 8),
        ("a.npy", npy(IDS_8 > 1), IDS_8 > 1, "ids", 1),
        ("a.npz", npz(IDS_16), IDS_16, "ids", 16),
        ("a.npz", npz(IDS_16, depth=np.zeros(3), named="mask"), IDS_16, "ids", 16),
        ("a.npy", npy(ONE_HOT), [[0, 1, 0], [2, 2, 0], [0, 0, 0]], "ids", 32),
        ("a.npy", npy(np.moveaxis(ONE_HOT, 0, 2)), [[0, 1, 0], [2, 2, 0], [0, 0, 0]], "ids", 32),
        ("a.npz", npz(ONE_HOT > 0), [[0, 1, 0], [2, 2, 0], [0, 0, 0]], "ids", 32),
        ("a.npy", npy(-IDS_32.astype(np.int64)), -IDS_32.astype(np.int64), "ids", 64),
        ("a.png", saved(IDS_8 > 1), IDS_8 > 1, "ids", 1),
        ("a.png", small_png(bytes([0b00011011]), 2), [[0, 1, 2, 3]], "ids", 2),
        ("a.png", small_png(bytes([0x1B]), 4), [[1, 11]], "ids", 4),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_grey_values_are_ids(tmp_path, name, data, values, kind, bits):
    label = read(tmp_path, data, name)
    assert label.values.tolist() == np.asarray(values).astype(label.values.dtype).tolist()
    assert (label.kind, label.bits) == (kind, bits)
    assert label.values.dtype.isnative
    assert not label.values.flags.writeable


def test_a_palette_gives_its_indices(tmp_path):
    palette = bytes([9, 9, 9, 255, 0, 0, 255, 0, 0, 4, 4, 4])
    label = read(tmp_path, small_png(bytes([0b00011011]), 2, 3, palette))
    assert label.values.tolist() == [[0, 1, 2, 3]]
    assert label.kind == "palette"


def test_colours_are_packed_and_alpha_says_nothing(tmp_path):
    colours = np.array([[[0, 0, 0, 255], [1, 2, 3, 0], [255, 255, 255, 7]]], np.uint8)
    for values in (colours, colours[..., :3]):
        label = read(tmp_path, saved(values))
        assert label.values.tolist() == [[0, 0x010203, 0xFFFFFF]]
        assert label.kind == "colour"


def test_an_orientation_tag_does_not_turn_labels(tmp_path):
    label = read(tmp_path, saved(IDS_8, "TIFF", tiffinfo={274: 6}), "a.tif")
    assert label.values.tolist() == IDS_8.tolist()


@pytest.mark.parametrize(
    ("name", "data", "message"),
    [
        ("a.jpg", saved(IDS_8, "JPEG"), "labels in JPEG, which changes values; write them as PNG"),
        ("a.png", saved(IDS_8, "JPEG"), "labels in JPEG, which changes values; write them as PNG"),
        ("a.webp", saved(IDS_8, "WEBP"), "labels in WebP, which changes values; write them as PNG"),
        ("a.npy", npy(np.zeros((2, 2))), "its values are float64; save integers"),
        ("a.npz", b"PK none", "damaged .npz (File is not a zip file); save it again"),
        ("a.npz", npz(IDS_8, other=IDS_8), "holds arr_0, other; save one array, or call it mask"),
        (
            "a.npy",
            npy(np.ones((2, 3, 3), np.uint8)),
            (
                "9 pixels are in several channels; "
                "save one (height, width) array of ids, or a file per instance"
            ),
        ),
        ("a.npy", npy(ONE_HOT * 2), "its shape is (2, 3, 3); save one (height, width) array"),
        (
            "a.npy",
            npy(np.zeros((2, 2, 1), np.uint8)),
            "its shape is (2, 2, 1); save one (height, width) array",
        ),
    ],
)
def test_values_that_are_not_exact_are_refused(tmp_path, name, data, message):
    assert error_of(tmp_path, data, name) == message


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (tiff(IDS_16.astype(np.float32)), "float pixels cannot be labels"),
        (tiff(IDS_8, photometric="miniswhite"), "a TIFF whose 0 is white"),
        (tiff(IDS_32, byteorder=">", compression="zlib"), "a compressed big-endian TIFF"),
        (tiff(np.zeros((4, 4, 3), np.uint16), photometric="rgb"), "16-bit colour labels"),
    ],
)
def test_tiffs_that_pillow_does_not_read_exactly_are_refused(tmp_path, data, words):
    assert error_of(tmp_path, data, "a.tif").startswith(words)


def test_a_pickle_is_never_loaded(tmp_path):
    file = io.BytesIO()
    np.save(file, np.array([[print]]), allow_pickle=True)
    assert error_of(tmp_path, file.getvalue(), "a.npy").startswith("damaged .npy (")


def test_a_header_that_promises_a_huge_array_allocates_nothing(tmp_path):
    data = npy(IDS_8).replace(b"(2, 3)", b"(2000000000, 3)", 1)
    assert error_of(tmp_path, data, "a.npy").startswith("damaged .npy (")


def test_an_archive_of_arrays_is_refused(tmp_path):
    file = io.BytesIO()
    np.savez(file, a=IDS_8)
    assert error_of(tmp_path, file.getvalue(), "a.npy") == (
        "its shape is an archive; save one (height, width) array"
    )


@pytest.mark.parametrize("name", ["a.png", "a.npy"])
def test_missing_empty_and_folders_are_told(tmp_path, name):
    with pytest.raises(SampleError, match=f"^{name}: is missing"):
        read_label_image(tmp_path / name, name)
    (tmp_path / name).touch()
    with pytest.raises(SampleError, match=f"^{name}: is empty"):
        read_label_image(tmp_path / name, name)
    (tmp_path / name).unlink()
    (tmp_path / name).mkdir()
    with pytest.raises(SampleError, match=f"^{name}: is a folder"):
        read_label_image(tmp_path / name, name)


def test_a_truncated_mask_names_the_fix(tmp_path):
    data = saved(np.random.default_rng(0).integers(0, 9, (40, 40)).astype(np.uint8))[:200]
    assert error_of(tmp_path, data) == (
        "truncated after 200 bytes; render it again, then run the same command"
    )


@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    labels=arrays.arrays(
        np.int32, st.tuples(st.integers(1, 9), st.integers(1, 9)), elements=st.integers(0, 65535)
    )
)
def test_an_encoded_label_map_comes_back_exactly(tmp_path, labels):
    label = read(tmp_path, encode_label_png(labels))
    assert label.values.tolist() == labels.tolist()
    assert (label.kind, label.bits) == ("ids", 16)


@pytest.mark.parametrize("wrong", [-1, 65536])
def test_a_label_that_does_not_fit_16_bits_is_refused(wrong):
    with pytest.raises(SampleError, match=f"label {wrong} does not fit a 16-bit PNG"):
        encode_label_png(np.array([[0, wrong]], np.int32))


@settings(
    max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    name=st.sampled_from(["a.npy", "a.png", "a.bmp"]),
    cut=st.integers(1, 400),
    flips=st.lists(st.tuples(st.integers(0, 400), st.integers(1, 255)), max_size=4),
)
def test_broken_files_raise_nothing_else(tmp_path, name, cut, flips):
    whole = {"a.npy": npy(IDS_16), "a.png": saved(IDS_16), "a.bmp": saved(IDS_8, "BMP")}[name]
    data = bytearray(whole[:cut])
    for position, mask in flips:
        data[position % len(data)] ^= mask
    with suppress(SampleError):
        read(tmp_path, bytes(data), name)
