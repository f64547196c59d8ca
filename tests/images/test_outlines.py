from __future__ import annotations

import colorsys
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from sv2r.images.outlines import (
    boundary_mask,
    contour_paths,
    distinct_colours,
    draw_outlines,
    outline_mask,
)

LABELS = arrays(
    np.int32, array_shapes(min_dims=2, max_dims=2, max_side=9), elements=st.integers(0, 3)
)


def grid(text: str) -> np.ndarray:
    """One digit per pixel, "." for 0, rows apart by blanks."""
    rows = text.replace(".", "0").replace("#", "1").split()
    return np.array([[int(digit) for digit in row] for row in rows], np.int32)


def drawn(mask: np.ndarray) -> str:
    return " ".join("".join("#" if pixel else "." for pixel in row) for row in mask)


def filled(paths: list[list[tuple[int, int]]], shape: tuple[int, int]) -> np.ndarray:
    """Fill by the even-odd rule: each vertical edge turns over all that lies to its right."""
    mask = np.zeros(shape, bool)
    for path in paths:
        for (x0, y0), (x1, y1) in zip(path, path[1:] + path[:1], strict=True):
            if x0 == x1:
                mask[min(y0, y1) : max(y0, y1), x0:] ^= True
    return mask


def signed_area(path: list[tuple[int, int]]) -> float:
    pairs = zip(path, path[1:] + path[:1], strict=True)
    return sum(x0 * y1 - x1 * y0 for (x0, y0), (x1, y1) in pairs) / 2


def test_an_even_line_lies_on_both_sides_of_the_crack():
    labels = grid("...... ...... ..11.. ..11.. ...... ......")
    assert drawn(boundary_mask(labels, 2)) == "...... .####. .####. .####. .####. ......"


def test_a_thin_line_lies_above_and_to_the_left_of_the_crack():
    labels = grid("....... ....... ..111.. ..111.. ..111.. ....... .......")
    assert (
        drawn(boundary_mask(labels, 1)) == "....... .####.. .#..#.. .#..#.. .####.. ....... ......."
    )


@pytest.mark.parametrize(
    ("thickness", "expected"),
    [(1, "...#...."), (2, "...##..."), (3, "..###..."), (4, "..####.."), (9, "########")],
)
def test_a_line_is_as_many_pixels_wide_as_asked(thickness, expected):
    assert drawn(boundary_mask(grid("11112222"), thickness)) == expected
    assert drawn(boundary_mask(grid("11112222").T, thickness).T) == expected


def test_touching_instances_have_a_line_between_them():
    assert drawn(boundary_mask(grid("1122 1122"), 2)) == ".##. .##."


def test_the_edge_of_the_picture_is_no_boundary():
    assert not boundary_mask(np.ones((3, 4), np.int32), 5).any()


def test_outlines_lie_inside_their_instances():
    labels = grid("....... .11122. .11122. .11122. .......")
    assert drawn(outline_mask(labels)) == "....... .#####. .#.###. .#####. ......."


@given(LABELS, st.integers(1, 4))
def test_a_line_is_where_the_window_shows_two_labels(labels, thickness):
    before, after = thickness // 2, thickness - thickness // 2
    expected = np.zeros(labels.shape, bool)
    for y, x in np.ndindex(*labels.shape):
        rows = slice(max(0, y - before), y + after + 1)
        window = labels[rows, max(0, x - before) : x + after + 1]
        expected[y, x] = window.min() != window.max()
    assert np.array_equal(boundary_mask(labels, thickness), expected)


def test_drawing_colours_outlines_alone_and_leaves_the_picture_as_it_was():
    pixels = np.full((5, 7, 3), 128, np.uint8)
    labels = grid("....... .11199. .11199. .11199. .......")
    result = draw_outlines(pixels, labels)
    assert (pixels == 128).all()
    assert result[2, 1].tolist() == [255, 0, 0]
    assert result[2, 4].tolist() == distinct_colours(2)[1].tolist()
    assert ((result == 128).all(-1) == ~outline_mask(labels)).all()


def test_a_picture_without_instances_stays_as_it_is():
    pixels = np.random.default_rng(0).integers(0, 256, (4, 3, 3)).astype(np.uint8)
    assert np.array_equal(draw_outlines(pixels, np.zeros((4, 3), np.int32)), pixels)


def test_neighbouring_colours_differ_by_more_than_a_fifth_of_the_hue_circle():
    hues = [colorsys.rgb_to_hsv(*(colour / 255))[0] for colour in distinct_colours(40)]
    for one, other in pairwise(hues):
        assert min(abs(one - other), 1 - abs(one - other)) > 0.2
    assert len({tuple(colour) for colour in distinct_colours(40).tolist()}) == 40


def test_a_path_has_its_corners_alone_clockwise_from_the_upper_left():
    assert contour_paths(grid(".... .77. .77.")) == {7: [[(1, 1), (3, 1), (3, 3), (1, 3)]]}


def test_a_hole_is_a_path_of_its_own_the_other_way_round():
    assert contour_paths(grid("111 1.1 111")) == {
        1: [[(0, 0), (3, 0), (3, 3), (0, 3)], [(1, 1), (1, 2), (2, 2), (2, 1)]]
    }


def test_pixels_that_touch_by_a_corner_are_apart():
    assert contour_paths(grid("1. .1")) == {
        1: [[(0, 0), (1, 0), (1, 1), (0, 1)], [(1, 1), (2, 1), (2, 2), (1, 2)]]
    }
    assert len(contour_paths(grid(".1 1."))[1]) == 2


def test_no_instance_has_no_path():
    assert contour_paths(np.zeros((2, 3), np.int32)) == {}


@given(LABELS)
def test_paths_filled_again_are_the_instances(labels):
    paths = contour_paths(labels)
    assert set(paths) == set(np.unique(labels).tolist()) - {0}
    for instance, around in paths.items():
        mask = labels == instance
        assert np.array_equal(filled(around, labels.shape), mask)
        assert sum(map(signed_area, around)) == mask.sum()
