"""BlenderProc's ``.hdf5`` files, one for each frame: the picture and its segmentation in one file.

The picture goes out as a PNG beside a copy of the file, which holds the labels: ``0.hdf5`` gives
``0.png``. A frame of two cameras gives ``0_left.png`` and ``0_right.png``. What BlenderProc calls
background, category 0 and id 0, is no instance; neither is what its table of instances leaves out.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import msgspec
from pydantic import BeforeValidator, Field

from sv2r.errors import ConfigError, SampleError
from sv2r.loaders.lazy import LazySamples
from sv2r.loaders.tree import read_tree, split_name
from sv2r.plugin.hookspecs import hookimpl
from sv2r.plugin.options import Options
from sv2r.plugin.specs import Loader, LoaderSpec, Runtime
from sv2r.storage.paths import inside
from sv2r.storage.source import MadePath
from sv2r.types import Dataset, Instance, Instances, Match, Sample

if TYPE_CHECKING:
    from numpy.typing import NDArray

_SUFFIXES = (".hdf5", ".h5")
_COLORS, _IDS, _TABLE = "colors", "instance_segmaps", "instance_attribute_maps"
# The category of each pixel, under the names that BlenderProc has given it.
_CATEGORIES = ("category_id_segmaps", "class_segmaps", "semantic_segmaps", "cp_category_id_segmaps")
# Frames whose categories are looked at.
_LOOKED_AT = 20
_SIDES = ("_left", "_right")


def _text_keys(value: Any) -> Any:
    return {str(k): v for k, v in value.items()} if isinstance(value, Mapping) else value


class BlenderprocOptions(Options):
    """Options of the BlenderProc loader."""

    categories: Annotated[Mapping[str, str], BeforeValidator(_text_keys)] = Field(
        default_factory=dict,
        description="ID=NAME: what a category_id is called, such as 1=mug. Default: the id itself.",
    )


class _Row(msgspec.Struct, frozen=True):
    """An instance in a frame's table."""

    idx: int
    category_id: int | str | None = None
    name: str | None = None


@dataclass(frozen=True, slots=True)
class View:
    """A picture in a file. side: 0 or 1 of two cameras, or None."""

    file: str
    side: int | None = None

    @property
    def id(self) -> str:
        """Return what the picture is called."""
        folder, stem, _ = split_name(self.file)
        return f"{folder}{stem}{'' if self.side is None else _SIDES[self.side]}.png"

    def of(self, values: NDArray[Any]) -> NDArray[Any]:
        """Return this camera's part of what a file has of all."""
        return values if self.side is None else values[self.side]


def load(options: BlenderprocOptions, root: Path) -> Dataset:
    """Return the dataset; of the files, the first is opened, and tells what all hold.

    Raises:
        ConfigError: there is no such file, h5py is not installed, or the first has no labels.
    """
    tree = read_tree(root)
    files = [name for name in tree.files if name.lower().endswith(_SUFFIXES)]
    if not files:
        raise ConfigError(f"{root}: {_NO_FILE}")
    try:
        keys, two, why = _first(root, files)
    except SampleError as error:
        raise ConfigError(str(error)) from error
    if not keys:
        raise ConfigError(why)
    sides: tuple[int | None, ...] = (0, 1) if two else (None,)
    views = [View(name, side) for name in files for side in sides]
    source = f"instances come from {_IDS}" if _IDS in keys else f"each category in {keys[0]} is one"
    return Dataset(
        root=root,
        samples=LazySamples(views, partial(_sample, root, options.categories, keys)),
        ids=[view.id for view in views],
        categories=tuple(_categories(root, views[:_LOOKED_AT], options.categories)),
        # Two pictures share a file, which then belongs to neither alone.
        annotation_files=tuple(root / name for name in files) if two else (),
        problems=tree.problems,
        notes=(f"{source}; category 0 is background",),
    )


def _categories(root: Path, views: Sequence[View], names: Mapping[str, str]) -> Iterable[str]:
    """Return the categories that are named, and those that the first frames have."""
    found = dict.fromkeys(names.values())
    for view in views:
        with suppress(SampleError):  # it is told when the frame is read
            table = load_instances(inside(root, view.file), view, names).table
            found.update(dict.fromkeys(one.category for one in table.values()))
    return found


def _first(root: Path, files: Sequence[str]) -> tuple[tuple[str, ...], bool, str]:
    """Return what the first file with colours has, if they are of two cameras, and what it lacks.

    Raises:
        SampleError: none can be opened.
    """
    from sv2r.images.hdf5 import hdf5_keys, read_hdf5

    name = files[0]
    path = inside(root, name)
    keys = hdf5_keys(path, name)
    labels = [key for key in (_IDS, *_CATEGORIES) if key in keys]
    if _COLORS not in keys or not labels:
        missing = _COLORS if _COLORS not in keys else f"{_IDS} or {_CATEGORIES[0]}"
        return (), False, f"{name}: has {', '.join(keys) or 'nothing'}, and no {missing}"
    depth = ["depth"] if "depth" in keys else []
    return (*labels, *depth), read_hdf5(path, name, _COLORS).ndim == 4, ""


def read_picture_png(path: Path, view: View) -> bytes:
    """Return a frame's picture as a PNG, its alpha dropped.

    Raises:
        SampleError: the file cannot be read, or its colours are no picture of 8 bits.
    """
    import numpy as np

    from sv2r.images.hdf5 import read_hdf5
    from sv2r.images.png import encode_png

    pixels = read_hdf5(path, view.file, _COLORS)
    two = 3 if view.side is None else 4
    if pixels.dtype != np.uint8 or pixels.ndim != two or pixels.shape[-1] not in (3, 4):
        what = f"{pixels.dtype} of the shape {pixels.shape}"
        raise SampleError(f"{view.file}: its colors are {what}, not 8-bit RGB; render it as PNG")
    return encode_png(np.ascontiguousarray(view.of(pixels)[..., :3]))


