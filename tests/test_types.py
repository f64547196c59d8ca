from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from sv2r.types import Instance, Instances


def instances(labels: np.ndarray, ids, overlaps=None) -> Instances:
    table = {id_: Instance(id_, "thing") for id_ in ids}
    return Instances(labels.astype(np.int32), table, overlaps or {})


def test_areas_count_visible_and_hidden_pixels_of_every_instance() -> None:
    labels = np.array([[0, 7, 7], [9, 9, 7]])
    hidden = {7: np.array([3, 4]), 5: np.array([1])}
    assert instances(labels, (5, 7, 9, 2**31 - 1), hidden).areas() == {
        5: 1,
        7: 5,
        9: 2,
        2**31 - 1: 0,
    }


@given(
    arrays.arrays(
        np.int32,
        arrays.array_shapes(min_dims=2, max_dims=2, max_side=9),
        elements=st.integers(0, 4),
    )
)
def test_areas_are_what_the_masks_cover(labels: np.ndarray) -> None:
    some = instances(labels, (1, 2, 3, 4))
    assert some.areas() == {id_: int(some.mask(id_).sum()) for id_ in (1, 2, 3, 4)}
