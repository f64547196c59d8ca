"""Files of generators' own formats that were changed at random, for each loader that reads them."""

from __future__ import annotations

import json
import random
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import sv2r
from sv2r.plugin.registry import Registry
from tests.fuzz.changes import cases, change_folder, changed, changed_bytes
from tests.fuzz.reading import read_all, run
from tests.loaders import test_blenderproc, test_labelme, test_vkitti
from tests.toys.datasets import make_coco

SHARED = Path(__file__).resolve().parents[3] / "shared"

SEEDS = {
    "bop": "cases/bop_scene",
    "carla": "data/carla_instance",
    "cityscapes": "data/tiny_formats/cityscapes_dataset/train_dataset",
    "folder": "cases/falling_things_depth_beside",
    "kitti": "data/tiny_formats/kitti_dataset/kitti_segmentation",
    "replicator": "data/robot_semantic_rgba",
    "solo": "data/solo_custom_type",
    "voc": "data/tiny_formats/voc_dataset/voc_dataset1",
    "yolo": "data/yolo_seg_feral_cat",
}


@pytest.mark.parametrize("loader", SEEDS)
def test_what_a_loader_reads(loader: str, tmp_path: Path, registry: Registry) -> None:
    whole = SHARED / SEEDS[loader]
    if not whole.is_dir():
        pytest.skip(f"no third-party data in {whole}")
    spec = registry.spec("loader", loader)
    for chance in cases(15):
        root = tmp_path / "in"
        shutil.rmtree(root, ignore_errors=True)
        shutil.copytree(whole, root)
        done = _changed(root, chance)
        chance.name += f" ({done})"  # type: ignore[attr-defined]
        run(chance, lambda root=root: (spec.detect(root), read_all(spec, root)))


def _labelme(root: Path) -> None:
    square = test_labelme.SQUARE
    mask = test_labelme.png([[1, 0], [1, 1]])
    more = {"label": "pan", "points": [[5, 2], [6, 3]], "shape_type": "mask", "mask": mask}
    test_labelme.put(root, [square, {**square, "group_id": 3}, more])
    test_labelme.put(root, [square], "b/c.png")


def _vkitti(root: Path) -> None:
    for camera in ("Camera_0", "Camera_1"):
        test_vkitti.put(root, "fog", camera)


def _blenderproc(root: Path) -> None:
    test_blenderproc.frame(root / "run/0.hdf5", depth=np.full((2, 3), 2.5, np.float32))
    test_blenderproc.frame(root / "run/1.hdf5")


def _exported(writer: str) -> Callable[[Path], None]:
    def make(root: Path) -> None:
        source = make_coco(root.parent / "source", ("a.png", "b.png"))
        paths = {"input": str(source), "output": str(root)}
        sv2r.convert({**paths, "translator": "keep", "checks": [], "writer": writer})
        shutil.rmtree(root / "sv2r")

    return make


MADE: Mapping[str, Callable[[Path], None]] = {
    "blenderproc": _blenderproc,
    "hf": _exported("hf"),
    "labelme": _labelme,
    "vkitti": _vkitti,
    "webdataset": _exported("webdataset"),
}


@pytest.mark.parametrize("loader", MADE)
def test_what_a_loader_reads_of_made_files(loader: str, tmp_path: Path, registry: Registry) -> None:
    whole, root = tmp_path / "whole", tmp_path / "in"
    MADE[loader](whole)
    spec = registry.spec("loader", loader)
    assert read_all(spec, whole) > 0
    for chance in cases(25):
        shutil.rmtree(root, ignore_errors=True)
        shutil.copytree(whole, root)
        done = _changed_table(root, chance) or _changed(root, chance)
        chance.name += f" ({done})"  # type: ignore[attr-defined]
        run(chance, lambda root=root: (spec.detect(root), read_all(spec, root)))


def _changed_table(root: Path, chance: random.Random) -> str:
    """Write a BlenderProc file with another table, other ids or another array; "" for none."""
    file = root / "run/0.hdf5"
    if not file.is_file() or chance.random() < 0.4:
        return ""
    ids = chance.choice([test_blenderproc.IDS, [[1.5, 2.5]], [[2**40, -1]], [[[4, 9]]], []])
    more: dict[str, Any] = {"instance_attribute_maps": changed(test_blenderproc.TABLE, chance)}
    if chance.random() < 0.5:
        more[test_blenderproc.IDS_KEY] = np.array(ids)
    try:
        test_blenderproc.frame(file, **more)
    except (ValueError, TypeError, OSError, RuntimeError, UnicodeEncodeError):
        return ""  # HDF5 does not hold it
    return f"table: {more}"


def _changed(root: Path, chance: random.Random) -> str:
    """Change a file's JSON, its text or its bytes, or the folder; return what was done to which."""
    texts = sorted(p for p in root.rglob("*") if p.suffix in (".json", ".xml", ".yaml", ".txt"))
    if not texts or chance.random() < 0.4:
        return change_folder(root, chance)
    file = chance.choice(texts)
    if file.suffix == ".json" and chance.random() < 0.7:
        data: Any = changed(json.loads(file.read_text()), chance)
        file.write_text(json.dumps(data))
    else:
        file.write_bytes(changed_bytes(file.read_bytes(), chance))
    return str(file.relative_to(root))
