"""YOLO segmentation datasets: images/ with labels/*.txt, and a data.yaml that names the classes.

A row is a class and a polygon in shares of the picture's width and height. It is drawn as
Ultralytics draws it for training (``ultralytics/data/utils.py``, polygons2masks_overlap): corners
cut to whole pixels, filled by the even-odd rule, smaller instances above larger ones.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import Field

from sv2r.errors import ConfigError, SampleError
from sv2r.images.picture_file import PICTURE_SUFFIXES, read_file
from sv2r.loaders.lazy import LazySamples
from sv2r.loaders.tree import Tree, read_tree, split_name
from sv2r.plugin.hookspecs import hookimpl
from sv2r.plugin.options import Options, Several
from sv2r.plugin.specs import Loader, LoaderSpec, Runtime
from sv2r.storage.paths import inside
from sv2r.types import Dataset, Instance, Instances, Match, Problem, Sample

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

_YAML = ("data.yaml", "dataset.yaml", "data.yml")
_IMAGES = re.compile(r"images(?=$|[_.-])", re.IGNORECASE)
_SPLITS = {"train": "train", "val": "val", "valid": "val", "test": "test"}
# Corners may be outside by so much of a side: what rounding to six digits leaves.
_SLACK = 1e-3


class YoloOptions(Options):
    """Options of the YOLO loader."""

    split: Several = Field((), description="Splits to take: train, val or test; all by default.")
    data: str = Field(
        "", description="The YAML file with the classes' names; data.yaml or the only one there."
    )


@dataclass(frozen=True, slots=True)
class Shot:
    """A picture and its rows; names are relative to the root. labels: "" where there is no file."""

    image: str
    labels: str
    split: str


def load(options: YoloOptions, root: Path) -> Dataset:
    """Return the dataset; of the files, only the YAML is read.

    Raises:
        ConfigError: no YAML that names classes, no picture, or not the split that was asked for.
    """
    tree = read_tree(root)
    yaml = options.data or _find_yaml(tree)
    if not yaml:
        raise ConfigError(f"{root}: {_NO_YAML}")
    names = _names(root, yaml)
    everything = _shots(tree)
    if not everything:
        raise ConfigError(f"{root}: has {yaml}, but no folder images with labels next to it")
    splits = sorted({shot.split for shot in everything if shot.split})
    if unknown := sorted(set(options.split) - set(splits)):
        there = ", ".join(splits) or "none"
        raise ConfigError(f"--loader.split {unknown[0]}: no such split in {root}; there is {there}")
    shots = [shot for shot in everything if not options.split or shot.split in options.split]
    return Dataset(
        root=root,
        samples=LazySamples(shots, partial(_sample, root, names)),
        ids=[shot.image for shot in shots],
        categories=tuple(names.values()),
        annotation_files=(inside(root, yaml),),
        problems=(*tree.problems, *_orphans(tree, everything)),
        category_ids={name: number for number, name in names.items()},
        notes=_notes(yaml, shots),
    )


def load_instances(root: Path, names: Mapping[int, str], shot: Shot) -> Instances:
    """Return a picture's instances, numbered from 1 in the order of the rows.

    Raises:
        SampleError: a row is a box, has a class that the YAML does not name, or is no polygon.
    """
    import numpy as np

    from sv2r.images.decode import picture_size
    from sv2r.images.polygon import fill_polygon

    height, width = picture_size(root / shot.image, shot.image)
    rows = _rows(root, shot) if shot.labels else []
    masks = []
    table = {}
    for number, (where, class_, corners) in enumerate(rows, start=1):
        if class_ not in names:
            raise SampleError(f"{where}: class {class_} is not in the YAML; name it there")
        table[number] = Instance(number, names[class_])
        pixels = (corners * (width, height)).astype(np.int32)
        masks.append((number, fill_polygon(pixels, (height, width))))
    labels = np.zeros((height, width), np.int32)
    # Python's sort keeps the order of equal areas, so that the later row lies on top.
    for number, mask in sorted(masks, key=lambda item: -int(item[1].sum())):
        labels[mask] = number
    hidden = {
        number: np.flatnonzero(mask & (labels != number)).astype(np.int64) for number, mask in masks
    }
    return Instances(labels, table, {n: pixels for n, pixels in hidden.items() if len(pixels)})


def _rows(root: Path, shot: Shot) -> list[tuple[str, int, NDArray[np.float64]]]:
    """Return of each row where it stands, its class, and its (N, 2) corners in shares."""
    import numpy as np

    path = inside(root, shot.labels)
    data = read_file(path, shot.labels) if path.stat().st_size else b""
    found = []
    for line, text in enumerate(data.decode("utf-8", "replace").splitlines(), start=1):
        words, where = text.split(), f"{shot.labels}, row {line}"
        if not words:
            continue
        try:
            numbers = np.array([float(word) for word in words])
        except ValueError:
            raise SampleError(
                f"{where}: {text[:40]!r} is no row of numbers; write it again"
            ) from None
        if len(numbers) == 5:
            raise SampleError(
                f"{where}: is a box, no polygon; sv2r needs masks: export YOLO segmentation"
            )
        if len(numbers) < 7 or len(numbers) % 2 == 0 or numbers[0] != int(numbers[0]):
            raise SampleError(f"{where}: is no class with three or more corners; write it again")
        corners = numbers[1:].reshape(-1, 2)
        if not np.isfinite(corners).all() or corners.min() < -_SLACK or corners.max() > 1 + _SLACK:
            raise SampleError(f"{where}: has corners outside of 0 to 1; divide by width and height")
        found.append((where, int(numbers[0]), corners.clip(0, 1)))
    return found


def _find_yaml(tree: Tree) -> str:
    top = [name for name in tree.files if "/" not in name and name.endswith((".yaml", ".yml"))]
    return next((name for name in _YAML if name in top), top[0] if len(top) == 1 else "")


def _names(root: Path, yaml: str) -> dict[int, str]:
    """Return the classes by number.

    Raises:
        ConfigError: the file cannot be read, or has no names.
    """
    from sv2r.storage.strict_yaml import read_yaml

    try:
        text = read_file(inside(root, yaml), yaml).decode("utf-8")
    except (SampleError, UnicodeDecodeError) as error:
        raise ConfigError(f"{yaml}: cannot be read ({error})") from None
    names = read_yaml(text, yaml).get("names")
    listed = dict(enumerate(names)) if isinstance(names, list) else names
    try:
        found = {int(number): str(name) for number, name in dict(listed or {}).items()}
    except (TypeError, ValueError):
        found = {}
    if not found:
        raise ConfigError(f"{yaml}: has no list or map of class names (names: ...); add it")
    if len(set(found.values())) < len(found):
        raise ConfigError(f"{yaml}: names two classes alike; give each a name of its own")
    return found


def _shots(tree: Tree) -> list[Shot]:
    """Return the pictures in folders called images with a folder called labels next to them."""
    files, folders = frozenset(tree.files), frozenset(tree.folders)
    found = []
    for name in tree.files:
        folder, stem, suffix = split_name(name)
        labels = _labels_folder(folder.rstrip("/"), folders)
        if suffix.lower() not in PICTURE_SUFFIXES or labels is None:
            continue
        text = f"{labels}/{stem}.txt"
        found.append(Shot(name, text if text in files else "", _split(name)))
    return found


def _labels_folder(folder: str, folders: frozenset[str]) -> str | None:
    """Return where labels of a folder's pictures lie: its last part "images" becomes "labels"."""
    parts = folder.split("/")
    for place in reversed(range(len(parts))):
        if _IMAGES.match(parts[place]):
            changed = _IMAGES.sub("labels", parts[place])
            if "/".join([*parts[:place], changed]) in folders:
                return "/".join([*parts[:place], changed, *parts[place + 1 :]])
    return None


