"""What Omniverse Replicator's BasicWriter leaves (Isaac Sim): rgb_0000.png and its annotators.

Frames are found by their pictures: rgb_KEY.png, where KEY is a number, perhaps after a sequence's
prefix. The labels of a frame lie next to its picture, or in folders of their own next to the
picture's, one for each annotator. Colours (or ids) are named by JSON files:

    instance_segmentation_KEY.png
    instance_segmentation_mapping_KEY.json             "(140, 255, 25, 255)": "/World/box"
    instance_segmentation_semantics_mapping_KEY.json   "(140, 255, 25, 255)": {"class": "box"}

Where there is semantic segmentation alone, all that has one class is one instance.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal

from pydantic import Field

from sv2r.errors import ConfigError, SampleError
from sv2r.loaders.json_file import read_json
from sv2r.loaders.lazy import LazySamples
from sv2r.loaders.tree import Tree, read_tree, split_name
from sv2r.plugin.hookspecs import hookimpl
from sv2r.plugin.options import Options
from sv2r.plugin.specs import Loader, LoaderSpec, Runtime
from sv2r.storage.paths import inside
from sv2r.types import Dataset, Instance, Instances, Match, Sample

_RGB = re.compile(r"rgb_(?P<key>(?:.*_)?\d+)")
_PICTURES = frozenset({".png", ".jpg", ".jpeg"})
# What names a frame's colours, the surest first: the picture, and the JSON with classes.
_KINDS: Mapping[str, str] = MappingProxyType(
    {
        "instance_segmentation": "instance_segmentation_semantics_mapping",
        "instance_segmentation_fast": "instance_segmentation_fast_semantics_mapping",
        "instance_id_segmentation": "instance_id_segmentation_semantics_mapping",
        "semantic_segmentation": "semantic_segmentation_labels",
    }
)
_DEPTHS = ("distance_to_image_plane", "distance_to_camera")
# Names of what is no instance, as Replicator spells them.
_NOTHING = frozenset({"BACKGROUND", "UNLABELLED"})


class ReplicatorOptions(Options):
    """Options of the Replicator loader."""

    annotator: Literal[
        "auto",
        "instance_segmentation",
        "instance_segmentation_fast",
        "instance_id_segmentation",
        "semantic_segmentation",
    ] = Field(
        "auto",
        description="Which annotator the instances are read from; auto takes the first of these "
        "that a frame has.",
    )
    ignore: tuple[str, ...] = Field(
        (), description="Classes that are no instances, such as floor; their pixels are background."
    )


@dataclass(frozen=True, slots=True)
class Shot:
    """A picture with its labels; all names are relative to the root.

    kind: the annotator. mask: its picture. classes: the JSON that names its colours' classes.
    files: every other file of its annotators. depth, normals: "" where none is.
    """

    image: str
    kind: str
    mask: str
    classes: str
    files: tuple[str, ...]
    depth: str = ""
    normals: str = ""


def load(options: ReplicatorOptions, root: Path) -> Dataset:
    """Return the dataset; of the labels, only the JSON files that name classes are read.

    Raises:
        ConfigError: there is no frame, or none has what the options ask for.
    """
    tree = read_tree(root)
    frames = list(_frames(tree))
    if not frames:
        raise ConfigError(f"{root}: {_NO_FRAME}")
    kinds = tuple(_KINDS) if options.annotator == "auto" else (options.annotator,)
    found = _shots(tree, frames, kinds)
    shots = [one for one in found if isinstance(one, Shot)]
    unfinished = [one for one in found if isinstance(one, str)]
    if not shots:
        raise ConfigError(f"{root}: {_nothing_named(frames[0], kinds)}")
    names: set[str] = set()
    for shot in shots:
        try:
            names |= set(_told(root, shot).values())
        except SampleError:
            continue  # told of its picture when the picture is read
    return Dataset(
        root=root,
        samples=LazySamples(shots, partial(_sample, root, frozenset(options.ignore))),
        ids=[shot.image for shot in shots],
        categories=tuple(sorted(names - _NOTHING - set(options.ignore))),
        annotation_files=tuple(
            root / name for name in tree.files if name.rpartition("/")[2] == "metadata.txt"
        ),
        problems=tree.problems,
        notes=_notes(shots, unfinished),
    )


def load_instances(root: Path, ignore: frozenset[str], shot: Shot) -> Instances:
    """Return a frame's instances, numbered from 1 in the order of their JSON.

    Raises:
        SampleError: a file cannot be read, or the picture has a colour that the JSON does not name.
    """
    import numpy as np

    from sv2r.images.label_image import read_label_image

    told = _told(root, shot)
    image = read_label_image(inside(root, shot.mask), shot.mask)
    colour = image.kind == "colour"
    named = {_value(key, colour, shot.classes): name for key, name in told.items()}
    seen, places = np.unique(image.values, return_inverse=True)
    if strange := [int(v) for v in seen.tolist() if v and v not in named]:
        raise SampleError(
            f"{shot.mask}: has {len(strange):,} values that {shot.classes} does not name, such as "
            f"{_spelled(strange[0], colour)}; colours of a video are lossy: write the annotator's "
            "PNG"
        )
    taken = [value for value, name in named.items() if name not in _NOTHING | ignore]
    numbers = {value: number for number, value in enumerate(taken, start=1)}
    table = {number: Instance(number, named[value]) for value, number in numbers.items()}
    lookup = np.array([numbers.get(int(v), 0) for v in seen.tolist()], np.int32)
    return Instances(lookup[places].reshape(image.values.shape), table)


def _told(root: Path, shot: Shot) -> dict[str, str]:
    """Return the class of each key of a frame's JSON, background and the unlabelled among them."""
    told = read_json(inside(root, shot.classes), shot.classes, dict[str, Any])
    found = {}
    for key, value in told.items():
        name = _class(value)
        if name is None:
            raise SampleError(f"{shot.classes}: {key} has no class ({value!r}); write it again")
        found[key] = name
    return found


