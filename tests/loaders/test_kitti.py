"""KITTI's and MOTS's instance PNGs, made pixel by pixel."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from sv2r.errors import ConfigError, SampleError
from sv2r.loaders.kitti import KittiOptions, detect, load, sv2r_loaders
from sv2r.testing import check_loader
from sv2r.types import Dataset

# Road (7) and sky (23) without instances; two cars (26) and a person (24).
KITTI = [[7 * 256, 26 * 256 + 1, 26 * 256 + 2], [23 * 256, 24 * 256 + 1, 26 * 256]]
MOTS = [[0, 1001, 1002], [10000, 2001, 2001]]


def put(root: Path, image: str, instances: str, values: Any) -> None:
    pixels = np.array(values, np.uint16)
    for name, array in ((image, np.full((*pixels.shape, 3), 90, np.uint8)), (instances, pixels)):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(array).save(root / name)


def dataset(root: Path, **options: Any) -> Dataset:
    return load(KittiOptions(**options), root)


def table(data: Dataset, index: int = 0) -> dict[int, str]:
    instances = data.samples[index].load_instances().table
    return {id_: one.category for id_, one in instances.items()}


def test_kitti_s_pixels_are_class_times_256_and_a_number(tmp_path: Path) -> None:
    put(tmp_path, "training/image_2/000030_10.png", "training/instance/000030_10.png", KITTI)
    data = dataset(tmp_path)
    (sample,) = data.samples
    assert sample.load_instances().labels.tolist() == [[0, 6657, 6658], [0, 6145, 0]]
    assert table(data) == {6657: "car", 6658: "car", 6145: "person"}
    assert sample.annotation_files == (tmp_path / "training/instance/000030_10.png",)
    assert dict(sample.attributes) == {"split": "train"}
    assert data.notes == ("a pixel is its class × 256 + n; --loader.factor decides otherwise",)
    assert detect(tmp_path).confidence == 0.94


@pytest.mark.parametrize(
    ("image", "instances"),
    [
        ("training/image_02/0002/000001.png", "instances/0002/000001.png"),
        ("train/images/0002/1.jpg", "train/instances/0002/1.png"),
    ],
)
def test_mots_s_pixels_are_class_times_1000_and_a_number(
    tmp_path: Path, image: str, instances: str
) -> None:
    put(tmp_path, image, instances, MOTS)
    data = dataset(tmp_path)
    assert data.samples[0].load_instances().labels.tolist() == [[0, 1001, 1002], [0, 2001, 2001]]
    assert table(data) == {1001: "car", 1002: "car", 2001: "pedestrian"}
    assert list(data.ids) == [image]
    assert dict(data.samples[0].attributes) == {"split": "train", "sequence": "0002"}
    assert data.category_ids == {"car": 1, "pedestrian": 2}


@pytest.mark.parametrize(("first", "expected"), [("", "a"), ("background\n", "a")])
def test_a_list_names_the_classes(tmp_path: Path, first: str, expected: str) -> None:
    put(tmp_path, "images/1.jpg", "instances/1.png", [[1001, 2003]])
    (tmp_path / "instances/labels.txt").write_text(f"{first}a\nb\n")
    data = dataset(tmp_path)
    assert table(data) == {1001: expected, 2003: "b"}
    assert data.annotation_files == (tmp_path / "instances/labels.txt",)


def test_a_class_without_a_name_and_a_colour_picture_fail_their_sample(tmp_path: Path) -> None:
    put(tmp_path, "images/1.jpg", "instances/1.png", [[5001]])
    with pytest.raises(SampleError) as told:
        dataset(tmp_path).samples[0].load_instances()
    assert str(told.value) == (
        "instances/1.png: pixel 5001 is of class 5, which has no name; "
        "name it in labels.txt next to it, or correct --loader.factor"
    )
    Image.new("RGB", (2, 1), (1, 2, 3)).save(tmp_path / "instances/1.png")
    with pytest.raises(SampleError, match="is no grey picture of class and number"):
        dataset(tmp_path).samples[0].load_instances()
    assert detect(tmp_path).confidence == 0


def test_the_factor_can_be_said(tmp_path: Path) -> None:
    put(tmp_path, "images/1.jpg", "instances/1.png", [[26 * 256 + 3]])
    assert detect(tmp_path).confidence == 0
    assert table(dataset(tmp_path, factor="256")) == {6659: "car"}


def test_an_instance_picture_without_its_picture_is_a_problem(tmp_path: Path) -> None:
    put(tmp_path, "images/1.jpg", "instances/1.png", MOTS)
    put(tmp_path, "elsewhere/2.jpg", "instances/2.png", MOTS)
    assert [problem.id for problem in dataset(tmp_path).problems] == ["instances/2.png"]
    with pytest.raises(ConfigError, match="no folder instance or instances with 16-bit PNGs"):
        dataset(tmp_path / "elsewhere")


def test_masks_of_8_bits_are_left_to_others(tmp_path: Path) -> None:
    put(tmp_path, "images/1.jpg", "instances/1.png", MOTS)
    Image.fromarray(np.uint8([[0, 1, 2]])).save(tmp_path / "instances/1.png")
    assert detect(tmp_path).confidence == 0


def test_it_keeps_the_contract(tmp_path: Path) -> None:
    put(tmp_path, "images/1.png", "instances/1.png", MOTS)
    check_loader(sv2r_loaders()[0], tmp_path)  # type: ignore[index]


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(st.binary(min_size=1, max_size=40), st.integers(0, 120), st.binary(max_size=20))
def test_damage_is_one_line(tmp_path: Path, noise: bytes, at: int, names: bytes) -> None:
    put(tmp_path, "images/1.png", "instances/1.png", MOTS)
    data = bytearray((tmp_path / "instances/1.png").read_bytes())
    data[at : at + len(noise)] = noise
    (tmp_path / "instances/1.png").write_bytes(data)
    (tmp_path / "instances/labels.txt").write_bytes(names)
    try:
        detect(tmp_path)
        for sample in dataset(tmp_path).samples:
            sample.load_instances()
    except (ConfigError, SampleError) as error:
        assert "\n" not in str(error)  # noqa: PT017  # nothing else may be raised
