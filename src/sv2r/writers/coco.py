"""Exports any dataset as COCO: pictures, and one JSON with pixel-exact RLE masks."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from itertools import chain, count
from typing import TYPE_CHECKING, Any

from sv2r.plugin.hookspecs import hookimpl
from sv2r.plugin.specs import Runtime, Writer, WriterSpec
from sv2r.storage.files import replacing
from sv2r.storage.hashes import sha256_file
from sv2r.types import Dataset, Frame, Instances, Published, Record, Sample
from sv2r.writers.encoding import (
    MarkingOptions,
    about_itself,
    done_samples,
    doubtful_ids,
    export_path,
    left_out,
    publish_picture,
)
from sv2r.writers.splits import drawn_split

if TYPE_CHECKING:
    from torch import Tensor

ANNOTATIONS = "annotations.json"


class CocoWriter:
    """Writes images/ and annotations.json, or annotations/instances_SPLIT.json."""

    def __init__(self, options: MarkingOptions, runtime: Runtime) -> None:
        self._options = options
        self._output = runtime.output

    def prepare(self, dataset: Dataset) -> Iterable[str]:
        """Yield what the export cannot hold."""
        yield from left_out(dataset, ANNOTATIONS)

    def target(self, sample: Sample, variant: int) -> str:
        """Return images/ID or images/SPLIT/ID; further variants end in _v1, _v2 ..."""
        return export_path(sample, variant, self._options)

    def publish(
        self, sample: Sample, variant: int, image: Tensor | None, frame: Frame
    ) -> Published:
        """Put the picture in place; the labels follow in `finish`."""
        target = self.target(sample, variant)
        return publish_picture(self._output, target, image, frame, self._options)

    def finish(self, dataset: Dataset, records: Iterable[Record]) -> Mapping[str, str]:
        """Write the JSON of what is done, or one for each split that has pictures."""
        numbers = _Numbers(_category_ids(dataset))
        return {
            name: self._write(name, _document(dataset, done, numbers, self._options.doubtful))
            for name, done in self._by_file(dataset, records)
        }

    def _by_file(
        self, dataset: Dataset, records: Iterable[Record]
    ) -> Iterable[tuple[str, Iterable[_Done]]]:
        """Return what is done, by the file that lists it: one, or one for each split."""
        done = done_samples(dataset, records)
        if not self._options.split:
            return [(ANNOTATIONS, done)]
        found: dict[str, list[_Done]] = {}
        for sample, record in done:
            name = _FILE.format(drawn_split(sample, self._options))
            kept = replace(record, scores=_survival(record))
            found.setdefault(name, []).append((sample, kept))
        return found.items()

    def _write(self, name: str, pieces: Iterable[str]) -> str:
        path = self._output / name
        with replacing(path) as temporary, temporary.open("w", encoding="utf-8") as stream:
            stream.writelines(pieces)
        return sha256_file(path)


_FILE = "annotations/instances_{}.json"
_Done = tuple[Sample, Record]


def _survival(record: Record) -> Mapping[str, Any]:
    """Return the scores that are needed, where the records of a dataset are in memory."""
    return {name: told for name, told in record.scores.items() if name == "survival"}


@dataclass
class _Numbers:
    """What counts on from file to file. images, annotations: the last ids."""

    categories: dict[str, int]
    images: Iterator[int] = field(default_factory=lambda: count(1))
    annotations: Iterator[int] = field(default_factory=lambda: count(1))


def _document(
    dataset: Dataset, done: Iterable[_Done], numbers: _Numbers, doubtful: float
) -> Iterator[str]:
    """Yield the JSON in pieces, so that memory does not grow with the masks."""
    category_ids, ids = numbers.categories, numbers.annotations
    images: list[str] = []
    top = {"info": {"description": "made by sv2r"}, **about_itself(dataset)}
    yield "{" + "".join(f"{_dump(key)}: {_dump(value)},\n" for key, value in top.items())
    yield '"annotations": ['
    separator = "\n"
    for sample, record in done:
        image_id = next(numbers.images)
        instances = sample.load_instances()
        images.append(_dump({**sample.extra, **_image(image_id, record, instances)}))
        crowds = doubtful_ids(record, doubtful)
        for annotation in _annotations(image_id, instances, category_ids, crowds):
            yield f"{separator}{_dump({'id': next(ids), **annotation})}"
            separator = ",\n"
    yield '\n],\n"images": [\n'
    yield from chain.from_iterable((",\n" if i else "", image) for i, image in enumerate(images))
    categories = [
        {**dataset.details.get(name, {}), "id": id_, "name": name}
        for name, id_ in category_ids.items()
    ]
    yield f'\n],\n"categories": {_dump(categories)}}}\n'


def _image(image_id: int, record: Record, instances: Instances) -> dict[str, Any]:
    """Return an image's entry; pictures of one source share group_id: split by it."""
    height, width = instances.size
    return {
        "id": image_id,
        "file_name": record.output,
        "width": width,
        "height": height,
        "group_id": record.sample,
        "variant": record.variant,
    }


def _annotations(
    image_id: int, instances: Instances, category_ids: dict[str, int], crowds: frozenset[int]
) -> Iterator[dict[str, Any]]:
    """Yield a picture's annotations; a category that the dataset did not list gets a free id.

    crowds: the instances that are to be marked so, in addition to those that are.
    """
    from sv2r.images.rle import encode_instances

    for rle in encode_instances(instances):
        instance = instances.table[rle.id]
        if instance.category not in category_ids:
            category_ids[instance.category] = max(category_ids.values(), default=0) + 1
        yield {
            "area": rle.area,
            "bbox": list(rle.bbox),
            # What the dataset says itself: also a box where nothing is drawn, or a whole object's.
            **instance.extra,
            "image_id": image_id,
            "category_id": category_ids[instance.category],
            "segmentation": {"size": list(rle.size), "counts": rle.counts},
            "iscrowd": int(instance.crowd or rle.id in crowds),
            "instance_id": instance.source_id or instance.id,
        }


def _category_ids(dataset: Dataset) -> dict[str, int]:
    """Return the dataset's own category ids, and free ones for categories that have none."""
    ids = {
        name: dataset.category_ids[name]
        for name in dataset.categories
        if name in dataset.category_ids
    }
    free = (n for n in count(1) if n not in set(ids.values()))
    return {name: ids[name] if name in ids else next(free) for name in dataset.categories}


def _dump(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)


def _reads(options: MarkingOptions) -> tuple[str, Mapping[str, Any]]:
    # A split without a picture has no file: the loader finds those that are there.
    return "coco", {"images": ".", **({} if options.split else {"annotations": [ANNOTATIONS]})}


def build(options: MarkingOptions, runtime: Runtime) -> Writer:
    """Return the writer."""
    return CocoWriter(options, runtime)


@hookimpl
def sv2r_writers() -> Iterable[WriterSpec[Any]]:
    """Return the COCO exporter."""
    return [
        WriterSpec(
            name="coco",
            summary="COCO: images/ and annotations.json with pixel-exact RLE masks.",
            options=MarkingOptions,
            build=build,
            variants=True,
            rereads=True,
            keeps=True,
            reads=_reads,
        )
    ]
