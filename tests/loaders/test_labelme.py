"""LabelMe's JSON files."""

from __future__ import annotations

import base64
import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from sv2r.errors import ConfigError, SampleError
from sv2r.loaders.labelme import LabelmeOptions, detect, load, sv2r_loaders
from sv2r.testing import check_loader
from sv2r.types import Dataset, Instances

SQUARE = {"label": "mug", "points": [[1, 1], [4, 1], [4, 4], [1, 4]], "shape_type": "polygon"}


def put(root: Path, shapes: Any, image: str = "a.jpg", **more: Any) -> Path:
    (root / image).parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.full((8, 10, 3), 90, np.uint8)).save(root / image)
    told = {
        "version": "5.4.1",
        "flags": {},
        "shapes": shapes,
        "imagePath": Path(image).name,
        "imageData": None,
        "imageHeight": 8,
        "imageWidth": 10,
        **more,
    }
    path = (root / image).with_suffix(".json")
    path.write_text(json.dumps(told, indent=2))
    return path


def dataset(root: Path) -> Dataset:
    return load(LabelmeOptions(), root)


def read(root: Path) -> Instances:
    return dataset(root).samples[0].load_instances()


def png(values: Any) -> str:
    out = io.BytesIO()
    Image.fromarray(np.uint8(values) * 255).save(out, "PNG")
    return base64.b64encode(out.getvalue()).decode()


def test_a_polygon_and_its_outline_are_drawn(tmp_path: Path) -> None:
    put(tmp_path, [SQUARE])
    instances = read(tmp_path)
    assert instances.mask(1)[1:5, 1:5].all()
    assert instances.mask(1).sum() == 16
    assert instances.table[1].category == "mug"
    assert dataset(tmp_path).samples[0].size == (8, 10)


def test_a_group_is_one_instance_and_later_shapes_lie_on_top(tmp_path: Path) -> None:
    part = {**SQUARE, "points": [[6, 1], [8, 1], [8, 3]], "group_id": 3}
    above = {**SQUARE, "label": "bowl", "points": [[3, 3], [6, 3], [6, 6], [3, 6]]}
    put(tmp_path, [{**SQUARE, "group_id": 3}, part, above])
    instances = read(tmp_path)
    assert [one.category for one in instances.table.values()] == ["mug", "bowl"]
    assert instances.labels[1, 6] == instances.labels[1, 1] == 1
    assert instances.labels[4, 4] == 2
    assert instances.mask(1)[4, 4]


@pytest.mark.parametrize(
    ("shape", "pixels"),
    [
        ({"shape_type": "rectangle", "points": [[4, 3], [1, 1]]}, 12),
        ({"shape_type": "circle", "points": [[4, 4], [6, 4]]}, 21),
        ({"shape_type": "mask", "points": [[1, 2], [2, 3]], "mask": png([[1, 0], [1, 1]])}, 3),
    ],
)
def test_other_shapes_that_cover_pixels(tmp_path: Path, shape: Any, pixels: int) -> None:
    put(tmp_path, [{"label": "mug", **shape}])
    assert read(tmp_path).mask(1).sum() == pixels


def test_lines_and_points_are_counted_and_no_instances(tmp_path: Path) -> None:
    line = {"label": "crack", "points": [[1, 1], [4, 1]], "shape_type": "line"}
    put(tmp_path, [line, SQUARE])
    assert [one.category for one in read(tmp_path).table.values()] == ["mug"]
    assert dataset(tmp_path).notes[1].startswith("1 lines and points cover no pixels")


@pytest.mark.parametrize("path", ["..\\img\\b.jpg", "../img/b.jpg", "D:\\data\\b.jpg", "b.png"])
def test_the_picture_is_found_by_path_or_by_name(tmp_path: Path, path: str) -> None:
    file = put(tmp_path, [SQUARE], "img/b.jpg", imagePath=path)
    if path == "b.png":
        (tmp_path / "img" / "b.jpg").rename(tmp_path / "img" / "b.png")
    elif path.startswith(".."):
        (tmp_path / "json").mkdir()
        file.rename(tmp_path / "json" / "b.json")
    assert list(dataset(tmp_path).ids) == [f"img/b.{'png' if path == 'b.png' else 'jpg'}"]


@pytest.mark.parametrize(
    ("shape", "message"),
    [
        ({"points": [[1, 1], [2, 2]]}, "a polygon needs 3 points"),
        ({"shape_type": "mask", "points": [[1, 2], [2, 3]], "mask": "!"}, "its mask is no PNG"),
        (
            {"shape_type": "mask", "points": [[1, 2], [5, 5]], "mask": png([[1]])},
            "its mask does not fill its box",
        ),
    ],
)
def test_shapes_that_cannot_be_drawn_fail_their_picture(
    tmp_path: Path, shape: Any, message: str
) -> None:
    put(tmp_path, [SQUARE, {**SQUARE, **shape}])
    with pytest.raises(SampleError, match=rf"a\.json, shape 2 \('mug'\): {message}"):
        read(tmp_path)


def test_a_missing_picture_and_a_damaged_json_are_problems(tmp_path: Path) -> None:
    put(tmp_path, [SQUARE], "a.jpg")
    put(tmp_path, [SQUARE], "b.jpg")
    put(tmp_path, [{"points": 3}], "c.jpg")
    (tmp_path / "b.jpg").unlink()
    data = dataset(tmp_path)
    assert list(data.ids) == ["a.jpg"]
    assert [problem.id for problem in data.problems] == ["b.json", "c.json"]


def test_it_keeps_the_contract_and_is_recognised(tmp_path: Path) -> None:
    put(tmp_path, [SQUARE])
    check_loader(sv2r_loaders()[0], tmp_path)  # type: ignore[index]
    assert detect(tmp_path).confidence == 0.95
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "x.json").write_text('{"images": []}')
    assert detect(tmp_path / "other").confidence == 0
    with pytest.raises(ConfigError, match="no JSON of LabelMe's"):
        dataset(tmp_path / "other")
