"""Exports any dataset as COCO: pictures, and one JSON with pixel-exact RLE masks."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from itertools import chain, count
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field

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
)
from sv2r.writers.masks import mask_values, renumbered
from sv2r.writers.splits import Mixing, drawn_split

if TYPE_CHECKING:
    from torch import Tensor

ANNOTATIONS = "annotations.json"


class CocoExportOptions(MarkingOptions):
    """Options of the COCO exporter."""

    masks: Literal["rle", "polygon"] = Field(
        "rle",
        description="How masks are written: as run-length codes, or as polygons where these give "
        "the same pixels back (no holes, no crowds).",
    )
    panoptic: bool = Field(
        False, description="Write panoptic PNGs and their JSON as well; instances are things."
    )


class CocoWriter(Mixing[CocoExportOptions]):
    """Writes images/ and annotations.json, or annotations/instances_SPLIT.json."""

    def __init__(self, options: CocoExportOptions, runtime: Runtime) -> None:
        self._options = options
        self._output = runtime.output

    def prepare(self, dataset: Dataset) -> Iterable[str]:
        """Yield what the export cannot hold."""
        yield from left_out(dataset, ANNOTATIONS)

    def target(self, sample: Sample, variant: int) -> str:
        """Return images/ID or images/SPLIT/ID; further variants end in _v1, _v2 ..."""
        return export_path(sample, variant, self._options)

    def claims(self, sample: Sample, variant: int) -> Iterable[str]:
        """Return where the picture goes, and its panoptic PNG."""
        target = self.target(sample, variant)
        return [target, self._segments_of(target)] if self._options.panoptic else [target]

    def _segments_of(self, target: str) -> str:
        """Return the panoptic PNG of a picture: in the folder called as its JSON is."""
        inner = PurePosixPath(target).relative_to("images").with_suffix(".png")
        if not self._options.split:
            return f"panoptic/{inner}"
        return f"annotations/panoptic_{inner.parts[0]}/{inner.relative_to(inner.parts[0])}"

    def publish(
        self, sample: Sample, variant: int, image: Tensor | None, frame: Frame
    ) -> Published:
        """Put the picture in place, and its panoptic PNG; the labels follow in `finish`."""
        target = self.target(sample, variant)
        if self._options.panoptic:
            data = _panoptic_png(frame.instances)
            write_atomically(self._output / self._segments_of(target), data, sync_folder=False)
        return publish_picture(self._output, target, image, frame, self._options)

    def finish(self, dataset: Dataset, records: Iterable[Record]) -> Mapping[str, str]:
        """Write the JSON of what is done, or one for each split that has pictures."""
        numbers, segments = _Numbers(_category_ids(dataset)), _Numbers(_category_ids(dataset))
        written = {}
        for split, done in self._by_split(dataset, records):
            name = f"annotations/instances_{split}.json" if split else ANNOTATIONS
            pieces = _document(dataset, done, numbers, self._annotations)
            written[name] = self._write(name, pieces)
            if self._options.panoptic:
                name = f"annotations/panoptic_{split}.json" if split else "panoptic.json"
                pieces = _document(dataset, done, segments, self._panoptic, {"isthing": 1})
                written[name] = self._write(name, pieces)
        return written

    def _by_split(
        self, dataset: Dataset, records: Iterable[Record]
    ) -> Iterable[tuple[str, Iterable[_Done]]]:
        """Return what is done, by its split, or all of it where none is drawn."""
        done = done_samples(dataset, records)
        if not self._options.split and not self._options.panoptic:
            return [("", done)]
        found: dict[str, list[_Done]] = {}
        for sample, record in done:
            split = drawn_split(sample, self._options) if self._options.split else ""
            kept = replace(record, scores=_survival(record))
            found.setdefault(split, []).append((sample, kept))
        return found.items()

    def _write(self, name: str, pieces: Iterable[str]) -> str:
        path = self._output / name
        with (
            replacing(path) as temporary,
            temporary.open("w", encoding="utf-8", errors=HALVES) as stream,
        ):
            stream.writelines(pieces)
        return sha256_file(path)

    def _annotations(
        self, image_id: int, record: Record, instances: Instances, numbers: _Numbers
    ) -> Iterator[dict[str, Any]]:
        """Yield a picture's annotations."""
        from sv2r.images.exact_polygons import exact_polygons
        from sv2r.images.rle import encode_instances

        crowds = doubtful_ids(record, self._options.doubtful)
        codes = list(encode_instances(instances))
        polygons = exact_polygons(instances, codes) if self._options.masks == "polygon" else {}
        for code in codes:
            instance = instances.table[code.id]
            crowd = instance.crowd or code.id in crowds
            runs = {"size": list(code.size), "counts": code.counts}
            yield {
                "id": next(numbers.annotations),
                "area": code.area,
                "bbox": list(code.bbox),
                # What the dataset says itself: also a box where nothing is drawn, or of a whole
                # object.
                **instance.extra,
                "image_id": image_id,
                "category_id": numbers.of(instance.category),
                "segmentation": runs if crowd else polygons.get(code.id, runs),
                "iscrowd": int(crowd),
                "instance_id": instance.source_id or instance.id,
            }

    def _panoptic(
        self, image_id: int, record: Record, instances: Instances, numbers: _Numbers
    ) -> Iterator[dict[str, Any]]:
        """Yield a picture's one annotation: its segments, of the pixels that are seen."""
        from sv2r.images.rle import encode_instances

        values = mask_values(instances, _COLOURS, "a panoptic PNG")
        crowds = doubtful_ids(record, self._options.doubtful)
        seen = Instances(instances.labels, instances.table)
        segments = [
            {
                "id": values[code.id],
                "category_id": numbers.of(instances.table[code.id].category),
                "area": code.area,
                "bbox": list(code.bbox),
                "iscrowd": int(instances.table[code.id].crowd or code.id in crowds),
            }
            for code in encode_instances(seen)
            if code.area
        ]
        place = PurePosixPath(self._segments_of(str(record.output)))
        name = "/".join(place.parts[2 if self._options.split else 1 :])
        yield {"image_id": image_id, "file_name": name, "segments_info": segments}


