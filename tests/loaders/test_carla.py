"""CARLA's instance camera, made pixel by pixel."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from sv2r.errors import ConfigError, SampleError
from sv2r.images.depth_map import read_depth
from sv2r.loaders.carla import CarlaOptions, detect, load, sv2r_loaders
from sv2r.testing import check_loader
from sv2r.types import Dataset

# Road 1 and sky 11 carry ids too; car 14 with ids 7 and 300; pedestrian 12; road line 24.
PIXELS = [
    [(1, 9, 0), (14, 7, 0), (14, 44, 1), (11, 3, 0)],
    [(12, 7, 0), (12, 7, 0), (24, 1, 0), (14, 0, 0)],
]


def put(root: Path, image: str, instance: str, pixels: Any = PIXELS) -> None:
    values = np.array(pixels, np.uint8)
    for name, array in ((image, np.full(values.shape, 90, np.uint8)), (instance, values)):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(array).save(root / name)


def dataset(root: Path, **options: Any) -> Dataset:
    return load(CarlaOptions(**options), root)


@pytest.mark.parametrize(
    ("image", "instance"),
    [
        ("rgb/0001.png", "instance/0001.png"),
        ("out/rgb_0001.png", "out/instance_0001.png"),
        ("Town10_0001_img.png", "Town10_0001_instance.png"),
        ("run/cam0/rgb/1.jpg", "run/cam0/instance/1.png"),
    ],
)
def test_things_become_instances_in_the_usual_layouts(
    tmp_path: Path, image: str, instance: str
) -> None:
    put(tmp_path, image, instance)
    data = dataset(tmp_path)
    (sample,) = data.samples
    instances = sample.load_instances()
    car, other, person = 14 << 16 | 7, 14 << 16 | 1 << 8 | 44, 12 << 16 | 7
    # A car's tag without an id is not an object.
    assert instances.labels.tolist() == [[0, car, other, 0], [person, person, 0, 0]]
    categories = {id_: one.category for id_, one in instances.table.items()}
    assert categories == {car: "car", other: "car", person: "pedestrian"}
    assert instances.table[other].source_id == "300"
    assert sample.id == image
    assert data.category_ids["car"] == 14
    assert data.notes[0].startswith("tags are those of CARLA 0.9.14 (tag 24 is in use)")


def test_tags_are_told_by_what_is_low_in_the_picture_or_by_the_user(tmp_path: Path) -> None:
    sky, road = [(13, 1, 0)] * 2, [(7, 9, 0)] * 2
    pixels = [sky, [(10, 7, 0), (4, 3, 0)], road, road]
    put(tmp_path, "rgb/1.png", "instance/1.png", pixels)
    data = dataset(tmp_path)
    table = data.samples[0].load_instances().table
    assert sorted(one.category for one in table.values()) == ["pedestrian", "vehicle"]
    newer = dataset(tmp_path, version="0.9.14").samples[0].load_instances().table
    assert sorted(one.category for one in newer.values()) == ["rider", "traffic light"]
    assert data.notes[0].startswith(
        "tags are those of CARLA 0.9.12 (100% of what is low in the first frames would be road or "
        "ground); "
    )


def test_doubt_about_the_tags_is_said(tmp_path: Path) -> None:
    put(tmp_path, "rgb/1.png", "instance/1.png", [[(3, 7, 0), (5, 3, 0)]] * 4)
    assert (
        "that is no proof: look at a label, and give --loader.version" in dataset(tmp_path).notes[0]
    )


def test_the_things_can_be_chosen(tmp_path: Path) -> None:
    put(tmp_path, "rgb/1.png", "instance/1.png")
    table = dataset(tmp_path, things=["road line"]).samples[0].load_instances().table
    assert [one.category for one in table.values()] == ["road line"]
    with pytest.raises(
        ConfigError, match=r"--loader\.things cow: CARLA 0\.9\.14 has no such class"
    ):
        dataset(tmp_path, things=["cow"])


def test_an_instance_picture_without_rgb_is_a_problem(tmp_path: Path) -> None:
    put(tmp_path, "rgb/1.png", "instance/1.png")
    put(tmp_path, "elsewhere/x.png", "instance/2.png")
    assert [problem.id for problem in dataset(tmp_path).problems] == ["instance/2.png"]


def test_a_depth_camera_is_a_channel_in_metres(tmp_path: Path) -> None:
    put(tmp_path, "rgb/1.png", "instance/1.png")
    raw = [[(0, 0, 0), (255, 255, 255)], [(0, 0, 128), (255, 0, 0)]]
    put(tmp_path, "rgb/1.png", "depth/1.png", raw)
    put(tmp_path, "rgb/1.png", "instance/1.png")
    (sample,) = dataset(tmp_path).samples
    assert dict(sample.channels) == {"depth": tmp_path / "depth/1.png"}
    depth = read_depth(sample.channels["depth"], "depth", sample.readings["depth"])
    half, first = 128 * 65536 * 1000 / (2**24 - 1), 255 * 1000 / (2**24 - 1)
    assert np.allclose(depth.values[1], [half, first])
    assert depth.nothing.tolist() == [[False, True], [False, False]]
    assert not depth.shades
    put(tmp_path, "rgb/1.png", "depth/1.png", [[(7, 7, 7), (9, 9, 9)]])
    put(tmp_path, "rgb/1.png", "instance/1.png")
    shades = read_depth(sample.channels["depth"], "depth", sample.readings["depth"])
    assert (shades.values.tolist(), shades.shades) == ([[7, 9]], True)


def test_a_grey_picture_fails_its_sample(tmp_path: Path) -> None:
    put(tmp_path, "rgb/1.png", "instance/1.png")
    Image.fromarray(np.zeros((2, 4), np.uint8)).save(tmp_path / "instance/1.png")
    with pytest.raises(SampleError, match="is no RGB picture"):
        dataset(tmp_path).samples[0].load_instances()


def test_it_keeps_the_contract_and_is_recognised_by_its_tags(tmp_path: Path) -> None:
    put(tmp_path, "rgb/1.png", "instance/1.png")
    check_loader(sv2r_loaders()[0], tmp_path)  # type: ignore[index]
    assert detect(tmp_path).confidence == 0.92
    other = np.array([[(200, 1, 3), (90, 2, 2)], [(1, 1, 1), (4, 4, 4)]])
    put(tmp_path, "rgb/1.png", "instance/1.png", other)
    assert detect(tmp_path).confidence == 0
