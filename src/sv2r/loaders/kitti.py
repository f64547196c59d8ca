"""KITTI's and MOTS's instance PNGs of 16 bits, next to their pictures.

KITTI's semantic benchmark: ``training/instance`` beside ``training/image_2``, a pixel is
class * 256 + n, with the classes of Cityscapes; n = 0 is a region without instances. KITTI MOTS and
what is kept like it: ``instances/SEQUENCE`` beside ``image_02/SEQUENCE`` (or ``images``), a pixel
is class * 1000 + n: 1 is a car, 2 a pedestrian, 10 is ignored; a ``labels.txt`` names others.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field

from sv2r.errors import ConfigError, SampleError
from sv2r.images.label_tables import CITYSCAPES
from sv2r.images.picture_file import PICTURE_SUFFIXES, read_file
from sv2r.loaders.lazy import LazySamples
from sv2r.loaders.tree import Tree, read_tree, split_name
from sv2r.plugin.hookspecs import hookimpl
from sv2r.plugin.options import Options
from sv2r.plugin.specs import Loader, LoaderSpec, Runtime
from sv2r.storage.paths import inside
from sv2r.types import Dataset, Instance, Instances, Match, Problem, Sample

if TYPE_CHECKING:
    from numpy.typing import NDArray

Factor = Literal[256, 1000]

_MOTS: Mapping[int, str] = MappingProxyType({1: "car", 2: "pedestrian"})
_IGNORED = 10
# A folder of instance pictures, the factor that its name tells, and where their pictures may be.
_FACTORS: Mapping[str, Factor] = MappingProxyType({"instance": 256, "instances": 1000})
_PICTURES = ("image_2", "image_02", "images", "image", "training/image_02", "testing/image_02")
_SPLITS = re.compile(r"(?:^|/)(train|val|test)(?:ing)?(?=/)")
_LOOKED_AT = 8


class KittiOptions(Options):
    """Options of the KITTI loader."""

    factor: Literal["auto", "256", "1000"] = Field(
        "auto",
        description="What a class is multiplied by: 256 as in KITTI, 1000 as in MOTS; auto: by "
        "the folder's name, instance or instances.",
    )


@dataclass(frozen=True, slots=True)
class Shot:
    """A picture and its instance PNG, relative to the root. classes: what its pixels stand for."""

    image: str
    instances: str
    factor: int
    classes: Mapping[int, str]


def load(options: KittiOptions, root: Path) -> Dataset:
    """Return the dataset; of the files, ``labels.txt`` is read.

    Raises:
        ConfigError: there is no instance picture with a picture of its own.
    """
    tree = read_tree(root)
    shots, problems, lists = _shots(root, tree, options)
    if not shots:
        raise ConfigError(f"{root}: {_NO_PAIR}")
    told = ", ".join(str(factor) for factor in sorted({shot.factor for shot in shots}))
    classes = {name: id_ for shot in shots for id_, name in shot.classes.items()}
    return Dataset(
        root=root,
        samples=LazySamples(shots, partial(_sample, root)),
        ids=[shot.image for shot in shots],
        categories=tuple(classes),
        annotation_files=tuple(root / name for name in lists),
        problems=(*tree.problems, *problems),
        category_ids=classes,
        notes=(f"a pixel is its class × {told} + n; --loader.factor decides otherwise",),
    )


def load_instances(root: Path, shot: Shot) -> Instances:
    """Return a picture's instances; their ids are the pixels' own.

    Raises:
        SampleError: it cannot be read, has colours, or a class that has no name.
    """
    import numpy as np

    values = _values(root, shot.instances)
    labels, table = np.zeros(values.shape, np.int32), {}
    for value in (int(value) for value in np.unique(values) if value):
        kind, number = divmod(value, shot.factor)
        if (shot.factor == 256 and not number) or (shot.factor == 1000 and kind == _IGNORED):
            continue
        if kind not in shot.classes:
            raise SampleError(
                f"{shot.instances}: pixel {value} is of class {kind}, which has no name; "
                "name it in labels.txt next to it, or correct --loader.factor"
            )
        labels[values == value] = value
        table[value] = Instance(value, shot.classes[kind])
    return Instances(labels, table)


def _values(root: Path, name: str) -> NDArray[Any]:
    from sv2r.images.label_image import read_label_image

    image = read_label_image(inside(root, name), name)
    if image.kind != "ids":
        raise SampleError(f"{name}: is no grey picture of class and number; unpack it again")
    return image.values


def _shots(
    root: Path, tree: Tree, options: KittiOptions
) -> tuple[list[Shot], list[Problem], list[str]]:
    """Return the pictures, instance pictures without one, and the lists of classes."""
    pictures: dict[str, str] = {}
    for name in tree.files:
        folder, stem, suffix = split_name(name)
        if suffix.lower() in PICTURE_SUFFIXES:
            pictures.setdefault(f"{folder}{stem}", name)
    files = frozenset(tree.files)
    named: dict[str, Mapping[int, str]] = {}
    shots, problems = [], []
    for name, above, kind, inner in _labelled(tree):
        places = (f"{above}{place}/{inner}" for place in _PICTURES)
        image = next((pictures[place] for place in places if place in pictures), None)
        if image is None:
            message = f"{name}: there is no picture of its name in image_2, image_02 or images"
            problems.append(Problem(name, f"{message}; put it there, or remove this"))
            continue
        listed = f"{above}{kind}/labels.txt"
        factor = _FACTORS[kind] if options.factor == "auto" else int(options.factor)
        if listed not in named:
            named[listed] = _classes(root, listed if listed in files else "", factor)
        shots.append(Shot(image, name, factor, named[listed]))
    return shots, problems, sorted(name for name in named if name in files)


def _labelled(tree: Tree) -> Iterator[tuple[str, str, str, str]]:
    """Yield each instance picture, what is above its folder, that folder, and what is below."""
    for name in tree.files:
        stem, dot, suffix = name.rpartition(".")
        parts = stem.split("/")
        place = next((i for i, part in enumerate(parts[:-1]) if part in _FACTORS), None)
        if dot and suffix.lower() == "png" and place is not None:
            above = "".join(f"{part}/" for part in parts[:place])
            yield name, above, parts[place], "/".join(parts[place + 1 :])


def _classes(root: Path, listed: str, factor: int) -> Mapping[int, str]:
    """Return the classes by number: those of a list, the first of which is 1, or the benchmark's.

    Raises:
        ConfigError: the list cannot be read.
    """
    if not listed:
        return CITYSCAPES if factor == 256 else _MOTS
    try:
        lines = read_file(inside(root, listed), listed).decode("utf-8", "replace").splitlines()
    except SampleError as error:
        raise ConfigError(str(error)) from error
    names = [line.strip() for line in lines if line.strip()]
    first = 0 if names[:1] == ["background"] else 1
    return {number: name for number, name in enumerate(names, first) if number}


def _sample(root: Path, shot: Shot) -> Sample:
    folder, _, _ = split_name(shot.image)
    split = _SPLITS.search(folder)
    sequence = folder.rstrip("/").rpartition("/")[2]
    words = {"split": split[1] if split else "", "sequence": sequence if sequence.isdigit() else ""}
    return Sample(
        id=shot.image,
        image=inside(root, shot.image),
        load_instances=partial(load_instances, root, shot),
        annotation_files=(inside(root, shot.instances),),
        attributes={key: word for key, word in words.items() if word},
    )


_NO_PAIR = "no folder instance or instances with 16-bit PNGs of pictures in image_2 or images"


def detect(root: Path) -> Match:
    """Return how sure it is that a folder is KITTI's or MOTS's: by names and a few pictures."""
    import numpy as np

    try:
        shots, _, _ = _shots(root, read_tree(root), KittiOptions(factor="auto"))
        if not shots:
            return Match(0.0, _NO_PAIR)
        for shot in shots[:_LOOKED_AT]:
            values = _values(root, shot.instances)
            kinds = {int(value) // shot.factor for value in np.unique(values) if value}
            if values.dtype != np.uint16 or not kinds <= {*shot.classes, _IGNORED, 0}:
                return Match(0.0, f"{shot.instances}: its pixels are no class × {shot.factor} + n")
            if kinds - {0}:
                return Match(
                    0.94, f"{shot.instances} has class × {shot.factor} + n of {shot.image}"
                )
    except (ConfigError, SampleError) as error:
        return Match(0.0, str(error))
    return Match(0.0, f"{shots[0].instances}: has no instance, nor have those after it")


def build(options: KittiOptions, runtime: Runtime) -> Loader:
    """Return the loader."""
    return partial(load, options)


@hookimpl
def sv2r_loaders() -> Iterable[LoaderSpec[Any]]:
    """Return the KITTI and MOTS loader."""
    return [
        LoaderSpec(
            name="kitti",
            summary="KITTI's and MOTS's 16-bit instance PNGs: class × 256 + n, class × 1000 + n.",
            options=KittiOptions,
            build=build,
            detect=detect,
        )
    ]
