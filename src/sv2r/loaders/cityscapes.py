"""The tree of Cityscapes: leftImg8bit/<split>/<city>/ with gtFine or gtCoarse siblings.

Instance ids are class * 1000 + n; an id below 1000 is a region of that class without instances
(M. Cordts et al., The Cityscapes Dataset for Semantic Urban Scene Understanding, CVPR 2016, and
``cityscapesscripts/preparation/json2instanceImg.py``).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Annotated, Any, Literal, overload

from pydantic import AfterValidator, Field

from sv2r.errors import ConfigError, SampleError
from sv2r.images.label_tables import CITYSCAPES
from sv2r.images.picture_file import PICTURE_SUFFIXES
from sv2r.loaders.channels import channel_pattern, find_channels, require_channels
from sv2r.loaders.json_file import read_json
from sv2r.loaders.tree import Tree, below, read_tree, split_name
from sv2r.plugin.hookspecs import hookimpl
from sv2r.plugin.options import Options, Several
from sv2r.plugin.specs import Loader, LoaderSpec, Runtime
from sv2r.types import Dataset, Instance, Instances, Match, Problem, Sample

PICTURES = "leftImg8bit"
# Label maps that are looked at before anything is read.
_LOOKED_AT = 3
ANNOTATIONS = ("gtFine", "gtCoarse")
NAMES_FILE = "labels.json"  # {"26": "car"}: what sv2r writes of classes that Cityscapes has not


class CityscapesOptions(Options):
    """Options of the Cityscapes loader."""

    split: Several = Field((), description="Splits to take, such as train; all by default.")
    annotations: Literal["auto", "gtFine", "gtCoarse"] = Field(
        "auto",
        description="Which folder the instances are read from; auto takes gtFine where a picture "
        "has them there, else gtCoarse. The files of both are carried over.",
    )
    depth: Annotated[str, AfterValidator(channel_pattern)] = Field(
        "",
        description="The renderer's depth, seen from the picture's folder: "
        "'../../../depth/{stem}.png'.",
    )


@dataclass(frozen=True, slots=True)
class Scene:
    """A picture, the label map with its instances, and every label file that it has.

    All are names relative to the root.
    """

    image: str
    instances: str
    files: tuple[str, ...]


@dataclass(frozen=True)
class CityscapesSamples(Sequence[Sample]):
    """The samples of the tree, made when they are asked for."""

    root: Path
    scenes: Sequence[Scene]
    channels: Mapping[str, str]
    names: Mapping[int, str]

    def __len__(self) -> int:
        return len(self.scenes)

    @overload
    def __getitem__(self, index: int) -> Sample: ...

    @overload
    def __getitem__(self, index: slice) -> Sequence[Sample]: ...

    def __getitem__(self, index: int | slice) -> Sample | Sequence[Sample]:
        if isinstance(index, slice):
            return CityscapesSamples(self.root, self.scenes[index], self.channels, self.names)
        scene = self.scenes[index]
        image = self.root / scene.image
        return Sample(
            id=scene.image,
            image=image,
            load_instances=partial(
                load_instances, self.root / scene.instances, scene.instances, self.names
            ),
            annotation_files=tuple(self.root / name for name in scene.files),
            channels=find_channels(self.root, image, self.channels),
            attributes=_attributes(scene.image),
        )


def load_instances(path: Path, name: str, names: Mapping[int, str] = CITYSCAPES) -> Instances:
    """Return the instances of an instanceIds picture; regions without instances are background.

    Raises:
        SampleError: it cannot be read or is no grey picture.
    """
    import numpy as np

    from sv2r.images.label_image import read_label_image

    label = read_label_image(path, name)
    if label.kind != "ids" or label.bits > 16 or int(label.values.min()) < 0:
        fix = "write class * 1000 + n as 16-bit grey PNG"
        raise SampleError(f"{name}: is no picture of instance ids; {fix}")
    if label.bits <= 8 and label.values.any():
        some = ", ".join(map(str, np.unique(label.values)[:4].tolist()))
        raise SampleError(
            f"{name}: has {label.bits} bits, which cannot hold class * 1000 + n (it holds {some}); "
            "write instance ids as 16-bit grey PNG"
        )
    labels = np.where(label.values >= 1000, label.values, 0).astype(np.int32)
    ids = [int(id_) for id_ in np.unique(labels).tolist() if id_]
    return Instances(labels, {id_: Instance(id_, category_of(id_, names)) for id_ in ids})


def category_of(instance_id: int, names: Mapping[int, str] = CITYSCAPES) -> str:
    """Return an instance's category: the label's name, or "class-<id>" for one not in the table."""
    class_id = instance_id // 1000
    return names.get(class_id, f"class-{class_id}")


def _read_names(root: Path, tree: Tree) -> Mapping[int, str]:
    """Return the names of classes by their ids, of labels.json where there is one.

    Raises:
        ConfigError: it is not what it should be.
    """
    if NAMES_FILE not in tree.files:
        return dict(CITYSCAPES)  # a proxy cannot be sent to another process
    try:
        return read_json(root / NAMES_FILE, NAMES_FILE, dict[int, str])
    except SampleError as error:
        raise ConfigError(str(error)) from None


def load(options: CityscapesOptions, root: Path) -> Dataset:
    """Return the dataset in a Cityscapes tree; no more than its first label maps are opened.

    Raises:
        ConfigError: there is no such tree, or not the split that was asked for.
    """
    tree = read_tree(root)
    links = [p for p in tree.problems if p.id.partition("/")[0] in (PICTURES, *ANNOTATIONS)]
    if reason := _objection(tree):
        raise ConfigError("; ".join([f"{root}: {reason}", *(p.message for p in links[:1])]))
    splits = sorted({name.partition("/")[0] for name in below(tree.folders, PICTURES)})
    if missing := sorted(set(options.split) - set(splits)):
        raise ConfigError(
            f"--loader.split {missing[0]}: no such split in {root / PICTURES};"
            f" there is {', '.join(splits) or 'none'}"
        )
    sources = ANNOTATIONS if options.annotations == "auto" else (options.annotations,)
    found = list(_scenes(tree, sources, options.split))
    scenes = [item for item in found if isinstance(item, Scene)]
    problems = [item for item in found if isinstance(item, Problem)]
    _refuse_narrow(root, scenes)
    channels, names = {"depth": options.depth}, _read_names(root, tree)
    require_channels(root, (root / scene.image for scene in islice(scenes, 20)), channels)
    return Dataset(
        root=root,
        samples=CityscapesSamples(root, scenes, channels, names),
        ids=[scene.image for scene in scenes],
        categories=tuple(names.values()),
        annotation_files=(root / NAMES_FILE,) if NAMES_FILE in tree.files else (),
        problems=(*links, *problems),
        category_ids={name: id_ for id_, name in names.items()},
        notes=_notes(scenes),
    )


def _refuse_narrow(root: Path, scenes: Sequence[Scene]) -> None:
    """Raise ConfigError where none of the first label maps can hold an instance's id."""
    faults = []
    for scene in scenes[:_LOOKED_AT]:
        try:
            load_instances(root / scene.instances, scene.instances)
        except SampleError as error:
            faults.append(str(error))
    if faults and len(faults) == len(scenes[:_LOOKED_AT]) and "cannot hold" in faults[0]:
        raise ConfigError(faults[0])


