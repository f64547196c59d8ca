"""The presets for generators whose ids lie in one file for each picture, on trees like theirs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from PIL import Image

from sv2r.loaders.folder.loader import FolderOptions, load
from sv2r.types import Dataset

CONFIGS = Path(__file__).resolve().parents[3] / "configs"
IDS = [[0, 1, 1], [3, 3, 0]]


def opened(preset: str, root: Path) -> Dataset:
    values: dict[str, Any] = yaml.safe_load((CONFIGS / f"{preset}.yaml").read_text())["loader"]
    assert values.pop("name") == "folder"
    return load(FolderOptions(**values), root)


def picture(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.full((2, 3, 4), 90, np.uint8)).save(path)


@pytest.mark.parametrize("folder", ["", "scene_0001/"])
def test_kubric_s_palette_indices_are_instances(tmp_path: Path, folder: str) -> None:
    picture(tmp_path / f"{folder}rgba_00000.png")
    mask = Image.fromarray(np.uint8(IDS), "P")
    mask.putpalette([0, 0, 0, 200, 9, 9, 0, 0, 0, 9, 200, 9])
    mask.save(tmp_path / f"{folder}segmentation_00000.png")
    (tmp_path / f"{folder}metadata.json").write_text("{}")
    data = opened("kubric", tmp_path)
    assert list(data.ids) == [f"{folder}rgba_00000.png"]
    assert data.samples[0].load_instances().labels.tolist() == IDS


@pytest.mark.parametrize("suffix", ["npy", "npz"])
def test_infinigen_s_arrays_are_ids(tmp_path: Path, suffix: str) -> None:
    picture(tmp_path / "frames/Image/camera_0/Image_0_0_0001_0.png")
    name = f"frames/ObjectSegmentation/camera_0/ObjectSegmentation_0_0_0001_0.{suffix}"
    (tmp_path / name).parent.mkdir(parents=True)
    if suffix == "npy":
        np.save(tmp_path / name, np.array(IDS))
    else:
        np.savez_compressed(tmp_path / name, np.array(IDS))
    picture((tmp_path / name).with_suffix(".png"))  # the preview that Infinigen writes next to it
    data = opened("infinigen", tmp_path)
    assert list(data.ids) == ["frames/Image/camera_0/Image_0_0_0001_0.png"]
    assert data.problems == ()
    assert data.samples[0].load_instances().labels.tolist() == IDS
