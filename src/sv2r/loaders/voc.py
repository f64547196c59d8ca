"""Pascal VOC's segmentation: JPEGImages with SegmentationObject and SegmentationClass.

In both pictures 0 is background and 255, drawn around objects, is void. An object's category is
what SegmentationClass shows under most of its pixels (M. Everingham et al., The PASCAL Visual
Object Classes Challenge, IJCV 2010). CVAT's exports have the same tree with colours and a
labelmap.txt.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import Field

from sv2r.errors import ConfigError, SampleError
from sv2r.images.label_tables import voc_colours
from sv2r.images.picture_file import PICTURE_SUFFIXES, read_file
from sv2r.loaders.lazy import LazySamples
from sv2r.loaders.tree import Tree, below, read_tree, split_name
from sv2r.plugin.hookspecs import hookimpl
from sv2r.plugin.options import Options, Several
from sv2r.plugin.specs import Loader, LoaderSpec, Runtime
from sv2r.storage.paths import inside
from sv2r.types import Dataset, Instance, Instances, Match, Problem, Sample

if TYPE_CHECKING:
    from sv2r.images.label_image import LabelImage

_OBJECTS, _CLASSES, _IMAGES = "SegmentationObject", "SegmentationClass", "JPEGImages"
_LABELMAP = "labelmap.txt"
_VOID_INDEX, _VOID_COLOUR = 255, 224 << 16 | 224 << 8 | 192
NAMES = (
    *("background", "aeroplane", "bicycle", "bird", "boat", "bottle", "bus", "car", "cat", "chair"),
    *("cow", "diningtable", "dog", "horse", "motorbike", "person", "pottedplant", "sheep", "sofa"),
    *("train", "tvmonitor"),
)
"""The classes by their index in SegmentationClass."""


class VocOptions(Options):
    """Options of the Pascal VOC loader."""

    split: Several = Field(
        (),
        description="Lists of ImageSets/Segmentation to take, such as train; all pictures that "
        "have objects by default.",
    )


@dataclass(frozen=True, slots=True)
class Classes:
    """What a class picture means: names by index, and by colour (r << 16 | g << 8 | b)."""

    by_index: Mapping[int, str]
    by_colour: Mapping[int, str]


@dataclass(frozen=True, slots=True)
class Shot:
    """A picture and its label files, relative to the root. files: all of them."""

    image: str
    objects: str
    classes: str
    files: tuple[str, ...]
    split: str


def load(options: VocOptions, root: Path) -> Dataset:
    """Return the dataset; labelmap.txt and the lists of ImageSets are read.

    Raises:
        ConfigError: there is no such tree, or no such list.
    """
    tree = read_tree(root)
    home = _home(tree)
    if home is None:
        raise ConfigError(f"{root}: {_NO_TREE}")
    classes = _read_classes(root, tree, home)
    lists = _read_lists(root, tree, home)
    if unknown := sorted(set(options.split) - set(lists)):
        there = ", ".join(lists) or "none"
        raise ConfigError(
            f"--loader.split {unknown[0]}: no such list in ImageSets/Segmentation; there is {there}"
        )
    wanted = {stem for name in options.split or lists for stem in lists[name]}
    shots, problems = _shots(tree, home, lists, wanted if options.split else None, wanted)
    return Dataset(
        root=root,
        samples=LazySamples(shots, partial(_sample, root, classes)),
        ids=[shot.image for shot in shots],
        categories=tuple(name for index, name in classes.by_index.items() if index),
        annotation_files=tuple(
            root / name
            for name in tree.files
            if name == f"{home}{_LABELMAP}" or name.startswith(f"{home}ImageSets/")
        ),
        problems=(*tree.problems, *problems),
        category_ids={name: index for index, name in classes.by_index.items() if index},
        notes=(f"objects come from {_OBJECTS}, categories from {_CLASSES}; void is background",),
    )


def load_instances(root: Path, classes: Classes, shot: Shot) -> Instances:
    """Return a picture's instances by their index, or numbered from 1 where they have colours.

    Raises:
        SampleError: a file cannot be read, the two differ in size, or a class has no name.
    """
    import numpy as np

    from sv2r.images.label_image import read_label_image

    objects = read_label_image(inside(root, shot.objects), shot.objects)
    kinds = read_label_image(inside(root, shot.classes), shot.classes)
    if objects.values.shape != kinds.values.shape:
        raise SampleError(f"{shot.classes}: is of another size than {shot.objects}; draw it again")
    seen, places = np.unique(objects.values, return_inverse=True)
    nothing = {0, _void(objects)}
    taken = [int(value) for value in seen.tolist() if value not in nothing]
    numbers = {v: n if objects.kind == "colour" else v for n, v in enumerate(taken, start=1)}
    lookup = np.array([numbers.get(int(value), 0) for value in seen.tolist()], np.int32)
    labels = lookup[places].reshape(objects.values.shape)
    table = {}
    for number in numbers.values():
        under, counts = np.unique(kinds.values[labels == number], return_counts=True)
        name = _named(int(under[np.argmax(counts)]), kinds, classes, shot.classes)
        table[number] = Instance(number, name)
    return Instances(labels, table)


def _void(image: LabelImage) -> int:
    return _VOID_COLOUR if image.kind == "colour" else _VOID_INDEX


def _named(value: int, image: LabelImage, classes: Classes, name: str) -> str:
    names = classes.by_colour if image.kind == "colour" else classes.by_index
    if value not in names or not value:
        told = (value >> 16, value >> 8 & 255, value & 255) if image.kind == "colour" else value
        problem = f"{name}: an object lies on class {told}, which has no name"
        raise SampleError(f"{problem}; draw it again")
    return names[value]


def _read_classes(root: Path, tree: Tree, home: str) -> Classes:
    """Return the classes of labelmap.txt ("name:r,g,b:parts:actions"), or VOC's own.

    Raises:
        ConfigError: the file has a row that is none.
    """
    if f"{home}{_LABELMAP}" not in tree.files:
        own = dict(enumerate(NAMES))
        return Classes(own, dict(zip(voc_colours(len(NAMES)), NAMES, strict=True)))
    path = root / home / _LABELMAP
    try:
        text = read_file(path, path.name).decode("utf-8", "replace")
        rows = [line.split(":") for line in text.splitlines() if line and line[0] != "#"]
        found = [(row[0], [int(part) for part in row[1].split(",")]) for row in rows]
        packed = {red << 16 | green << 8 | blue: name for name, (red, green, blue) in found}
    except (SampleError, ValueError, IndexError) as error:
        raise ConfigError(f"{path}: has a row that is no name:r,g,b ({error})") from None
    return Classes({index: name for index, (name, _) in enumerate(found)}, packed)


def _read_lists(root: Path, tree: Tree, home: str) -> dict[str, list[str]]:
    """Return the pictures' stems by list of ImageSets/Segmentation."""
    folder = f"{home}ImageSets/Segmentation"
    found = {}
    for name in below(tree.files, folder):
        if name.endswith(".txt"):
            path = root / folder / name
            data = read_file(path, name) if path.stat().st_size else b""
            found[name.removesuffix(".txt")] = data.decode("utf-8", "replace").split()
    return found


