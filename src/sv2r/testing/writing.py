"""The contract of writers."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from sv2r.output.records import from_json, to_json
from sv2r.plugin.specs import Claims, Prepares, Runtime, Writer, WriterSpec
from sv2r.storage.files import TEMPORARY
from sv2r.storage.hashes import sha256_file
from sv2r.storage.source import as_source
from sv2r.testing.contract import Given, Subject, built, check_options, subject_of
from sv2r.testing.makers import as_uint8, make_dataset, read_rgb_frame
from sv2r.testing.tree import must_be_safe, tree, tree_difference
from sv2r.types import Dataset, Frame, Published, Record, Sample


def check_writer(
    spec: WriterSpec[Any], options: Given = None, *, dataset: Dataset | None = None
) -> None:
    """Raise ContractError unless a writer keeps its promises.

    Targets are distinct and inside the output; each published file is there, of its frame's height
    and width, with the hash that was told; so are the label files that are named, with the hashes
    that `finish` returns; what is published fits into a record. Nothing but the output is touched
    and no temporary file stays; another order of publishing, a second publishing and a second
    finish give the same bytes; a sample that failed does not keep the others from being finished;
    one that `keeps` publishes a frame's own picture for None.

    dataset: a small one with 8-bit RGB pictures; three made pictures otherwise.
    """
    check_options(spec)
    subject = subject_of(spec)
    with TemporaryDirectory() as name:
        folder = Path(name)
        given = make_dataset(folder / "input") if dataset is None else dataset
        before = tree(given.root)
        once = _Writing(subject, spec, options, given, folder / "once")
        records = once.publish(once.jobs)
        once.finish(records)
        written = tree(once.output)
        once.finish(once.publish(once.jobs[:1]) + records[1:])
        seen = tree_difference(written, tree(once.output))
        subject.must(not seen, "write the same bytes when a run is resumed", seen)
        other = _Writing(subject, spec, options, given, folder / "other")
        other.finish(other.publish(other.jobs[::-1])[::-1])
        seen = tree_difference(written, tree(other.output))
        subject.must(not seen, "write the same bytes in another order", seen)
        partial = _Writing(subject, spec, options, given, folder / "partial")
        missing = [partial.missing(record) for record in records[:1]]
        partial.finish(missing + partial.publish(partial.jobs[1:]))
        outside = {path.name for path in folder.iterdir()} - {
            "input",
            "once",
            "other",
            "partial",
            "kept",
        }
        if spec.keeps:
            kept = _Writing(subject, spec, options, given, folder / "kept")
            for sample in given.samples:
                kept.keep(sample)
        subject.must(not outside, "write inside its output alone", f"it made {outside}")
        subject.must(tree(given.root) == before, "leave its input as it was", "a file changed")


@dataclass(frozen=True)
class _Writing:
    """One output folder being filled by a writer of its own."""

    subject: Subject
    spec: WriterSpec[Any]
    options: Given
    dataset: Dataset
    output: Path

    def __post_init__(self) -> None:
        self.output.mkdir()

    @property
    def jobs(self) -> list[tuple[Sample, int]]:
        variants = range(2 if self.spec.variants else 1)
        return [(sample, variant) for sample in self.dataset.samples for variant in variants]

    @property
    def writer(self) -> Writer:
        """Return a writer made afresh, as each worker and the driver have their own."""
        runtime = Runtime(input=self.dataset.root, output=self.output)
        writer: Writer = built(self.spec, self.options, runtime)
        if isinstance(writer, Prepares):
            with self.subject.managing_to("prepare for a dataset"):
                tuple(writer.prepare(self.dataset))
        return writer

    def publish(self, jobs: Sequence[tuple[Sample, int]]) -> list[Record]:
        writer = self.writer
        records = [self._publish(writer, sample, variant) for sample, variant in jobs]
        targets = [str(record.output).casefold() for record in records]
        seen = f"{len(targets)} pictures, {len(set(targets))} targets"
        self.subject.must(len(set(targets)) == len(targets), "give distinct targets", seen)
        return records

    def _publish(self, writer: Writer, sample: Sample, variant: int) -> Record:
        with self.subject.managing_to(f"publish {sample.id}"):
            frame = read_rgb_frame(sample)
            target = writer.target(sample, variant)
            published = writer.publish(sample, variant, as_uint8(frame.image), frame)
        if not self.spec.packs:
            self._must_be_in_place(published, target)
        self._must_have_labels(writer, published, sample, variant)
        if not self.spec.packs:
            self._must_show(target, frame)
        record = Record(
            sample=sample.id,
            variant=variant,
            status="done",
            seed=1,
            prompt="a photo",
            input_sha256=frame.sha256,
            output=published.path,
            output_sha256=published.sha256,
            labels=published.labels,
            label_iou=published.label_iou,
        )
        with self.subject.managing_to("return a Published that fits into a record"):
            from_json(to_json(record))
        return record

    def _must_be_in_place(self, published: Published, target: str) -> None:
        same = published.path == target
        self.subject.must(same, "publish at its target", f"{published.path}, not {target}")
        path = as_source(must_be_safe(self.subject, self.output, target))
        self.subject.must(path.is_file(), "publish at its target", f"no file {target}")
        true = hashlib.sha256(path.read_bytes()).hexdigest() == published.sha256
        self.subject.must(true, "tell the hash of the published bytes", f"another for {target}")

    def _must_have_labels(
        self, writer: Writer, published: Published, sample: Sample, variant: int
    ) -> None:
        """Raise ContractError unless the label files that are named are there, and claimed."""
        promise = "name the label files that it copied, as a tuple of paths under the output"
        labels = published.labels
        named = isinstance(labels, tuple) and all(isinstance(path, str) for path in labels)
        self.subject.must(named, promise, repr(labels))
        lost = [path for path in labels if not (self.output / path).is_file()]
        self.subject.must(not lost, promise, f"no file {', '.join(lost)}")
        if isinstance(writer, Claims):
            unclaimed = {published.path, *labels} - set(writer.claims(sample, variant))
            promise = "claim every path that it publishes"
            self.subject.must(not unclaimed, promise, f"not {', '.join(sorted(unclaimed))}")

    def _must_show(self, target: str, frame: Frame) -> None:
        """Raise ContractError unless a picture file shows what was published."""
        import numpy as np
        from PIL import Image

        if Path(target).suffix.lower() not in Image.registered_extensions():
            return
        with Image.open(self.output / target) as picture:
            pixels, lossless = np.array(picture.convert("RGB")), picture.format == "PNG"
        (height, width), size = pixels.shape[:2], frame.size
        seen = f"{target} is {height}x{width}, its frame {size[0]}x{size[1]}"
        self.subject.must((height, width) == size, "keep the frame's height and width", seen)
        same = (pixels == as_uint8(frame.image).permute(1, 2, 0).numpy()).all()
        self.subject.must(bool(same) or not lossless, "keep every pixel of a PNG", target)

    def keep(self, sample: Sample) -> None:
        """Raise ContractError unless a frame's own picture is published for None."""
        frame, publish = read_rgb_frame(sample), getattr(self.writer, "publish")  # noqa: B009
        with self.subject.managing_to(f"publish {sample.id} as it is"):
            published = publish(sample, 0, None, frame)
        if not self.spec.packs:
            self._must_be_in_place(published, published.path)
            self._must_show(published.path, frame)

    def missing(self, record: Record) -> Record:
        return replace(
            record, status="failed", output=None, output_sha256=None, error="it is truncated"
        )

    def finish(self, records: Sequence[Record]) -> None:
        with self.subject.managing_to("finish"):
            told = self.writer.finish(self.dataset, records)
        if self.spec.packs:
            for record in records:
                if record.status == "done":
                    made = Published(str(record.output), str(record.output_sha256))
                    self._must_be_in_place(made, made.path)
        with self.subject.managing_to("finish"):
            files = {path: self.output / path for path in told}
            wrong = [p for p, f in files.items() if not f.is_file() or sha256_file(f) != told[p]]
        promise = "return the SHA-256 of each label file by its path under the output"
        self.subject.must(not wrong, promise, repr({path: told[path] for path in wrong}))
        left = [path for path in tree(self.output) if TEMPORARY in path]
        self.subject.must(not left, "leave no temporary file", f"{left}")
