"""Labels that are read and drawn once per command, however many parts of it use them."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from threading import Lock
from typing import overload

from sv2r.types import Instances, Sample

# Pixels of label maps that are kept at most: 64 MB of them.
_MOST = 1 << 24


class KeptLabels(Sequence[Sample]):
    """Samples that keep their labels: the last ones used, as many as _MOST pixels hold.

    A picture's labels are asked for before the job begins, in the picture's life, by the contact
    sheet and by the report.
    """

    def __init__(self, samples: Sequence[Sample]) -> None:
        self._samples = samples
        self._kept: OrderedDict[int, Instances] = OrderedDict()
        self._pixels = 0
        self._lock = Lock()

    def __len__(self) -> int:
        return len(self._samples)

    @overload
    def __getitem__(self, index: int) -> Sample: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[Sample]: ...
    def __getitem__(self, index: int | slice) -> Sample | Sequence[Sample]:
        if isinstance(index, slice):
            return [self[i] for i in range(*index.indices(len(self)))]
        sample = self._samples[index]
        return replace(sample, load_instances=partial(self._load, index, sample.load_instances))

    def _load(self, index: int, load: Callable[[], Instances]) -> Instances:
        with self._lock:
            if index in self._kept:
                self._kept.move_to_end(index)
                return self._kept[index]
        instances = load()
        with self._lock:
            self._keep(index, instances)
        return instances

    def _keep(self, index: int, instances: Instances) -> None:
        if index in self._kept:  # another thread was faster
            return
        self._kept[index] = instances
        self._pixels += _area(instances)
        while self._pixels > _MOST:
            _, oldest = self._kept.popitem(last=False)
            self._pixels -= _area(oldest)


def _area(instances: Instances) -> int:
    height, width = instances.size
    return height * width
