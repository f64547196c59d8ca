"""Unity Perception's SOLO: sequence.N/stepM.frame_data.json with an instance segmentation.

The schema is that of com.unity.perception 1.0 (Documentation~/Schema/SoloSchema.md): each capture
of a frame names its picture, and its annotations by "@type"; an instance has an exact RGBA colour.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import msgspec

from sv2r.errors import ConfigError, SampleError
from sv2r.loaders.json_file import read_json
from sv2r.loaders.lazy import LazySamples
from sv2r.plugin.hookspecs import hookimpl
from sv2r.plugin.options import Options
from sv2r.plugin.specs import Loader, LoaderSpec, Runtime
from sv2r.storage.paths import inside, safe_relative
from sv2r.storage.source import leads_to_folder, list_folder, names_in
from sv2r.types import Dataset, Instance, Instances, Match, Problem, Sample

_FRAME = ".frame_data.json"
_SEQUENCE = "sequence."
_INSTANCES = "InstanceSegmentationAnnotation"
_DEPTH = "DepthAnnotation"
_NORMALS = "NormalAnnotation"
# What is in memory of frames whose JSON is being read ahead.
_THREADS = 4


class SoloOptions(Options):
    """The SOLO loader has no options."""


class _Coloured(msgspec.Struct, rename="camel"):
    """One instance of a segmentation."""

    instance_id: int
    label_name: str = "object"
    color: list[int] = []


class _Labelled(msgspec.Struct, rename="camel"):
    """What planning reads of an instance."""

    label_name: str = "object"
    label_id: int | None = None


class _Annotation(msgspec.Struct, rename="camel"):
    """One annotation of a capture; other types than ours are carried, never read."""

    type: str = msgspec.field(name="@type", default="")
    filename: str = ""
    instances: list[msgspec.Raw] = []

    def labelled(self) -> Iterator[_Labelled]:
        """Yield the labels of the instances that have one as SOLO writes it."""
        for raw in self.instances:
            with suppress(msgspec.DecodeError, UnicodeDecodeError):
                yield msgspec.json.decode(raw, type=_Labelled)


class _Capture(msgspec.Struct, rename="camel"):
    """What one sensor took."""

    id: str = ""
    type: str = msgspec.field(name="@type", default="")
    filename: str = ""
    dimension: list[float] = []
    annotations: list[_Annotation] = []


class _Frame(msgspec.Struct):
    """One frame_data.json."""

    captures: list[_Capture] = []


@dataclass(frozen=True, slots=True)
class Shot:
    """A picture: all names are relative to the root. size: (height, width), or None.

    segmentation: the picture with the instances' colours.
    files: frame data and every file that an annotation names. depth, normals: "" where none is.
    """

    frame: str
    camera: str
    image: str
    segmentation: str
    files: tuple[str, ...]
    size: tuple[int, int] | None
    depth: str = ""
    normals: str = ""


def load(options: SoloOptions, root: Path) -> Dataset:
    """Return the dataset; every frame_data.json is read once for its files' names.

    Raises:
        ConfigError: there is no sequence.
    """
    frames = list(_frames(root))
    if not frames:
        raise ConfigError(f"{root}: {_NO_SEQUENCE}")
    shots: list[Shot] = []
    problems: list[Problem] = []
    categories = _categories(root)
    with ThreadPoolExecutor(_THREADS) as pool:
        for found, labels in pool.map(partial(_read_frame, root), frames):
            shots += [one for one in found if isinstance(one, Shot)]
            problems += [one for one in found if isinstance(one, Problem)]
            categories = labels | categories if labels.keys() - categories.keys() else categories
    return Dataset(
        root=root,
        samples=LazySamples(shots, partial(_sample, root)),
        ids=[shot.image for shot in shots],
        categories=tuple(categories),
        annotation_files=tuple(p for p in _definitions(root) if p.is_file()),
        problems=tuple(problems),
        category_ids={name: number for name, number in categories.items() if number is not None},
        notes=("instances come from InstanceSegmentationAnnotation; black is unlabelled",),
    )


def load_instances(root: Path, shot: Shot) -> Instances:
    """Return the instances of a picture by their instanceId.

    Raises:
        SampleError: a file cannot be read, two instances share a colour, or the segmentation has a
            colour that no instance has.
    """
    import numpy as np

    from sv2r.images.label_image import read_label_image

    coloured = _instances_of(root, shot)
    image = read_label_image(inside(root, shot.segmentation), shot.segmentation)
    if image.kind != "colour":
        raise SampleError(f"{shot.segmentation}: has no colours; write it as RGB or RGBA PNG")
    colours, places = np.unique(image.values, return_inverse=True)
    known = {_packed(one, shot.frame): one for one in coloured}
    if len(known) < len(coloured):
        raise SampleError(f"{shot.frame}: two instances have one colour; render the frame again")
    strange = [int(c) for c in colours.tolist() if c and c not in known]
    if strange:
        red, green, blue = strange[0] >> 16, strange[0] >> 8 & 255, strange[0] & 255
        raise SampleError(
            f"{shot.segmentation}: has a colour that {shot.frame} gives no instance "
            f"({red}, {green}, {blue}), {len(strange)} such colours; render the frame again"
        )
    numbers = np.array([known[c].instance_id if c in known else 0 for c in colours.tolist()])
    labels = numbers.astype(np.int32)[places].reshape(image.values.shape)
    table = {o.instance_id: Instance(o.instance_id, o.label_name) for o in coloured}
    return Instances(labels, table)


def _instances_of(root: Path, shot: Shot) -> list[_Coloured]:
    """Return the instances that the frame's JSON gives the picture's segmentation."""
    folder = shot.frame.rpartition("/")[0]
    frame = read_json(inside(root, shot.frame), shot.frame, _Frame)
    for capture in frame.captures:
        for annotation in capture.annotations:
            if f"{folder}/{annotation.filename}" == shot.segmentation:
                return [_coloured(raw, shot.frame) for raw in annotation.instances]
    raise SampleError(f"{shot.frame}: names {shot.segmentation} no more; it changed meanwhile")


def _coloured(raw: msgspec.Raw, name: str) -> _Coloured:
    try:
        one = msgspec.json.decode(raw, type=_Coloured)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise SampleError(f"{name}: an instance is not as SOLO has it ({error})") from None
    if one.instance_id < 1:
        raise SampleError(f"{name}: has instanceId {one.instance_id}; they start at 1")
    return one


def _packed(one: _Coloured, name: str) -> int:
    """Return an instance's colour as a label picture has it; alpha says nothing."""
    if len(one.color) < 3 or not all(0 <= part <= 255 for part in one.color):
        raise SampleError(f"{name}: instance {one.instance_id} has no colour of four bytes")
    red, green, blue = one.color[:3]
    packed = red << 16 | green << 8 | blue
    if not packed:
        raise SampleError(f"{name}: instance {one.instance_id} is black, as what is unlabelled")
    return packed


