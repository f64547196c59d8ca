"""BOP datasets: scenes with rgb or gray pictures, mask_visib and scene_gt.json.

T. Hodan et al., BOP: Benchmark for 6D Object Pose Estimation, ECCV 2018; the layout is that of
bop_toolkit/docs/bop_datasets_format.md. BlenderProc's BopWriter writes it.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import msgspec
from pydantic import BeforeValidator, Field

from sv2r.errors import ConfigError, SampleError
from sv2r.loaders.json_file import read_json
from sv2r.loaders.lazy import LazySamples
from sv2r.plugin.hookspecs import hookimpl
from sv2r.plugin.options import Options, Several
from sv2r.plugin.specs import Loader, LoaderSpec, Runtime
from sv2r.storage.paths import inside
from sv2r.storage.source import list_folder, names_in
from sv2r.types import Dataset, Instance, Instances, Match, Problem, Sample

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

TRUTH = "scene_gt.json"
_PICTURES = ("rgb", "gray")
_SUFFIXES = (".png", ".jpg", ".jpeg", ".tif", ".tiff")
_SCENE_FILES = (TRUTH, "scene_gt_info.json", "scene_gt_coco.json", "scene_camera.json")


def _text_keys(value: Any) -> Any:
    return {str(key): item for key, item in value.items()} if isinstance(value, Mapping) else value


class BopOptions(Options):
    """Options of the BOP loader."""

    split: Several = Field(
        (), description="Folders of scenes to take, such as train_pbr; all by default."
    )
    categories: Annotated[Mapping[str, str], BeforeValidator(_text_keys)] = Field(
        default_factory=dict,
        description="Names of objects by their id: 1=mug. Default: those of models, obj_000001.",
    )


class _Truth(msgspec.Struct):
    """One object of a picture, as scene_gt.json has it."""

    obj_id: int


@dataclass(frozen=True, slots=True)
class View:
    """A picture: its scene, its name (relative to the root), and the ids of its objects in order.

    missing: whether scene_gt.json does not list it.
    """

    scene: str
    image: str
    objects: tuple[int, ...]


def load(options: BopOptions, root: Path) -> Dataset:
    """Return the dataset in BOP's layout; of each scene scene_gt.json and the listing are read.

    Raises:
        ConfigError: there is no scene, or not the split that was asked for.
    """
    scenes = list(find_scenes(root))
    if not scenes:
        raise ConfigError(f"{root}: {_NO_SCENE}")
    splits = sorted({scene.rpartition("/")[0] for scene in scenes})
    if unknown := sorted(set(options.split) - set(splits)):
        there = ", ".join(split or "(the input itself)" for split in splits)
        raise ConfigError(
            f"--loader.split {unknown[0]}: no such folder of scenes; there is {there}"
        )
    taken = [s for s in scenes if not options.split or s.rpartition("/")[0] in options.split]
    views: list[View] = []
    problems: list[Problem] = []
    unseen = 0
    for scene in taken:
        found, missing = _views(root, scene)
        views += [view for view in found if isinstance(view, View)]
        problems += [view for view in found if isinstance(view, Problem)]
        unseen += missing
    ids = sorted({number for view in views for number in view.objects})
    names = {number: _name(number, options.categories) for number in ids}
    return Dataset(
        root=root,
        samples=LazySamples(views, partial(_sample, root, names)),
        ids=[view.image for view in views],
        categories=tuple(names.values()),
        annotation_files=tuple(_scene_files(root, taken)),
        problems=tuple(problems),
        category_ids={name: number for number, name in names.items()},
        notes=_notes(taken, unseen),
    )


def find_scenes(root: Path) -> Iterator[str]:
    """Yield the scenes' folders, relative to root: root itself, or one or two folders below."""
    if (root / TRUTH).is_file():
        yield ""
        return
    for first in _folders(root):
        if (root / first / TRUTH).is_file():
            yield first
        else:
            yield from (
                f"{first}/{second}"
                for second in _folders(root / first)
                if (root / first / second / TRUTH).is_file()
            )


def load_instances(
    root: Path, image: str, masks: Sequence[str], objects: Sequence[int], names: Mapping[int, str]
) -> Instances:
    """Return a picture's instances, numbered from 1 in the order of scene_gt.json.

    masks: mask_visib's files of its objects. One that shows no pixel is in the table all the same.

    Raises:
        SampleError: a mask is missing, cannot be read, or is of another size than the first.
    """
    import numpy as np

    labels: NDArray[np.int32] | None = None
    for number, mask in enumerate(masks, start=1):
        shown = _read_mask(root, mask)
        if labels is None:
            labels = np.zeros(shown.shape, np.int32)
        if shown.shape != labels.shape:
            raise SampleError(
                f"{mask}: is {shown.shape[1]}x{shown.shape[0]}, the first mask of its picture is "
                f"{labels.shape[1]}x{labels.shape[0]}; render them again"
            )
        labels[shown] = number
    if labels is None:
        from sv2r.images.decode import picture_size

        labels = np.zeros(picture_size(root / image, image), np.int32)
    table = {n: Instance(n, names[id_]) for n, id_ in enumerate(objects, start=1)}
    return Instances(labels, table)


