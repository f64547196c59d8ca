"""Virtual KITTI 2: SceneNN/VARIANT/frames/{rgb,instanceSegmentation,depth}/Camera_K.

A pixel of instanceSegmentation is an object's track id + 1, 0 where there is none; info.txt of the
variant names each track's class (Y. Cabon et al., Virtual KITTI 2, 2020, arXiv 2001.10773).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from pydantic import Field

from sv2r.errors import ConfigError, SampleError
from sv2r.images.picture_file import read_file
from sv2r.loaders.lazy import LazySamples
from sv2r.loaders.tree import read_tree
from sv2r.plugin.hookspecs import hookimpl
from sv2r.plugin.options import Options, Several
from sv2r.plugin.specs import Loader, LoaderSpec, Runtime
from sv2r.storage.paths import inside
from sv2r.types import Dataset, Instance, Instances, Match, Problem, Sample

_RGB = re.compile(
    r"(?P<start>(?:.*/)?)(?P<scene>Scene\d+)/(?P<variant>[^/]+)/frames/rgb/"
    r"(?P<camera>Camera_\d+)/rgb_(?P<number>\d+)\.(?:jpg|png)"
)


class VkittiOptions(Options):
    """Options of the Virtual KITTI loader."""

    variant: Several = Field(
        (), description="Variants to take, such as clone, fog or rain; all by default."
    )
    camera: Several = Field((), description="Cameras to take: Camera_0, Camera_1; both by default.")


@dataclass(frozen=True, slots=True)
class View:
    """One picture. folder: the variant's, relative to the root."""

    image: str
    folder: str
    scene: str
    variant: str
    camera: str
    number: str

    @property
    def labels(self) -> str:
        """Return the instance picture's name."""
        return self._pass("instanceSegmentation", "instancegt")

    @property
    def depth(self) -> str:
        """Return the depth picture's name."""
        return self._pass("depth", "depth")

    def _pass(self, kind: str, stem: str) -> str:
        return f"{self.folder}frames/{kind}/{self.camera}/{stem}_{self.number}.png"


def load(options: VkittiOptions, root: Path) -> Dataset:
    """Return the dataset; of the files, the variants' info.txt are read.

    Raises:
        ConfigError: there is no picture, or none of the variants or cameras that were asked for.
    """
    tree = read_tree(root)
    views = list(_views(tree.files))
    if not views:
        raise ConfigError(f"{root}: {_NO_VIEW}")
    for option, there, asked in (
        ("variant", {view.variant for view in views}, options.variant),
        ("camera", {view.camera for view in views}, options.camera),
    ):
        if unknown := sorted(set(asked) - there):
            known = ", ".join(sorted(there))
            raise ConfigError(f"--loader.{option} {unknown[0]}: is not in {root}; there is {known}")
    files = frozenset(tree.files)
    taken, problems = [], [*tree.problems]
    tracks: dict[str, Mapping[int, str]] = {}
    for view in views:
        if options.variant and view.variant not in options.variant:
            continue
        if options.camera and view.camera not in options.camera:
            continue
        if view.folder not in tracks:
            tracks[view.folder] = {}
            try:
                tracks[view.folder] = read_tracks(root, f"{view.folder}info.txt")
            except SampleError as error:
                problems.append(Problem(f"{view.folder}info.txt", str(error)))
        if view.labels in files:
            taken.append(view)
        else:
            message = (
                f"{view.image}: has no instances ({view.labels} is missing); unpack vkitti_2.0.3"
            )
            problems.append(Problem(view.image, f"{message}_instanceSegmentation.tar as well"))
    names = sorted({name for found in tracks.values() for name in found.values()})
    return Dataset(
        root=root,
        samples=LazySamples(taken, partial(_sample, root, files, tracks)),
        ids=[view.image for view in taken],
        categories=tuple(names),
        annotation_files=tuple(root / f"{f}info.txt" for f in tracks if f"{f}info.txt" in files),
        problems=tuple(problems),
        notes=(f"{len({(v.scene, v.variant) for v in taken}):,} sequences; track id = pixel - 1",),
    )


def read_tracks(root: Path, name: str) -> dict[int, str]:
    """Return the class of each track of an info.txt: "trackID label model color" and rows.

    Raises:
        SampleError: it is missing, or a row has no track id with a class.
    """
    path = inside(root, name)
    if not path.is_file():
        raise SampleError(f"{name}: is missing; unpack it (textgt.tar) as well")
    lines = read_file(path, name).decode("utf-8", "replace").splitlines()
    found = {}
    for number, line in enumerate(lines[1:], start=2):
        words = line.split()
        if not words:
            continue
        if len(words) < 2 or not words[0].isdecimal():
            raise SampleError(f"{name}, row {number}: is no track id with a class; unpack it again")
        found[int(words[0])] = words[1]
    return found


def load_instances(root: Path, name: str, tracks: Mapping[int, str]) -> Instances:
    """Return a picture's instances; an instance's id is its track id + 1, as the pixels have it.

    Raises:
        SampleError: it cannot be read, or has a track that info.txt does not name.
    """
    import numpy as np

    from sv2r.images.label_image import read_label_image

    image = read_label_image(inside(root, name), name)
    if image.kind == "colour":
        raise SampleError(f"{name}: has colours, no track ids; unpack it again")
    labels = image.values.astype(np.int32)
    ids = [int(id_) for id_ in np.unique(labels).tolist() if id_]
    if strange := [id_ for id_ in ids if id_ - 1 not in tracks]:
        raise SampleError(f"{name}: has track {strange[0] - 1}, which info.txt does not name")
    return Instances(labels, {id_: Instance(id_, tracks[id_ - 1]) for id_ in ids})


def _views(files: Iterable[str]) -> Iterator[View]:
    for name in files:
        if found := _RGB.fullmatch(name):
            folder = f"{found['start']}{found['scene']}/{found['variant']}/"
            rest = (found[key] for key in ("scene", "variant", "camera", "number"))
            yield View(name, folder, *rest)


def _sample(
    root: Path, files: frozenset[str], tracks: Mapping[str, Mapping[int, str]], view: View
) -> Sample:
    return Sample(
        id=view.image,
        image=inside(root, view.image),
        load_instances=partial(load_instances, root, view.labels, tracks[view.folder]),
        annotation_files=(inside(root, view.labels),),
        channels={"depth": inside(root, view.depth)} if view.depth in files else {},
        attributes={"scene": view.scene, "variant": view.variant, "camera": view.camera},
    )


_NO_VIEW = "no picture of Virtual KITTI 2 (SceneNN/VARIANT/frames/rgb/Camera_0/rgb_00000.jpg)"


def detect(root: Path) -> Match:
    """Return how sure it is that a folder is Virtual KITTI 2, by its names alone."""
    try:
        files = read_tree(root).files
    except ConfigError as error:
        return Match(0.0, str(error))
    view = next(_views(files), None)
    return Match(0.0, _NO_VIEW) if view is None else Match(0.97, f"has {view.image}")


def build(options: VkittiOptions, runtime: Runtime) -> Loader:
    """Return the loader."""
    return partial(load, options)


@hookimpl
def sv2r_loaders() -> Iterable[LoaderSpec[Any]]:
    """Return the Virtual KITTI loader."""
    return [
        LoaderSpec(
            name="vkitti",
            summary="Virtual KITTI 2: SceneNN/VARIANT/frames/rgb and instanceSegmentation.",
            options=VkittiOptions,
            build=build,
            detect=detect,
        )
    ]
