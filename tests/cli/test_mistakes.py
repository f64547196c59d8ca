"""Mistakes that people make, each provoked, and the page that lists what is said of it.

``WRITE_MISTAKES=1 uv run pytest tests/cli/test_mistakes.py`` writes docs/mistakes.md again.
"""

from __future__ import annotations

import json
import os
import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests import toys
from tests.toys.datasets import make_coco

PAGE = Path(__file__).resolve().parents[2] / "docs" / "mistakes.md"

HEAD = """\
# Mistakes, and what is said of them

<!-- Written by tests/cli/test_mistakes.py, which makes every one of them: see there. -->

Each mistake is told in one line before anything is made; the exit code is 2. In these commands
`renders` is a COCO dataset, `photos` a folder of pictures without labels, `sd15` a folder with a
Stable Diffusion checkpoint.

| mistake | command | what is said |
| --- | --- | --- |
"""

RUN = "convert --input renders --output real --translator sdedit --model sd15"

MISTAKES: tuple[tuple[str, str], ...] = (
    ("nothing but the input", "convert --input renders"),
    ("no output", "convert --input renders --translator sdedit --model sd15"),
    ("an input that is not there", "convert --input rendres --output real --translator keep"),
    ("a file as input", "convert --input notes.txt --output real --translator keep"),
    ("pictures without labels", "convert --input photos --output real --translator keep"),
    (
        "an output inside the input",
        "convert --input renders --output renders/real --translator keep",
    ),
    ("an output with other files", "convert --input renders --output mine --translator keep"),
    ("an output in a file", "convert --input renders --output notes.txt/real --translator keep"),
    ("no model", "convert --input renders --output real --translator sdedit"),
    (
        "a model that is not there",
        "convert --input renders --output real --translator sdedit --model sd51",
    ),
    (
        "a hub that is out of reach",
        "convert --input renders --output real --translator sdedit --model some/model",
    ),
    (
        "a folder that is no model",
        "convert --input renders --output real --translator sdedit --model photos",
    ),
    (
        "pickled weights",
        "convert --input renders --output real --translator sdedit --model weights.ckpt",
    ),
    (
        "an editing model under sdedit",
        "convert --input renders --output real --translator sdedit --model pix2pix",
    ),
    ("a LoRA of another model", f"{RUN} --lora sdxl-lora"),
    (
        "a ControlNet without its conditioner",
        f"{RUN.replace('sdedit', 'controlnet')} --controlnet canny=canny",
    ),
    ("a translator that is not there", "convert --input renders --output real --translator sdedt"),
    ("a conditioner that is not there", f"{RUN} --conditioner cany"),
    ("a check that is not there", f"{RUN} --check survial"),
    (
        "a loader that is not there",
        "convert --input renders --output real --translator keep --loader cocoo",
    ),
    ("a writer that is not there", f"{RUN} --writer yollo"),
    ("a preset that is not there", "convert --preset defualt --input renders --output real"),
    ("a typo in an option", f"{RUN} --sed 3"),
    ("a typo in a plugin's option", f"{RUN} --translator.strenth 0.4"),
    (
        "an option of another translator",
        "convert --input renders --output real --translator keep --strength 0.4",
    ),
    ("an option of a conditioner that is not used", f"{RUN} --conditioner.canny.low_threshold 0.1"),
    ("an option that two plugins have", f"{RUN} --conditioner depth --model x"),
    ("an option without its value", f"{RUN} --strength"),
    ("an option given twice", f"{RUN} --seed 1 --seed 2"),
    ("a value out of bounds", f"{RUN} --strength 1.5"),
    ("a word for a number", f"{RUN} --steps many"),
    ("less than one step", f"{RUN} --steps 2 --strength 0.3"),
    ("a scheduler that is not there", f"{RUN} --scheduler eulr"),
    ("a device that is not there", f"{RUN} --device cuda:7"),
    ("auto beside a device", f"{RUN} --device auto,cpu"),
    ("a field that the prompt has not", f"{RUN} --prompt 'a photo of {{thing}}'"),
    ("a brace in the prompt", f"{RUN} --prompt 'a {{photo'"),
    ("a pattern that matches nothing", f"{RUN} --only 'train/*'"),
    ("variants in a mirror", f"{RUN} --variants 2"),
    ("nothing is labelled", "convert --input empty --output real --translator keep"),
    (
        "8-bit instance ids of Cityscapes",
        "convert --input cityscapes --output real --translator keep",
    ),
    ("a config that is not there", "convert --config my.yaml"),
    ("a tab in a config", "convert --config tab.yaml"),
    ("an unknown key in a config", "convert --config key.yaml"),
    ("a report of what is no output", "report renders"),
    ("verify of what is no output", "verify renders"),
    ("a command that is not there", "convrt --input renders"),
    ("a training without photographs", "train lora --photos empty/none --model sd15 --output lora"),
    ("too few pictures to compare", "evaluate --source renders --photos photos"),
)


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a folder with all that the commands name, and go there."""
    monkeypatch.chdir(tmp_path)
    make_coco(tmp_path / "renders", ("a.png", "b.png"))
    data = json.loads((make_coco(tmp_path / "empty", ("a.png",)) / "annotations.json").read_text())
    for annotation in data["annotations"]:
        annotation["segmentation"] = []
    (tmp_path / "empty/annotations.json").write_text(json.dumps(data))
    for number in range(3):
        save(tmp_path / f"photos/{number}.jpg", np.full((40, 60, 3), 80 * number, np.uint8))
    city = tmp_path / "cityscapes"
    save(city / "leftImg8bit/train/x/x_0_0_leftImg8bit.png", np.zeros((20, 30, 3), np.uint8))
    ids = np.full((20, 30), 26, np.uint8)
    save(city / "gtFine/train/x/x_0_0_gtFine_instanceIds.png", ids)
    (tmp_path / "mine").mkdir()
    for name in ("notes.txt", "mine/thesis.txt", "weights.ckpt"):
        (tmp_path / name).write_text("text")
    (tmp_path / "tab.yaml").write_text("input: renders\n\toutput: real\n")
    (tmp_path / "key.yaml").write_text("input: renders\noutptu: real\n")
    toys.save_sd15(tmp_path / "sd15")
    toys.save_pix2pix(tmp_path / "pix2pix")
    toys.save_controlnet(tmp_path / "canny")
    toys.save_lora(tmp_path / "sdxl-lora", family="sdxl")
    return tmp_path


def save(path: Path, pixels: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)


def rows(sv2r, home: Path) -> Iterator[str]:
    for mistake, command in MISTAKES:
        code, _, error = sv2r(*shlex.split(command))
        told = [line for line in error.splitlines() if line.startswith("Error: ")]
        assert (code, len(told)) == (2, 1), (mistake, code, error)
        assert error.splitlines()[-1] == told[0], (mistake, error)
        assert "Traceback" not in error
        text = told[0].removeprefix("Error: ").replace(f"{home}/", "").replace(str(home), ".")
        # What the machine at hand has, and what is installed, is not the page's business.
        text = re.sub(r"there are: .*", "there are: …", text)
        yield f"| {mistake} | `sv2r {command}` | {text} |".replace("{thing}", "{thing}")


def test_every_mistake_is_one_line_as_the_page_has_it(sv2r, home):
    text = HEAD + "\n".join(rows(sv2r, home)) + "\n"
    assert not (home / "real").exists()
    if os.environ.get("WRITE_MISTAKES"):
        PAGE.write_text(text, encoding="utf-8")
    assert PAGE.read_text(encoding="utf-8") == text, "run it with WRITE_MISTAKES=1"