def _read_mask(root: Path, name: str) -> NDArray[np.bool_]:
    from sv2r.images.label_image import read_label_image

    path = inside(root, name)
    if not path.exists():
        raise SampleError(
            f"{name}: is missing; BOP's calc_gt_masks.py makes it from the models and poses"
        )
    shown: NDArray[np.bool_] = read_label_image(path, name).values != 0
    return shown


def _views(root: Path, scene: str) -> tuple[list[View | Problem], int]:
    """Return a scene's pictures, and how many of scene_gt.json have no picture here."""
    start = f"{scene}/" if scene else ""
    truth = f"{start}{TRUTH}"
    try:
        listed = read_json(root / truth, truth, dict[str, list[_Truth]])
        numbers = {int(key): tuple(one.obj_id for one in ones) for key, ones in listed.items()}
    except (SampleError, ValueError) as error:
        detail = f"{truth}: has a key that is no number" if type(error) is ValueError else error
        return [Problem(truth, str(detail))], 0
    folder = next((name for name in _PICTURES if (root / scene / name).is_dir()), None)
    if folder is None:
        return [Problem(truth, f"{truth}: next to it there is no rgb or gray; render it")], 0
    found: list[View | Problem] = []
    there: set[int] = set()
    for file in sorted(names_in(root / scene / folder)):
        stem, suffix = os.path.splitext(file)  # noqa: PTH122
        if suffix.lower() not in _SUFFIXES or not stem.isdecimal():
            continue
        image, number = f"{start}{folder}/{file}", int(stem)
        if number in there:
            found.append(Problem(image, f"{image}: a second picture of number {number}; keep one"))
        elif number not in numbers:
            found.append(Problem(image, f"{image}: {truth} does not list it; label or remove it"))
        else:
            found.append(View(scene, image, numbers[number]))
        there.add(number)
    return found, len(numbers.keys() - there)


def _sample(root: Path, names: Mapping[int, str], view: View) -> Sample:
    stem = view.image.rpartition("/")[2].rpartition(".")[0]
    scene = root / view.scene
    start = f"{view.scene}/" if view.scene else ""
    masks = [f"{start}mask_visib/{stem}_{n:06}.png" for n in range(len(view.objects))]
    whole = [f"{start}mask/{stem}_{n:06}.png" for n in range(len(view.objects))]
    files = [name for name in (*masks, *whole) if (root / name).is_file()]
    depth = next((scene / "depth" / f"{stem}{s}" for s in (".png", ".tif")
                  if (scene / "depth" / f"{stem}{s}").is_file()), None)  # fmt: skip
    split, _, number = view.scene.rpartition("/")
    return Sample(
        id=view.image,
        image=root / view.image,
        load_instances=partial(load_instances, root, view.image, masks, view.objects, names),
        annotation_files=tuple(inside(root, name) for name in files),
        channels={"depth": depth} if depth else {},
        attributes={"split": split, "scene": number} if number else {},
    )


def _name(number: int, names: Mapping[str, str]) -> str:
    return names.get(str(number), f"obj_{number:06}")


def _folders(path: Path) -> list[str]:
    try:
        with list_folder(path) as entries:
            return sorted(e.name for e in entries if e.is_dir(follow_symlinks=False))
    except OSError:
        return []


def _scene_files(root: Path, scenes: Sequence[str]) -> Iterator[Path]:
    for scene in scenes:
        for name in _SCENE_FILES:
            if (path := root / scene / name).is_file():
                yield path


def _notes(scenes: Sequence[str], unseen: int) -> tuple[str, ...]:
    told = f"{len(scenes):,} scenes; instances come from mask_visib, in the order of {TRUTH}"
    if not unseen:
        return (told,)
    return (told, f"{unseen:,} entries of {TRUTH} have no picture here and are left out")


_NO_SCENE = f"no scene of BOP's (a folder with {TRUTH} and rgb or gray)"


def detect(root: Path) -> Match:
    """Return how sure it is that a folder has BOP's scenes, by the first one's files alone."""
    scene = next(find_scenes(root), None)
    if scene is None:
        return Match(0.0, _NO_SCENE)
    where = f"{scene}/{TRUTH}" if scene else TRUTH
    if not any((root / scene / name).is_dir() for name in _PICTURES):
        return Match(0.0, f"has {where}, but no rgb or gray next to it")
    return Match(0.97, f"has {where} and its pictures")


def build(options: BopOptions, runtime: Runtime) -> Loader:
    """Return the loader."""
    return partial(load, options)


@hookimpl
def sv2r_loaders() -> Iterable[LoaderSpec[Any]]:
    """Return the BOP loader."""
    return [
        LoaderSpec(
            name="bop",
            summary="BOP scenes: rgb or gray, mask_visib and scene_gt.json (BlenderProc's, too).",
            options=BopOptions,
            build=build,
            detect=detect,
        )
    ]
