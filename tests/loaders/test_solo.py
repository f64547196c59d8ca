"""Unity Perception's SOLO, made pixel by pixel."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from sv2r.errors import ConfigError, SampleError
from sv2r.loaders.solo import SoloOptions, detect, load, sv2r_loaders
from sv2r.testing import check_loader
from sv2r.types import Dataset

PREFIX = "type.unity.com/unity.solo."
RED, BLUE = [255, 0, 0, 255], [0, 74, 255, 255]


def frame(root: Path, sequence: int = 0, step: int = 0, camera: str = "camera") -> Path:
    """Write a 2x3 picture with a red mug (instance 3) and a blue bowl (instance 1)."""
    folder = root / f"sequence.{sequence}"
    folder.mkdir(parents=True, exist_ok=True)
    name = f"step{step}.{camera}"
    colours = np.zeros((2, 3, 4), np.uint8)
    colours[..., 3] = 255
    colours[0, 0], colours[1, 1:] = RED, BLUE
    Image.fromarray(np.full((2, 3, 4), 90, np.uint8)).save(folder / f"{name}.png")
    Image.fromarray(colours).save(folder / f"{name}.instance segmentation.png")
    segmentation = {
        "@type": f"{PREFIX}InstanceSegmentationAnnotation",
        "id": "instance segmentation",
        "filename": f"{name}.instance segmentation.png",
        "instances": [
            {"instanceId": 3, "labelId": 7, "labelName": "mug", "color": RED},
            {"instanceId": 1, "labelId": 9, "labelName": "bowl", "color": BLUE},
        ],
    }
    unknown = {"@type": "com.example.Odd", "values": {"deep": [[1]]}, "instances": [{"x": 1}]}
    capture = {
        "@type": f"{PREFIX}RGBCamera",
        "id": camera,
        "filename": f"{name}.png",
        "dimension": [3.0, 2.0],
        "annotations": [unknown, segmentation],
    }
    path = folder / f"step{step}.frame_data.json"
    path.write_text(json.dumps({"frame": 2, "sequence": sequence, "captures": [capture]}))
    return path


def dataset(root: Path) -> Dataset:
    return load(SoloOptions(), root)


def change(path: Path, edit: Any) -> None:
    told = json.loads(path.read_text())
    edit(told["captures"][0])
    path.write_text(json.dumps(told))


def test_colours_become_instances_by_their_ids(tmp_path: Path) -> None:
    frame(tmp_path)
    data = dataset(tmp_path)
    instances = data.samples[0].load_instances()
    assert instances.labels.tolist() == [[3, 0, 0], [0, 1, 1]]
    assert {id_: one.category for id_, one in instances.table.items()} == {3: "mug", 1: "bowl"}
    assert data.category_ids == {"mug": 7, "bowl": 9}
    assert data.samples[0].size == (2, 3)


def test_frames_come_in_order_and_unknown_annotations_are_carried(tmp_path: Path) -> None:
    for sequence in (10, 9):
        frame(tmp_path, sequence)
    (tmp_path / "metadata.json").write_text("{}")
    data = dataset(tmp_path)
    assert list(data.ids) == ["sequence.9/step0.camera.png", "sequence.10/step0.camera.png"]
    assert [path.name for path in data.samples[0].annotation_files] == [
        "step0.frame_data.json",
        "step0.camera.instance segmentation.png",
    ]
    assert [path.name for path in data.annotation_files] == ["metadata.json"]
    assert dict(data.samples[1].attributes) == {"sequence": "10", "camera": "camera"}


def test_labels_come_from_the_definition_where_there_is_one(tmp_path: Path) -> None:
    frame(tmp_path)
    spec = [{"label_id": n, "label_name": name} for n, name in ((9, "bowl"), (7, "mug"), (1, "x"))]
    definition = {"@type": f"{PREFIX}InstanceSegmentationAnnotation", "spec": spec}
    (tmp_path / "annotation_definitions.json").write_text(
        json.dumps({"annotationDefinitions": [definition]})
    )
    assert dataset(tmp_path).categories == ("bowl", "mug", "x")


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        (lambda c: c["annotations"].pop(), "InstanceSegmentationLabeler"),
        (lambda c: c.update(filename="gone.png"), "gone.png is missing"),
        (lambda c: c.update(filename="../out.png"), "climbs out"),
        (lambda c: c["annotations"][1].update(filename="/etc/passwd"), "absolute"),
    ],
)
def test_a_frame_that_names_no_usable_files_is_a_problem(
    tmp_path: Path, edit: Any, message: str
) -> None:
    change(frame(tmp_path), edit)
    data = dataset(tmp_path)
    assert (list(data.ids), len(data.problems)) == ([], 1)
    assert message in data.problems[0].message


@pytest.mark.parametrize("text", ["", "{", "[]", '{"captures": 3}', '{"captures": []}'])
def test_a_damaged_frame_is_a_problem_and_the_others_go_on(tmp_path: Path, text: str) -> None:
    frame(tmp_path, 0).write_text(text)
    frame(tmp_path, 1)
    data = dataset(tmp_path)
    assert list(data.ids) == ["sequence.1/step0.camera.png"]
    assert [problem.id for problem in data.problems] == ["sequence.0/step0.frame_data.json"]


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        (lambda ones: ones.pop(), r"gives no instance \(0, 74, 255\), 1 such colours"),
        (lambda ones: ones[1].update(color=RED), "two instances have one colour"),
        (lambda ones: ones[1].update(color=[0, 0, 0, 255]), "is black"),
        (lambda ones: ones[1].update(color=[1]), "no colour of four bytes"),
        (lambda ones: ones[1].update(instanceId=0), "they start at 1"),
        (lambda ones: ones[1].update(instanceId="a"), "not as SOLO has it"),
    ],
)
def test_instances_that_do_not_fit_their_picture_fail_it(
    tmp_path: Path, edit: Any, message: str
) -> None:
    change(frame(tmp_path), lambda capture: edit(capture["annotations"][1]["instances"]))
    with pytest.raises(SampleError, match=message):
        dataset(tmp_path).samples[0].load_instances()


def test_it_keeps_the_contract_and_is_recognised(tmp_path: Path) -> None:
    frame(tmp_path)
    check_loader(sv2r_loaders()[0], tmp_path)  # type: ignore[index]
    assert detect(tmp_path).confidence == 0.97
    (tmp_path / "empty").mkdir()
    assert detect(tmp_path / "empty").confidence == 0
    with pytest.raises(ConfigError, match="no SOLO dataset"):
        dataset(tmp_path / "empty")
