"""`sv2r init`: a first config that runs as it is."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from sv2r.storage.strict_yaml import read_yaml
from tests.toys.datasets import make_coco

NAMES = ("a.png", "b.png", "c.png")


@pytest.fixture
def renders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return make_coco(tmp_path / "my renders", NAMES)


def test_the_config_runs_as_it_is(sv2r, renders, tmp_path, toy_sd15):
    code, out, error = sv2r("init", renders, "--model", toy_sd15)
    assert code == 0, error
    assert out.splitlines()[0] == (
        "found       coco · 3 of 3 pictures looked at · 6 instances of 2 categories"
    )
    text = (tmp_path / "sv2r.yaml").read_text()
    assert "# annotations in annotations.json\n" in text
    config = read_yaml(text, "sv2r.yaml")
    assert config["loader"] == {"name": "coco"}
    assert config["output"] == f"{renders}-real"
    assert config["translator"]["model"] == str(toy_sd15)
    assert sv2r("convert", "--config", "sv2r.yaml", "--steps", 5)[0] in (0, 1)
    assert len(list((tmp_path / "my renders-real").glob("*/samples.jsonl"))) == 1


def test_a_named_model_comes_with_the_controlnets_that_lint_advises(sv2r, renders, tmp_path):
    assert (
        sv2r("init", renders, "--write", "first.yaml", "--prompt", 'a "real" {count}: #1')[0] == 0
    )
    text = (tmp_path / "first.yaml").read_text()
    config = read_yaml(text, "first.yaml")
    assert config["translator"]["name"] == "controlnet"
    assert config["translator"]["controlnet"].keys() == config["conditioners"].keys() != set()
    assert config["prompt"]["template"] == 'a "real" {count}: #1'
    # What the config asks for, nothing else is wrong with it than the model, which is not here.
    code, _, error = sv2r("convert", "--config", "first.yaml", "--dry-run")
    assert code == 2
    assert "huggingface.co cannot be reached" in error


def test_doubts_about_labels_stand_in_the_config(sv2r, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    mask = np.zeros((40, 60), np.uint8)
    mask[5:15, 5:15], mask[20:30, 20:30] = 1, 255
    for number in range(3):
        for folder, pixels in (("images", mask // 3), ("masks", mask)):
            (tmp_path / "in" / folder).mkdir(parents=True, exist_ok=True)
            Image.fromarray(pixels).save(tmp_path / "in" / folder / f"{number}.png")
    code, out, _ = sv2r("init", "in")
    assert code == 0
    assert "warning     value 255 stands next to 1 to 1 in 3 of 3 masks" in out
    assert "# TO CHECK: value 255 stands next to" in (tmp_path / "sv2r.yaml").read_text()


@pytest.mark.parametrize(("names", "named"), [(["cube", "red ball"], True), (["1", "cube"], False)])
def test_a_prompt_names_what_has_a_name(sv2r, renders, tmp_path, names, named):
    file = renders / "annotations.json"
    data = json.loads(file.read_text())
    for category, name in zip(data["categories"], names, strict=True):
        category["name"] = name
    file.write_text(json.dumps(data))
    assert sv2r("init", renders)[0] == 0
    text = (tmp_path / "sv2r.yaml").read_text()
    assert ("{categories}, natural" in text) == named
    assert ("# The category '1' is no word: say what the scene is" in text) != named


def test_what_is_there_is_not_replaced(sv2r, renders, tmp_path):
    (tmp_path / "sv2r.yaml").write_text("mine")
    code, out, error = sv2r("init", renders)
    assert (code, out) == (2, "")
    assert error == "Error: sv2r.yaml: is there; give another --write, or --overwrite\n"
    assert (tmp_path / "sv2r.yaml").read_text() == "mine"
    assert sv2r("init", renders, "--overwrite")[0] == 0
    code, _, error = sv2r("init", "nowhere", "--write", "x.yaml")
    assert (code, error.count("\n")) == (2, 1)
    assert not (tmp_path / "x.yaml").exists()