def _shots(
    tree: Tree,
    home: str,
    lists: Mapping[str, Sequence[str]],
    only: set[str] | None,
    listed: set[str],
) -> tuple[list[Shot], list[Problem]]:
    """Return the pictures with objects, and listed ones without.

    only: the stems to take, or None: all.
    """
    files = frozenset(tree.files)
    pictures = {
        split_name(name)[1]: f"{home}{_IMAGES}/{name}"
        for name in below(tree.files, f"{home}{_IMAGES}")
        if split_name(name)[2].lower() in PICTURE_SUFFIXES
    }
    splits = {stem: name for name in ("val", "train", "test") for stem in lists.get(name, ())}
    shots, problems = [], []
    for stem, image in sorted(pictures.items()):
        objects, classes = (f"{home}{folder}/{stem}.png" for folder in (_OBJECTS, _CLASSES))
        if only is not None and stem not in only:
            continue
        if objects in files and classes in files:
            text = f"{home}Annotations/{stem}.xml"
            carried = (objects, classes, *((text,) if text in files else ()))
            shots.append(Shot(image, objects, classes, carried, splits.get(stem, "")))
        elif stem in listed:
            missing = objects if objects not in files else classes
            message = (
                f"{image}: is listed, but {missing} is missing; draw it, or take it off the list"
            )
            problems.append(Problem(image, message))
    for stem in sorted(listed - pictures.keys()):
        image = f"{home}{_IMAGES}/{stem}.jpg"
        problems.append(Problem(image, f"{image}: is listed, but missing; put it there"))
    return shots, problems


def _home(tree: Tree) -> str | None:
    """Return where the tree begins, "" or "VOC2012/", or None."""
    folders = set(tree.folders)
    for name in tree.folders:
        if name.rpartition("/")[2] == _OBJECTS:
            home = name.removesuffix(_OBJECTS)
            if {f"{home}{_IMAGES}", f"{home}{_CLASSES}"} <= folders:
                return home
    return None


def _sample(root: Path, classes: Classes, shot: Shot) -> Sample:
    return Sample(
        id=shot.image,
        image=inside(root, shot.image),
        load_instances=partial(load_instances, root, classes, shot),
        annotation_files=tuple(inside(root, name) for name in shot.files),
        attributes={"split": shot.split} if shot.split else {},
    )


_NO_TREE = f"no Pascal VOC segmentation ({_IMAGES}, {_OBJECTS} and {_CLASSES} next to each other)"


def detect(root: Path) -> Match:
    """Return how sure it is that a folder is Pascal VOC's segmentation, by its folders alone."""
    try:
        home = _home(read_tree(root))
    except ConfigError as error:
        return Match(0.0, str(error))
    if home is None:
        return Match(0.0, _NO_TREE)
    return Match(0.95, f"has {home}{_IMAGES}, {_OBJECTS} and {_CLASSES}")


def build(options: VocOptions, runtime: Runtime) -> Loader:
    """Return the loader."""
    return partial(load, options)


@hookimpl
def sv2r_loaders() -> Iterable[LoaderSpec[Any]]:
    """Return the Pascal VOC loader."""
    return [
        LoaderSpec(
            name="voc",
            summary="Pascal VOC: JPEGImages with SegmentationObject and SegmentationClass.",
            options=VocOptions,
            build=build,
            detect=detect,
        )
    ]
