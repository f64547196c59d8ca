"""A result's labels, read as anyone would read them, and held against those of the input."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sv2r.errors import SampleError, Sv2rError
from sv2r.plugin.options import validate_options
from sv2r.plugin.registry import Registry
from sv2r.plugin.specs import Runtime
from sv2r.types import Dataset, Instances, Record

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


class ReadBack:
    """The dataset that a loader finds in an output, by the pictures' paths in it."""

    def __init__(self, dataset: Dataset) -> None:
        self.dataset = dataset
        self._places = {id_.casefold(): index for index, id_ in enumerate(dataset.ids)}

    def strangers(self, outputs: set[str]) -> Iterator[str]:
        """Yield the pictures that are listed and that no record has."""
        known = {name.casefold() for name in outputs}
        yield from (id_ for id_ in self.dataset.ids if id_.casefold() not in known)

    def unlisted(self, record: Record) -> str | None:
        """Return that no label file lists a record's picture, or None where one does."""
        known = str(record.output).casefold() in self._places
        return None if known else "no label file lists it under its name"

    def difference(self, record: Record, instances: Instances) -> str | None:
        """Return why a record's picture does not have the labels of its source, or None."""
        index = self._places.get(str(record.output).casefold())
        if index is None:
            return "no label file lists it under its name"
        try:
            sample = self.dataset.samples[index]
            if not sample.image.is_file():
                return f"its labels name {sample.id}, which is not there"
            inexact = frozenset(int(id_) for id_ in record.label_iou)
            return different(instances, sample.load_instances(), inexact)
        except SampleError as error:
            return f"its labels cannot be read: {error}"


def read_back(
    registry: Registry, output: Path, loader: str, options: Mapping[str, Any]
) -> ReadBack | str:
    """Return what a loader finds in an output, or in one line why it finds nothing."""
    try:
        spec = registry.spec("loader", loader)
        chosen = validate_options(spec.options, dict(options), where="loader")
        return ReadBack(spec.build(chosen, Runtime(input=output))(output))
    except Sv2rError as error:
        return f"the {loader} loader cannot read the result: {error}"


def different(
    one: Instances, other: Instances, inexact: frozenset[int] = frozenset()
) -> str | None:
    """Return how two pictures' instances differ, whatever their ids, or None where they do not.

    inexact: those of one that other cannot hold to the pixel, and whose masks are not compared.
    """
    if one.size != other.size:
        sizes = [f"{width}×{height}" for height, width in (one.size, other.size)]
        return f"its labels are {sizes[1]}, those of its source {sizes[0]}"
    if _shows_the_same(one, other):
        return None
    mine, theirs = _masks(one, inexact), _masks(other)
    lost, more = (mine - theirs).total(), (theirs - mine).total()
    if not lost and more <= len(inexact):
        return None
    return f"{lost} of {mine.total()} instances are not those of its source ({more} others)"


def _shows_the_same(one: Instances, other: Instances) -> bool:
    """Return whether two label maps are one but for the numbers in them."""
    import numpy as np

    left, right = one.labels.reshape(-1), other.labels.reshape(-1)
    changes = np.flatnonzero((left[1:] != left[:-1]) | (right[1:] != right[:-1])) + 1
    starts = np.concatenate([[0], changes])
    pairs = np.unique(np.stack([left[starts], right[starts]]), axis=1).T.tolist()
    alike = len({a for a, _ in pairs}) == len(pairs) == len({b for _, b in pairs})
    return alike and all(_category(one, a) == _category(other, b) for a, b in pairs)


def _category(instances: Instances, id_: int) -> str | None:
    return instances.table[id_].category if id_ in instances.table else None


def _masks(
    instances: Instances, without: frozenset[int] = frozenset()
) -> Counter[tuple[str, bytes]]:
    """Return the instances that have pixels, by category and mask."""
    wanted = ((id_, one) for id_, one in instances.table.items() if id_ not in without)
    masks = ((one.category, instances.mask(id_)) for id_, one in wanted)
    return Counter((category, _packed(mask)) for category, mask in masks if mask.any())


def _packed(mask: NDArray[np.bool_]) -> bytes:
    import numpy as np

    return np.packbits(mask).tobytes()
