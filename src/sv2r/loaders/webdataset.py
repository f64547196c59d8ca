"""WebDataset with masks, as sv2r writes it: tars with a picture, a mask and JSON for each key.

A key's files stand in one tar: ``KEY.jpg``, ``KEY.mask.png`` of 16-bit ids, and ``KEY.json``, which
says what each id is. A key ends at the first dot of its name.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import msgspec

from sv2r.errors import ConfigError, SampleError
from sv2r.images.picture_file import PICTURE_SUFFIXES
from sv2r.loaders.about import read_about
from sv2r.loaders.json_file import read_json
from sv2r.loaders.lazy import LazySamples, failing
from sv2r.loaders.tree import read_tree, split_name
from sv2r.plugin.hookspecs import hookimpl
from sv2r.plugin.options import Options
from sv2r.plugin.specs import Loader, LoaderSpec, Runtime
from sv2r.storage.source import as_source, holds_archives
from sv2r.types import Dataset, Instance, Instances, Match, Problem, Sample

_ABOUT = "dataset.json"
_MASK, _JSON = "mask.png", "json"


class WebdatasetOptions(Options):
    """There is nothing to choose."""


@dataclass(frozen=True, slots=True)
class ShardKey:
    """A key of a tar. image, mask, about: its files, relative to the root."""

    image: str
    mask: str
    about: str
    split: str


class ToldInstance(msgspec.Struct):
    """An instance, as the JSON of a picture has it."""

    value: int
    category: str
    id: int | str = 0
    crowd: bool = False
    extra: dict[str, Any] = {}  # msgspec copies it


class About(msgspec.Struct):
    """The JSON of a picture."""

    instances: list[ToldInstance]
    group_id: str = ""
    width: int = 0
    height: int = 0
    extra: dict[str, Any] = {}  # msgspec copies it


class ToldCategory(msgspec.Struct):
    """A category, as dataset.json has it."""

    name: str
    id: int | None = None


class Overview(msgspec.Struct):
    """The file dataset.json."""

    categories: list[ToldCategory] = []


def load(options: WebdatasetOptions, root: Path) -> Dataset:
    """Return the dataset; the tars are listed, their files not read.

    Raises:
        ConfigError: there is no such tar, or one that cannot be read.
    """
    tars = _tars(root)
    if not tars:
        raise ConfigError(f"{root}: {_NO_TARS}")
    found = [item for tar in tars for item in _keys(root, tar)]
    shots = [item for item in found if isinstance(item, ShardKey)]
    about, there = Overview(), (root / _ABOUT).is_file()
    try:
        about = read_json(root / _ABOUT, _ABOUT, Overview) if there else about
    except SampleError as error:
        raise ConfigError(str(error)) from None
    details, extra = read_about(root)
    return Dataset(
        root=root,
        samples=LazySamples(shots, partial(_sample, root)),
        ids=[shot.image for shot in shots],
        categories=tuple(one.name for one in about.categories) or _categories(root, shots),
        annotation_files=(root / _ABOUT,) if there else (),
        problems=tuple(item for item in found if isinstance(item, Problem)),
        category_ids={one.name: one.id for one in about.categories if one.id is not None},
        details=details,
        extra=extra,
        notes=(f"{len(tars):,} tar{'' if len(tars) == 1 else 's'} of WebDataset",),
    )


def _tars(root: Path) -> list[str]:
    if not holds_archives(root):  # no archive in an archive
        return []
    return [name for name in read_tree(root).files if name.lower().endswith(".tar")]


def _keys(root: Path, tar: str) -> Iterator[ShardKey | Problem]:
    """Yield the keys of a tar that have a picture, in their order."""
    keys: dict[str, dict[str, str]] = {}
    for name in read_tree(as_source(root / tar)).files:
        folder, _, file = name.rpartition("/")
        stem, _, suffix = file.partition(".")
        keys.setdefault(f"{folder}/{stem}", {})[suffix.lower()] = f"{tar}/{name}"
    split = split_name(tar)[1].rpartition("-")[0].lower()
    for files in keys.values():
        image = next((files[one] for one in files if f".{one}" in PICTURE_SUFFIXES), None)
        if image is None:
            continue
        if _MASK in files and _JSON in files:
            yield ShardKey(image, files[_MASK], files[_JSON], split)
        else:
            missing = _MASK if _MASK not in files else _JSON
            yield Problem(image, f"{image}: has no .{missing} of its key; pack it with its labels")


def _categories(root: Path, shots: Iterable[ShardKey]) -> tuple[str, ...]:
    """Return the categories that the JSON of all pictures name."""
    names: dict[str, None] = {}
    for shot in shots:
        with suppress(SampleError):  # it fails by itself, with its reason, when it is read
            about = read_json(as_source(root / shot.about), shot.about, About)
            names.update({row.category: None for row in about.instances})
    return tuple(sorted(names))


def _sample(root: Path, shot: ShardKey) -> Sample:
    image = as_source(root / shot.image)
    try:
        about = read_json(as_source(root / shot.about), shot.about, About)
    except SampleError as error:
        return Sample(shot.image, image, partial(failing, error))
    return Sample(
        id=shot.image,
        image=image,
        load_instances=partial(load_instances, root, shot, about),
        size=(about.height, about.width) if about.height and about.width else None,
        attributes={"split": shot.split} if shot.split else {},
        extra={**about.extra, **({"group_id": about.group_id} if about.group_id else {})},
    )


def load_instances(root: Path, shot: ShardKey, about: About) -> Instances:
    """Return a picture's instances.

    Raises:
        SampleError: the mask cannot be read, or has a value that the JSON does not name.
    """
    import numpy as np

    from sv2r.images.label_image import read_label_image

    image = read_label_image(as_source(root / shot.mask), shot.mask)
    labels = image.values.astype(np.int32)
    table = {row.value: _instance(row) for row in about.instances if 0 < row.value < 1 << 31}
    if len(table) < len(about.instances):
        raise SampleError(f"{shot.about}: has a value twice, or one that is none; write it again")
    if unknown := {int(value) for value in np.unique(labels).tolist()} - {0, *table}:
        raise SampleError(f"{shot.mask}: {shot.about} does not name its value {min(unknown)}")
    return Instances(labels, table)


def _instance(row: ToldInstance) -> Instance:
    own = None if row.id in (0, row.value) else str(row.id)
    return Instance(row.value, row.category, row.crowd, source_id=own, extra=row.extra)


_NO_TARS = "no tar of WebDataset (KEY.jpg, KEY.mask.png and KEY.json)"


def detect(root: Path) -> Match:
    """Return how sure it is that a folder holds WebDataset's tars, by what is in the first."""
    try:
        tars = _tars(root)
        first = next(_keys(root, tars[0]), None) if tars else None
    except (ConfigError, OSError) as error:
        return Match(0.0, str(error))
    if isinstance(first, ShardKey):
        return Match(0.95, f"{tars[0]} has pictures with .{_MASK} and .{_JSON}")
    return Match(0.0, _NO_TARS if first is None else f"{tars[0]}: pictures, but no .{_MASK}")


def build(options: WebdatasetOptions, runtime: Runtime) -> Loader:
    """Return the loader."""
    return partial(load, options)


@hookimpl
def sv2r_loaders() -> Iterable[LoaderSpec[Any]]:
    """Return the WebDataset loader."""
    return [
        LoaderSpec(
            name="webdataset",
            summary="WebDataset: tars with a picture, .mask.png and .json per key.",
            options=WebdatasetOptions,
            build=build,
            detect=detect,
        )
    ]
