"""BOP scenes, made pixel by pixel."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from sv2r.errors import ConfigError, SampleError
from sv2r.loaders.bop import BopOptions, detect, load, sv2r_loaders
from sv2r.testing import check_loader
from sv2r.types import Dataset


def save(path: Path, values: Any, dtype: Any = np.uint8) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.array(values, dtype)).save(path)


def scene(root: Path, name: str = "train_pbr/000000", objects: tuple[int, ...] = (5, 2, 5)) -> None:
    """Write a 2x3 picture of objects whose masks are one pixel each; the last shows none."""
    folder = root / name
    save(folder / "rgb" / "000000.png", np.full((2, 3, 3), 90))
    save(folder / "depth" / "000000.png", np.full((2, 3), 850), np.uint16)
    for number in range(len(objects)):
        whole = np.zeros((2, 3))
        whole[0] = 255
        visible = np.zeros((2, 3))
        visible[0, number] = 255 * (number < len(objects) - 1)
        save(folder / "mask" / f"000000_{number:06}.png", whole)
        save(folder / "mask_visib" / f"000000_{number:06}.png", visible)
    truth = [{"obj_id": id_, "cam_R_m2c": [0.0] * 9, "cam_t_m2c": [0.0] * 3} for id_ in objects]
    (folder / "scene_gt.json").write_text(json.dumps({"0": truth}))
    (folder / "scene_camera.json").write_text(json.dumps({"0": {"depth_scale": 1.0}}))


def dataset(root: Path, **options: Any) -> Dataset:
    return load(BopOptions(**options), root)


def test_visible_masks_are_the_instances_and_hidden_objects_stay_in_the_table(
    tmp_path: Path,
) -> None:
    scene(tmp_path)
    data = dataset(tmp_path)

    instances = data.samples[0].load_instances()

    assert instances.labels.tolist() == [[1, 2, 0], [0, 0, 0]]
    categories = {id_: one.category for id_, one in instances.table.items()}
    assert categories == {1: "obj_000005", 2: "obj_000002", 3: "obj_000005"}
    assert data.categories == ("obj_000002", "obj_000005")
    assert data.category_ids == {"obj_000002": 2, "obj_000005": 5}


def test_every_file_of_a_scene_is_carried_and_its_depth_is_a_channel(tmp_path: Path) -> None:
    scene(tmp_path)
    data = dataset(tmp_path)
    (sample,) = data.samples

    assert sample.id == "train_pbr/000000/rgb/000000.png"
    assert [path.name for path in sample.annotation_files] == [
        *(f"000000_{n:06}.png" for n in range(3)),
        *(f"000000_{n:06}.png" for n in range(3)),
    ]
    assert sample.channels["depth"] == tmp_path / "train_pbr/000000/depth/000000.png"
    assert [path.name for path in data.annotation_files] == ["scene_gt.json", "scene_camera.json"]
    assert dict(sample.attributes) == {"split": "train_pbr", "scene": "000000"}


def test_objects_get_names_and_splits_are_chosen(tmp_path: Path) -> None:
    scene(tmp_path, "train/000001", (1,))
    scene(tmp_path, "test/000001", (2,))
    data = dataset(tmp_path, categories={1: "mug"}, split="train")
    assert (list(data.ids), data.categories) == (["train/000001/rgb/000000.png"], ("mug",))
    with pytest.raises(ConfigError, match=r"--loader\.split val: .* there is test, train"):
        dataset(tmp_path, split="val")


def test_a_picture_without_objects_has_none(tmp_path: Path) -> None:
    scene(tmp_path, "000007", ())
    instances = dataset(tmp_path).samples[0].load_instances()
    assert (instances.size, instances.table) == ((2, 3), {})


def test_entries_without_a_picture_are_counted_and_a_picture_without_entry_fails(
    tmp_path: Path,
) -> None:
    scene(tmp_path, "000000")
    truth = tmp_path / "000000" / "scene_gt.json"
    told = json.loads(truth.read_text())
    truth.write_text(json.dumps({**told, "8": [], "9": []}))
    save(tmp_path / "000000" / "rgb" / "000001.png", np.zeros((2, 3, 3)))

    data = dataset(tmp_path)

    assert data.notes[1] == "2 entries of scene_gt.json have no picture here and are left out"
    assert [problem.id for problem in data.problems] == ["000000/rgb/000001.png"]


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda root: (root / "mask_visib/000000_000001.png").unlink(), "calc_gt_masks.py"),
        (lambda root: save(root / "mask_visib/000000_000001.png", np.zeros((3, 3))), "is 3x3"),
        (lambda root: (root / "mask_visib/000000_000000.png").write_bytes(b""), "empty"),
    ],
)
def test_masks_that_cannot_be_read_fail_their_picture(
    tmp_path: Path, damage: Any, message: str
) -> None:
    scene(tmp_path, "000000")
    damage(tmp_path / "000000")
    with pytest.raises(SampleError, match=message):
        dataset(tmp_path).samples[0].load_instances()


@pytest.mark.parametrize("text", ["{", "[]", '{"0": 3}', '{"zero": []}', '{"0": [{}]}', ""])
def test_a_damaged_scene_gt_is_one_problem(tmp_path: Path, text: str) -> None:
    scene(tmp_path, "000000")
    scene(tmp_path, "000001")
    (tmp_path / "000000" / "scene_gt.json").write_text(text)
    data = dataset(tmp_path)
    assert list(data.ids) == ["000001/rgb/000000.png"]
    assert [problem.id for problem in data.problems] == ["000000/scene_gt.json"]
    assert "\n" not in data.problems[0].message


def test_it_keeps_the_contract_and_is_recognised(tmp_path: Path) -> None:
    scene(tmp_path)
    check_loader(sv2r_loaders()[0], tmp_path)  # type: ignore[index]
    assert detect(tmp_path).confidence == 0.97
    assert detect(tmp_path / "train_pbr" / "000000").confidence == 0.97
    (tmp_path / "train_pbr" / "000000" / "rgb").rename(tmp_path / "elsewhere")
    assert detect(tmp_path).confidence == 0
    with pytest.raises(ConfigError, match=r"no scene of BOP's"):
        dataset(tmp_path / "elsewhere")
