"""Samples that are made when they are asked for, from what a loader keeps of each."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar, overload

from sv2r.errors import SampleError
from sv2r.types import Instances, Sample

KeptT = TypeVar("KeptT")


def failing(error: SampleError) -> Instances:
    """Raise what was wrong when a sample was made: in the place of labels that cannot be read.

    Raises:
        SampleError: always.
    """
    raise error


@dataclass(frozen=True)
class LazySamples(Sequence[Sample], Generic[KeptT]):
    """A sequence of samples.

    kept: what there is of each picture, small enough for millions. make: makes the sample of it.
    """

    kept: Sequence[KeptT]
    make: Callable[[KeptT], Sample]

    def __len__(self) -> int:
        return len(self.kept)

    @overload
    def __getitem__(self, index: int) -> Sample: ...

    @overload
    def __getitem__(self, index: slice) -> Sequence[Sample]: ...

    def __getitem__(self, index: int | slice) -> Sample | Sequence[Sample]:
        if isinstance(index, slice):
            return LazySamples(self.kept[index], self.make)
        return self.make(self.kept[index])
