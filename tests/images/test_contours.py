"""A mask's polygon, filled again, is the mask."""

from __future__ import annotations

from typing import Any

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from numpy.typing import NDArray

from sv2r.images.contours import polygon_of
from sv2r.images.polygon import fill_polygon

MASKS: st.SearchStrategy[Any] = arrays(bool, array_shapes(min_dims=2, max_dims=2, max_side=14))


def pieces(mask: NDArray[np.bool_]) -> int:
    """Return how many pieces a mask has, pixels that touch at a corner being of one piece."""
    rest, count = {(int(y), int(x)) for y, x in np.argwhere(mask)}, 0
    while rest:
        count, begun = count + 1, [rest.pop()]
        while begun:
            y, x = begun.pop()
            near = {(y + a, x + b) for a in (-1, 0, 1) for b in (-1, 0, 1)} & rest
            rest -= near
            begun.extend(near)
    return count


@given(mask=MASKS.filter(np.any), grain=st.integers(1, 3))
@settings(max_examples=150, deadline=None)
def test_a_mask_of_one_piece_comes_back_and_of_several_is_joined(
    mask: NDArray[np.bool_], grain: int
) -> None:
    mask = np.kron(mask, np.ones((grain, grain), bool)).astype(bool)
    drawn = fill_polygon(polygon_of(mask), mask.shape)
    assert (drawn | mask == drawn).all()
    if pieces(mask) == 1:
        assert (drawn == mask).all()


def test_a_hole_and_a_piece_in_it_are_kept() -> None:
    mask = np.zeros((9, 9), bool)
    mask[1:8, 1:8] = True
    mask[2:7, 2:7] = False
    ring = fill_polygon(polygon_of(mask), mask.shape)
    assert (ring == mask).all()
    mask[4, 4] = True
    both = fill_polygon(polygon_of(mask), mask.shape)
    assert (both & ~mask).sum() == 2  # the joint, from the ring to its middle


def test_a_square_has_four_corners_and_a_pixel_three() -> None:
    mask = np.zeros((6, 8), bool)
    mask[2:5, 3:7] = True
    assert sorted(map(tuple, polygon_of(mask).tolist())) == [(3, 2), (3, 4), (6, 2), (6, 4)]
    single = np.zeros((6, 8), bool)
    single[5, 7] = True
    assert polygon_of(single).tolist() == [[7, 5]] * 3