def _frames(root: Path) -> Iterator[str]:
    """Yield every frame's JSON relative to root, in the order of sequences and steps."""
    with list_folder(root) as entries:
        found = [e for e in entries if e.name.startswith(_SEQUENCE)]
        names = [entry.name for entry in found if leads_to_folder(entry)]
    for sequence in sorted(names, key=_numbered):
        steps = names_in(root / sequence)
        files = [name for name in steps if name.endswith(_FRAME)]
        yield from (f"{sequence}/{name}" for name in sorted(files, key=_numbered))


def _numbered(name: str) -> tuple[int, str]:
    """Return what sorts "sequence.10" after "sequence.9" and "step10" after "step9"."""
    digits = "".join(c for c in name.removesuffix(_FRAME) if c.isdecimal())
    return int(digits or 0), name


_Labels = dict[str, int | None]


def _read_frame(root: Path, frame: str) -> tuple[list[Shot | Problem], _Labels]:
    """Return a frame's pictures, or why there are none, and the labels in it with their ids."""
    try:
        captures = read_json(inside(root, frame), frame, _Frame).captures
    except SampleError as error:
        return [Problem(frame, str(error))], {}
    cameras = [c for c in captures if c.type.endswith("RGBCamera") or c.filename]
    if not cameras:
        return [Problem(frame, f"{frame}: no camera took a picture; render the frame again")], {}
    labels = {
        one.label_name: one.label_id
        for capture in cameras
        for annotation in capture.annotations
        if _kind(annotation.type) == _INSTANCES
        for one in annotation.labelled()
    }
    return [_shot(root, frame, capture) for capture in cameras], labels