def _scenes(tree: Tree, sources: Sequence[str], splits: Sequence[str]) -> Iterator[Scene | Problem]:
    """Yield every picture with its labels, then what is left without a picture."""
    labels = _label_files(tree)
    pictures: dict[str, str] = {}
    for name in below(tree.files, PICTURES):
        key = _picture_key(name)
        image = f"{PICTURES}/{name}"
        if key is None or not _wanted(name, splits):
            continue
        if first := pictures.get(key):
            yield Problem(image, f"{image}: has its labels in common with {first}; keep one")
            continue
        pictures[key] = image
        files = labels.get(key, {})
        ids = (files.get(f"{source}_instanceIds.png") for source in sources)
        instances = next(filter(None, ids), None)
        if instances:
            yield Scene(image, instances, tuple(sorted(files.values())))
        else:
            yield Problem(image, _no_instances(image, key, sources, files))
    for name in below(tree.folders, PICTURES):
        if (key := _picture_key(name)) is not None and _wanted(name, splits):
            image = pictures[key] = f"{PICTURES}/{name}"
            yield Problem(image, f"{image}: is a folder; put the picture itself there")
    refused = {_picture_key(name) for name in below(tuple(p.id for p in tree.problems), PICTURES)}
    for key, files in sorted(labels.items()):
        if key not in pictures and key not in refused and _wanted(key, splits):
            name = min(files.values())
            missing = f"({PICTURES}/{key}_{PICTURES}.png is missing)"
            fix = "render it, or remove them"
            yield Problem(name, f"{name}: labels without a picture {missing}; {fix}")


