"""What is refused before anything is written, and what must not be written over."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from PIL import Image

import sv2r
from sv2r.config.sections import PromptOptions
from sv2r.errors import ConfigError
from sv2r.plugin.discovery import Owner
from sv2r.plugin.options import Options
from sv2r.plugin.registry import Entry, Registry, load_registry
from sv2r.plugin.specs import TranslatorSpec
from sv2r.worker.prompts import unused_lists
from tests.toys.datasets import make_coco


def asked(root, out, **more):
    grade = {"name": "grade", "mean": [60, 10, 5], "std": [15, 5, 5]}
    return {"input": root, "output": out, "translator": grade, "checks": ["sanity"], **more}


def write(path, seed=0, size=(16, 20)):
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(seed).integers(0, 256, (*size, 3), np.uint8)
    Image.fromarray(pixels).save(path)


def write_mask(path, size=(16, 20)):
    path.parent.mkdir(parents=True, exist_ok=True)
    mask = np.zeros(size, np.uint8)
    mask[4:9, 5:12] = 1
    Image.fromarray(mask).save(path)


@pytest.mark.parametrize("batch_size", [1, 4, "auto"])
def test_what_does_not_fit_in_memory_even_alone_is_told_once(renders, tmp_path, batch_size):
    installed = load_registry()
    spec = TranslatorSpec(
        name="hungry",
        summary="Asks for 128 PB.",
        options=Options,
        build=lambda *_: lambda batch: torch.empty(2**55),
    )
    entry = Entry("translator", "hungry", Owner("hungry", "tests", "0"), spec)
    registry = Registry((*installed.entries, entry), installed.failures)
    config = asked(renders, tmp_path / "out", translator="hungry", batch_size=batch_size)
    with pytest.raises(
        ConfigError, match=r"^not even one picture of \d+×\d+ fits in memory; choose"
    ):
        sv2r.convert(config, registry=registry)


def test_a_selection_of_nothing_writes_nothing(renders, tmp_path):
    with pytest.raises(ConfigError, match=r"--only zzz\*: no sample matches"):
        sv2r.convert(asked(renders, tmp_path / "out", only=["zzz*"]))
    assert not (tmp_path / "out").exists()


def test_a_folder_with_other_files_is_refused_and_stays(renders, tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "c.png").write_bytes(b"mine")
    with pytest.raises(ConfigError, match=r"out: holds files that no run of sv2r made, such as c"):
        sv2r.convert(asked(renders, tmp_path / "out"))
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["c.png"]
    assert (tmp_path / "out" / "c.png").read_bytes() == b"mine"


def test_a_picture_that_would_become_its_own_mask_fails_and_the_mask_stays(tmp_path):
    write(tmp_path / "in" / "a.jpg")
    write_mask(tmp_path / "in" / "a.png")
    config = asked(tmp_path / "in", tmp_path / "out", writer={"name": "mirror", "format": "png"})
    summary = sv2r.convert(config)
    assert [record.error for record in summary.troubles] == [
        "a.jpg: its picture and its labels would be the same file (a.png); rename one"
    ]


def test_two_pictures_that_would_share_an_exported_mask_fail_the_later_one(tmp_path):
    root = make_coco(tmp_path / "in", ("a.jpg", "a.png"))
    summary = sv2r.convert(asked(root, tmp_path / "out", writer="folder"))
    assert (summary.done, summary.exit_code) == (1, 1)
    assert [record.error for record in summary.troubles] == [
        "a.png: would write the same file as a.jpg (masks/a.png); rename one of them"
    ]


def test_overwrite_leaves_nothing_of_the_run_before(tmp_path):
    root = make_coco(tmp_path / "in", ("a/b/0.png", "1.png"))
    sv2r.convert(asked(root, tmp_path / "out"))
    (tmp_path / "out" / "a" / "notes.txt").write_text("mine")
    sv2r.convert(asked(root, tmp_path / "out", writer="coco", only=["1.png"]), overwrite=True)
    names = {
        str(path.relative_to(tmp_path / "out"))
        for path in (tmp_path / "out").rglob("*")
        if "sv2r" not in path.parts
    }
    assert names == {"a", "a/notes.txt", "images", "images/1.png", "annotations.json"}
    images = json.loads((tmp_path / "out" / "annotations.json").read_text())["images"]
    assert [image["file_name"] for image in images] == ["images/1.png"]


def test_depth_without_a_source_is_refused_before_a_model_loads(renders, tmp_path):
    config = asked(renders, tmp_path / "out", conditioners=["depth"])
    with pytest.raises(ConfigError, match=r"a/0.png: has no depth; name the renderer's by"):
        sv2r.convert(config)
    assert not (tmp_path / "out").exists()


def test_a_control_that_nobody_makes_gets_the_nearest_name(renders, tmp_path):
    translator = {"name": "controlnet", "model": "m", "controlnet": {"cany": "c"}}
    config = {"input": renders, "output": tmp_path / "out", "translator": translator}
    with pytest.raises(ConfigError, match="no plugin makes one; did you mean canny\\?"):
        sv2r.convert(config)


def test_lists_that_the_prompt_does_not_use_are_told():
    options = PromptOptions(template="a {light} photo", vary={"light": ["dim"], "lens": ["35 mm"]})
    assert unused_lists(options) == ["lens"]
