"""Formats that look like pictures next to masks and are something else."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from sv2r.loaders.tree import Tree


class ForeignFormat(NamedTuple):
    """A format: its name, what tells it, and what `folder` can still do with it."""

    name: str
    told_by: Callable[[Tree], bool]
    fix: str


def foreign_format(tree: Tree) -> str | None:
    """Return why a folder is not to be read as plain pictures and masks, or None."""
    for known in _FORMATS:
        if known.told_by(tree):
            return f"looks like {known.name}: {known.fix}"
    return None


def _folder(*names: str) -> Callable[[Tree], bool]:
    return lambda tree: any(name.rpartition("/")[2] in names for name in tree.folders)


def _file(*endings: str) -> Callable[[Tree], bool]:
    return lambda tree: any(name.endswith(endings) for name in tree.files)


def _labelme(tree: Tree) -> bool:
    return _folder("Annotations")(tree) and _folder("Masks", "Scribbles")(tree)


def _yolo(tree: Tree) -> bool:
    return _file("obj.names", "obj.data", "data.yaml")(tree) and _file(".txt")(tree)


_EXPORT = "export it to COCO first"

_FORMATS = (
    ForeignFormat(
        "Cityscapes", lambda tree: "leftImg8bit" in tree.folders, "take --loader cityscapes"
    ),
    ForeignFormat(
        "Unity's SOLO",
        _file(".frame_data.json"),
        "take --loader solo",
    ),
    ForeignFormat(
        "Infinigen",
        lambda tree: (
            _folder("ObjectSegmentation", "InstanceSegmentation")(tree) and _folder("Image")(tree)
        ),
        "its masks are .npy or .npz beside previews of them; give the folder that holds frames with"
        " --preset infinigen",
    ),
    ForeignFormat(
        "KITTI",
        _folder("image_2", "image_02", "IMAGE_00"),
        "its masks hold class × 256 + n, where n = 0 is not an instance; " + _EXPORT,
    ),
    ForeignFormat(
        "Pascal VOC",
        _folder("SegmentationObject"),
        "take --loader voc",
    ),
    ForeignFormat(
        "MOTS",
        _file("instances/labels.txt"),
        "its masks hold class × 1000 + n, 10000 to ignore; take --loader folder"
        " --loader.background 0 --loader.background 10000 --loader.categories 1000-1999=...",
    ),
    ForeignFormat("Mapillary Vistas", _folder("v1.2", "v2.0"), _EXPORT),
    ForeignFormat("ADE20K", _file("_atr.txt"), "its masks hold parts and classes; " + _EXPORT),
    ForeignFormat("LabelMe", _labelme, "its masks are drawn in their alpha; " + _EXPORT),
    ForeignFormat("CVAT's XML", _file("annotations.xml"), _EXPORT),
    ForeignFormat(
        "YOLO", _yolo, "its labels are text; take --loader yolo where a data.yaml names classes"
    ),
)
