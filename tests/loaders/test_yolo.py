"""YOLO segmentation datasets."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from sv2r.errors import ConfigError, SampleError
from sv2r.loaders.yolo import YoloOptions, detect, load, sv2r_loaders
from sv2r.testing import check_loader
from sv2r.types import Dataset

SQUARE = "1 0.2 0.2 0.6 0.2 0.6 0.6 0.2 0.6"


def put(root: Path, rows: str | None, image: str = "train/images/a.jpg") -> None:
    path = root / image
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.full((10, 10, 3), 90, np.uint8)).save(path)
    text = root / image.replace("images", "labels")
    text.parent.mkdir(parents=True, exist_ok=True)
    if rows is not None:
        text.with_suffix(".txt").write_text(rows)
    if not (root / "data.yaml").exists():
        (root / "data.yaml").write_text("train: ../train/images\nnc: 2\nnames: ['cat', 'dog']\n")


def dataset(root: Path, **options: Any) -> Dataset:
    return load(YoloOptions(**options), root)


def test_a_polygon_is_filled_with_its_outline(tmp_path: Path) -> None:
    put(tmp_path, SQUARE)
    instances = dataset(tmp_path).samples[0].load_instances()
    # Corners at pixels 2 and 6, both drawn, as cv2.fillPoly has it.
    assert instances.mask(1).sum() == 25
    assert instances.mask(1)[2:7, 2:7].all()
    assert instances.table[1].category == "dog"


def test_smaller_instances_lie_above_larger_ones_which_keep_their_hidden_pixels(
    tmp_path: Path,
) -> None:
    put(tmp_path, f"0 0.4 0.4 0.5 0.4 0.5 0.5 0.4 0.5\n{SQUARE}\n")
    instances = dataset(tmp_path).samples[0].load_instances()
    assert instances.labels[4, 4] == 1
    assert instances.labels[2, 2] == 2
    assert instances.areas() == {1: 4, 2: 25}


def test_the_far_border_is_inside(tmp_path: Path) -> None:
    put(tmp_path, "0 0.5 0.5 1.0 0.5 1.0 1.0 0.5 1.0")
    assert dataset(tmp_path).samples[0].load_instances().mask(1)[5:, 5:].all()


def test_no_file_and_an_empty_one_are_pictures_without_objects(tmp_path: Path) -> None:
    put(tmp_path, None, "train/images/a.jpg")
    put(tmp_path, "", "train/images/b.jpg")
    put(tmp_path, SQUARE, "train/images/c.jpg")
    data = dataset(tmp_path)
    assert [len(sample.load_instances().table) for sample in data.samples] == [0, 0, 1]
    assert data.notes[1] == "1 pictures have no label file: no objects, as YOLO has it"


@pytest.mark.parametrize(
    ("image", "split"),
    [
        ("images/train2017/a.jpg", "train"),
        ("valid/images/a.jpg", "val"),
        ("test/images_1st_500/a.jpg", "test"),
        ("images/a.jpg", None),
    ],
)
def test_layouts_and_splits(tmp_path: Path, image: str, split: str | None) -> None:
    put(tmp_path, SQUARE, image)
    (sample,) = dataset(tmp_path).samples
    assert sample.id == image
    assert sample.attributes.get("split") == split
    assert [path.suffix for path in sample.annotation_files] == [".txt"]


def test_names_may_be_a_map_and_splits_are_chosen(tmp_path: Path) -> None:
    (tmp_path / "coco.yaml").write_text("names:\n  0: cat\n  1: dog\n")
    put(tmp_path, SQUARE, "images/train/a.jpg")
    (tmp_path / "data.yaml").unlink()
    put(tmp_path, SQUARE, "images/val/a.jpg")
    (tmp_path / "data.yaml").unlink()
    data = dataset(tmp_path, split="val")
    assert (list(data.ids), data.categories) == (["images/val/a.jpg"], ("cat", "dog"))
    with pytest.raises(ConfigError, match=r"--loader\.split test: no such split"):
        dataset(tmp_path, split="test")


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ("0 0.5 0.5 0.2 0.2", "row 1: is a box, no polygon"),
        (f"{SQUARE}\n0 0.1 0.1 0.2", "row 2: is no class with three or more corners"),
        ("7 0.2 0.2 0.6 0.2 0.6 0.6", "class 7 is not in the YAML"),
        ("0 2 2 6 2 6 6", "corners outside of 0 to 1"),
        ("cat 0.2 0.2 0.6 0.2 0.6 0.6", "is no row of numbers"),
        ("0 nan 0.2 0.6 0.2 0.6 0.6", "corners outside of 0 to 1"),
    ],
)
def test_rows_that_are_no_polygons_fail_their_picture(
    tmp_path: Path, rows: str, message: str
) -> None:
    put(tmp_path, rows)
    with pytest.raises(SampleError, match=message):
        dataset(tmp_path).samples[0].load_instances()


@pytest.mark.parametrize("text", ["names: 3", "names: []", "nc: 2", "names: [cat, cat]"])
def test_a_yaml_without_names_is_refused(tmp_path: Path, text: str) -> None:
    put(tmp_path, SQUARE)
    (tmp_path / "data.yaml").write_text(text)
    with pytest.raises(ConfigError, match=r"data\.yaml: "):
        dataset(tmp_path)


def test_labels_without_a_picture_are_a_problem(tmp_path: Path) -> None:
    put(tmp_path, SQUARE)
    (tmp_path / "train/labels/gone.txt").write_text(SQUARE)
    assert [problem.id for problem in dataset(tmp_path).problems] == ["train/labels/gone.txt"]


def test_it_keeps_the_contract_and_is_recognised(tmp_path: Path) -> None:
    put(tmp_path, SQUARE)
    check_loader(sv2r_loaders()[0], tmp_path)  # type: ignore[index]
    assert detect(tmp_path).confidence == 0.96
    put(tmp_path, "0 0.5 0.5 0.2 0.2")
    assert detect(tmp_path).reason.startswith("train/labels/a.txt, row 1: is a box")
