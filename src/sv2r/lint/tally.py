"""Totals over all pictures: counts, and findings that need two pictures to compare.

Nothing grows with the dataset but two numbers of 64 bits for each picture, and a bit for each id.
"""

from __future__ import annotations

from array import array
from collections import Counter, defaultdict
from collections.abc import Iterator

from sv2r.errors import SampleError
from sv2r.lint.findings import Finding
from sv2r.lint.look import Looked, SampleFacts, place_of
from sv2r.types import Dataset, Instances

SIDES = (4, 8, 16, 32, 96)
"""Where the bins of the histogram of sizes part: the side of a square of as many pixels."""

# Distinct sizes of pictures that are counted by themselves.
_SIZES = 1000
_NAMED = 5
_WORD = (1 << 64) - 1
_BLOCK = 1 << 16  # ids
_BLOCKS = 1 << 12


class Tally:
    """Counts what looks find; samples come in the dataset's order."""

    def __init__(self, dataset: Dataset) -> None:
        self._dataset = dataset
        self._digests = array("Q")
        self._paths = array("Q")
        self._seen: defaultdict[str, SeenIds] = defaultdict(SeenIds)
        self.pictures = 0
        self.instances: Counter[str] = Counter()
        self.pictures_of: Counter[str] = Counter()
        self.sides: Counter[int] = Counter()
        self.sizes: Counter[tuple[int, int]] = Counter()
        self.other_sizes = 0
        self.channels: Counter[str] = Counter()
        self.touching = self.seen = self.judged = 0

    def add(self, looked: Looked) -> Iterator[Finding]:
        """Count a sample; yield what it adds to those before it."""
        self.pictures += 1
        self._paths.append(hash(looked.facts.place) & _WORD if looked.facts else 0)
        self._digests.append(looked.facts.digest if looked.facts else 0)
        if looked.facts:
            self._count(looked.facts)
            for file, id_ in looked.facts.ids:
                if self._seen[file].add(id_):
                    what = "has its id in common with another annotation"
                    yield Finding("shared-id", "error", looked.sample, str(id_), what)

    def _count(self, facts: SampleFacts) -> None:
        self.instances.update(facts.categories)
        self.pictures_of.update(facts.categories.keys())
        self.sides.update(sum(area >= side**2 for side in SIDES) for area in facts.areas)
        self.channels.update(facts.channels)
        self.touching += facts.touching
        self.seen += facts.seen
        self.judged += facts.judged
        if facts.size in self.sizes or len(self.sizes) < _SIZES:
            self.sizes[facts.size] += 1
        else:
            self.other_sizes += 1

    def finish(self) -> Iterator[Finding]:
        """Yield what only the whole dataset shows."""
        yield from self._same_files()
        yield from self._same_pictures()
        if self.pictures and not self.instances:
            yield Finding("unlabelled", "error", None, None, "no picture has an instance")
        elif self.pictures == len(self._dataset.ids):
            yield from self._unused()

    def _unused(self) -> Iterator[Finding]:
        listed = self._dataset.categories
        names = [name for name in listed if name not in self.instances]
        if names:
            some = ", ".join(names[:_NAMED])
            more = f" and {len(names) - _NAMED:,} more" if len(names) > _NAMED else ""
            what = f"{len(names):,} of {len(listed):,} categories: {some}{more}"
            yield Finding("unused", "remark", None, None, what)

    def _same_files(self) -> Iterator[Finding]:
        for first, again in _repeated(self._paths):
            if self._place(first) == self._place(again):
                name, before = self._dataset.ids[again], self._dataset.ids[first]
                what = f"is the file of {before} as well"
                yield Finding("same-file", "error", name, None, what)

    def _same_pictures(self) -> Iterator[Finding]:
        for first, again in _repeated(self._digests):
            if self._place(first) == self._place(again):
                continue  # told as one file
            name, before = self._dataset.ids[again], self._dataset.ids[first]
            if self._same_labels(first, again):
                what = f"has the bytes of {before}, and its labels"
                yield Finding("same-picture", "remark", name, None, what)
            else:
                what = f"has the bytes of {before}, but other labels"
                yield Finding("same-picture", "error", name, None, what)

    def _place(self, index: int) -> str:
        return place_of(self._dataset.samples[index])

    def _same_labels(self, *indices: int) -> bool:
        try:
            one, other = (self._dataset.samples[i].load_instances() for i in indices)
        except SampleError:
            return False
        return same_labels(one, other)


def same_labels(one: Instances, other: Instances) -> bool:
    """Return whether two pictures show the same instances, whatever their ids."""
    import numpy as np

    if one.size != other.size or len(one.table) != len(other.table):
        return False
    pairs = np.unique(np.stack([one.labels.reshape(-1), other.labels.reshape(-1)]), axis=1)
    left, right = pairs.tolist()
    if len(set(left)) < len(left) or len(set(right)) < len(right):
        return False
    return all(_category(one, a) == _category(other, b) for a, b in zip(left, right, strict=True))


def _category(instances: Instances, id_: int) -> str | None:
    return instances.table[id_].category if id_ in instances.table else None


def _repeated(numbers: array[int]) -> Iterator[tuple[int, int]]:
    """Yield (first, again) for every number but 0 that stands there again, in order."""
    import numpy as np

    values = np.array(numbers, np.uint64)
    _, firsts, group = np.unique(values, return_index=True, return_inverse=True)
    first = firsts[group]
    for again in np.flatnonzero((first != np.arange(len(values))) & (values != 0)).tolist():
        yield int(first[again]), again


class SeenIds:
    """Ids that came by: a bit for each, in blocks; ids beyond the last block are not tracked."""

    def __init__(self) -> None:
        self._blocks: dict[int, bytearray] = {}

    def add(self, id_: int) -> bool:
        """Return whether an id has been here before."""
        key, bit = divmod(id_, _BLOCK)
        if key not in self._blocks:
            if len(self._blocks) == _BLOCKS:
                return False
            self._blocks[key] = bytearray(_BLOCK // 8)
        block, flag = self._blocks[key], 1 << (bit & 7)
        before = bool(block[bit >> 3] & flag)
        block[bit >> 3] |= flag
        return before
