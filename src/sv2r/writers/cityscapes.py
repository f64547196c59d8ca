"""Exports any dataset in the tree of Cityscapes: leftImg8bit/ and gtFine/, by split and city."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import replace
from itertools import chain
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any

from sv2r.errors import ConfigError, SampleError
from sv2r.images.label_tables import CITYSCAPES
from sv2r.plugin.hookspecs import hookimpl
from sv2r.plugin.specs import Runtime, Writer, WriterSpec
from sv2r.storage.files import write_atomically
from sv2r.types import Dataset, Frame, Instances, Published, Record, Sample
from sv2r.writers.encoding import ExportOptions, bare_path, left_out, publish_picture
from sv2r.writers.masks import renumbered, visible_shares
from sv2r.writers.splits import Mixing, drawn_split

if TYPE_CHECKING:
    from torch import Tensor

_PICTURES, _LABELS = "leftImg8bit", "gtFine"
_NAMES = "labels.json"
# A class's instances are class * 1000 + 0 to 999, in 16 bits.
_PER_CLASS, _LAST_CLASS = 1000, 64
_NO_CITY = "all"


class CityscapesWriter(Mixing[ExportOptions]):
    """Writes leftImg8bit/SPLIT/CITY, gtFine/SPLIT/CITY and labels.json."""

    def __init__(self, options: ExportOptions, runtime: Runtime) -> None:
        self._options = options
        self._output = runtime.output
        self._classes: dict[str, int] = {}

    def prepare(self, dataset: Dataset) -> Iterable[str]:
        """Yield what the export cannot hold.

        Raises:
            ConfigError: it cannot hold so many categories.
        """
        if len(dataset.categories) > _LAST_CLASS:
            what = f"{_LABELS} holds {_LAST_CLASS} categories, not {len(dataset.categories):,}"
            raise ConfigError(f"{what}; choose --writer coco")
        self._classes = class_ids(dataset.categories)
        yield from left_out(dataset, _LABELS, extra=False)

    def target(self, sample: Sample, variant: int) -> str:
        """Return leftImg8bit/SPLIT/CITY/NAME_leftImg8bit: the id's folders are the city."""
        split = drawn_split(sample, self._options)
        path = bare_path(sample, variant, self._options, split=split, home=_PICTURES)
        _, *folders = path.parts[:-1]
        stem = path.stem.replace(f"_{_PICTURES}", "")
        city = "-".join(folders) or _NO_CITY
        return f"{_PICTURES}/{split}/{city}/{stem}_{_PICTURES}{path.suffix}"

    def claims(self, sample: Sample, variant: int) -> Iterable[str]:
        """Return where the picture and its two label maps go."""
        target = self.target(sample, variant)
        return [target, *_labels_of(target)]

    def publish(
        self, sample: Sample, variant: int, image: Tensor | None, frame: Frame
    ) -> Published:
        """Write the label maps, then the picture, so that no picture is ever without them."""
        import numpy as np

        from sv2r.images.label_image import encode_label_png
        from sv2r.images.png import encode_png

        target, found = self.target(sample, variant), frame.instances
        ids = renumbered(found, self._values(sample.id, found))
        classes = np.where(ids >= _PER_CLASS, ids // _PER_CLASS, ids).astype(np.uint8)
        for place, data in zip(
            _labels_of(target), (encode_label_png(ids), encode_png(classes)), strict=True
        ):
            write_atomically(self._output / place, data, sync_folder=False)
        published = publish_picture(self._output, target, image, frame, self._options)
        crowds = {id_: 0.0 for id_, one in found.table.items() if one.crowd}
        return replace(published, label_iou={**visible_shares(found), **crowds})

    def _values(self, name: str, instances: Instances) -> dict[int, int]:
        """Return class * 1000 + n of each instance; a crowd is a region: its class alone."""
        values, count = {}, dict.fromkeys(self._classes, 0)
        for id_, instance in sorted(instances.table.items()):
            if instance.category not in count:
                what = f"category {instance.category} is not one of the dataset's"
                raise SampleError(f"{name}: {what}; list it there, so that it has a number")
            number = self._classes[instance.category]
            if instance.crowd:
                values[id_] = number
                continue
            values[id_] = number * _PER_CLASS + count[instance.category]
            count[instance.category] += 1
        if (most := max(count.values(), default=0)) > _PER_CLASS:
            what = f"{_LABELS} holds {_PER_CLASS:,} instances of a category, not {most:,}"
            raise SampleError(f"{name}: {what}; choose --writer coco")
        return values

    def finish(self, dataset: Dataset, records: Iterable[Record]) -> Mapping[str, str]:
        """Write labels.json, the names of the classes by their ids."""
        names = {number: name for name, number in self._classes.items()}
        text = json.dumps(names, ensure_ascii=False, indent=1) + "\n"
        return {_NAMES: write_atomically(self._output / _NAMES, text.encode())}


def class_ids(categories: Iterable[str]) -> dict[str, int]:
    """Return a class for each category: Cityscapes' own where it has the name, else a free one.

    Free are those above Cityscapes' classes, then those of its classes that are not needed.
    """
    own = {name: number for number, name in CITYSCAPES.items()}
    names = list(categories)
    taken = {own[name] for name in names if name in own}
    above = range(max(CITYSCAPES) + 1, _LAST_CLASS + 1)
    free = (n for n in chain(above, CITYSCAPES) if n not in taken)
    return {name: own[name] if name in own else next(free) for name in names}


def _labels_of(target: str) -> tuple[str, str]:
    """Return where a picture's instance ids and label ids go."""
    path = PurePosixPath(target)
    stem = path.stem.removesuffix(f"_{_PICTURES}")
    folder = PurePosixPath(_LABELS, *path.parts[1:-1])
    return f"{folder}/{stem}_{_LABELS}_instanceIds.png", f"{folder}/{stem}_{_LABELS}_labelIds.png"


def build(options: ExportOptions, runtime: Runtime) -> Writer:
    """Return the writer."""
    return CityscapesWriter(options, runtime)


@hookimpl
def sv2r_writers() -> Iterable[WriterSpec[Any]]:
    """Return the Cityscapes exporter."""
    return [
        WriterSpec(
            name="cityscapes",
            summary="Cityscapes: leftImg8bit/, gtFine/ with instanceIds and labelIds.",
            options=ExportOptions,
            build=build,
            variants=True,
            rereads=True,
            keeps=True,
            reads=("cityscapes", {}),
        )
    ]
