"""Compares the label files of a finished output with the input's, byte for byte.

What `mirror` carries over is looked for at its own path, without asking the writer. What another
writer makes is read by its loader, and must mean what the input's labels mean.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from typing import Any, Protocol

from sv2r.output.finished import Finished, chosen, reader_of
from sv2r.output.read_back import ReadBack, read_back
from sv2r.plugin.registry import Registry
from sv2r.plugin.specs import Claims, Prepares, Runtime, Writer
from sv2r.storage.hashes import sha256_file
from sv2r.storage.others import find_others
from sv2r.storage.paths import under
from sv2r.storage.source import published_file
from sv2r.types import Dataset, Record
from sv2r.verify.findings import Fault

CARRIER = "mirror"
_LINK = "the label file is a link, which no run makes"


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
    carries = spec.name == CARRIER
    if carries and options.format == "same":
        return Carried(finished, dataset, None)
    writer = spec.build(options, Runtime(input=dataset.root, output=finished.output))
    name, own = reader_of(finished, registry)
    found = read_back(registry, finished.output, name, own)
    if isinstance(writer, Prepares):
        tuple(writer.prepare(dataset))  # what it says was told when the job began
    made = MadeLabels(finished.output, dataset, found, writer, _named(own))
    return Carried(finished, dataset, made) if carries else made


def _named(options: Mapping[str, Any]) -> str:
    """Return what labels are called by the options that read them, where these name a file."""
    files = options.get("annotations") or options.get("masks") or "labels"
    return str(files[0] if isinstance(files, (list, tuple)) else files)


class Carried:
    """Label files that were copied: at their own path, or where run.yaml relocates them to."""

    def __init__(self, finished: Finished, dataset: Dataset, made: MadeLabels | None) -> None:
        self._output = finished.output
        self._dataset = dataset
        self._made = made
        writer = finished.section("writer")
        but = ", but for the names of pictures" if made else ""
        self.how = f"equal to the input's byte for byte{but}"
        relocate: Any = writer.get("relocate") or {}
        self._carries = writer.get("others", "leave") == "copy"
        self._relocate = {str(folder): str(place) for folder, place in relocate.items()}

    def of_dataset(self, records: Callable[[], Iterator[Record]]) -> Compared:
        """Return how the copies compare; where pictures have new names, what label files mean."""
        outputs = {str(record.output).casefold() for record in records() if record.output}
        others = find_others(self._dataset).files if self._carries else ()
        files = [self._dataset.root / name for name in others if name.casefold() not in outputs]
        carried = self._compare(files, None, relocate=False)
        if self._made is None:
            copied = self._compare(self._dataset.annotation_files, None)
            return _both(copied, carried)
        # A picture that was not made keeps its old name in the labels, and is not there.
        whole = self._made.of_dataset(records)
        unread = tuple(finding for finding in whole.findings if finding.path == ".")
        return _both(Compared(whole.places, whole.equal, unread), carried)

    def of_record(self, index: int, record: Record) -> Compared:
        """Return how the copies of one sample's own label files and channels compare."""
        sample = self._dataset.samples[index]
        copied = self._compare((*sample.annotation_files, *sample.channels.values()), record)
        if self._made is None or copied.findings:
            return copied
        return replace(copied, findings=self._made.of_record(index, record).findings)

    def _compare(
        self, files: Iterable[Path], record: Record | None, *, relocate: bool = True
    ) -> Compared:
        """Compare copies; those of a sample without a picture need not be there."""
        root = self._dataset.root
        pairs = [(f, self._place(f) if relocate else f.relative_to(root).as_posix()) for f in files]
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
    """Labels that a writer made: read by its loader, they must mean what the input's mean."""

    how = "holding what the input's labels hold"

    def __init__(
        self,
        output: Path,
        dataset: Dataset,
        found: ReadBack | str,
        writer: Writer,
        place: str,
    ) -> None:
        self._output = output
        self._dataset = dataset
        self._found = found
        self._writer = writer
        self._place = place

    def of_dataset(self, records: Callable[[], Iterator[Record]]) -> Compared:
        """Return what is wrong with the labels as a whole, and which files they are in."""
        if isinstance(self._found, str):
            return Compared(findings=(Fault("labels", self._place, self._found),))
        files = frozenset(self._inner(path) for path in self._found.dataset.annotation_files)
        outputs = {str(record.output) for record in records() if record.status == "done"}
        strange = "is labelled, but no record has it"
        findings = tuple(Fault("labels", name, strange) for name in self._found.strangers(outputs))
        return Compared(files, len(files), findings)

    def of_record(self, index: int, record: Record) -> Compared:
        """Return how the labels of one picture compare with those of its source."""
        if record.status != "done" or isinstance(self._found, str):
            return Compared()
        sample = self._dataset.samples[index]
        own = self._writer.claims if isinstance(self._writer, Claims) else None
        places = frozenset(own(sample, record.variant) if own else ()) - {str(record.output)}
        for place in sorted(places):
            path = published_file(self._output, place)
            if path.is_symlink() or not path.is_file():
                text = _LINK if path.is_symlink() else "a label file is missing"
                return Compared(places, 0, (_finding(text, place, record),))
        if problem := self._found.difference(record, sample.load_instances()):
            place = min(places, default=str(record.output))
            return Compared(places, 0, (_finding(problem, place, record),))
        return Compared(places, len(places))

    def _inner(self, path: Path) -> str:
        return path.relative_to(self._output).as_posix()


def _both(labels: Compared, others: Compared) -> Compared:
    """Return both together; files beside labels are not counted as such."""
    findings = (*labels.findings, *others.findings)
    return Compared(labels.places | others.places, labels.equal, findings)


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