def _label_files(tree: Tree) -> dict[str, dict[str, str]]:
    """Return label files by "<split>/<city>/<frame>", then by what follows the frame's name."""
    found: dict[str, dict[str, str]] = {}
    for source in ANNOTATIONS:
        for name in below(tree.files, source):
            key, mark, kind = name.rpartition(f"_{source}_")
            if mark:
                found.setdefault(key, {})[f"{source}_{kind}"] = f"{source}/{name}"
    return found


def _picture_key(name: str) -> str | None:
    folder, stem, suffix = split_name(name)
    if suffix.lower() not in PICTURE_SUFFIXES or not stem.endswith(f"_{PICTURES}"):
        return None
    return folder + stem.removesuffix(f"_{PICTURES}")


def _wanted(name: str, splits: Sequence[str]) -> bool:
    return not splits or name.partition("/")[0] in splits


def _no_instances(image: str, key: str, sources: Sequence[str], files: Mapping[str, str]) -> str:
    name = f"{sources[0]}/{key}_{sources[0]}_instanceIds.png"
    has_polygons = any(kind.endswith("_polygons.json") for kind in files)
    fix = (
        "make it from its polygons with cityscapesscripts' json2instanceImg"
        if has_polygons
        else "render it, or take the picture out"
    )
    return f"{image}: no instances ({name} is missing); {fix}"


def _attributes(image: str) -> dict[str, str]:
    """Return split, city and sequence, as far as the path tells them."""
    folders = image.split("/")[1:-1]
    attributes = dict(zip(("split", "city"), folders, strict=False))
    parts = image.rpartition("/")[2].split("_")
    # <city>_<sequence>_<frame>_leftImg8bit.png
    if len(parts) >= 4:
        attributes["sequence"] = parts[-3]
    return attributes


def _notes(scenes: Sequence[Scene]) -> tuple[str, ...]:
    coarse = sum(1 for scene in scenes if scene.instances.startswith("gtCoarse/"))
    if not coarse:
        return ("instances come from gtFine",)
    fine = len(scenes) - coarse
    return (f"instances come from gtFine ({fine:,} pictures) and gtCoarse ({coarse:,})",)


def _objection(tree: Tree) -> str | None:
    if PICTURES not in tree.folders:
        return f"no folder {PICTURES}"
    if not set(ANNOTATIONS) & set(tree.folders):
        return f"{PICTURES}, but neither {' nor '.join(ANNOTATIONS)}"
    return None


def detect(root: Path) -> Match:
    """Return how sure it is that a folder holds a Cityscapes tree, by its first folders alone."""
    folders = {name for name in (PICTURES, *ANNOTATIONS) if (root / name).is_dir()}
    tree = Tree(root, (), tuple(sorted(folders)), ())
    if reason := _objection(tree):
        return Match(0.0, reason)
    return Match(0.95, f"has the folders {' and '.join(sorted(folders))}")


def build(options: CityscapesOptions, runtime: Runtime) -> Loader:
    """Return the loader."""
    return partial(load, options)


@hookimpl
def sv2r_loaders() -> Iterable[LoaderSpec[Any]]:
    """Return the Cityscapes loader."""
    return [
        LoaderSpec(
            name="cityscapes",
            summary="leftImg8bit/<split>/<city>/ with gtFine or gtCoarse siblings.",
            options=CityscapesOptions,
            build=build,
            detect=detect,
        )
    ]