def load_instances(path: Path, view: View, names: Mapping[str, str]) -> Instances:
    """Return a frame's instances.

    Raises:
        SampleError: the file cannot be read, or its maps do not fit together.
    """
    import numpy as np

    from sv2r.images.hdf5 import hdf5_keys

    keys = hdf5_keys(path, view.file)
    classes = next((key for key in _CATEGORIES if key in keys), None)
    ids = _map(path, view, _IDS if _IDS in keys else classes or _IDS)
    kinds = _map(path, view, classes) if classes else None
    if kinds is not None and kinds.shape != ids.shape:
        raise SampleError(f"{view.file}: {_IDS} and {classes} differ in size; render it again")
    rows = _rows(path, view) if _TABLE in keys else None
    labels, table = np.zeros(ids.shape, np.int32), {}
    for id_ in (int(value) for value in np.unique(ids) if value > 0):
        mask = ids == id_
        category = _category(id_, rows, None if kinds is None else kinds[mask])
        if category not in (None, "0"):
            labels[mask] = id_
            extra = {"name": rows[id_].name} if rows and rows[id_].name else {}
            table[id_] = Instance(id_, names.get(str(category), str(category)), extra=extra)
    return Instances(labels, table)


def _category(id_: int, rows: Mapping[int, _Row] | None, kinds: NDArray[Any] | None) -> str | None:
    """Return an instance's category as the table has it, or else most of its pixels; or None."""
    import numpy as np

    if rows is not None:
        row = rows.get(id_)
        if row is None or row.category_id is not None:
            return None if row is None else str(row.category_id)
    if kinds is not None:
        values, counts = np.unique(kinds, return_counts=True)
        return str(values[np.argmax(counts)])
    return rows[id_].name if rows and rows[id_].name else "object"


def _map(path: Path, view: View, key: str) -> NDArray[Any]:
    """Return a map of whole numbers, (H, W)."""
    import numpy as np

    from sv2r.images.hdf5 import read_hdf5

    values = read_hdf5(path, view.file, key)
    if view.side is not None and values.ndim >= 3 and len(values) == len(_SIDES):
        values = values[view.side]
    if values.ndim == 3:  # several maps in one: the first is this one's own
        values = values[..., 0]
    if values.ndim != 2 or not values.size:
        raise SampleError(f"{view.file}: {key} has the shape {values.shape}, not (height, width)")
    whole: NDArray[np.int64] = values.astype(np.int64)
    if (whole != values).any() or int(np.abs(whole).max()) >= 2**31:
        raise SampleError(f"{view.file}: {key} holds no whole numbers below 2**31; render it again")
    return whole


def _rows(path: Path, view: View) -> dict[int, _Row]:
    from sv2r.images.hdf5 import read_hdf5

    stored = read_hdf5(path, view.file, _TABLE).tolist()
    try:
        if view.side is None:
            rows = msgspec.json.decode(stored, type=list[_Row])
        else:
            rows = msgspec.json.decode(stored, type=tuple[list[_Row], list[_Row]])[view.side]
    except (msgspec.DecodeError, TypeError, UnicodeDecodeError, RecursionError) as error:
        detail = " ".join(str(error).split())
        raise SampleError(f"{view.file}: {_TABLE} is no table of instances ({detail})") from None
    return {row.idx: row for row in rows}


def read_depth_array(path: Path, name: str, *, view: View) -> NDArray[Any]:
    """Return a frame's depth in metres, (H, W).

    Raises:
        SampleError: the file cannot be read.
    """
    from sv2r.images.hdf5 import read_hdf5

    depth = view.of(read_hdf5(path, name, "depth"))
    return depth[..., 0] if depth.ndim == 3 else depth


def _sample(root: Path, names: Mapping[str, str], keys: Sequence[str], view: View) -> Sample:
    file = inside(root, view.file)
    return Sample(
        id=view.id,
        image=MadePath.of(root / view.id, file, partial(read_picture_png, file, view)),
        load_instances=partial(load_instances, file, view, names),
        annotation_files=(file,) if view.side is None else (),
        channels={"depth": file} if "depth" in keys else {},
        readings={"depth": partial(read_depth_array, view=view)} if "depth" in keys else {},
    )


_NO_FILE = "no .hdf5 file of BlenderProc's"


def detect(root: Path) -> Match:
    """Return how sure it is that a folder holds BlenderProc's files: by what the first one has."""
    try:
        names = read_tree(root).files
    except ConfigError as error:
        return Match(0.0, str(error))
    files = [name for name in names if name.lower().endswith(_SUFFIXES)]
    if not files:
        return Match(0.0, _NO_FILE)
    try:
        keys, _, why = _first(root, files)
    except SampleError as error:
        return Match(0.3 if "h5py" in str(error) else 0.0, str(error))
    return Match(0.9, f"{files[0]} has {_COLORS}, {', '.join(keys)}") if keys else Match(0.0, why)


def build(options: BlenderprocOptions, runtime: Runtime) -> Loader:
    """Return the loader."""
    return partial(load, options)


@hookimpl
def sv2r_loaders() -> Iterable[LoaderSpec[Any]]:
    """Return the BlenderProc loader."""
    return [
        LoaderSpec(
            name="blenderproc",
            summary="BlenderProc's .hdf5 files: colors and instance_segmaps (needs sv2r[hdf5]).",
            options=BlenderprocOptions,
            build=build,
            detect=detect,
        )
    ]
