"""Hypersim: scene_cam_XX_final_preview/frame.IIII.tonemap.jpg, its labels in …_geometry_hdf5.

A pixel of semantic_instance is an instance's id, -1 where there is none; semantic has its NYU40
class (M. Roberts et al., Hypersim, 2021, arXiv 2011.02523).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import Field

from sv2r.errors import ConfigError, SampleError
from sv2r.loaders.lazy import LazySamples
from sv2r.loaders.tree import read_tree
from sv2r.plugin.hookspecs import hookimpl
from sv2r.plugin.options import Options, Several
from sv2r.plugin.specs import Loader, LoaderSpec, Runtime
from sv2r.storage.paths import inside
from sv2r.types import Dataset, Instance, Instances, Match, Problem, Sample

if TYPE_CHECKING:
    from numpy.typing import NDArray

_FRAME = re.compile(
    r"(?P<start>(?:.*/)?)scene_(?P<camera>cam_\d+)_final_preview/"
    r"frame\.(?P<number>\d+)\.tonemap\.(?:jpg|png)"
)
# The array in each of Hypersim's files.
_KEY = "dataset"
# NYU40's classes, from 1.
_NAMES = (
    *("wall", "floor", "cabinet", "bed", "chair", "sofa", "table", "door", "window", "bookshelf"),
    *("picture", "counter", "blinds", "desk", "shelves", "curtain", "dresser", "pillow", "mirror"),
    *("floor mat", "clothes", "ceiling", "books", "refrigerator", "television", "paper", "towel"),
    *("shower curtain", "box", "whiteboard", "person", "night stand", "toilet", "sink", "lamp"),
    *("bathtub", "bag", "other structure", "other furniture", "other prop"),
)
_UNKNOWN = "unlabelled"


class HypersimOptions(Options):
    """Options of the Hypersim loader."""

    ignore: Several = Field(
        ("wall", "floor", "ceiling"),
        description="Classes of NYU40 that are background, whatever ids their pixels have.",
    )


@dataclass(frozen=True, slots=True)
class HypersimFrame:
    """One picture. geometry: how the names of its other files begin, relative to the root."""

    image: str
    geometry: str
    scene: str
    camera: str

    def pass_of(self, kind: str) -> str:
        """Return the name of a file beside it, such as semantic_instance."""
        return f"{self.geometry}{kind}.hdf5"


def load(options: HypersimOptions, root: Path) -> Dataset:
    """Return the dataset; no file is opened.

    Raises:
        ConfigError: there is no picture, or no such class.
    """
    if unknown := sorted({*options.ignore} - {*_NAMES, _UNKNOWN}):
        raise ConfigError(f"--loader.ignore {unknown[0]}: is no class; there are {_told()}")
    tree = read_tree(root)
    frames, problems = [], [*tree.problems]
    files = frozenset(tree.files)
    for frame in _frames(root, tree.files):
        missing = [one for one in map(frame.pass_of, _LABELS) if one not in files]
        if missing:
            message = f"{frame.image}: has no labels ({missing[0]} is missing); unpack it as well"
            problems.append(Problem(frame.image, message))
        else:
            frames.append(frame)
    if not frames and len(problems) == len(tree.problems):
        raise ConfigError(f"{root}: {_NO_FRAME}")
    return Dataset(
        root=root,
        samples=LazySamples(frames, partial(_sample, root, files, frozenset(options.ignore))),
        ids=[frame.image for frame in frames],
        categories=tuple(name for name in (*_NAMES, _UNKNOWN) if name not in options.ignore),
        problems=tuple(problems),
        notes=("previews as the pictures, NYU40 as the classes",),
    )


_LABELS = ("semantic_instance", "semantic")


def load_instances(root: Path, ignore: frozenset[str], frame: HypersimFrame) -> Instances:
    """Return a picture's instances, each of the class that most of its pixels have.

    Raises:
        SampleError: a file cannot be read, or the two are not of one size.
    """
    import numpy as np

    name, other = (frame.pass_of(kind) for kind in _LABELS)
    labels = read_map(inside(root, name), name).astype(np.int32)
    classes = read_map(inside(root, other), other)
    if labels.shape != classes.shape:
        raise SampleError(
            f"{name}: is of {labels.shape}, {other} of {classes.shape}; unpack them again"
        )
    labels[labels < 0] = 0
    table = {}
    for id_ in np.unique(labels[labels > 0]).tolist():
        values, counts = np.unique(classes[labels == id_], return_counts=True)
        category = _name_of(int(values[np.argmax(counts)]))
        if category in ignore:
            labels[labels == id_] = 0
        else:
            table[id_] = Instance(id_, category)
    return Instances(labels, table)


def read_map(path: Path, name: str) -> NDArray[Any]:
    """Return the (H, W) array of one of Hypersim's files.

    Raises:
        SampleError: it cannot be read, or is of another shape.
    """
    from sv2r.images.hdf5 import read_hdf5

    found = read_hdf5(path, name, _KEY)
    if found.ndim != 2:
        raise SampleError(f"{name}: has the shape {found.shape}, not height and width")
    return found


def _name_of(value: int) -> str:
    return _NAMES[value - 1] if 1 <= value <= len(_NAMES) else _UNKNOWN


def _told() -> str:
    return ", ".join((*_NAMES, _UNKNOWN))


def _frames(root: Path, files: Iterable[str]) -> Iterator[HypersimFrame]:
    for name in files:
        if found := _FRAME.fullmatch(name):
            start, camera = found["start"], found["camera"]
            # The scene's folder is above images, which may be what was given.
            folders = [*root.parts, *start.strip("/").split("/")]
            scene = [one for one in folders if one not in ("", "images")][-1]
            geometry = f"{start}scene_{camera}_geometry_hdf5/frame.{found['number']}."
            yield HypersimFrame(name, geometry, scene, camera)


def _sample(
    root: Path, files: frozenset[str], ignore: frozenset[str], frame: HypersimFrame
) -> Sample:
    depth = frame.pass_of("depth_meters")
    there = depth in files
    return Sample(
        id=frame.image,
        image=inside(root, frame.image),
        load_instances=partial(load_instances, root, ignore, frame),
        annotation_files=tuple(inside(root, frame.pass_of(kind)) for kind in _LABELS),
        channels={"depth": inside(root, depth)} if there else {},
        readings={"depth": read_map} if there else {},
        attributes={"scene": frame.scene, "camera": frame.camera},
    )


_NO_FRAME = "no picture of Hypersim (images/scene_cam_00_final_preview/frame.0000.tonemap.jpg)"


def detect(root: Path) -> Match:
    """Return how sure it is that a folder is of Hypersim, by its names alone."""
    try:
        files = read_tree(root).files
    except ConfigError as error:
        return Match(0.0, str(error))
    frame = next(_frames(root, files), None)
    return Match(0.0, _NO_FRAME) if frame is None else Match(0.97, f"has {frame.image}")


def build(options: HypersimOptions, runtime: Runtime) -> Loader:
    """Return the loader."""
    return partial(load, options)


@hookimpl
def sv2r_loaders() -> Iterable[LoaderSpec[Any]]:
    """Return the Hypersim loader."""
    return [
        LoaderSpec(
            name="hypersim",
            summary="Hypersim: tone-mapped previews with semantic_instance (needs sv2r[hdf5]).",
            options=HypersimOptions,
            build=build,
            detect=detect,
        )
    ]
