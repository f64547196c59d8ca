from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch

from sv2r.types import Batch
from sv2r.worker.batch_size import pick_batch_size
from tests import toys


class Device:
    """Translates in a time that its own clock shows; holds so many pictures."""

    def __init__(self, seconds: Callable[[int], float], limit: int = 1000) -> None:
        self.seconds, self.limit, self.now, self.sizes = seconds, limit, 0.0, []

    def translate(self, batch: Batch) -> None:
        self.sizes.append(len(batch))
        if len(batch) > self.limit:
            raise torch.OutOfMemoryError("out of memory")
        self.now += self.seconds(len(batch))

    def pick(self, **more: Any) -> int:
        return pick_batch_size(
            lambda size: toys.batch([(8, 8)] * size),
            self.translate,
            "cpu",
            clock=lambda: self.now,
            **more,
        )


def test_the_largest_that_fits_where_more_is_faster() -> None:
    device = Device(lambda size: 1 + 0.1 * size, limit=10)
    assert device.pick() == 8
    assert device.sizes == [1, 1, 2, 2, 4, 4, 8, 8, 16]


def test_one_where_a_batch_does_not_pay() -> None:
    device = Device(lambda size: 1.0 * size)
    assert device.pick() == 1
    assert device.sizes == [1, 1, 2, 2, 4, 4]


def test_what_is_fastest_in_between() -> None:
    per_picture = {1: 1.0, 2: 0.6, 4: 0.5, 8: 0.7, 16: 0.9}
    assert Device(lambda size: size * per_picture[size]).pick() == 4


def test_a_little_faster_is_not_worth_a_larger_batch() -> None:
    assert Device(lambda size: size * (1 - 0.001 * size)).pick(candidates=(1, 2, 4)) == 1


def test_not_even_one_fits() -> None:
    with pytest.raises(torch.OutOfMemoryError):
        Device(lambda size: 1.0, limit=0).pick()