def _shot(root: Path, frame: str, capture: _Capture) -> Shot | Problem:
    folder = frame.rpartition("/")[0]
    by_type = {_kind(a.type): a for a in capture.annotations}
    segmentation = by_type.get(_INSTANCES)
    where = f"{frame}, camera '{capture.id}'"
    if segmentation is None:
        return Problem(
            frame,
            f"{where}: has no {_INSTANCES}; add Perception's InstanceSegmentationLabeler "
            "to the camera and render again",
        )
    named = [capture.filename, *(a.filename for a in capture.annotations if a.filename)]
    try:
        files = [f"{folder}/{safe_relative(name)}" for name in named]
    except SampleError as error:
        return Problem(frame, f"{where}: {error}")
    for name in (files[0], f"{folder}/{segmentation.filename}"):
        if not (root / name).is_file():
            return Problem(frame, f"{where}: {name} is missing; render the frame again")

    def channel(kind: str) -> str:
        name = by_type[kind].filename if kind in by_type else ""
        return f"{folder}/{name}" if name and (root / folder / name).is_file() else ""

    width, height = (int(side) for side in (*capture.dimension, 0, 0)[:2])
    return Shot(
        frame=frame,
        camera=capture.id,
        image=files[0],
        segmentation=f"{folder}/{segmentation.filename}",
        files=(frame, *sorted({name for name in files[1:] if (root / name).is_file()})),
        size=(height, width) if height > 0 and width > 0 else None,
        depth=channel(_DEPTH),
        normals=channel(_NORMALS),
    )


def _kind(type_: str) -> str:
    return type_.rpartition(".")[2]


def _sample(root: Path, shot: Shot) -> Sample:
    sequence = shot.frame.partition("/")[0].removeprefix(_SEQUENCE)
    channels = {"depth": shot.depth, "normals": shot.normals}
    return Sample(
        id=shot.image,
        image=inside(root, shot.image),
        load_instances=partial(load_instances, root, shot),
        size=shot.size,
        annotation_files=tuple(inside(root, name) for name in shot.files),
        channels={kind: inside(root, name) for kind, name in channels.items() if name},
        attributes={"sequence": sequence, "camera": shot.camera},
    )


def _categories(root: Path) -> _Labels:
    """Return the labels of the instance segmentation's own definition by name, as far as told."""
    path = root / "annotation_definitions.json"
    if not path.is_file():
        return {}
    try:
        told = read_json(path, path.name, dict[str, Any])
    except SampleError:
        return {}
    found: _Labels = {}
    for definition in told.get("annotationDefinitions") or ():
        if not isinstance(definition, dict) or _kind(str(definition.get("@type"))) != _INSTANCES:
            continue
        for label in definition.get("spec") or ():
            name, number = label.get("label_name"), label.get("label_id")
            if isinstance(name, str) and isinstance(number, int):
                found[name] = number
    return found


def _definitions(root: Path) -> Sequence[Path]:
    names = ("annotation_definitions", "metadata", "metric_definitions", "sensor_definitions")
    return [root / f"{name}.json" for name in names]


_NO_SEQUENCE = f"no SOLO dataset (a folder {_SEQUENCE}N with step*{_FRAME})"


def detect(root: Path) -> Match:
    """Return how sure it is that a folder is a SOLO dataset, by its first frame's name."""
    try:
        frame = next(_frames(root), None)
    except OSError:
        frame = None
    if frame is None:
        return Match(0.0, _NO_SEQUENCE)
    return Match(0.97, f"has {frame}")


def build(options: SoloOptions, runtime: Runtime) -> Loader:
    """Return the loader."""
    return partial(load, options)


@hookimpl
def sv2r_loaders() -> Iterable[LoaderSpec[Any]]:
    """Return the SOLO loader."""
    return [
        LoaderSpec(
            name="solo",
            summary="Unity Perception's SOLO: sequence.N/stepM.frame_data.json.",
            options=SoloOptions,
            build=build,
            detect=detect,
        )
    ]
