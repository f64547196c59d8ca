"""Exports any dataset as Pascal VOC's segmentation: palette PNGs, boxes in XML, lists by split."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree as ET

from sv2r.errors import ConfigError, SampleError
from sv2r.plugin.hookspecs import hookimpl
from sv2r.plugin.specs import Runtime, Writer, WriterSpec
from sv2r.storage.files import write_atomically
from sv2r.types import Dataset, Frame, Instances, Published, Record, Sample
from sv2r.writers.encoding import ExportOptions, bare_path, done_samples, left_out, publish_picture
from sv2r.writers.masks import mask_values, renumbered, visible_shares
from sv2r.writers.splits import Mixing, drawn_split

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from torch import Tensor

_IMAGES = "JPEGImages"
_LABELMAP = "labelmap.txt"
_LARGEST = 254  # 255 is void


class VocWriter(Mixing[ExportOptions]):
    """Writes JPEGImages, SegmentationObject, SegmentationClass, Annotations, ImageSets."""

    def __init__(self, options: ExportOptions, runtime: Runtime) -> None:
        self._options = options
        self._output = runtime.output
        self._numbers: dict[str, int] = {}

    def prepare(self, dataset: Dataset) -> Iterable[str]:
        """Yield what the export cannot hold.

        Raises:
            ConfigError: it cannot hold the categories.
        """
        self._numbers = {name: number for number, name in enumerate(dataset.categories, 1)}
        if len(self._numbers) > _LARGEST:
            what = f"holds {_LARGEST} categories, not {len(self._numbers):,}"
            raise ConfigError(f"SegmentationClass {what}; choose --writer coco")
        for name in self._numbers:
            if ":" in name or not name.isprintable() or name.startswith("#"):
                what = f"cannot hold the category {name!r}"
                raise ConfigError(f"{_LABELMAP} {what}; rename it, or choose --writer coco")
        yield from left_out(dataset, "Annotations", extra=False)

    def target(self, sample: Sample, variant: int) -> str:
        """Return JPEGImages/ID, in one folder and without spaces, as lists of VOC need it."""
        path = str(bare_path(sample, variant, self._options, home=_IMAGES))
        return f"{_IMAGES}/{'_'.join(path.replace('/', ' ').split())}"

    def claims(self, sample: Sample, variant: int) -> Iterable[str]:
        """Return where the picture, its two label pictures and its boxes go."""
        target = self.target(sample, variant)
        return [target, *_labels_of(target)]

    def publish(
        self, sample: Sample, variant: int, image: Tensor | None, frame: Frame
    ) -> Published:
        """Write the labels, then the picture, so that no picture is ever without them."""
        target, found = self.target(sample, variant), frame.instances
        values = mask_values(found, _LARGEST, "SegmentationObject")
        objects = renumbered(found, values)
        made = (
            _palette_png(objects),
            _palette_png(self._classes(sample.id, found, values)[objects]),
            _annotation(target, found),
        )
        for place, data in zip(_labels_of(target), made, strict=True):
            write_atomically(self._output / place, data, sync_folder=False)
        published = publish_picture(self._output, target, image, frame, self._options)
        return replace(published, label_iou=visible_shares(found))

    def _classes(
        self, name: str, instances: Instances, values: Mapping[int, int]
    ) -> NDArray[np.int32]:
        """Return the class of each value of the mask of objects."""
        import numpy as np

        classes = np.zeros(_LARGEST + 1, np.int32)
        for id_, instance in instances.table.items():
            if instance.category not in self._numbers:
                what = f"category {instance.category} is not one of the dataset's"
                raise SampleError(f"{name}: {what}; list it there, so that it has a number")
            classes[values[id_]] = self._numbers[instance.category]
        return classes

    def finish(self, dataset: Dataset, records: Iterable[Record]) -> Mapping[str, str]:
        """Write the lists of the splits that have pictures, and the names of the classes."""
        lists: dict[str, list[str]] = {}
        for sample, record in done_samples(dataset, records):
            stem = PurePosixPath(str(record.output)).stem
            lists.setdefault(drawn_split(sample, self._options), []).append(f"{stem}\n")
        files = {f"ImageSets/Segmentation/{split}.txt": "".join(lists[split]) for split in lists}
        files[_LABELMAP] = _labelmap(self._numbers)
        return {
            place: write_atomically(self._output / place, text.encode())
            for place, text in files.items()
        }


def _labels_of(target: str) -> tuple[str, str, str]:
    """Return where a picture's objects, classes and boxes go."""
    stem = PurePosixPath(target).stem
    return (
        f"SegmentationObject/{stem}.png",
        f"SegmentationClass/{stem}.png",
        f"Annotations/{stem}.xml",
    )


def _palette_png(values: NDArray[np.int32]) -> bytes:
    import numpy as np

    from sv2r.images.label_tables import voc_colours
    from sv2r.images.png import encode_palette_png

    return encode_palette_png(values.astype(np.uint8), voc_colours(256))


def _labelmap(numbers: Mapping[str, int]) -> str:
    """Return the names of the classes by their index, as CVAT writes them too."""
    from sv2r.images.label_tables import voc_colours

    names = ["background", *numbers]
    rows = [
        f"{name}:{colour >> 16},{colour >> 8 & 255},{colour & 255}::\n"
        for name, colour in zip(names, voc_colours(len(names)), strict=True)
    ]
    return "# label:color_rgb:parts:actions\n" + "".join(rows)


def _annotation(target: str, instances: Instances) -> bytes:
    """Return a picture's boxes; a pixel at the top left is 1, 1, as VOC counts."""
    height, width = instances.size
    root = ET.Element("annotation")
    _add(root, folder=_IMAGES, filename=PurePosixPath(target).name)
    _add(ET.SubElement(root, "size"), width=width, height=height, depth=3)
    _add(root, segmented=1)
    for id_, instance in instances.table.items():
        mask = instances.mask(id_)
        if not mask.any():
            continue
        rows, columns = mask.any(1).nonzero()[0], mask.any(0).nonzero()[0]
        one = ET.SubElement(root, "object")
        _add(one, name=instance.category, pose="Unspecified", truncated=0)
        _add(one, difficult=int(instance.crowd))
        box = ET.SubElement(one, "bndbox")
        _add(box, xmin=columns[0] + 1, ymin=rows[0] + 1, xmax=columns[-1] + 1, ymax=rows[-1] + 1)
    ET.indent(root)
    text: bytes = ET.tostring(root, encoding="utf-8")
    return text + b"\n"


def _add(parent: ET.Element, **texts: Any) -> None:
    for name, text in texts.items():
        ET.SubElement(parent, name).text = str(text)


def build(options: ExportOptions, runtime: Runtime) -> Writer:
    """Return the writer."""
    return VocWriter(options, runtime)


@hookimpl
def sv2r_writers() -> Iterable[WriterSpec[Any]]:
    """Return the Pascal VOC exporter."""
    return [
        WriterSpec(
            name="voc",
            summary="Pascal VOC: JPEGImages, SegmentationObject and -Class, boxes, lists.",
            options=ExportOptions,
            build=build,
            variants=True,
            rereads=True,
            keeps=True,
            reads=("voc", {}),
        )
    ]
