from __future__ import annotations

import re
import sys

import numpy as np
import OpenEXR
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from PIL import Image

from sv2r.errors import SampleError
from sv2r.images.depth_map import DepthMap, read_depth, shade

DISTANCES = np.array([[1.0, 2.5, 4.0], [0.25, 8.0, 16.0]], np.float32)


@pytest.fixture
def exr(tmp_path):
    def write(**channels: np.ndarray):
        path = tmp_path / "d.exr"
        named = {name.replace("_", "."): pixels for name, pixels in channels.items()}
        header = {"compression": OpenEXR.ZIP_COMPRESSION, "type": OpenEXR.scanlineimage}
        OpenEXR.File(header, named).write(str(path))
        return path

    return write


def read(path):
    return read_depth(path, path.name)


def save(array: np.ndarray, path):
    Image.fromarray(array).save(path)
    return path


def test_a_16_bit_png_keeps_its_integers_and_the_largest_is_nothing(tmp_path):
    stored = np.array([[0, 1], [40_000, 65_535]], np.uint16)
    depth = read(save(stored, tmp_path / "d.png"))
    assert depth.values.tolist() == [[0, 1], [40_000, 65_535]]
    assert depth.nothing.tolist() == [[False, False], [False, True]]
    assert (depth.values.dtype, depth.shades) == (np.float32, False)


def test_an_8_bit_png_has_shades(tmp_path):
    depth = read(save(np.array([[0, 255]], np.uint8), tmp_path / "d.png"))
    assert depth.values.tolist() == [[0, 255]]
    assert depth.shades
    assert not depth.nothing.any()


@pytest.mark.parametrize("channels", [3, 4])
def test_a_grey_picture_saved_as_colour_is_taken(tmp_path, channels):
    grey = np.array([[3, 9]], np.uint8)
    stored = np.repeat(grey[..., None], channels, axis=2)
    stored[..., 3:] = 255
    assert read(save(stored, tmp_path / "d.png")).values.tolist() == [[3, 9]]


def test_a_tiff_of_floats_is_taken(tmp_path):
    assert read(save(DISTANCES, tmp_path / "d.tif")).values.tolist() == DISTANCES.tolist()


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64, np.uint16, np.int32])
@pytest.mark.parametrize("shape", [(2, 3), (2, 3, 1)])
def test_npy_of_any_number_is_taken(tmp_path, dtype, shape):
    path = tmp_path / "d.npy"
    np.save(path, (4 * DISTANCES).astype(dtype).reshape(shape))
    assert np.array_equal(read(path).values, 4 * DISTANCES)


@pytest.mark.parametrize(
    "value", [np.inf, -np.inf, np.nan, 1e10, 1e9, 65504.0, 3.4e38, 1e300], ids=str
)
def test_where_nothing_was_hit_is_told_from_distances(tmp_path, value):
    path = tmp_path / "d.npy"
    np.save(path, np.array([[2.0, value, 1e8]]))
    assert read(path).nothing.tolist() == [[False, True, False]]


@pytest.mark.parametrize("dtype", [np.float16, np.float32])
@pytest.mark.parametrize("name", ["Z", "Y", "V", "depth", "whatever"])
def test_the_only_channel_of_an_exr_is_taken(exr, name, dtype):
    assert np.array_equal(read(exr(**{name: DISTANCES.astype(dtype)})).values, DISTANCES)


def test_three_equal_colour_channels_are_one(exr):
    path = exr(R=DISTANCES, G=DISTANCES.copy(), B=DISTANCES.copy())
    assert np.array_equal(read(path).values, DISTANCES)


@pytest.mark.parametrize("name", ["Depth_Z", "ViewLayer_Depth_V", "depth_R", "View_MyDepth_Z"])
def test_the_depth_pass_is_found_among_others(exr, name):
    other = np.zeros_like(DISTANCES)
    layers = {"ViewLayer_Normal_Z": other, "ViewLayer_Combined_R": other, "R": other, "Z": other}
    assert np.array_equal(read(exr(**{name: DISTANCES}, **layers)).values, DISTANCES)


def test_z_is_taken_beside_colours(exr):
    other = np.zeros_like(DISTANCES)
    assert np.array_equal(read(exr(R=other, G=other, B=other, Z=DISTANCES)).values, DISTANCES)


def test_the_depth_of_a_file_in_parts_is_found(tmp_path):
    path = tmp_path / "d.exr"
    colour = OpenEXR.Part({"name": "colour"}, {"R": np.zeros((2, 3), "f")})
    depth = OpenEXR.Part({"name": "depth"}, {"Z": DISTANCES})
    OpenEXR.File([colour, depth]).write(str(path))
    assert np.array_equal(read(path).values, DISTANCES)


def test_an_exr_of_colours_is_refused(exr):
    path = exr(R=DISTANCES, G=DISTANCES + 1, B=DISTANCES)
    with pytest.raises(SampleError, match=r"^d\.exr: a colour picture, whose channels differ"):
        read(path)


def test_an_exr_without_depth_is_refused_with_its_channels(exr):
    with pytest.raises(SampleError, match=r"none of its channels N\.X, N\.Z is called depth, Z"):
        read(exr(N_Z=DISTANCES, N_X=DISTANCES))


def test_a_truncated_exr_is_refused(exr):
    path = exr(Z=np.random.default_rng(0).random((64, 64), np.float32))
    path.write_bytes(path.read_bytes()[:-200])
    with pytest.raises(SampleError, match=r"cannot be read as EXR .* render it again"):
        read(path)


