"""LabelMe's JSON: one file next to each picture, with polygons and other shapes.

Shapes of one label and one group_id are one instance. They are drawn as labelme's own
``utils.shape_to_mask`` draws them, later shapes above earlier ones.
"""

from __future__ import annotations

import base64
import binascii
import io
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

import msgspec

from sv2r.errors import ConfigError, SampleError
from sv2r.loaders.json_file import read_json
from sv2r.loaders.lazy import LazySamples
from sv2r.loaders.tree import Tree, read_tree
from sv2r.plugin.hookspecs import hookimpl
from sv2r.plugin.options import Options
from sv2r.plugin.specs import Loader, LoaderSpec, Runtime
from sv2r.storage.paths import inside
from sv2r.storage.regular import open_regular
from sv2r.types import Dataset, Instance, Instances, Match, Problem, Sample

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

# Shapes that cover pixels; lines and points mark places, no objects.
_AREAS = frozenset({"polygon", "rectangle", "circle", "mask"})


class LabelmeOptions(Options):
    """The LabelMe loader has no options."""


class _Shape(msgspec.Struct):
    """One shape as LabelMe writes it."""

    label: str
    points: list[tuple[float, float]]
    shape_type: str = "polygon"
    group_id: int | str | None = None
    mask: str | None = None


class _File(msgspec.Struct, rename={"image_path": "imagePath", "height": "imageHeight",
                                    "width": "imageWidth"}):  # fmt: skip
    """One JSON file; imageData, the picture itself, is left alone."""

    shapes: list[_Shape]
    image_path: str = ""
    height: int | None = None
    width: int | None = None


@dataclass(frozen=True, slots=True)
class Shot:
    """A picture and its JSON, relative to the root. size: (height, width), or None."""

    image: str
    labels: str
    size: tuple[int, int] | None


def load(options: LabelmeOptions, root: Path) -> Dataset:
    """Return the dataset; every JSON is read once.

    Raises:
        ConfigError: there is no JSON of LabelMe's.
    """
    tree = read_tree(root)
    files = frozenset(tree.files)
    shots: list[Shot] = []
    problems: list[Problem] = [*tree.problems]
    names: set[str] = set()
    marks = 0
    for name in tree.files:
        if not name.endswith(".json") or not _is_labelme(root, name):
            continue
        try:
            found = read_json(inside(root, name), name, _File)
            shots.append(_shot(files, name, found))
        except SampleError as error:
            problems.append(Problem(name, str(error)))
            continue
        names |= {shape.label for shape in found.shapes if shape.shape_type in _AREAS}
        marks += sum(shape.shape_type not in _AREAS for shape in found.shapes)
    if not shots and len(problems) == len(tree.problems):
        raise ConfigError(f"{root}: {_NO_FILE}")
    shots.sort(key=lambda shot: shot.image)
    return Dataset(
        root=root,
        samples=LazySamples(shots, partial(_sample, root)),
        ids=[shot.image for shot in shots],
        categories=tuple(sorted(names)),
        problems=tuple(problems),
        notes=_notes(tree, shots, marks),
    )


def load_instances(root: Path, shot: Shot) -> Instances:
    """Return a picture's instances, numbered from 1 in the order of their first shapes.

    Raises:
        SampleError: a shape cannot be drawn.
    """
    import numpy as np

    from sv2r.images.decode import picture_size

    size = picture_size(root / shot.image, shot.image)
    found = read_json(inside(root, shot.labels), shot.labels, _File)
    labels = np.zeros(size, np.int32)
    numbers: dict[tuple[str, object], int] = {}
    masks: dict[int, NDArray[np.bool_]] = {}
    for place, shape in enumerate(found.shapes):
        if shape.shape_type not in _AREAS:
            continue
        key = (shape.label, place if shape.group_id is None else f"group {shape.group_id}")
        number = numbers.setdefault(key, len(numbers) + 1)
        mask = _drawn(shape, size, f"{shot.labels}, shape {place + 1}")
        labels[mask] = number
        masks[number] = masks[number] | mask if number in masks else mask
    table = {number: Instance(number, label) for (label, _), number in numbers.items()}
    hidden = {n: np.flatnonzero(mask & (labels != n)) for n, mask in masks.items()}
    return Instances(labels, table, {n: pixels for n, pixels in hidden.items() if len(pixels)})


