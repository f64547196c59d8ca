"""Hypersim's tree, made pixel by pixel after its documentation."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from PIL import Image

import sv2r
from sv2r.config.resolve import detect_loader
from sv2r.errors import ConfigError, SampleError
from sv2r.images.depth_map import read_depth
from sv2r.loaders.hypersim import HypersimOptions, detect, load, sv2r_loaders
from sv2r.plugin.registry import Registry
from sv2r.testing import check_loader

IDS = [[-1, 4, 4, 9], [7, 7, 4, 9]]
# A chair (5) with one pixel of its cushion (18), a wall (1), and something without a class.
CLASSES = [[-1, 5, 18, -1], [1, 1, 5, -1]]


def put(root: Path, scene: str = "ai_001_001", camera: str = "cam_00", number: int = 0) -> Path:
    images = root / scene / "images"
    preview, geometry = (
        images / f"scene_{camera}_final_preview",
        images / f"scene_{camera}_geometry_hdf5",
    )
    for folder in (preview, geometry):
        folder.mkdir(parents=True, exist_ok=True)
    for kind in ("tonemap", "color", "diffuse_illumination"):
        picture = np.full((2, 4, 3), 90, np.uint8)
        Image.fromarray(picture).save(preview / f"frame.{number:04}.{kind}.jpg")
    arrays = {
        "semantic_instance": np.int16(IDS),
        "semantic": np.int16(CLASSES),
        "depth_meters": np.float16([[1, 2, 3, 4], [1, 2, 3, np.nan]]),
        "render_entity_id": np.int32(np.ones((2, 4))),
    }
    for kind, values in arrays.items():
        with h5py.File(geometry / f"frame.{number:04}.{kind}.hdf5", "w") as file:
            file["dataset"] = values
    return images


def opened(root: Path, **options: Any) -> sv2r.Dataset:
    return load(HypersimOptions(**options), root)


def test_an_instance_has_the_class_of_most_of_its_pixels(tmp_path: Path) -> None:
    put(tmp_path)
    data = opened(tmp_path)
    (sample,) = data.samples
    assert sample.id == "ai_001_001/images/scene_cam_00_final_preview/frame.0000.tonemap.jpg"
    found = sample.load_instances()
    assert found.labels.tolist() == [[0, 4, 4, 9], [0, 0, 4, 9]]
    assert {id_: one.category for id_, one in found.table.items()} == {4: "chair", 9: "unlabelled"}
    assert dict(sample.attributes) == {"scene": "ai_001_001", "camera": "cam_00"}
    assert [path.name for path in sample.annotation_files] == [
        "frame.0000.semantic_instance.hdf5",
        "frame.0000.semantic.hdf5",
    ]


def test_what_is_background_is_chosen(tmp_path: Path) -> None:
    put(tmp_path)
    found = opened(tmp_path, ignore=("chair", "unlabelled")).samples[0].load_instances()
    assert found.labels.tolist() == [[0, 0, 0, 0], [7, 7, 0, 0]]
    assert found.table[7].category == "wall"
    with pytest.raises(ConfigError, match=r"--loader\.ignore throne: is no class; there are wall"):
        opened(tmp_path, ignore="throne")


def test_the_distance_is_a_channel(tmp_path: Path) -> None:
    put(tmp_path)
    sample = opened(tmp_path).samples[0]
    depth = read_depth(sample.channels["depth"], "depth", sample.readings["depth"])
    assert depth.values[0].tolist() == [1, 2, 3, 4]
    assert depth.nothing.tolist() == [[False] * 4, [False, False, False, True]]


def test_a_frame_without_labels_fails_alone(tmp_path: Path) -> None:
    put(tmp_path)
    images = put(tmp_path, number=1)
    (images / "scene_cam_00_geometry_hdf5" / "frame.0001.semantic.hdf5").unlink()
    data = opened(tmp_path)
    assert len(data.ids) == 1
    (problem,) = data.problems
    assert "frame.0001.semantic.hdf5 is missing" in problem.message


def test_damage_is_told(tmp_path: Path) -> None:
    folder = put(tmp_path) / "scene_cam_00_geometry_hdf5"
    with h5py.File(folder / "frame.0000.semantic.hdf5", "w") as file:
        file["dataset"] = np.int16([[1, 2]])
    sample = opened(tmp_path).samples[0]
    with pytest.raises(SampleError, match=r"is of \(2, 4\), .* of \(1, 2\)"):
        sample.load_instances()
    (folder / "frame.0000.semantic_instance.hdf5").write_bytes(b"no HDF5")
    with pytest.raises(SampleError, match="cannot be read as HDF5"):
        sample.load_instances()


@pytest.mark.parametrize("inner", ["", "ai_001_001", "ai_001_001/images"])
def test_it_is_recognised_from_every_folder(tmp_path: Path, inner: str, registry: Registry) -> None:
    put(tmp_path)
    put(tmp_path, camera="cam_01")
    assert detect_loader(registry, tmp_path / inner) == "hypersim"
    data = opened(tmp_path / inner)
    assert {sample.attributes["scene"] for sample in data.samples} == {"ai_001_001"}
    assert {sample.attributes["camera"] for sample in data.samples} == {"cam_00", "cam_01"}


def test_it_keeps_the_contract_and_is_recognised(tmp_path: Path) -> None:
    put(tmp_path)
    check_loader(sv2r_loaders()[0], tmp_path)  # type: ignore[index]
    assert detect(tmp_path).confidence == 0.97
    assert detect(tmp_path / "nothing").confidence == 0


def test_it_is_converted_with_its_labels_beside_it(tmp_path: Path) -> None:
    put(tmp_path / "in")
    out = tmp_path / "out"
    config = {"input": str(tmp_path / "in"), "output": str(out), "checks": []}
    summary = sv2r.convert({**config, "translator": "keep", "writer": "mirror"})
    assert (summary.exit_code, summary.done) == (0, 1)
    images = "ai_001_001/images/scene_cam_00_geometry_hdf5"
    for kind in ("semantic_instance", "semantic", "render_entity_id"):
        name = f"{images}/frame.0000.{kind}.hdf5"
        assert (out / name).read_bytes() == (tmp_path / "in" / name).read_bytes()
