from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from pycocotools import mask as coco
from pycocotools.coco import COCO

from sv2r.errors import SampleError
from sv2r.loaders.coco.segmentation import decode_counts, segmentation_shape

sizes = st.tuples(st.integers(1, 12), st.integers(1, 12))
masks = sizes.flatmap(lambda size: arrays(np.uint8, size, elements=st.integers(0, 1)))


def painted(segmentation, size):
    mask = np.zeros(size[0] * size[1], np.uint8)
    for start, end in segmentation_shape(segmentation, size).runs():
        mask[start:end] += 1
    return mask.reshape(size[::-1]).T


def ann_to_mask(segmentation, size):
    reference = COCO()
    reference.imgs = {1: {"height": size[0], "width": size[1]}}
    return reference.annToMask({"image_id": 1, "segmentation": segmentation})


def counts(mask):
    flat = np.concatenate([[0], mask.ravel(order="F"), [2]])
    edges = np.flatnonzero(np.diff(flat))
    return np.diff(edges, prepend=0).tolist()


@given(masks)
def test_uncompressed_rle_is_what_pycocotools_draws(mask):
    rle = {"size": list(mask.shape), "counts": counts(mask)}
    assert np.array_equal(ann_to_mask(rle, mask.shape), mask)
    assert np.array_equal(painted(rle, mask.shape), mask)


@given(masks)
def test_compressed_rle_is_what_pycocotools_draws(mask):
    rle = coco.encode(np.asfortranarray(mask))
    rle = json.loads(json.dumps({"size": rle["size"], "counts": rle["counts"].decode()}))
    assert np.array_equal(painted(rle, mask.shape), mask)


@given(st.lists(st.integers(0, 40_000), min_size=1, max_size=30))
def test_counts_of_any_length_are_decoded(runs):
    total = sum(runs)
    rle = coco.frPyObjects({"size": [1, total], "counts": runs}, 1, total)
    assert decode_counts(rle["counts"]).tolist() == runs


