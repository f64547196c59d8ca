"""Exports any dataset as WebDataset: tars of pictures, masks and JSON, for streaming trainers."""

from __future__ import annotations

import io
import json
import tarfile
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sv2r.plugin.hookspecs import hookimpl
from sv2r.plugin.specs import Runtime, Writer, WriterSpec
from sv2r.storage.files import write_atomically
from sv2r.types import Dataset, Frame, Published, Record, Sample
from sv2r.writers.encoding import HALVES, doubtful_ids, left_out, marks, publish_picture, told_of
from sv2r.writers.masks import instance_rows, mask_values, renumbered
from sv2r.writers.shards import Packed, ShardOptions, Shards, same_key
from sv2r.writers.splits import Mixing

if TYPE_CHECKING:
    from torch import Tensor

_ABOUT = "dataset.json"
_MASK, _JSON = ".mask.png", ".json"
_LARGEST = 65535


class WebDatasetWriter(Mixing[ShardOptions]):
    """Writes SPLIT-000000.tar … and dataset.json."""

    def __init__(self, options: ShardOptions, runtime: Runtime) -> None:
        self._options = options
        self._output = runtime.output
        self._shards = Shards(runtime.output, options, "{split}-{number:06}.tar")

    def prepare(self, dataset: Dataset) -> Iterable[str]:
        """Yield what the export cannot hold; give each sample its shard."""
        self._shards.assign(dataset)
        yield from left_out(dataset, _ABOUT)

    def target(self, sample: Sample, variant: int) -> str:
        """Return SPLIT-000000.tar/KEY.SUFFIX, with _v1, _v2 ... before the suffix of variants."""
        return self._shards.target(sample, variant)

    def claims(self, sample: Sample, variant: int) -> Iterable[str]:
        """Return where the picture, its mask and its JSON go."""
        return _names(self.target(sample, variant))

    def publish(
        self, sample: Sample, variant: int, image: Tensor | None, frame: Frame
    ) -> Published:
        """Write the three files of a key where they lie until they are packed."""
        from dataclasses import replace

        from sv2r.images.label_image import encode_label_png

        target, found = self.target(sample, variant), frame.instances
        values = mask_values(found, _LARGEST, _MASK)
        _, mask, text = _names(target)
        about = _about(sample, variant, self._shards.split(sample), frame, values)
        for name, data in ((mask, encode_label_png(renumbered(found, values))), (text, about)):
            write_atomically(self._shards.loose(name), data, sync_folder=False)
        loose = self._shards.loose("")
        made = publish_picture(loose, target, image, frame, self._options, sync_folder=True)
        return replace(made, path=target)

    def finish(self, dataset: Dataset, records: Iterable[Record]) -> Mapping[str, str]:
        """Make the tars of all that is done, and dataset.json."""
        written = self._shards.pack(dataset, records, _names, self._write)
        text = json.dumps(told_of(dataset), ensure_ascii=False, indent=1) + "\n"
        return {
            **written,
            _ABOUT: write_atomically(self._output / _ABOUT, text.encode(errors=HALVES)),
        }

    def _write(self, path: Path, some: Iterator[tuple[Packed, list[bytes]]]) -> None:
        with tarfile.open(path, "w", format=tarfile.PAX_FORMAT) as tar:
            for one, (picture, mask, text) in some:
                crowds = doubtful_ids(one.record, self._options.doubtful)
                datas = (picture, mask, _marked(text, one.sample, crowds) if crowds else text)
                for name, data in zip(one.names, datas, strict=True):
                    # Without a time or an owner: the same bytes always.
                    info = tarfile.TarInfo(name)
                    info.size, info.mode = len(data), 0o644
                    tar.addfile(info, io.BytesIO(data))


def _names(target: str) -> tuple[str, str, str]:
    """Return the files of a key: picture, mask, JSON."""
    return target, same_key(target, _MASK), same_key(target, _JSON)


def _about(
    sample: Sample, variant: int, split: str, frame: Frame, values: Mapping[int, int]
) -> bytes:
    """Return a picture's JSON; pictures of one source share group_id."""
    height, width = frame.instances.size
    told = {
        "id": sample.id,
        "group_id": sample.id,
        **marks(variant),
        "split": split,
        "width": width,
        "height": height,
        "instances": instance_rows(frame.instances, values),
        **({"extra": dict(sample.extra)} if sample.extra else {}),
    }
    return json.dumps(told, ensure_ascii=False).encode(errors=HALVES)


def _marked(text: bytes, sample: Sample, crowds: frozenset[int]) -> bytes:
    """Return a picture's JSON with instances marked as crowds."""
    told: dict[str, Any] = json.loads(text)
    values = mask_values(sample.load_instances(), _LARGEST, _MASK)
    for row in told["instances"]:
        row["crowd"] = row["crowd"] or row["value"] in {values[id_] for id_ in crowds}
    return json.dumps(told, ensure_ascii=False).encode(errors=HALVES)


def build(options: ShardOptions, runtime: Runtime) -> Writer:
    """Return the writer."""
    return WebDatasetWriter(options, runtime)


@hookimpl
def sv2r_writers() -> Iterable[WriterSpec[Any]]:
    """Return the WebDataset exporter."""
    return [
        WriterSpec(
            name="webdataset",
            summary="WebDataset: SPLIT-000000.tar with a picture, a 16-bit mask and JSON per key.",
            options=ShardOptions,
            build=build,
            variants=True,
            rereads=True,
            keeps=True,
            packs=True,
            reads=("webdataset", {}),
        )
    ]
