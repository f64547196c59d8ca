"""Exports any dataset as pictures and 16-bit id masks with the same stem."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any

from sv2r.plugin.hookspecs import hookimpl
from sv2r.plugin.specs import Runtime, Writer, WriterSpec
from sv2r.storage.files import replacing, write_atomically
from sv2r.storage.hashes import sha256_file
from sv2r.types import Dataset, Frame, Instances, Published, Record, Sample
from sv2r.writers.encoding import (
    HALVES,
    MarkingOptions,
    about_itself,
    done_samples,
    doubtful_ids,
    export_path,
    left_out,
    marks,
    publish_picture,
    told_of,
)
from sv2r.writers.masks import instance_rows, mask_values, renumbered
from sv2r.writers.splits import Mixing, drawn_split

if TYPE_CHECKING:
    from torch import Tensor

TABLE, ABOUT = "instances.jsonl", "dataset.json"
_LARGEST = 65535


class FolderWriter(Mixing[MarkingOptions]):
    """Writes images/, masks/ and instances.jsonl."""

    def __init__(self, options: MarkingOptions, runtime: Runtime) -> None:
        self._options = options
        self._output = runtime.output

    def target(self, sample: Sample, variant: int) -> str:
        """Return images/ID or images/SPLIT/ID; further variants end in _v1, _v2 ..."""
        return export_path(sample, variant, self._options)

    def claims(self, sample: Sample, variant: int) -> Iterable[str]:
        """Return where the picture and its mask go."""
        target = self.target(sample, variant)
        return [target, _mask_of(target)]

    def publish(
        self, sample: Sample, variant: int, image: Tensor | None, frame: Frame
    ) -> Published:
        """Write the mask, then the picture, so that no picture is ever without one."""
        from sv2r.images.label_image import encode_label_png

        values = mask_values(frame.instances, _LARGEST, TABLE)
        mask = encode_label_png(renumbered(frame.instances, values))
        target = self.target(sample, variant)
        write_atomically(self._output / _mask_of(target), mask, sync_folder=False)
        return publish_picture(self._output, target, image, frame, self._options)

    def finish(self, dataset: Dataset, records: Iterable[Record]) -> Mapping[str, str]:
        """Write a line per picture that is done: what each value of its mask is."""
        path = self._output / TABLE
        with (
            replacing(path) as temporary,
            temporary.open("w", encoding="utf-8", errors=HALVES) as stream,
        ):
            for sample, record in done_samples(dataset, records):
                crowds = doubtful_ids(record, self._options.doubtful)
                split = drawn_split(sample, self._options) if self._options.split else ""
                stream.write(_line(record, sample.load_instances(), crowds, sample.extra, split))
        about = told_of(dataset) if dataset.details or about_itself(dataset) else {}
        written = {TABLE: sha256_file(path)}
        if about:
            text = json.dumps(about, ensure_ascii=False, indent=1) + "\n"
            written[ABOUT] = write_atomically(self._output / ABOUT, text.encode(errors=HALVES))
        return written

    def prepare(self, dataset: Dataset) -> Iterable[str]:
        """Yield what the export cannot hold."""
        yield from left_out(dataset, TABLE)


def _mask_of(target: str) -> str:
    inner = PurePosixPath(target).relative_to("images")
    return str(PurePosixPath("masks") / inner.with_suffix(".png"))


def _line(
    record: Record,
    instances: Instances,
    crowds: frozenset[int],
    extra: Mapping[str, Any],
    split: str,
) -> str:
    """Return a line of instances.jsonl; pictures of one source share group_id.

    extra: what the dataset says of the picture besides.
    """
    values = mask_values(instances, _LARGEST, TABLE)
    rows = instance_rows(instances, values, crowds)
    line = {
        "image": record.output,
        "mask": _mask_of(str(record.output)),
        "group_id": record.sample,
        **marks(record.variant),
        **({"split": split} if split else {}),
        "instances": rows,
        **({"extra": dict(extra)} if extra else {}),
    }
    return json.dumps(line, ensure_ascii=False) + "\n"


def build(options: MarkingOptions, runtime: Runtime) -> Writer:
    """Return the writer."""
    return FolderWriter(options, runtime)


@hookimpl
def sv2r_writers() -> Iterable[WriterSpec[Any]]:
    """Return the folder exporter."""
    return [
        WriterSpec(
            name="folder",
            summary="Pictures and 16-bit id masks: images/, masks/ and instances.jsonl.",
            options=MarkingOptions,
            build=build,
            variants=True,
            rereads=True,
            keeps=True,
            reads=("folder", {"images": "images", "masks": "masks", "encoding": "ids"}),
        )
    ]