def _class(value: object) -> str | None:
    """Return the class in {"class": "box"}, {"class": "box", "shape": ...} or "box"."""
    if isinstance(value, Mapping):
        value = value.get("class", next(iter(value.values()), None))
    return value if isinstance(value, str) and value else None


def _value(key: str, colour: bool, name: str) -> int:
    """Return the number that a label picture has for a key: "(r, g, b, a)" or an id.

    Raw ids of 32 bits are written as the four bytes of a pixel, the lowest first.
    """
    parts = [part.strip() for part in key.strip("()").split(",")]
    if not all(part.isdecimal() for part in parts) or len(parts) not in (1, 3, 4):
        raise SampleError(f"{name}: the key {key!r} is neither a colour nor an id; write it again")
    numbers = [int(part) for part in parts]
    if len(numbers) == 1 and colour:
        id_ = numbers[0]
        numbers = [id_ & 255, id_ >> 8 & 255, id_ >> 16 & 255]
    if len(numbers) == 1:
        return numbers[0]
    return numbers[0] << 16 | numbers[1] << 8 | numbers[2]


def _spelled(value: int, colour: bool) -> str:
    return f"({value >> 16}, {value >> 8 & 255}, {value & 255})" if colour else str(value)


@dataclass(frozen=True, slots=True)
class _Frame:
    """A picture, its folder ("" or "x/") and its key."""

    image: str
    folder: str
    key: str


def _frames(tree: Tree) -> Iterator[_Frame]:
    for name in tree.files:
        folder, stem, suffix = split_name(name)
        found = _RGB.fullmatch(stem)
        if found and suffix.lower() in _PICTURES:
            yield _Frame(name, folder, found["key"])


def _shots(tree: Tree, frames: Sequence[_Frame], kinds: Sequence[str]) -> list[Shot | str]:
    """Return each frame's shot; its name where it has labels but no JSON yet."""
    where = _Places(tree)
    found: list[Shot | str] = []
    for frame in frames:
        for kind in kinds:
            mask = where.find(frame, kind, ".png")
            classes = where.find(frame, _KINDS[kind], ".json")
            if mask and classes:
                found.append(_shot(where, frame, kind, mask, classes))
                break
        else:
            found.append(frame.image)
    return found


