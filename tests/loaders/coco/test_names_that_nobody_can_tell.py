"""File names that could be one picture or another: told, or refused, but never guessed."""

from __future__ import annotations

import json
import unicodedata
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import sv2r
from sv2r.errors import ConfigError
from sv2r.loaders.coco.loader import CocoOptions, load
from sv2r.types import Dataset
from tests.toys.datasets import make_coco


def named(root: Path, *names: str) -> Any:
    """Give the pictures of a dataset other names in its JSON, and return the JSON."""
    file = root / "annotations.json"
    data = json.loads(file.read_text())
    for entry, name in zip(data["images"], names, strict=True):
        entry["file_name"] = name
    file.write_text(json.dumps(data))
    return data


def opened(root: Path, **options: Any) -> Dataset:
    return load(root, CocoOptions(**options))


def test_two_folders_of_another_computer_that_would_be_one(tmp_path: Path) -> None:
    make_coco(tmp_path, ("images/0.png", "images/1.png"))
    named(tmp_path, "/data/run-a/0.png", "/data/run-b/0.png")
    with pytest.raises(ConfigError, match=r"--loader\.remap"):
        opened(tmp_path)


def test_a_name_that_is_listed_twice_is_no_other_folder(tmp_path: Path) -> None:
    make_coco(tmp_path, ("images/0.png", "images/1.png"))
    named(tmp_path, "/data/run-a/0.png", "/data/run-a/0.png")
    (problem,) = opened(tmp_path).problems
    assert "is listed twice" in problem.message


def test_names_of_another_computer_that_two_folders_have(tmp_path: Path) -> None:
    make_coco(tmp_path, ("images/0.png",))
    named(tmp_path, "/data/run/0.png")
    (tmp_path / "rgb").mkdir()
    (tmp_path / "rgb/0.png").write_bytes((tmp_path / "images/0.png").read_bytes())
    assert list(opened(tmp_path).ids) == ["images/0.png"]
    Image.fromarray(np.zeros((32, 40, 3), np.uint8)).save(tmp_path / "rgb/0.png")
    with pytest.raises(ConfigError, match=r"--loader\.remap"):
        opened(tmp_path)


def test_a_picture_of_one_name_in_two_folders_is_doubted(tmp_path: Path) -> None:
    make_coco(tmp_path, ("images/0.png", "rgb/0.png"))
    data = named(tmp_path, "0.png", "gone.png")
    data["images"].pop()
    (tmp_path / "annotations.json").write_text(json.dumps(data))
    (doubt,) = opened(tmp_path).doubts
    assert "0.png is in rgb too, another picture; taken from images" in doubt
    assert opened(tmp_path, images="images").doubts == ()
    (tmp_path / "rgb/0.png").write_bytes((tmp_path / "images/0.png").read_bytes())
    assert opened(tmp_path).doubts == ()


def test_accents_in_one_character_or_in_two(tmp_path: Path) -> None:
    two = unicodedata.normalize("NFD", "café.png")
    make_coco(tmp_path / "in", (two,))
    named(tmp_path / "in", "café.png")
    job = {"input": str(tmp_path / "in"), "output": str(tmp_path / "out"), "translator": "keep"}
    assert sv2r.convert({**job, "writer": {"name": "mirror", "format": "bmp"}}).done == 1
    out = opened(tmp_path / "out")
    assert out.samples[0].image.is_file()


@pytest.mark.parametrize(
    ("place", "says"),
    [
        ("deep/a/0.png", "deep/a/0.png has its name: write the folders into file_name"),
        ("deep/own/0.png", "--loader.images deep is where deep/own/0.png lies"),
    ],
)
def test_a_picture_deep_below_is_named(tmp_path: Path, place: str, says: str) -> None:
    make_coco(tmp_path, (place,))
    named(tmp_path, "own/0.png")
    with pytest.raises(ConfigError, match=says):
        opened(tmp_path)


@pytest.mark.parametrize("charset", ["utf-16-le", "utf-16-be", "utf-32-le", "utf-32-be"])
@pytest.mark.parametrize("indent", [None, 1])
def test_wide_characters_without_a_mark(tmp_path: Path, charset: str, indent: int | None) -> None:
    make_coco(tmp_path / "in", ("a.png",))
    file = tmp_path / "in/annotations.json"
    data = json.loads(file.read_text())
    data["categories"][0]["name"] = "чашка"
    file.write_bytes(json.dumps(data, ensure_ascii=False, indent=indent).encode(charset))
    assert opened(tmp_path / "in").categories == ("чашка", "bowl")
