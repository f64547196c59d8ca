"""Parquet files of Hugging Face's datasets with instance masks, as sv2r writes them.

A row has ``image`` (bytes and path), ``width``, ``height`` and ``objects``, in which ``category``
is a class label and ``rle`` COCO's compressed run-length code.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from sv2r.errors import ConfigError, SampleError
from sv2r.loaders.about import read_about
from sv2r.loaders.lazy import LazySamples, failing
from sv2r.loaders.tree import read_tree, split_name
from sv2r.plugin.hookspecs import hookimpl
from sv2r.plugin.options import Options
from sv2r.plugin.specs import Loader, LoaderSpec, Runtime
from sv2r.storage.parquet import leaf_columns, open_parquet, parquet_row
from sv2r.storage.source import as_source, holds_archives
from sv2r.types import Dataset, Instance, Instances, Match, Sample

_ABOUT = "dataset.json"
_NEEDED = ("image.bytes", "image.path", "objects.rle", "objects.category")
_LIGHT = ("image.path", "group_id", "width", "height", "extra")


class HfOptions(Options):
    """There is nothing to choose."""


@dataclass(frozen=True, slots=True)
class HfRow:
    """A row of a file, without its picture and its objects. file, image: relative to the root."""

    file: str
    number: int
    image: str
    size: tuple[int, int]
    split: str
    group: str
    extra: str


def load(options: HfOptions, root: Path) -> Dataset:
    """Return the dataset; of the files only the columns without pictures and masks are read.

    Raises:
        ConfigError: there is no such file, or one that cannot be read.
    """
    files = _files(root)
    if not files:
        raise ConfigError(f"{root}: {_NO_FILES}")
    for name in files:
        if reason := _objection(root / name, name):
            raise ConfigError(f"{root}: {reason}")
    names = _names(root / files[0], files[0])
    rows = [row for name in files for row in _rows(root, name)]
    details, extra = read_about(root)
    return Dataset(
        root=root,
        samples=LazySamples(rows, partial(_sample, root, names)),
        ids=[row.image for row in rows],
        categories=tuple(names),
        annotation_files=(root / _ABOUT,) if (root / _ABOUT).is_file() else (),
        notes=(f"{len(files):,} Parquet file{'' if len(files) == 1 else 's'}",),
        details=details,
        extra=extra,
    )


def _files(root: Path) -> list[str]:
    if not holds_archives(root):  # pyarrow wants the file itself
        return []
    return [name for name in read_tree(root).files if name.lower().endswith(".parquet")]


def _objection(path: Path, name: str) -> str | None:
    """Return why a file is none of these, or None."""
    try:
        with open_parquet(path) as file:
            columns = [column.partition(".list")[0] for column in leaf_columns(file)]
    except (OSError, ValueError) as error:
        return f"{name}: cannot be read as Parquet ({' '.join(str(error).split())})"
    missing = [column for column in _NEEDED if column not in columns]
    return f"{name}: has no column {missing[0]}" if missing else None


def _names(path: Path, name: str) -> list[str]:
    """Return the names of the class label.

    Raises:
        ConfigError: the file's metadata has none.
    """
    try:
        with open_parquet(path) as file:
            told = json.loads(file.schema_arrow.metadata[b"huggingface"])
        label = told["info"]["features"]["objects"]["category"]
        return [str(one) for one in (label.get("feature") or label)["names"]]
    except (KeyError, TypeError, ValueError, AttributeError):
        fix = "write it again with datasets, category as a ClassLabel"
        raise ConfigError(f"{name}: objects.category has no names; {fix}") from None


def _rows(root: Path, name: str) -> Iterator[HfRow]:
    split = split_name(name)[1].split("-")[0].lower()
    with open_parquet(root / name) as file:
        there = [column for column in _LIGHT if column in leaf_columns(file)]
        table = file.read(columns=there)
    for number, row in enumerate(table.to_pylist()):
        size = row.get("height") or 0, row.get("width") or 0
        image = f"{name}/{row['image']['path']}"
        more = row.get("group_id") or "", row.get("extra") or ""
        yield HfRow(name, number, image, size, split, *more)


def _sample(root: Path, names: Sequence[str], row: HfRow) -> Sample:
    image = as_source(root / row.image)
    try:
        extra = _told(row.extra, row.image)
    except SampleError as error:
        return Sample(row.image, image, partial(failing, error))
    return Sample(
        id=row.image,
        image=image,
        load_instances=partial(load_instances, root, names, row),
        size=row.size,
        attributes={"split": row.split} if row.split else {},
        extra={**extra, **({"group_id": row.group} if row.group else {})},
    )


def load_instances(root: Path, names: Sequence[str], row: HfRow) -> Instances:
    """Return a picture's instances; where they overlap, the later ones lie above.

    Raises:
        SampleError: the row cannot be read, or an instance is no mask of the picture's size.
    """
    from sv2r.images.rasterise import rasterise
    from sv2r.loaders.coco.segmentation import segmentation_shape

    path = root / row.file
    try:
        told = parquet_row(path, path.stat().st_mtime_ns, row.number, ("objects",))["objects"]
    except OSError as error:
        raise SampleError(f"{row.image}: {error}") from error
    shapes, table = {}, {}
    for place, code in enumerate(told["rle"]):
        one = _instance(told, place, names, row.image)
        if one.id in table or not 0 < one.id < 1 << 31:
            raise SampleError(f"{row.image}: instance id {one.id} is there twice, or no id")
        table[one.id] = one
        try:
            shape = segmentation_shape({"size": list(row.size), "counts": code}, row.size)
        except SampleError as error:
            raise SampleError(f"{row.image}: instance {one.id}: {error}") from None
        if shape.area:
            shapes[one.id] = shape.runs()
    labels, hidden = rasterise(row.size, list(shapes.values()), list(shapes))
    return Instances(labels, table, hidden)


def _instance(
    told: Mapping[str, Sequence[Any]], place: int, names: Sequence[str], image: str
) -> Instance:
    def value(key: str, default: Any) -> Any:
        column = told.get(key) or ()
        return column[place] if place < len(column) and column[place] is not None else default

    number = value("category", -1)
    if not 0 <= number < len(names):
        raise SampleError(f"{image}: objects.category has {number}, which has no name")
    extra = _told(value("extra", ""), image)
    own, crowd = value("source_id", "") or None, bool(value("iscrowd", False))
    return Instance(value("id", place + 1), names[number], crowd, source_id=own, extra=extra)


def _told(text: str, image: str) -> dict[str, Any]:
    """Return what a column says besides, as JSON; "" for nothing."""
    try:
        told = json.loads(text or "{}")
    except (ValueError, TypeError, RecursionError) as error:
        raise SampleError(f"{image}: extra is not JSON ({error}); write it again") from None
    if not isinstance(told, dict):
        raise SampleError(f"{image}: extra is no JSON object; write it again")
    return told


_NO_FILES = "no Parquet file with pictures and objects.rle"


def detect(root: Path) -> Match:
    """Return how sure it is that a folder holds such files, by the columns of the first."""
    try:
        files = _files(root)
        reason = _objection(root / files[0], files[0]) if files else _NO_FILES
    except ConfigError as error:
        return Match(0.0, str(error), known=True)
    if reason:
        return Match(0.0, reason)
    return Match(0.95, f"{files[0]} has the columns image and objects.rle")


def build(options: HfOptions, runtime: Runtime) -> Loader:
    """Return the loader."""
    return partial(load, options)


@hookimpl
def sv2r_loaders() -> Iterable[LoaderSpec[Any]]:
    """Return the loader of Parquet files."""
    return [
        LoaderSpec(
            name="hf",
            summary="Hugging Face datasets: Parquet with image and objects.rle (needs sv2r[hf]).",
            options=HfOptions,
            build=build,
            detect=detect,
        )
    ]
