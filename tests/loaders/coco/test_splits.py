"""COCO datasets as tools leave them: a file for each split, names from another computer."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from sv2r.errors import ConfigError
from sv2r.loaders.coco.choose import family, split_of
from sv2r.types import Dataset
from tests.loaders.coco.test_loader import annotation, image, loaded, write

MASK = [[0, 0, 2, 0, 2, 1, 0, 1]]


def put(root: Path, file: str, names: list[str], folder: str = "", **more: Any) -> None:
    images = [image(number, name) for number, name in enumerate(names, start=1)]
    own = [annotation(number, number) for number in range(1, len(names) + 1)]
    write(root, images, own, file, folder, **more)


def splits(data: Dataset) -> dict[str, str]:
    return {sample.id: sample.attributes.get("split", "") for sample in data.samples}


@pytest.mark.parametrize(
    ("files", "folders"),
    [
        (
            ("annotations/instances_train2017.json", "annotations/instances_val2017.json"),
            ("train2017", "val2017"),
        ),
        (
            ("annotations/instances_train2017.json", "annotations/instances_val2017.json"),
            ("images/train2017", "images/val2017"),
        ),
        (
            ("annotations/instances_train2017.json", "annotations/instances_val2017.json"),
            ("images/train", "images/val"),
        ),
        (("train/_annotations.coco.json", "valid/_annotations.coco.json"), ("train", "valid")),
        (("annotations/instances_Train.json", "annotations/instances_Validation.json"),) * 1
        + (("images/Train", "images/Validation"),),
        (("train.json", "val.json"), ("train", "val")),
        (("train_annotations.json", "val_annotations.json"), ("train/images", "val/images")),
    ],
)
def test_the_splits_of_one_dataset_open_together(
    tmp_path: Path, files: tuple[str, str], folders: tuple[str, str]
) -> None:
    for file, folder in zip(files, folders, strict=True):
        put(tmp_path, file, ["0001.png"], folder)
    data = loaded(tmp_path)
    assert splits(data) == {f"{folders[0]}/0001.png": "train", f"{folders[1]}/0001.png": "val"}
    assert data.annotation_files == tuple(tmp_path / file for file in files)
    assert data.notes[0] == f"annotations in {files[0]}, {files[1]}"
    assert data.problems == data.doubts == ()
    for sample in data.samples:
        assert sample.load_instances().labels.tolist() == [[1, 1, 0, 0, 0]]


def test_of_all_that_coco_publishes_the_instances_are_read(tmp_path: Path) -> None:
    for split in ("train2017", "val2017"):
        for kind in ("person_keypoints", "stuff", "instances"):
            put(tmp_path, f"annotations/{kind}_{split}.json", [f"{split}.png"], split)
    data = loaded(tmp_path)
    assert list(data.ids) == ["train2017/train2017.png", "val2017/val2017.png"]
    assert data.notes[1] == (
        "not read: annotations/person_keypoints_train2017.json, "
        "annotations/person_keypoints_val2017.json, annotations/stuff_train2017.json, "
        "annotations/stuff_val2017.json; --loader.annotations reads others"
    )


def test_a_split_without_annotations_has_pictures_without_objects(tmp_path: Path) -> None:
    put(tmp_path, "train/_annotations.coco.json", ["a.png"], "train")
    write(tmp_path, [image(1, "b.png")], [], "test/_annotations.coco.json", "test")
    data = loaded(tmp_path)
    assert splits(data) == {"test/b.png": "test", "train/a.png": "train"}
    assert [len(sample.load_instances().table) for sample in data.samples] == [0, 1]


def test_a_split_whose_pictures_are_elsewhere_is_left_out_and_doubted(tmp_path: Path) -> None:
    for split in ("train2017", "val2017"):
        put(tmp_path, f"annotations/instances_{split}.json", [f"{split}.png"], split)
    (tmp_path / "train2017/train2017.png").unlink()
    data = loaded(tmp_path)
    assert list(data.ids) == ["val2017/val2017.png"]
    assert data.annotation_files == (tmp_path / "annotations/instances_val2017.json",)
    (doubt,) = data.doubts
    assert doubt == (
        "left out: annotations/instances_train2017.json: train2017.png (one of 1 looked for) is in "
        "none of annotations, the input folder itself, train2017; name the pictures' folder with "
        "--loader.images, or leave that file out with --loader.annotations "
        "annotations/instances_val2017.json"
    )
    assert loaded(tmp_path, annotations="annotations/instances_val2017.json").doubts == ()


def test_files_that_are_no_splits_of_one_another_ask_for_one(tmp_path: Path) -> None:
    put(tmp_path, "mugs.json", ["a.png"])
    put(tmp_path, "plates.json", ["b.png"])
    with pytest.raises(ConfigError) as told:
        loaded(tmp_path)
    assert str(told.value) == (
        "2 COCO files: mugs.json, plates.json; say which with --loader.annotations FILE "
        "(again for each, or a pattern such as '*/annotations.json')"
    )


def test_splits_that_share_a_picture_ask_for_one(tmp_path: Path) -> None:
    for name in ("instances_minival2014.json", "instances_val2014.json"):
        put(tmp_path, f"annotations/{name}", ["a.png"], "images")
    with pytest.raises(ConfigError) as told:
        loaded(tmp_path)
    assert str(told.value).startswith(
        "images/a.png is in several of 2 COCO files: annotations/instances_minival2014.json, "
        "annotations/instances_val2014.json; say which with --loader.annotations FILE"
    )


@pytest.mark.parametrize(
    ("name", "start"),
    [
        ("images\\1/ab-c.png", "images/1"),
        ("..\\..\\label-studio\\label-studio\\media\\upload\\4\\ab-c.png", None),
        ("/data/upload/1/ab-c.png", "/data/upload/1"),
        ("images/ab-c.png", ""),
    ],
)
def test_label_studio_s_names_are_found_in_images(
    tmp_path: Path, name: str, start: str | None
) -> None:
    put(tmp_path, "elsewhere.json", ["ab-c.png"], "images")
    (tmp_path / "elsewhere.json").unlink()
    put(tmp_path / "made", "result.json", [name])
    (tmp_path / "made/result.json").rename(tmp_path / "result.json")
    data = loaded(tmp_path)
    assert list(data.ids) == ["images/ab-c.png"]
    start = "../../label-studio/label-studio/media/upload/4" if start is None else start
    told = [f"result.json: file names that begin with {start} in images"] if start else []
    assert list(data.notes[1:]) == told
    assert data.samples[0].load_instances().labels.tolist() == [[1, 1, 0, 0, 0]]


@pytest.mark.parametrize("folder", ["images", "images/default"])
def test_cvat_s_export_opens(tmp_path: Path, folder: str) -> None:
    put(tmp_path, "annotations/instances_default.json", ["a.png"], folder)
    assert splits(loaded(tmp_path)) == {f"{folder}/a.png": ""}


def test_a_name_that_climbs_out_is_not_looked_for_outside(tmp_path: Path) -> None:
    put(tmp_path, "secret.json", ["a.png"])
    write(tmp_path / "in", [image(1, "../a.png")], [annotation(1)])
    data = loaded(tmp_path / "in")
    assert list(data.ids) == []
    (problem,) = data.problems
    assert problem.message == (
        "coco.json: images[0]: ../a.png: the path climbs out by '..'; "
        "keep it inside the input folder"
    )


@pytest.mark.parametrize(
    ("name", "expected", "split"),
    [
        ("annotations/instances_train2017.json", "instances", "train"),
        ("annotations/person_keypoints_val2017.json", "person_keypoints", "val"),
        ("valid/_annotations.coco.json", "annotations coco", "val"),
        ("annotations/instances_default.json", "instances", ""),
        ("train/coco_12.json", "coco", "train"),
        ("lvis_v1_train.json", "lvis v", "train"),
        ("training.json", "", "train"),
        ("result.json", "result", ""),
    ],
)
def test_a_name_tells_what_a_file_holds_and_its_split(name: str, expected: str, split: str) -> None:
    assert family(name) == expected
    assert split_of(name) == split
