"""Chooses a few samples of a dataset that differ as much as they can."""

from __future__ import annotations

import math
from collections.abc import Hashable, Iterator, Sequence
from typing import TYPE_CHECKING

from sv2r.config.selection import select
from sv2r.errors import SampleError
from sv2r.types import Dataset

if TYPE_CHECKING:
    from sv2r.types import Instances

# Samples whose labels are read, evenly spread over the dataset.
_LOOKED_AT = 200
# px: the side of a square that a small object fits in, as COCO counts.
_SMALL = 32


def choose_samples(dataset: Dataset, count: int, only: Sequence[str] = ()) -> list[str]:
    """Return the ids of up to count samples, in the dataset's order.

    Each next one brings most of what those before do not have: categories, sizes of pictures, small
    objects, many or few. Samples that cannot be read, or have no instance, come last.

    only: patterns that the ids must match; none: all.
    """
    places = [index for index, _ in select(dataset.ids, only)]
    looked = [places[i * len(places) // _LOOKED_AT] for i in range(_LOOKED_AT)]
    traits = {place: set(_traits_of(dataset, place)) for place in dict.fromkeys(looked)}
    chosen: list[int] = []
    seen: set[Hashable] = set()
    while traits and len(chosen) < count:
        # Of equals, the one in the middle of the longest stretch without any.
        best = max(traits, key=lambda place: (len(traits[place] - seen), _apart(place, chosen)))
        seen |= traits.pop(best)
        chosen.append(best)
    return [dataset.ids[place] for place in sorted(chosen)]


def _apart(place: int, chosen: Sequence[int]) -> int:
    return min((abs(place - other) for other in chosen), default=0)


def _traits_of(dataset: Dataset, place: int) -> Iterator[Hashable]:
    try:
        instances = dataset.samples[place].load_instances()
    except SampleError:
        return
    yield "size", instances.labels.shape
    yield "instances", math.ceil(math.log2(1 + len(instances.table)))
    yield from (("category", one.category) for one in instances.table.values())
    if _has_small(instances):
        yield "small"


def _has_small(instances: Instances) -> bool:
    import numpy as np

    _, pixels = np.unique(instances.labels[instances.labels > 0], return_counts=True)
    return bool((pixels < _SMALL**2).any())
