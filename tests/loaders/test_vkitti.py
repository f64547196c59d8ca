"""Virtual KITTI 2, made pixel by pixel."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from sv2r.errors import ConfigError, SampleError
from sv2r.loaders.vkitti import VkittiOptions, detect, load, sv2r_loaders
from sv2r.testing import check_loader
from sv2r.types import Dataset

INFO = "trackID label model color\n0 Car RangeRover Black\n7 Van Transporter White\n"


def put(root: Path, variant: str = "clone", camera: str = "Camera_0") -> Path:
    frames = root / "Scene01" / variant / "frames"
    pictures = {
        f"rgb/{camera}/rgb_00000.jpg": np.full((2, 3, 3), 90, np.uint8),
        f"instanceSegmentation/{camera}/instancegt_00000.png": np.uint8([[1, 0, 8], [0, 0, 8]]),
        f"depth/{camera}/depth_00000.png": np.full((2, 3), 650, np.uint16),
    }
    for name, values in pictures.items():
        (frames / name).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(values).save(frames / name)
    (frames.parent / "info.txt").write_text(INFO)
    return frames


def dataset(root: Path, **options: Any) -> Dataset:
    return load(VkittiOptions(**options), root)


def test_pixels_are_track_ids_plus_one(tmp_path: Path) -> None:
    put(tmp_path)
    data = dataset(tmp_path)
    (sample,) = data.samples
    instances = sample.load_instances()
    assert instances.labels.tolist() == [[1, 0, 8], [0, 0, 8]]
    assert {id_: one.category for id_, one in instances.table.items()} == {1: "Car", 8: "Van"}
    assert data.categories == ("Car", "Van")
    assert sample.channels["depth"].name == "depth_00000.png"
    assert [path.name for path in data.annotation_files] == ["info.txt"]
    told = {"scene": "Scene01", "variant": "clone", "camera": "Camera_0"}
    assert dict(sample.attributes) == told


def test_variants_and_cameras_are_chosen(tmp_path: Path) -> None:
    for variant in ("clone", "fog"):
        for camera in ("Camera_0", "Camera_1"):
            put(tmp_path, variant, camera)
    data = dataset(tmp_path, variant="fog", camera="Camera_1")
    assert list(data.ids) == ["Scene01/fog/frames/rgb/Camera_1/rgb_00000.jpg"]
    with pytest.raises(ConfigError, match=r"--loader\.variant rain: .* there is clone, fog"):
        dataset(tmp_path, variant="rain")


def test_missing_instances_and_tracks_are_told(tmp_path: Path) -> None:
    frames = put(tmp_path)
    (frames.parent / "info.txt").write_text(INFO.replace("7 Van", "9 Van"))
    with pytest.raises(SampleError, match=r"has track 7, which info\.txt does not name"):
        dataset(tmp_path).samples[0].load_instances()
    (frames / "instanceSegmentation/Camera_0/instancegt_00000.png").unlink()
    (frames.parent / "info.txt").unlink()
    problems = [problem.message for problem in dataset(tmp_path).problems]
    assert len(problems) == 2
    assert "textgt.tar" in problems[0]
    assert "instanceSegmentation.tar" in problems[1]


@pytest.mark.parametrize("row", ["x Car", "3", "-1 Car"])
def test_a_damaged_info_is_a_problem(tmp_path: Path, row: str) -> None:
    (put(tmp_path).parent / "info.txt").write_text(f"{INFO}{row}\n")
    (problem,) = dataset(tmp_path).problems
    assert problem.message.startswith("Scene01/clone/info.txt, row 4: ")


def test_it_keeps_the_contract_and_is_recognised(tmp_path: Path) -> None:
    put(tmp_path)
    check_loader(sv2r_loaders()[0], tmp_path)  # type: ignore[index]
    assert detect(tmp_path).confidence == 0.97
    assert detect(tmp_path / "Scene01").confidence == 0
