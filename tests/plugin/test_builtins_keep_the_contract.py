"""Every component that sv2r itself brings keeps the contracts that plugin authors run."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from sv2r.plugin.registry import Entry, Registry, load_registry
from sv2r.testing import (
    check_check,
    check_conditioner,
    check_executor,
    check_loader,
    check_options,
    check_trainer,
    check_translator,
    check_writer,
    make_dataset,
)

CHECKS: dict[str, Callable[..., None]] = {
    "check": check_check,
    "conditioner": check_conditioner,
    "executor": check_executor,
    "trainer": check_trainer,
    "translator": check_translator,
    "writer": check_writer,
}
# What cannot be built from its defaults, and why it is not built here from anything else.
NEEDS_A_MODEL = {
    "check judge": "needs a segmentation checkpoint",
    "check second-opinion": "needs a promptable segmentation checkpoint",
}
# Formats whose contract is checked in the tests of their own, which write such folders.
OWN_TESTS = frozenset(
    {
        *(
            "blenderproc",
            "bop",
            "carla",
            "hf",
            "hypersim",
            "kitti",
            "labelme",
            "replicator",
            "solo",
            "vkitti",
        ),
        *("voc", "webdataset", "yolo"),
    }
)
FINDS_NOTHING = 'import sys; open(sys.argv[1] + "/detections.json", "w").write("[]")'
STEPS = {"strength": 0.5, "steps": 4}


def _own_components(kind: str = "") -> list[Entry]:
    entries = [e for e in load_registry().entries if e.owner.distribution == "sv2r"]
    return [e for e in entries if e.kind in ({kind} if kind else {*CHECKS, "loader"})]


def _name(entry: Entry) -> str:
    return f"{entry.kind} {entry.name}"


@pytest.fixture(scope="module")
def options(toy_sd15: Path, toy_canny: Path, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Options for what needs a model: real ones at toy size."""
    from tests import toys

    model = {"model": str(toy_sd15), **STEPS}
    depth = toys.save_depth(tmp_path_factory.mktemp("models") / "depth")
    return {
        "conditioner depth": {"model": str(depth)},
        "trainer command": {"command": f"{sys.executable} -c '{FINDS_NOTHING}' {{out}}"},
        "trainer maskrcnn": {"steps": 2, "batch_size": 2, "size": 64},
        "translator sdedit": model,
        "translator checkpoint": model,
        "translator controlnet": {**model, "controlnet": {"canny": str(toy_canny)}},
    }


def test_no_built_in_fails(registry: Registry) -> None:
    assert [str(f) for f in registry.failures if f.owner.distribution == "sv2r"] == []


@pytest.mark.parametrize("entry", _own_components(), ids=_name)
def test_options_serve_all_four_surfaces(entry: Entry) -> None:
    check_options(entry.value)


@pytest.mark.parametrize("entry", [e for e in _own_components() if e.kind != "loader"], ids=_name)
def test_a_built_in_keeps_the_contract_of_its_kind(entry: Entry, options: Any) -> None:
    name = _name(entry)
    if name in NEEDS_A_MODEL:
        pytest.skip(NEEDS_A_MODEL[name])
    CHECKS[entry.kind](entry.value, options.get(name))


@pytest.mark.parametrize(
    "entry", [e for e in _own_components("loader") if e.name not in OWN_TESTS], ids=_name
)
def test_a_loader_keeps_its_contract(entry: Entry, tmp_path: Path, renders: Path) -> None:
    makers: dict[str, Callable[[Path], Path]] = {
        "coco": lambda folder: renders,
        "cityscapes": _make_cityscapes,
        "folder": lambda folder: make_dataset(folder).root,
    }
    root = tmp_path / entry.name
    root.mkdir()
    check_loader(entry.value, makers[entry.name](root))


def _make_cityscapes(root: Path) -> Path:
    """Write two frames of one city: a region without instances and two cars each."""
    for number in range(2):
        stem = f"aachen_{number:06}_000019"
        ids = np.full((17, 23), 7, np.uint16)
        ids[3:9, 2:8], ids[3:9, 8:15] = 26000, 26001
        picture = np.random.default_rng(number).integers(0, 256, (17, 23, 3), np.uint8)
        _save(root / f"leftImg8bit/train/aachen/{stem}_leftImg8bit.png", picture)
        _save(root / f"gtFine/train/aachen/{stem}_gtFine_instanceIds.png", ids)
        classes = np.where(ids >= 1000, ids // 1000, ids).astype(np.uint8)
        _save(root / f"gtFine/train/aachen/{stem}_gtFine_labelIds.png", classes)
    return root


def _save(path: Path, pixels: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)
