"""COCO files, masks and configs that were changed at random."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from sv2r.config.layers import Layer
from sv2r.config.resolve import resolve
from sv2r.errors import Sv2rError
from sv2r.loaders.coco.loader import sv2r_loaders as coco_loaders
from sv2r.loaders.folder.loader import sv2r_loaders as folder_loaders
from sv2r.plugin.registry import Registry
from sv2r.storage.strict_yaml import read_yaml, write_yaml
from tests.fuzz.changes import cases, changed, changed_bytes
from tests.fuzz.reading import assert_one_line, read_all, run
from tests.toys.datasets import make_coco


def test_coco_structure(tmp_path: Path) -> None:
    root = make_coco(tmp_path / "in", ("a.png", "b.png"))
    whole = json.loads((root / "annotations.json").read_text())
    run_length = {"counts": [100, 20, 960], "size": [27, 43]}
    whole["annotations"][0].update(segmentation=run_length, iscrowd=1)
    (spec,) = coco_loaders()
    for chance in cases(150):
        data = changed(whole, chance)
        (root / "annotations.json").write_text(json.dumps(data))
        run(chance, lambda: read_all(spec, root))


def test_coco_bytes(tmp_path: Path) -> None:
    root = make_coco(tmp_path / "in", ("a.png", "b.png"))
    whole = (root / "annotations.json").read_bytes()
    (spec,) = coco_loaders()
    for chance in cases(100):
        (root / "annotations.json").write_bytes(changed_bytes(whole, chance))
        run(chance, lambda: read_all(spec, root))


def test_masks(tmp_path: Path) -> None:
    pixels = np.zeros((20, 24), np.uint8)
    pixels[3:9, 3:9], pixels[10:15, 12:20] = 1, 2
    for folder in ("images", "masks"):
        (tmp_path / "whole" / folder).mkdir(parents=True)
    Image.fromarray(np.repeat(pixels[..., None] * 50, 3, -1)).save(tmp_path / "whole/images/a.png")
    modes = {"L": pixels, "I;16": pixels.astype(np.uint16) * 500}
    (spec,) = folder_loaders()
    for chance in cases(80):
        root = tmp_path / "in"
        shutil.rmtree(root, ignore_errors=True)
        shutil.copytree(tmp_path / "whole", root)
        mask = root / "masks" / "a.png"
        Image.fromarray(modes[chance.choice(list(modes))]).save(mask)
        mask.write_bytes(changed_bytes(mask.read_bytes(), chance))
        run(chance, lambda root=root: read_all(spec, root))


CONFIG: dict[str, Any] = {
    "extends": "default",
    "output": "out",
    "loader": {"name": "coco", "depth": "{stem}_depth.png"},
    "conditioners": {"canny": {"low_threshold": 0.1}},
    "translator": {"name": "controlnet", "strength": 0.5, "controlnet": {"canny": "x"}},
    "checks": {"sanity": {}, "survival": {"min_survival": 0.4}},
    "prompt": {"template": "a {categories}", "vary": {"light": ["sun", "rain"]}},
    "damage": {"steps": ["retry", "keep"]},
    "small": {"cells": 4},
    "writer": {"name": "mirror", "relocate": {"a": "b"}},
    "only": ["a*"],
    "variants": 2,
}


def test_config_values(tmp_path: Path, registry: Registry) -> None:
    make_coco(tmp_path / "in", ("a.png",))
    for chance in cases(300):
        data = {"input": str(tmp_path / "in"), **changed(CONFIG, chance)}

        def work(data: dict[str, Any] = data) -> None:
            try:
                resolve(registry, [Layer("fuzz.yaml", data)])
            except Sv2rError as error:
                assert_one_line(error)

        run(chance, work)


def test_config_bytes() -> None:
    whole = write_yaml({**CONFIG, "a": {"b": [1, 2, {"c": None}]}}).encode()
    whole += b"x: &x [1, 2]\ny: *x\nz: {<<: {q: 1}}\n"
    for chance in cases(400):
        text = changed_bytes(whole, chance).decode(errors="replace")

        def work(text: str = text) -> None:
            try:
                read_yaml(text, "fuzz.yaml")
            except Sv2rError as error:
                assert_one_line(error)

        run(chance, work)
