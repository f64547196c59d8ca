"""Exports any dataset for YOLO's trainers: images/, labels/*.txt with polygons, and data.yaml."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any

from sv2r.errors import SampleError
from sv2r.plugin.hookspecs import hookimpl
from sv2r.plugin.specs import Runtime, Writer, WriterSpec
from sv2r.storage.files import write_atomically
from sv2r.types import Dataset, Frame, Published, Record, Sample
from sv2r.writers.encoding import ExportOptions, bare_path, left_out, publish_picture
from sv2r.writers.splits import SPLITS, Mixing, drawn_split

if TYPE_CHECKING:
    from torch import Tensor

    from sv2r.types import Instances

ABOUT = "data.yaml"
_EXACT = 1.0


class YoloWriter(Mixing[ExportOptions]):
    """Writes images/SPLIT, labels/SPLIT and data.yaml."""

    def __init__(self, options: ExportOptions, runtime: Runtime) -> None:
        self._options = options
        self._output = runtime.output
        self._numbers: dict[str, int] = {}

    def prepare(self, dataset: Dataset) -> Iterable[str]:
        """Yield what the export cannot hold."""
        self._numbers = {name: number for number, name in enumerate(dataset.categories)}
        yield from left_out(dataset, ABOUT, extra=False)

    def target(self, sample: Sample, variant: int) -> str:
        """Return images/SPLIT/ID, with _v1, _v2 ... before the suffix of further variants."""
        split = drawn_split(sample, self._options)
        return str("images" / bare_path(sample, variant, self._options, split=split))

    def claims(self, sample: Sample, variant: int) -> Iterable[str]:
        """Return where the picture and its rows go."""
        target = self.target(sample, variant)
        return [target, _rows_of(target)]

    def publish(
        self, sample: Sample, variant: int, image: Tensor | None, frame: Frame
    ) -> Published:
        """Write the rows, then the picture, so that no picture is ever without them."""
        from dataclasses import replace

        target = self.target(sample, variant)
        text, inexact = self._rows(sample.id, frame.instances)
        write_atomically(self._output / _rows_of(target), text.encode(), sync_folder=False)
        made = publish_picture(self._output, target, image, frame, self._options)
        return replace(made, label_iou=inexact)

    def _rows(self, name: str, instances: Instances) -> tuple[str, Mapping[int, float]]:
        """Return the rows of all instances with pixels, and the IoU of those that are not exact."""
        import numpy as np

        from sv2r.images.contours import polygon_of
        from sv2r.images.polygon import fill_polygon

        height, width = instances.size
        lines, inexact = [], {}
        for id_, instance in instances.table.items():
            mask = instances.mask(id_)
            if instance.crowd:  # YOLO has none
                inexact[id_] = 0.0
            if instance.crowd or not mask.any():
                continue
            corners = polygon_of(mask)
            drawn = fill_polygon(corners, (height, width))
            overlap = int((drawn & mask).sum()) / int((drawn | mask).sum())
            if overlap < _EXACT:
                inexact[id_] = round(overlap, 4)
            # The middle of a pixel, so that every reader's rounding finds it.
            shares = (corners.astype(float) + 0.5) / np.array([width, height], float)
            words = " ".join(f"{share:.7g}" for share in shares.ravel().tolist())
            lines.append(f"{self._number(name, instance.category)} {words}\n")
        return "".join(lines), inexact

    def _number(self, name: str, category: str) -> int:
        if category not in self._numbers:
            fix = "list it there, so that every row can have its number"
            raise SampleError(f"{name}: category {category} is not one of the dataset's; {fix}")
        return self._numbers[category]

    def finish(self, dataset: Dataset, records: Iterable[Record]) -> Mapping[str, str]:
        """Write data.yaml, which names the classes and the splits that have pictures."""
        from sv2r.storage.strict_yaml import write_yaml

        splits = {PurePosixPath(str(r.output)).parts[1] for r in records if r.status == "done"}
        there = [name for name in SPLITS if name in splits]
        about: dict[str, Any] = {"path": ".", **{name: f"images/{name}" for name in there}}
        # Ultralytics asks for both.
        for name in ("train", "val"):
            about.setdefault(name, f"images/{there[0] if there else 'train'}")
        about["names"] = {number: name for name, number in self._numbers.items()}
        return {ABOUT: write_atomically(self._output / ABOUT, write_yaml(about).encode())}


def _rows_of(target: str) -> str:
    inner = PurePosixPath(target).relative_to("images")
    return str(PurePosixPath("labels") / inner.with_suffix(".txt"))


def build(options: ExportOptions, runtime: Runtime) -> Writer:
    """Return the writer."""
    return YoloWriter(options, runtime)


@hookimpl
def sv2r_writers() -> Iterable[WriterSpec[Any]]:
    """Return the YOLO exporter."""
    return [
        WriterSpec(
            name="yolo",
            summary="YOLO segmentation: images/, labels/*.txt with polygons, and data.yaml.",
            options=ExportOptions,
            build=build,
            variants=True,
            rereads=True,
            keeps=True,
            reads=("yolo", {}),
        )
    ]