def test_exr_without_its_package_says_what_to_install(exr, monkeypatch):
    path = exr(Z=DISTANCES)
    monkeypatch.setitem(sys.modules, "OpenEXR", None)
    with pytest.raises(SampleError, match=re.escape("OpenEXR package; pip install sv2r[exr]")):
        read(path)


def test_pickled_objects_are_never_loaded(tmp_path):
    path = tmp_path / "d.npy"
    np.save(path, np.array([[{"a": 1}]], dtype=object), allow_pickle=True)
    with pytest.raises(SampleError, match="cannot be read as NumPy array"):
        read(path)


def test_a_header_that_promises_more_than_the_file_holds_is_refused(tmp_path):
    path = tmp_path / "d.npy"
    with path.open("wb") as file:
        header = {"descr": "<f4", "fortran_order": False, "shape": (1 << 20, 1 << 20)}
        np.lib.format.write_array_header_1_0(file, header)
    with pytest.raises(SampleError, match="cannot be read as NumPy array"):
        read(path)


@pytest.mark.parametrize(
    ("stored", "message"),
    [
        (np.zeros((2, 3, 2)), r"its shape is \(2, 3, 2\), not \(height, width\)"),
        (np.zeros(4), r"its shape is \(4,\), not \(height, width\)"),
        (np.zeros((2, 3), bool), "holds bool values, not numbers"),
        (np.zeros((2, 3), np.complex64), "holds complex64 values, not numbers"),
    ],
)
def test_npy_of_another_kind_is_refused_with_the_fix(tmp_path, stored, message):
    path = tmp_path / "d.npy"
    np.save(path, stored)
    with pytest.raises(SampleError, match=rf"^d\.npy: {message}; save distances as 16-bit"):
        read(path)


def test_a_colour_picture_is_refused(tmp_path):
    path = save(np.array([[[1, 2, 3]]], np.uint8), tmp_path / "d.png")
    with pytest.raises(SampleError, match=r"^d\.png: a colour picture, whose channels differ"):
        read(path)


@pytest.mark.parametrize("name", ["d.png", "d.exr", "d.npy"])
def test_missing_and_broken_files_are_named(tmp_path, name):
    path = tmp_path / name
    with pytest.raises(SampleError, match=rf"^{re.escape(name)}: is missing"):
        read(path)
    path.write_bytes(b"not what its name says" * 9)
    with pytest.raises(SampleError, match=rf"^{re.escape(name)}: (cannot be read|not a picture)"):
        read(path)


def of(values, *, shades: bool = False) -> DepthMap:
    values = np.array(values, np.float32, ndmin=2)
    return DepthMap(values, ~np.isfinite(values), shades)


def test_distances_are_inverted_and_what_was_not_hit_is_black():
    assert shade(of([1, 2, 4, np.inf]), "d").tolist() == [[1, 0.5, 0.25, 0]]


def test_a_distance_of_zero_is_no_data():
    assert shade(of([1, 2, 0]), "d").tolist() == [[1, 0.5, 0]]


def test_the_farthest_pixel_is_black_where_everything_was_hit():
    assert shade(of([1, 1.6, 4]), "d").tolist() == [[1, 0.5, 0]]


def test_shades_are_turned_round():
    assert np.allclose(shade(of([0, 51, 255], shades=True), "d"), [[1, 0.8, 0]])


def test_inverse_depth_is_stretched_as_it_is():
    depth = DepthMap(
        np.array([[0, 13107, 65535]], np.float32), np.array([[False, False, True]]), False
    )
    assert np.allclose(shade(depth, "d", kind="inverse"), [[0, 0.2, 1]])


@pytest.mark.parametrize(
    ("kind", "expected"), [("metric", [[1, 1, 0.5, 0, 0]]), ("linear", [[1, 1, 2 / 3, 0, 0]])]
)
def test_given_ends_hold_for_every_picture(kind, expected):
    depth = of([0.5, 1, 1.6, 4, np.inf] if kind == "metric" else [0.5, 1, 2, 9, np.inf])
    assert np.allclose(shade(depth, "d", kind=kind, ends=(1, 4)), expected)


def test_a_few_stray_pixels_do_not_darken_all_others():
    distances = np.full((50, 40), 2.0, np.float32)
    distances[:25] = 4
    distances[7, 7] = 1e-6
    shaded = shade(of(distances), "d")
    assert shaded[7, 7] == 1
    assert (shaded[25:] == 1).all()
    assert shaded[0, 0] == 0


@pytest.mark.parametrize("values", [[3, 3], [np.inf, np.nan], [0, 0]], ids=str)
@pytest.mark.parametrize("kind", ["metric", "linear", "inverse"])
def test_a_picture_of_one_depth_is_black(values, kind):
    assert shade(of(values), "d", kind=kind).tolist() == [[0, 0]]


def test_negative_distances_are_refused_with_the_fix():
    with pytest.raises(SampleError, match=r"^d\.exr: holds negative distances; .*depth\.kind$"):
        shade(of([-1, 2]), "d.exr")


@given(
    arrays(
        np.float32,
        array_shapes(min_dims=2, max_dims=2, max_side=8),
        elements=st.floats(0, 1e8, width=32) | st.just(np.inf),
    )
)
def test_a_nearer_pixel_is_never_darker(distances):
    shaded = shade(of(distances), "d")
    assert shaded.min() >= 0
    assert shaded.max() <= 1
    order = np.argsort(np.where(distances == 0, np.inf, distances), axis=None)
    assert (np.diff(shaded.ravel()[order]) <= 0).all()