coordinate = st.one_of(
    st.integers(-4, 16), st.floats(-4, 16, width=32), st.integers(-8, 32).map(lambda n: n / 2)
)
polygon = st.lists(coordinate, min_size=6, max_size=16).map(lambda c: c[: len(c) // 2 * 2])


@given(sizes, st.lists(polygon, min_size=1, max_size=3))
def test_polygons_are_what_pycocotools_draws(size, polygons):
    assert np.array_equal(painted(polygons, size), ann_to_mask(polygons, size))


speck = st.lists(coordinate, min_size=1, max_size=2).flatmap(
    lambda c: st.just([*c, *c][: len(c) * 2])
)


@given(sizes, polygon, st.lists(speck, max_size=3))
def test_polygons_of_one_or_two_points_add_nothing_as_in_pycocotools(size, first, specks):
    # pycocotools takes a whole list for boxes where its first polygon has two points.
    assert np.array_equal(painted([first, *specks], size), ann_to_mask([first, *specks], size))
    assert np.array_equal(painted([*specks, first], size), ann_to_mask([first], size))


def test_an_empty_list_covers_nothing():
    assert segmentation_shape([], (2, 3)).runs().tolist() == []
    assert segmentation_shape([[], [1, 1, 2, 2]], (2, 3)).runs().tolist() == []


def test_what_lies_outside_of_the_frame_is_clipped():
    assert painted([[-50, 0, 2, 0, 2, 1, -50, 1]], (1, 5)).tolist() == [[1, 1, 0, 0, 0]]


RLE = {"size": [1, 5], "counts": [5]}


@pytest.mark.parametrize(
    ("segmentation", "message"),
    [
        ("abc", "segmentation is of type str; COCO has a list of polygons or an RLE"),
        (7, "segmentation is of type int; COCO has a list of polygons or an RLE"),
        ({"counts": [5]}, "RLE size is None; it must be [height, width]"),
        (RLE | {"size": [1, "5"]}, "RLE size is [1, '5']; it must be [height, width]"),
        (RLE | {"size": [0, 5]}, "RLE size is [0, 5]; it must be [height, width]"),
        (
            RLE | {"size": [5, 1]},
            (
                "RLE size is 5 × 1 but the picture is 1 × 5 (height × width); "
                "export the mask at the picture's size"
            ),
        ),
        (
            RLE | {"counts": [2, 2]},
            "RLE counts add up to 4, not to 1 × 5 = 5; export the mask again",
        ),
        (
            RLE | {"counts": [2, 4]},
            "RLE counts add up to 6, not to 1 × 5 = 5; export the mask again",
        ),
        (RLE | {"counts": []}, "RLE counts add up to 0, not to 1 × 5 = 5; export the mask again"),
        (RLE | {"counts": ""}, "RLE counts add up to 0, not to 1 × 5 = 5; export the mask again"),
        (
            RLE | {"counts": [6, -1]},
            "RLE counts hold -1; each is a whole number of pixels, 0 or more",
        ),
        (
            RLE | {"counts": [2.5, 2.5]},
            "RLE counts hold 2.5; each is a whole number of pixels, 0 or more",
        ),
        (
            RLE | {"counts": [True, 4]},
            "RLE counts hold True; each is a whole number of pixels, 0 or more",
        ),
        (
            RLE | {"counts": [2**70]},
            f"RLE counts hold {2**70}; each is a whole number of pixels, 0 or more",
        ),
        (
            {"size": [1, 5]},
            "RLE counts are missing; they are a list of numbers or a COCO string",
        ),
        (
            RLE | {"counts": "23é"},
            "RLE counts: character 3 is none of COCO's; export the mask again",
        ),
        (
            RLE | {"counts": "2\x7f"},
            "RLE counts: character 2 is none of COCO's; export the mask again",
        ),
        (RLE | {"counts": "2P"}, "RLE counts: a number does not end; export the mask again"),
        (
            RLE | {"counts": "PPPPPPPPP0"},
            "RLE counts: a number does not end; export the mask again",
        ),
        *(
            (
                RLE | {"counts": counts},
                "RLE counts: a count is no number of pixels; export the mask again",
            )
            for counts in ("O6", "PPPPPP2")
        ),
        (
            [[0, 0, 4, 0, 4]],
            "polygon 1 has 5 numbers, so one coordinate is missing; export it again",
        ),
        (
            [[0, 0, 4, 0, 4, 1], [0, 0, float("nan"), 0, 4, 1]],
            "polygon 2 holds NaN or infinity; export it again",
        ),
        ([[0, 0, float("-inf"), 0, 4, 1]], "polygon 1 holds NaN or infinity; export it again"),
        (
            [[0, 0, 1e9, 0, 4, 1]],
            (
                "polygon 1 has the coordinate 1000000000.0, more than 1000 pixels away; "
                "coordinates are pixels of the picture"
            ),
        ),
        (
            [[0, 0, -(10**400), 0, 4, 1]],
            (
                "polygon 1 has the coordinate -1000000000000000000, more than 1000 pixels away; "
                "coordinates are pixels of the picture"
            ),
        ),
        (
            [[0, 0, "4", 0, 4, 1]],
            "polygon 1 is not a flat list of numbers; COCO has [x, y, x, y, ...]",
        ),
        (
            [[[0, 0], [4, 0], [4, 1]]],
            "polygon 1 is not a flat list of numbers; COCO has [x, y, x, y, ...]",
        ),
        (
            [0, 0, 4, 0, 4, 1],
            "polygon 1 is not a flat list of numbers; COCO has [x, y, x, y, ...]",
        ),
        (
            [[-50, 0, 50, 1] * 15_000],
            (
                "polygon 1 has an outline of 3,000,000 pixels, more than 2,000,000; "
                "write such a mask as RLE"
            ),
        ),
    ],
)
def test_a_wrong_segmentation_is_named_with_its_fix(segmentation, message):
    with pytest.raises(SampleError) as told:
        segmentation_shape(segmentation, (1, 5)).runs()
    assert str(told.value) == message


@given(st.text(st.characters(min_codepoint=40, max_codepoint=120), max_size=12))
def test_any_string_is_counts_that_fill_the_picture_or_refused(text):
    try:
        runs = segmentation_shape({"size": [3, 4], "counts": text}, (3, 4)).runs()
    except SampleError:
        return
    mask = coco.decode({"size": [3, 4], "counts": text.encode()})
    assert np.array_equal(painted({"size": [3, 4], "counts": text}, (3, 4)), mask)
    assert runs.max(initial=0) <= 12