_COLOURS = (1 << 24) - 1
_Done = tuple[Sample, Record]


def _panoptic_png(instances: Instances) -> bytes:
    """Return a PNG in whose colours a segment's id is red + 256 green + 65536 blue."""
    import numpy as np

    from sv2r.images.png import encode_png

    ids = renumbered(instances, mask_values(instances, _COLOURS, "a panoptic PNG"))
    return encode_png(np.stack([ids >> shift & 255 for shift in (0, 8, 16)], -1).astype(np.uint8))


def _survival(record: Record) -> Mapping[str, Any]:
    """Return the scores that are needed, where the records of a dataset are in memory."""
    return {name: told for name, told in record.scores.items() if name == "survival"}


@dataclass
class _Numbers:
    """What counts on from file to file. images, annotations: the next ids."""

    categories: dict[str, int]
    images: Iterator[int] = field(default_factory=lambda: count(1))
    annotations: Iterator[int] = field(default_factory=lambda: count(1))

    def of(self, category: str) -> int:
        """Return a category's id, a free one where the dataset did not list it."""
        if category not in self.categories:
            self.categories[category] = max(self.categories.values(), default=0) + 1
        return self.categories[category]


def _document(
    dataset: Dataset,
    done: Iterable[_Done],
    numbers: _Numbers,
    annotations: Callable[[int, Record, Instances, _Numbers], Iterator[dict[str, Any]]],
    of_all: Mapping[str, Any] | None = None,
) -> Iterator[str]:
    """Yield the JSON in pieces, so that memory does not grow with the masks.

    of_all: what each category has besides.
    """
    images: list[str] = []
    top = {"info": {"description": "made by sv2r"}, **about_itself(dataset)}
    yield "{" + "".join(f"{_dump(key)}: {_dump(value)},\n" for key, value in top.items())
    yield '"annotations": ['
    separator = "\n"
    for sample, record in done:
        image_id = next(numbers.images)
        instances = sample.load_instances()
        images.append(_dump({**sample.extra, **_image(image_id, record, instances)}))
        for annotation in annotations(image_id, record, instances, numbers):
            yield f"{separator}{_dump(annotation)}"
            separator = ",\n"
    yield '\n],\n"images": [\n'
    yield from chain.from_iterable((",\n" if i else "", image) for i, image in enumerate(images))
    categories = [
        {**dataset.details.get(name, {}), "id": id_, "name": name, **(of_all or {})}
        for name, id_ in numbers.categories.items()
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
        **marks(record.variant),
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


def _reads(options: CocoExportOptions) -> tuple[str, Mapping[str, Any]]:
    # A split without a picture has no file: the loader finds those that are there.
    return "coco", {"images": ".", **({} if options.split else {"annotations": [ANNOTATIONS]})}


def build(options: CocoExportOptions, runtime: Runtime) -> Writer:
    """Return the writer."""
    return CocoWriter(options, runtime)


@hookimpl
def sv2r_writers() -> Iterable[WriterSpec[Any]]:
    """Return the COCO exporter."""
    return [
        WriterSpec(
            name="coco",
            summary="COCO: images/ and annotations.json with pixel-exact RLE masks.",
            options=CocoExportOptions,
            build=build,
            variants=True,
            rereads=True,
            keeps=True,
            reads=_reads,
        )
    ]
