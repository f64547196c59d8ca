"""What the page says of one record, and what it can say of its pictures and labels."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any
from urllib.parse import quote

from sv2r.errors import SampleError
from sv2r.output.attempts import Attempt
from sv2r.output.journal import FOLDER
from sv2r.storage.source import SourcePath
from sv2r.types import Dataset, Record, Status

# Worst first: what gave no picture, then the pictures by what is left of their instances.
_ORDER: Mapping[Status, int] = {"failed": 0, "rejected": 1, "done": 2}


@dataclass(frozen=True)
class Row:
    """One instance. scores: "check.name" to number; survival: in [0, 1], None if unscorable."""

    id: int
    category: str | None
    survival: float | None
    scores: Mapping[str, float]


@dataclass(frozen=True)
class ReportEntry:
    """One record as the page shows it.

    before, after: URLs relative to the report, None where there is no picture.
    size: (height, width) of the picture in pixels, None where only the file tells.
    scores: of the picture as a whole, "check.name" to number. shift: in pixels, None if unmeasured.
    attempts: what was made and not published, with the URLs of the pictures. Where nothing was
        published, after is the best of these.
    """

    record: Record
    before: str | None
    after: str | None
    size: tuple[int, int] | None
    categories: tuple[str, ...]
    rows: tuple[Row, ...]
    scores: Mapping[str, float]
    shift: float | None
    attempts: tuple[tuple[Attempt, str], ...] = ()

    @property
    def worst(self) -> float | None:
        """Return the survival of the instance that survived least, None where none was scored."""
        found = [row.survival for row in self.rows if row.survival is not None]
        return min(found, default=None)

    @property
    def rank(self) -> tuple[int, float, float, str, int]:
        """Return what sorts entries, the worst first."""
        worst = self.worst
        survived = 2.0 if worst is None else worst
        return (
            _ORDER[self.record.status],
            survived,
            -(self.shift or 0.0),
            self.record.sample,
            self.record.variant,
        )


AttemptsByPicture = Mapping[tuple[str, int], Sequence[tuple[Attempt, Path]]]
"""The attempts that were kept and their pictures, by sample and variant."""
_NO_ATTEMPTS: AttemptsByPicture = MappingProxyType({})


def make_entry(
    record: Record,
    output: Path,
    dataset: Dataset | None,
    index: int | None,
    kept: AttemptsByPicture = _NO_ATTEMPTS,
) -> ReportEntry:
    """Return what the page shows of a record; index: its sample's position in the dataset."""
    size, before = _look_up(dataset, index, output) if dataset and index is not None else _NOTHING
    table = {id_: name for name, ids in record.instances.items() for id_ in ids}
    rows = tuple(_rows(record.scores, table))
    categories = {row.category: None for row in rows if row.category is not None}
    attempts = tuple(
        (attempt, _url(picture, output / FOLDER))
        for attempt, picture in kept.get((record.sample, record.variant), ())
    )
    best = next((url for attempt, url in attempts if attempt.best), None)
    return ReportEntry(
        record,
        before,
        _url(Path(record.output), Path(FOLDER)) if record.output else best,
        size,
        tuple(categories),
        rows,
        dict(_picture_scores(record.scores)),
        shift_of(record.scores),
        attempts,
    )


def survival_of(scores: Mapping[str, Any], instance: str) -> float | None:
    """Return an instance's survival in [0, 1], or None where it was not or could not be scored."""
    found = _instances(scores, "survival").get(instance)
    return _number(found.get("survival")) if isinstance(found, Mapping) else None


def shift_of(scores: Mapping[str, Any]) -> float | None:
    """Return by how many pixels the whole picture has moved, or None where none measured it."""
    found = scores.get("shift")
    picture = found.get("picture") if isinstance(found, Mapping) else None
    return _number(picture.get("shift")) if isinstance(picture, Mapping) else None


_NOTHING = (None, None)


def _look_up(
    dataset: Dataset, index: int, output: Path
) -> tuple[tuple[int, int] | None, str | None]:
    """Return a sample's size and its picture's URL, as far as they are known without reading it."""
    try:
        sample = dataset.samples[index]
    except SampleError:
        return _NOTHING
    # A page that waits for what is no file, a pipe perhaps, never opens; none opens an archive.
    try:
        there = sample.image.is_file() and not isinstance(sample.image, SourcePath)
    except OSError:  # a name that is too long for any file
        there = False
    return sample.size, _url(sample.image, output / FOLDER) if there else None


def _rows(scores: Mapping[str, Any], table: Mapping[int, str]) -> Iterator[Row]:
    """Yield a picture's instances, worst first; without scores, in the order of their ids."""
    checks = [name for name in scores if _instances(scores, name)]
    ids = {int(id_) for name in checks for id_ in _instances(scores, name) if id_.isdecimal()}
    rows = [
        Row(
            id_,
            table.get(id_),
            survival_of(scores, str(id_)),
            {
                f"{name}.{key}": value
                for name in checks
                for key, value in _numbers(_instances(scores, name).get(str(id_)))
            },
        )
        for id_ in sorted(ids | table.keys())
    ]
    yield from sorted(rows, key=lambda row: 2.0 if row.survival is None else row.survival)


def _picture_scores(scores: Mapping[str, Any]) -> Iterator[tuple[str, float]]:
    for name, found in scores.items():
        if isinstance(found, Mapping):
            for key, value in _numbers(found.get("picture")):
                yield f"{name}.{key}", value


def _instances(scores: Mapping[str, Any], check: str) -> Mapping[str, Any]:
    found = scores.get(check)
    instances = found.get("instances") if isinstance(found, Mapping) else None
    return instances if isinstance(instances, Mapping) else {}


def _numbers(values: Any) -> Iterator[tuple[str, float]]:
    for key, value in values.items() if isinstance(values, Mapping) else ():
        if (number := _number(value)) is not None:
            yield str(key), number


def _number(value: Any) -> float | None:
    good = isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)
    return float(value) if good else None


def _url(path: Path, folder: Path) -> str:
    """Return a path as a URL relative to a folder; whatever a name holds, it stays a name."""
    return quote(os.fsencode(os.path.relpath(path, folder)))
