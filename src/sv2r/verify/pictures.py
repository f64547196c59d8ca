"""What one record of a finished output comes to: its picture, labels and scores."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sv2r.errors import ConfigError, SampleError
from sv2r.images.decode import picture_size, read_picture
from sv2r.plugin.specs import Check
from sv2r.storage.hashes import sha256_file
from sv2r.storage.source import published_file
from sv2r.types import SOURCE_VARIANT, Dataset, Record
from sv2r.verify.findings import Fault
from sv2r.verify.labels import Compared, ExpectedLabels
from sv2r.verify.scores import score_again

if TYPE_CHECKING:
    from sv2r.images.decode import Picture


@dataclass(frozen=True)
class Inputs:
    """What the output is compared with, as far as it still exists."""

    output: Path
    dataset: Dataset | None
    labels: ExpectedLabels | None
    places: dict[str, int] = field(default_factory=dict)
    checks: tuple[tuple[str, Check], ...] = ()
    kept: bool = False


@dataclass(frozen=True)
class LookedRecord:
    """What one record came to.

    places: under the output, of the files that it explains. others: checks of which another version
    scored the picture.
    """

    record: Record
    labels: int = 0
    scored: bool = False
    places: frozenset[str] = frozenset()
    findings: tuple[Fault, ...] = ()
    others: frozenset[str] = frozenset()


def look_at_record(inputs: Inputs, item: tuple[Record, bool]) -> LookedRecord:
    """Return what is wrong with one record's files; called from several threads."""
    record, turn = item
    index = inputs.places.get(record.sample)
    findings: list[Fault] = []
    picture = None
    if record.status == "done":
        picture = _look_at_picture(inputs, record, index, findings)
    compared = _look_at_labels(inputs, record, index, findings)
    scored, others = False, frozenset[str]()
    turn = turn and record.variant != SOURCE_VARIANT
    if turn and picture is not None and index is not None and inputs.dataset and inputs.checks:
        try:
            again = score_again(
                inputs.dataset, index, record, picture.pixels, inputs.checks, kept=inputs.kept
            )
            findings += again.findings
            others, scored = again.others, True
        except SampleError as error:
            findings.append(_of(record, "score", f"cannot be scored again: {error}"))
    places = compared.places | ({record.output} if record.output else set())
    return LookedRecord(record, compared.equal, scored, places, tuple(findings), others)


def _look_at_picture(
    inputs: Inputs, record: Record, index: int | None, findings: list[Fault]
) -> Picture | None:
    """Return a published picture that can be read, and note what is wrong with it."""
    try:
        path = published_file(inputs.output, record.output or "")
    except ConfigError as error:
        findings.append(_of(record, "unreadable", str(error)))
        return None
    except SampleError:
        text = "its record, or a link, leads to a file outside of the output folder"
        findings.append(_of(record, "record", text))
        return None
    if not path.exists():
        findings.append(_of(record, "missing", "the picture is gone"))
        return None
    try:
        picture = read_picture(path, str(record.output))
    except SampleError as error:
        text = str(error).removeprefix(f"{record.output}: ").partition(";")[0]
        findings.append(_of(record, "unreadable", f"{text}"))
        return None
    if picture.sha256 != record.output_sha256:
        findings.append(_of(record, "changed", "not the bytes that were published"))
    if inputs.dataset:
        findings += _against_source(inputs.dataset, index, record, picture)
    return picture


def _against_source(
    dataset: Dataset, index: int | None, record: Record, picture: Picture
) -> Iterator[Fault]:
    """Yield what is wrong between a published picture and the sample that it was made from."""
    if index is None:
        yield _of(record, "record", "no sample of the input has its id any more", again=False)
        return
    height, width = picture.pixels.shape[:2]
    try:
        sample = dataset.samples[index]
        sizes = {"source": picture_size(sample.image, sample.id), "label": sample.size}
        digest = sha256_file(sample.image)
    except (SampleError, OSError) as error:
        yield _of(record, "missing", f"its source cannot be read: {error}", again=False)
        return
    for what, size in sizes.items():
        if size and size != (height, width):
            text = f"{width}×{height}, its {what} {size[1]}×{size[0]}"
            yield _of(record, "size", text)
    if record.input_sha256 and digest != record.input_sha256:
        yield _of(record, "changed", "its source has changed since it was made")


def _look_at_labels(
    inputs: Inputs, record: Record, index: int | None, findings: list[Fault]
) -> Compared:
    if inputs.labels is None or index is None:
        return Compared()
    try:
        compared = inputs.labels.of_record(index, record)
    except SampleError as error:
        if record.status == "done":
            text = f"its labels cannot be read: {error}"
            findings.append(_of(record, "labels", text, again=False))
        return Compared()
    findings += compared.findings
    return compared


def _of(record: Record, kind: Any, message: str, *, again: bool = True) -> Fault:
    """Return a finding on a record's picture; again: whether making it anew would fix it."""
    sample = record.sample if again else None
    return Fault(kind, str(record.output or record.sample), message, sample, record.variant)
