"""Compares the label files of a finished output with the input's, byte for byte.

What `mirror` carries over is looked for at its own path, without asking the writer. What another
writer makes from the labels is made once more in a scratch folder, and must come out the same.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any, Protocol

from sv2r.errors import SampleError
from sv2r.output.finished import Finished, chosen
from sv2r.plugin.registry import Registry
from sv2r.plugin.specs import Runtime, Writer
from sv2r.storage.hashes import sha256_file
from sv2r.storage.paths import under
from sv2r.types import Dataset, Record
from sv2r.verify.findings import Fault
from sv2r.worker.frames import read_frame

CARRIER = "mirror"
_LINK = "the label file is a link, which no run makes"
_LABELS_GIVE = "what the input's labels give"


@dataclass(frozen=True)
class Compared:
    """Label files that were looked at.

    places: under the output folder, of the files that the labels explain. equal: how many of them
    have the bytes that they should have.
    """

    places: frozenset[str] = frozenset()
    equal: int = 0
    findings: tuple[Fault, ...] = ()


class ExpectedLabels(Protocol):
    """A way of telling what the label files of an output should be."""

    how: str

    def of_dataset(self, records: Callable[[], Iterator[Record]]) -> Compared:
        """Return how the label files of the dataset as a whole compare."""

    def of_record(self, index: int, record: Record) -> Compared:
        """Return how the label files of one sample compare."""


def open_labels(finished: Finished, dataset: Dataset, registry: Registry) -> ExpectedLabels:
    """Return how this output's label files can be verified.

    Raises:
        ConfigError: its writer is not installed here.
    """
    spec, options = chosen(finished, registry, "writer")
    made = MadeLabels(finished.output, dataset, lambda runtime: spec.build(options, runtime))
    return Carried(finished, dataset, made) if spec.name == CARRIER else made


class Carried:
    """Label files that were copied: at their own path, or where run.yaml relocates them to."""

    def __init__(self, finished: Finished, dataset: Dataset, made: MadeLabels) -> None:
        self._output = finished.output
        self._dataset = dataset
        self._made = made
        writer = finished.section("writer")
        self._renames = writer.get("format", "same") != "same"
        but = ", but for the names of pictures" if self._renames else ""
        self.how = f"equal to the input's byte for byte{but}"
        relocate: Any = writer.get("relocate") or {}
        self._relocate = {str(folder): str(place) for folder, place in relocate.items()}

    def of_dataset(self, records: Callable[[], Iterator[Record]]) -> Compared:
        """Return how the copies compare; with other picture formats, names in them were fixed."""
        if self._renames:
            return self._made.of_dataset(records)
        return self._compare(self._dataset.annotation_files, None)

    def of_record(self, index: int, record: Record) -> Compared:
        """Return how the copies of one sample's own label files and channels compare."""
        sample = self._dataset.samples[index]
        return self._compare((*sample.annotation_files, *sample.channels.values()), record)

    def _compare(self, files: Iterable[Path], record: Record | None) -> Compared:
        """Compare copies; those of a sample without a picture need not be there."""
        pairs = [(file, self._place(file)) for file in files]
        findings, equal = [], 0
        for file, place in pairs:
            if record and record.status != "done" and not (self._output / place).exists():
                continue
            if problem := _difference(file, self._output / place, str(file)):
                findings.append(_finding(problem, place, record))
            else:
                equal += 1
        return Compared(frozenset(place for _, place in pairs), equal, tuple(findings))

    def _place(self, file: Path) -> str:
        for folder, place in self._relocate.items():
            base = self._dataset.root / folder
            if file.is_relative_to(base):
                return str(PurePosixPath(place) / file.relative_to(base).as_posix())
        inside = file.is_relative_to(self._dataset.root)
        return file.relative_to(self._dataset.root).as_posix() if inside else file.name


class MadeLabels:
    """Label files that a writer makes: made again from the input, they must be the same."""

    how = f"equal to {_LABELS_GIVE}"

    def __init__(self, output: Path, dataset: Dataset, build: Callable[[Runtime], Writer]) -> None:
        self._output = output
        self._dataset = dataset
        self._build = build

    def of_dataset(self, records: Callable[[], Iterator[Record]]) -> Compared:
        """Return how the files compare that the writer makes when a job ends."""
        with tempfile.TemporaryDirectory(prefix="sv2r-verify-") as name:
            try:
                self._writer(name).finish(self._dataset, records())
            except SampleError as error:
                problem = Fault("labels", ".", f"the labels cannot be made again: {error}")
                return Compared(findings=(problem,))
            return self._compare(Path(name), None, frozenset())

    def of_record(self, index: int, record: Record) -> Compared:
        """Return how the label files compare that the writer puts next to one picture."""
        if record.status != "done":
            return Compared()
        import torch

        with tempfile.TemporaryDirectory(prefix="sv2r-verify-") as name:
            frame = read_frame(self._dataset, index)
            blank = torch.zeros((3, *frame.size), dtype=torch.uint8)
            published = self._writer(name).publish(frame.sample, record.variant, blank, frame)
            return self._compare(Path(name), record, frozenset({published.path}))

    def _writer(self, scratch: str) -> Writer:
        return self._build(Runtime(input=self._dataset.root, output=Path(scratch)))

    def _compare(self, scratch: Path, record: Record | None, but: frozenset[str]) -> Compared:
        made = {p.relative_to(scratch).as_posix(): p for p in scratch.rglob("*") if p.is_file()}
        places = sorted(made.keys() - but)
        problems = {p: _difference(made[p], self._output / p, _LABELS_GIVE) for p in places}
        findings = tuple(_finding(text, p, record) for p, text in problems.items() if text)
        return Compared(frozenset(places), len(places) - len(findings), findings)


def as_recorded(output: Path, verified: Mapping[str, str]) -> Compared:
    """Return how the dataset's label files compare with what the run noted of them."""
    findings, equal = [], 0
    for place, digest in sorted(verified.items()):
        path = under(output, place)
        if path is None:
            findings.append(Fault("record", place, "leads to a file outside of the output folder"))
        elif path.is_symlink():
            findings.append(Fault("labels", place, _LINK))
        elif not path.is_file():
            findings.append(Fault("missing", place, "a label file is missing"))
        elif sha256_file(path) != digest:
            what = "the label file is not the one that the run verified"
            findings.append(Fault("labels", place, f"{what}"))
        else:
            equal += 1
    return Compared(frozenset(verified), equal, tuple(findings))


def _difference(file: Path, copy: Path, named: str) -> str | None:
    """Return why a label file is not as it should be, or None; named: how to call the original."""
    if copy.is_symlink():
        return _LINK
    if not copy.is_file():
        return "a label file is missing"
    try:
        same = file.stat().st_size == copy.stat().st_size and sha256_file(file) == sha256_file(copy)
    except OSError as error:
        return f"cannot be compared with {named} ({error.strerror})"
    return None if same else f"the label file differs from {named}"


def _finding(text: str, place: str, record: Record | None) -> Fault:
    kind: Any = "missing" if "is missing" in text else "labels"
    task = (record.sample, record.variant) if record and record.status == "done" else (None, 0)
    return Fault(kind, place, text, *task)
