from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from sv2r.images.rasterise import rasterise, runs_of


def runs(mask):
    flat = np.asfortranarray(mask).ravel(order="F").astype(np.int64)
    edges = np.flatnonzero(np.diff(flat, prepend=0, append=0))
    return edges.reshape(-1, 2)


def test_counts_become_the_runs_that_are_set():
    assert runs_of(np.array([2, 3, 0, 0, 1, 4])).tolist() == [[2, 5], [6, 10]]
    assert runs_of(np.array([0, 5])).tolist() == [[0, 5]]
    assert runs_of(np.array([5])).tolist() == []
    assert runs_of(np.array([], np.int64)).tolist() == []


def test_the_last_shape_lies_on_top_and_what_it_hides_is_kept():
    below = np.array([[1, 1, 1, 0, 0]])
    above = np.array([[0, 0, 1, 1, 0]])
    labels, hidden = rasterise((1, 5), [runs(below), runs(above)], [7, 3])
    assert labels.tolist() == [[7, 7, 3, 3, 0]]
    assert {id_: pixels.tolist() for id_, pixels in hidden.items()} == {7: [2]}


def test_runs_go_down_the_columns():
    labels, hidden = rasterise((2, 3), [np.array([[1, 4]])], [1])
    assert labels.tolist() == [[0, 1, 0], [1, 1, 0]]
    assert hidden == {}


def test_no_shapes_make_an_empty_map():
    labels, hidden = rasterise((2, 3), [], [])
    assert labels.tolist() == [[0, 0, 0], [0, 0, 0]]
    assert labels.dtype == np.int32
    assert hidden == {}


def test_the_map_lies_in_rows_as_flat_indices_need_it():
    labels, _ = rasterise((3, 2), [np.array([[0, 6]])], [1])
    assert labels.flags["C_CONTIGUOUS"]


@given(
    st.tuples(st.integers(1, 6), st.integers(1, 6), st.integers(0, 5)).flatmap(
        lambda s: arrays(np.bool_, (s[2], s[0], s[1]))
    )
)
def test_every_mask_comes_back_exactly(masks):
    size = masks.shape[1:]
    ids = [10 + 3 * i for i in range(len(masks))][::-1]
    labels, hidden = rasterise(size, [runs(mask) for mask in masks], ids)
    covered = np.zeros(size, bool)
    for id_, mask in reversed(list(zip(ids, masks, strict=True))):
        visible = labels == id_
        assert np.array_equal(visible, mask & ~covered)
        whole = visible.copy()
        if id_ in hidden:
            assert not whole.ravel()[hidden[id_]].any()
            whole.reshape(-1)[hidden[id_]] = True
        assert np.array_equal(whole, mask)
        covered |= mask
    assert np.array_equal(labels == 0, ~covered)