def _drawn(shape: _Shape, size: tuple[int, int], where: str) -> NDArray[np.bool_]:
    """Return a shape's (H, W) mask."""
    import math

    import numpy as np
    from PIL import Image, ImageDraw

    needed = {"polygon": 3, "rectangle": 2, "circle": 2, "mask": 2}[shape.shape_type]
    if len(shape.points) < needed or not all(math.isfinite(n) for p in shape.points for n in p):
        raise SampleError(
            f"{where} ('{shape.label}'): a {shape.shape_type} needs {needed} points; draw it again"
        )
    if shape.shape_type == "mask":
        return _pasted(shape, size, where)
    image = Image.new("L", (size[1], size[0]))
    draw = ImageDraw.Draw(image)
    points = [tuple(point) for point in shape.points]
    if shape.shape_type == "circle":
        (x, y), (edge_x, edge_y) = points[:2]
        radius = math.hypot(edge_x - x, edge_y - y)
        draw.ellipse((x - radius, y - radius, x + radius, y + radius), fill=1, outline=1)
    elif shape.shape_type == "rectangle":
        (x1, y1), (x2, y2) = points[:2]
        box = (min(x1, x2), min(y1, y2), max(x1, x2), max(y1, y2))
        draw.rectangle(box, fill=1, outline=1)
    else:
        draw.polygon(points, fill=1, outline=1)
    return np.array(image, bool)


def _pasted(shape: _Shape, size: tuple[int, int], where: str) -> NDArray[np.bool_]:
    """Return the mask of a shape that brings its own pixels, as a PNG in base64."""
    import numpy as np
    from PIL import Image

    try:
        data = base64.b64decode(shape.mask or "", validate=True)
        own = np.array(Image.open(io.BytesIO(data), formats=("PNG",)).convert("L")) > 0
    except (binascii.Error, OSError, ValueError) as error:
        raise SampleError(f"{where} ('{shape.label}'): its mask is no PNG ({error})") from None
    (x1, y1), (x2, y2) = ((round(x), round(y)) for x, y in shape.points[:2])
    if own.shape != (y2 - y1 + 1, x2 - x1 + 1):
        raise SampleError(f"{where} ('{shape.label}'): its mask does not fill its box")
    mask = np.zeros(size, bool)
    top, left = max(y1, 0), max(x1, 0)
    bottom, right = min(y2 + 1, size[0]), min(x2 + 1, size[1])
    if top < bottom and left < right:
        mask[top:bottom, left:right] = own[top - y1 : bottom - y1, left - x1 : right - x1]
    return mask


def _is_labelme(root: Path, name: str) -> bool:
    """Return whether a JSON begins as LabelMe's do; only its first bytes are read."""
    try:
        with open_regular(root / name) as file:
            head = file.read(400)
    except OSError:
        return False
    return head.lstrip(b"\xef\xbb\xbf \r\n\t").startswith(b"{") and (
        b'"shapes"' in head or (b'"version"' in head and b'"flags"' in head)
    )


def _shot(files: frozenset[str], name: str, found: _File) -> Shot:
    """Return the picture that a JSON names, or else the one of its own name.

    Raises:
        SampleError: neither is there.
    """
    folder = PurePosixPath(name).parent
    asked = PurePosixPath(found.image_path.replace("\\", "/"))
    own = PurePosixPath(name).with_suffix(asked.suffix or ".jpg")
    size = (found.height, found.width)
    known = (size[0], size[1]) if size[0] and size[1] else None
    for candidate in (_joined(folder, asked), str(folder / asked.name), str(own)):
        if candidate in files:
            return Shot(candidate, name, known)
    raise SampleError(f"{name}: its picture {found.image_path!r} is missing; put it next to it")


def _joined(folder: PurePosixPath, path: PurePosixPath) -> str:
    """Return folder/path with ".." worked out; names that climb out are in no tree."""
    import os.path

    return os.path.normpath(folder / path).replace(os.sep, "/")


def _sample(root: Path, shot: Shot) -> Sample:
    return Sample(
        id=shot.image,
        image=inside(root, shot.image),
        load_instances=partial(load_instances, root, shot),
        size=shot.size,
        annotation_files=(inside(root, shot.labels),),
    )


def _notes(tree: Tree, shots: Sequence[Shot], marks: int) -> tuple[str, ...]:
    notes = ["shapes of one label and group are one instance; later ones lie on top"]
    if marks:
        notes.append(f"{marks:,} lines and points cover no pixels and are no instances")
    return tuple(notes)


_NO_FILE = "no JSON of LabelMe's (with shapes and an imagePath)"


def detect(root: Path) -> Match:
    """Return how sure it is that a folder holds LabelMe's JSON files, by the first of them."""
    try:
        tree = read_tree(root)
    except ConfigError as error:
        return Match(0.0, str(error))
    texts = [name for name in tree.files if name.endswith(".json")][:20]
    for name in texts:
        if _is_labelme(root, name):
            try:
                read_json(inside(root, name), name, _File)
            except SampleError:
                continue
            return Match(0.95, f"{name} has shapes of LabelMe's")
    return Match(0.0, _NO_FILE)


def build(options: LabelmeOptions, runtime: Runtime) -> Loader:
    """Return the loader."""
    return partial(load, options)


@hookimpl
def sv2r_loaders() -> Iterable[LoaderSpec[Any]]:
    """Return the LabelMe loader."""
    return [
        LoaderSpec(
            name="labelme",
            summary="LabelMe's JSON next to each picture: polygons, groups, masks.",
            options=LabelmeOptions,
            build=build,
            detect=detect,
        )
    ]