def _split(name: str) -> str:
    for part in name.split("/")[:-1]:
        for start, split in _SPLITS.items():
            if part.lower() == start or part.lower().startswith((f"{start}_", f"{start}2")):
                return split
    return ""


def _orphans(tree: Tree, shots: Sequence[Shot]) -> list[Problem]:
    """Return the label files without a picture."""
    taken = {shot.labels for shot in shots}
    folders = {os.path.dirname(shot.labels) for shot in shots if shot.labels}  # noqa: PTH120
    return [
        Problem(name, f"{name}: labels without a picture; put it into images, or remove them")
        for name in tree.files
        if name.endswith(".txt") and os.path.dirname(name) in folders and name not in taken  # noqa: PTH120
    ]


def _sample(root: Path, names: Mapping[int, str], shot: Shot) -> Sample:
    return Sample(
        id=shot.image,
        image=inside(root, shot.image),
        load_instances=partial(load_instances, root, names, shot),
        annotation_files=(inside(root, shot.labels),) if shot.labels else (),
        attributes={"split": shot.split} if shot.split else {},
    )


def _notes(yaml: str, shots: Sequence[Shot]) -> tuple[str, ...]:
    notes = [f"classes come from {yaml}; polygons are drawn as Ultralytics draws them"]
    if empty := sum(not shot.labels for shot in shots):
        notes.append(f"{empty:,} pictures have no label file: no objects, as YOLO has it")
    return tuple(notes)


_NO_YAML = "no YAML file with class names (data.yaml)"


def detect(root: Path) -> Match:
    """Return how sure it is that a folder is a YOLO segmentation dataset, by its first rows."""
    try:
        tree = read_tree(root)
    except ConfigError as error:
        return Match(0.0, str(error))
    yaml = _find_yaml(tree)
    if not yaml:
        return Match(0.0, _NO_YAML)
    labelled = [shot for shot in _shots(tree) if shot.labels]
    if not labelled:
        return Match(0.0, f"has {yaml}, but no folder images with labels next to it")
    for shot in labelled[:20]:
        try:
            if _rows(root, shot):
                return Match(0.96, f"has {yaml} and polygons in {shot.labels}")
        except SampleError as error:
            return Match(0.0, str(error))
    return Match(0.6, f"has {yaml} and empty label files")


def build(options: YoloOptions, runtime: Runtime) -> Loader:
    """Return the loader."""
    return partial(load, options)


@hookimpl
def sv2r_loaders() -> Iterable[LoaderSpec[Any]]:
    """Return the YOLO loader."""
    return [
        LoaderSpec(
            name="yolo",
            summary="YOLO segmentation: data.yaml, images/ and labels/*.txt with polygons.",
            options=YoloOptions,
            build=build,
            detect=detect,
        )
    ]
