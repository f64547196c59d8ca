"""Files of generators' own formats that were changed at random, for each loader that reads them."""

from __future__ import annotations

import json
import random
import shutil
from pathlib import Path
from typing import Any

import pytest

from sv2r.plugin.registry import Registry
from tests.fuzz.changes import cases, change_folder, changed, changed_bytes
from tests.fuzz.reading import read_all, run

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