class _Places:
    """Finds a frame's files by annotator: next to the picture, or in folders next to its own."""

    def __init__(self, tree: Tree) -> None:
        self._files = frozenset(tree.files)
        self._beside: dict[str, list[str]] = {}
        for folder in tree.folders:
            parent, slash, _ = folder.rpartition("/")
            self._beside.setdefault(f"{parent}{slash}", []).append(f"{folder}/")

    def find(self, frame: _Frame, annotator: str, *suffixes: str) -> str:
        """Return the file of an annotator, or "" where there is none."""
        for folder in self._folders(frame.folder):
            for suffix in suffixes:
                name = f"{folder}{annotator}_{frame.key}{suffix}"
                if name in self._files:
                    return name
        return ""

    def _folders(self, own: str) -> Iterator[str]:
        yield own
        parent, slash, _ = own.rstrip("/").rpartition("/")
        if own:
            yield from (folder for folder in self._beside.get(f"{parent}{slash}", ()))


def _shot(where: _Places, frame: _Frame, kind: str, mask: str, classes: str) -> Shot:
    others = (
        where.find(frame, annotator, suffix)
        for annotator, suffix in (
            *((name, ".png") for name in _KINDS),
            *((f"{name}_mapping", ".json") for name in _KINDS),
            *((name, ".json") for name in _KINDS.values()),
        )
    )
    depths = (where.find(frame, annotator, ".npy", ".exr", ".png") for annotator in _DEPTHS)
    return Shot(
        image=frame.image,
        kind=kind,
        mask=mask,
        classes=classes,
        files=tuple(dict.fromkeys((mask, classes, *filter(None, others)))),
        depth=next(filter(None, depths), ""),
        normals=where.find(frame, "normals", ".png", ".npy"),
    )


def _sample(root: Path, ignore: frozenset[str], shot: Shot) -> Sample:
    folder = shot.image.rpartition("/")[0]
    camera = folder.removesuffix("/rgb").rpartition("/")[2]
    channels = {"depth": shot.depth, "normals": shot.normals}
    return Sample(
        id=shot.image,
        image=inside(root, shot.image),
        load_instances=partial(load_instances, root, ignore, shot),
        annotation_files=tuple(inside(root, name) for name in shot.files),
        channels={kind: inside(root, name) for kind, name in channels.items() if name},
        attributes={"camera": camera} if camera not in ("", "rgb") else {},
    )


def _notes(shots: Sequence[Shot], unfinished: Sequence[str]) -> tuple[str, ...]:
    kinds = Counter(shot.kind for shot in shots)
    told = ", ".join(f"{kind} ({count:,})" for kind, count in kinds.items())
    notes = [f"instances come from {told}"]
    if kinds["semantic_segmentation"]:
        notes.append(
            "semantic_segmentation tells no two objects of one class apart: each class of a "
            "frame is one instance"
        )
    if unfinished:
        notes.append(
            f"{len(unfinished):,} frames are unfinished and left out, such as {unfinished[0]}: "
            "no segmentation with its JSON yet"
        )
    return tuple(notes)


def _nothing_named(frame: _Frame, kinds: Sequence[str]) -> str:
    wanted = f"{kinds[0]}_{frame.key}.png with {_KINDS[kinds[0]]}_{frame.key}.json"
    return (
        f"no frame has labels with a JSON that names them (for {frame.image}: {wanted}); turn "
        "instance_segmentation on in the BasicWriter"
    )


_NO_FRAME = "no frame of Replicator's (rgb_0000.png)"


def detect(root: Path) -> Match:
    """Return how sure it is that a folder holds BasicWriter's frames, by names alone."""
    try:
        tree = read_tree(root)
    except ConfigError as error:
        return Match(0.0, str(error))
    frames = list(_frames(tree))[:20]
    if not frames:
        return Match(0.0, _NO_FRAME)
    shots = [one for one in _shots(tree, frames, tuple(_KINDS)) if isinstance(one, Shot)]
    if not shots:
        return Match(0.0, f"has {frames[0].image}, but no segmentation with a JSON")
    return Match(0.96, f"has {shots[0].image} with {shots[0].classes.rpartition('/')[2]}")


def build(options: ReplicatorOptions, runtime: Runtime) -> Loader:
    """Return the loader."""
    return partial(load, options)


@hookimpl
def sv2r_loaders() -> Iterable[LoaderSpec[Any]]:
    """Return the Replicator loader."""
    return [
        LoaderSpec(
            name="replicator",
            summary="Omniverse Replicator's BasicWriter (Isaac Sim): rgb_0000.png and annotators.",
            options=ReplicatorOptions,
            build=build,
            detect=detect,
        )
    ]
