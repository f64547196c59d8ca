from __future__ import annotations

from itertools import pairwise

import numpy as np
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from sv2r.images.geometry import (
    blend,
    cut_tiles,
    feather,
    mirror,
    next_multiple,
    pad,
    resize,
    tile_places,
    tile_starts,
)


def test_the_next_multiple_is_the_length_itself_where_it_is_one() -> None:
    assert [next_multiple(length, 8) for length in (1, 8, 9, 512, 631)] == [8, 8, 16, 512, 632]


def test_a_margin_mirrors_without_repeating_the_edge() -> None:
    assert mirror(3, 9) == [0, 1, 2, 1, 0, 1, 2, 1, 0]


def test_one_pixel_is_repeated() -> None:
    assert mirror(1, 4) == [0, 0, 0, 0]


@given(st.integers(1, 12), st.integers(1, 12), st.integers(0, 30), st.integers(0, 30))
@settings(max_examples=60, deadline=None)
def test_padding_is_numpy_s_reflection(height: int, width: int, below: int, right: int) -> None:
    image = torch.arange(3 * height * width, dtype=torch.float32).reshape(3, height, width)

    padded = pad(image, height + below, width + right)

    margins = ((0, 0), (0, below), (0, right))
    assert np.array_equal(padded.numpy(), np.pad(image.numpy(), margins, mode="reflect"))


def test_an_image_of_the_right_size_is_neither_padded_nor_resized() -> None:
    image = torch.rand(3, 8, 16)
    assert pad(image, 8, 16) is image
    assert resize(image, 8, 16) is image


def test_resizing_keeps_a_flat_colour_and_the_range() -> None:
    flat = torch.full((3, 40, 30), 0.25)
    assert torch.allclose(resize(flat, 17, 64), torch.full((3, 17, 64), 0.25), atol=1e-6)
    edge = torch.zeros(3, 8, 8)
    edge[:, :, 4:] = 1
    resized = resize(edge, 64, 64)
    assert resized.min() == 0
    assert resized.max() == 1


def test_tiles_are_spread_evenly() -> None:
    assert tile_starts(100, 40, 10) == [0, 30, 60]
    assert tile_starts(40, 40, 10) == [0]
    assert tile_starts(64, 32, 8, step=8) == [0, 16, 32]


@given(st.data())
@settings(max_examples=100, deadline=None)
def test_tiles_cover_a_line_and_overlap_as_asked(data: st.DataObject) -> None:
    step = data.draw(st.sampled_from([1, 2, 8]))
    tile = step * data.draw(st.integers(1, 20))
    length = tile + step * data.draw(st.integers(0, 60))
    overlap = data.draw(st.integers(0, tile - step))

    starts = tile_starts(length, tile, overlap, step)

    assert starts[0] == 0
    assert starts[-1] == length - tile
    assert all(start % step == 0 for start in starts)
    # a start that is put on a multiple of step moves a tile by less than one step
    gaps = [later - start for start, later in pairwise(starts)]
    assert all(0 < gap <= min(tile - overlap + step - 1, tile) for gap in gaps)


@given(st.integers(1, 3), st.data())
@settings(max_examples=60, deadline=None)
def test_tiles_of_an_image_blend_into_that_image(batch: int, data: st.DataObject) -> None:
    size = data.draw(st.integers(4, 40)), data.draw(st.integers(4, 40))
    tile = data.draw(st.integers(2, size[0])), data.draw(st.integers(2, size[1]))
    overlap = data.draw(st.integers(0, min(tile) - 1))
    image = torch.rand(batch, 3, *size)
    places = tile_places(size, tile, overlap)

    whole = blend(cut_tiles(image, places, tile), places, size, feather(tile, overlap))

    assert torch.allclose(whole, image, atol=1e-5)


def test_the_middle_between_two_tiles_is_half_of_each() -> None:
    places = tile_places((4, 12), (4, 8), 4)
    tiles = [torch.zeros(1, 1, 4, 8), torch.ones(1, 1, 4, 8)]

    line = blend(tiles, places, (4, 12), feather((4, 8), 4))[0, 0, 2]

    assert places == [(0, 0), (0, 4)]
    assert torch.equal(line[:4], torch.zeros(4))
    assert torch.equal(line[8:], torch.ones(4))
    assert bool((line[4:8].diff() > 0).all())
    assert torch.allclose(line[4:8] + line[4:8].flip(0), torch.ones(4))
