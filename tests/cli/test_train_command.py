"""`sv2r train` as it is typed."""

from __future__ import annotations

import re

import pytest
from PIL import Image

from tests import toys


@pytest.fixture
def photos(tmp_path):
    folder = tmp_path / "photos"
    folder.mkdir()
    for number in range(5):
        pixels = (255 * toys.picture(32, 32, number)).byte().permute(1, 2, 0).numpy()
        Image.fromarray(pixels).save(folder / f"{number}.png")
    return folder


@pytest.fixture
def asked(photos, tmp_path, toy_sd15):
    """The words of a training of two steps."""
    folders = ["--photos", photos, "--output", tmp_path / "out", "--model", toy_sd15]
    return [*folders, "--resolution", 32, "--steps", 2, "--batch-size", 1, "--device", "cpu"]


def test_the_last_lines_say_how_far_it_came_and_what_to_do_with_it(sv2r, asked, tmp_path, toy_sd15):
    code, out, error = sv2r("train", "lora", *asked, "--flip", "false")
    assert code == 0
    lines = out.splitlines()
    assert re.fullmatch(
        r"lora        2 of 2 steps · [\d.e+]+ steps/s · loss [\d.]+ · held out [\d.]+", lines[0]
    )
    assert lines[1:] == [
        f"result      {tmp_path / 'out'}",
        "use         sv2r convert --input INPUT --output OUTPUT --translator sdedit \\",
        f"    --translator.model {toy_sd15} --translator.lora {tmp_path / 'out'}",
    ]
    assert error.splitlines()[0] == (
        "photos      5 · 4 squares of 32 px to learn from · 1 photos held out"
    )
    assert error.splitlines()[1] == "device      cpu · 1 at once · precision float32"


def test_train_yaml_repeats_a_run_into_another_folder(sv2r, asked, tmp_path):
    assert sv2r("train", "controlnet", *asked, "--conditioner.canny.low-threshold", 0.05)[0] == 0
    text = (tmp_path / "out" / "train.yaml").read_text()
    assert "conditioner_options:\n  low_threshold: '0.05'" in text
    again = ["--config", tmp_path / "out" / "train.yaml", "--output", tmp_path / "again"]
    assert sv2r("train", "controlnet", *again)[0] == 0
    name = "diffusion_pytorch_model.safetensors"
    assert (tmp_path / "again" / name).read_bytes() == (tmp_path / "out" / name).read_bytes()
    code, _, error = sv2r("train", "lora", *again)
    assert (code, error.endswith("train.yaml: is for sv2r train controlnet\n")) == (2, True)


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (["lora", "--rnk", 4], "Error: no option --rnk; did you mean --rank?\n"),
        (["lora", "--rank", 0], "Error: --rank must be at least 1, not '0'"),
        (["lora", "--lora", "l", "--rank", 8], "Error: --rank is as --lora has it; leave one of"),
        (["lora", "--conditioner.canny.sigma", 2], "Error: no option --conditioner.canny.sigma; "),
        (
            ["controlnet", "--conditioner.canny.sigm", 2],
            "Error: no option --conditioner.canny.sigm; ",
        ),
    ],
)
def test_a_wrong_option_is_one_line(sv2r, asked, tmp_path, words, line):
    kind, *more = words
    code, out, error = sv2r("train", kind, *asked, *more)
    assert (code, out, error.count("\n")) == (2, "", 1)
    assert error.startswith(line)
    assert not (tmp_path / "out").exists()


def test_what_is_missing_is_named(sv2r, photos, tmp_path):
    code, _, error = sv2r("train", "lora", "--photos", photos, "--output", tmp_path / "out")
    assert code == 2
    assert error.startswith("Error: --model is missing: the model to start from")


def test_help_shows_the_conditioners_options(sv2r):
    code, out, _ = sv2r("train", "controlnet", "--conditioner", "canny", "--help")
    assert code == 0
    assert "--conditioner.canny.low_threshold NUMBER" in out
    assert "--gradient-checkpointing [true|false]" in out
