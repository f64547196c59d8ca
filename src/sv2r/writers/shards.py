"""What exports into shards share: which picture goes where, and how a shard comes to be.

Pictures are published one by one, by several workers, below the job's own folder; `finish`, in the
driver, packs them. A shard is there whole or not at all, and a picture's place in it hangs on the
dataset alone, so that a job that was stopped and continued ends with the same bytes.
"""

from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from pydantic import Field

from sv2r.errors import SampleError
from sv2r.storage.files import replacing
from sv2r.storage.hashes import sha256_file
from sv2r.storage.others import OWN, PARTS
from sv2r.storage.source import as_source, names_in
from sv2r.types import Dataset, Record, Sample
from sv2r.writers.encoding import MarkingOptions, bare_path, done_samples
from sv2r.writers.splits import drawn_split


class ShardOptions(MarkingOptions):
    """Options that exports into shards share."""

    per_shard: int = Field(
        1000, ge=1, le=1_000_000, description="Samples of the input in a shard, at most."
    )


class Packed(NamedTuple):
    """A picture that is done. names: its files in the shard, the picture first."""

    sample: Sample
    record: Record
    names: tuple[str, ...]


class Shards:
    """The shards of an export.

    form: a shard's path under the output, such as "{split}-{number:06}.tar".
    """

    def __init__(self, output: Path, options: ShardOptions, form: str) -> None:
        self._output = output
        self._options = options
        self._form = form
        self._places: dict[str, tuple[int, str]] = {}

    def assign(self, dataset: Dataset) -> None:
        """Give each sample of a dataset its shard: so many of a split in a row."""
        counts: Counter[str] = Counter()
        for index, id_ in enumerate(dataset.ids):
            try:
                split = drawn_split(dataset.samples[index], self._options)
            except SampleError:  # it fails by itself, with its reason, when it is read
                continue
            number = counts[split] // self._options.per_shard
            self._places[id_] = index, self._form.format(split=split, number=number)
            counts[split] += 1

    def target(self, sample: Sample, variant: int) -> str:
        """Return SHARD/KEY.SUFFIX of a picture; see `escaped`."""
        path = bare_path(sample, variant, self._options)
        folder = "" if len(path.parts) == 1 else f"{path.parent.as_posix()}/"
        return (
            f"{self._places[sample.id][1]}/{escaped(f'{folder}{path.stem}')}{path.suffix.lower()}"
        )

    def split(self, sample: Sample) -> str:
        """Return a sample's split."""
        return drawn_split(sample, self._options)

    def loose(self, target: str) -> Path:
        """Return where a file lies until its shard is made."""
        return self._output / OWN / PARTS / target

    def pack(
        self,
        dataset: Dataset,
        records: Iterable[Record],
        names: Callable[[str], tuple[str, ...]],
        write: Callable[[Path, Iterator[tuple[Packed, list[bytes]]]], None],
    ) -> dict[str, str]:
        """Make the shards of all that is done and return the SHA-256 of each by its path.

        names: returns a picture's files in its shard, by its target. write: writes a shard's file
        from its pictures, each with the bytes of these files.

        Raises:
            SampleError: a file of a picture that is done is gone.
        """
        made: dict[str, list[Packed]] = {}
        for sample, record in done_samples(dataset, records):
            shard = self._places[sample.id][1]
            own = names(str(record.output).removeprefix(f"{shard}/"))
            made.setdefault(shard, []).append(Packed(sample, record, own))
        for shard in {shard for _, shard in self._places.values()} - made.keys():
            (self._output / shard).unlink(missing_ok=True)
        written = {shard: self._shard(shard, made[shard], write) for shard in sorted(made)}
        shutil.rmtree(self._output / OWN / PARTS, ignore_errors=True)
        return written

    def _shard(
        self,
        shard: str,
        some: list[Packed],
        write: Callable[[Path, Iterator[tuple[Packed, list[bytes]]]], None],
    ) -> str:
        path = self._output / shard
        wanted = {name for one in some for name in one.names}
        if self.loose(shard).exists() or not path.is_file() or _files_in(path) != wanted:
            some.sort(key=lambda one: (self._places[one.sample.id][0], one.record.variant))
            with replacing(path) as temporary:
                write(temporary, ((one, self._read(shard, one)) for one in some))
            shutil.rmtree(self.loose(shard), ignore_errors=True)  # the disk holds one shard twice
        return sha256_file(path)

    def _read(self, shard: str, one: Packed) -> list[bytes]:
        """Return a picture's files: what was published now, or else what the shard has of them."""
        found = []
        for name in one.names:
            loose = self.loose(f"{shard}/{name}")
            path = loose if loose.is_file() else as_source(self._output / shard) / name
            try:
                found.append(path.read_bytes())
            except OSError:
                fix = "sv2r verify --fix, then the same command again, makes it anew"
                raise SampleError(f"{shard}: {name} is gone; {fix}") from None
        return found


def _files_in(path: Path) -> set[str]:
    """Return the names of the files in a shard, with their folders."""
    root = as_source(path)
    waiting, found = [""], set()
    while waiting:
        folder = waiting.pop()
        for name in names_in(root / folder):
            place = f"{folder}{name}"
            if (root / place).is_dir():
                waiting.append(f"{place}/")
            else:
                found.add(place)
    return found


def escaped(key: str) -> str:
    """Return a key without dots, which end a key in a shard: a dot is %2E, a per cent sign %25."""
    return key.replace("%", "%25").replace(".", "%2E")


def same_key(name: str, suffix: str) -> str:
    """Return the file of the same key with another suffix."""
    return str(PurePosixPath(name).with_suffix("")) + suffix
