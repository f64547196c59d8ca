"""Inputs that strangers reported: each command that went wrong, and what it must do now."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from sv2r.cli.main import cli, run_command
from sv2r.loaders.bop import sv2r_loaders
from sv2r.plugin.specs import Runtime

CASES = Path(__file__).resolve().parents[3] / "shared" / "cases"

GRADE = [
    *("--translator", "grade", "--translator.mean", "55", "--translator.mean", "5"),
    *("--translator.mean", "5", "--translator.std", "18", "--translator.std", "12"),
    *("--translator.std", "12"),
]
KEYPOINTS = "coco_writer_drops_keypoints"

Run = Callable[..., tuple[int, str, str]]

pytestmark = pytest.mark.skipif(not CASES.is_dir(), reason=f"{CASES} is not there")


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Run:
    """Run a command in the folder of the cases, as their READMEs do."""
    monkeypatch.chdir(CASES)

    def command(*args: object) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["sv2r", *map(str, args)])
        capfd.readouterr()
        code = run_command(cli)
        captured = capfd.readouterr()
        return code, captured.out, captured.err

    return command


def records(output: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (output / "sv2r/samples.jsonl").read_text().splitlines()]


@pytest.mark.parametrize(
    ("args", "says"),
    [
        (
            (KEYPOINTS, "checkpoint", "--model", "checkpoint_saved_controlnet_pipeline"),
            "a StableDiffusionControlNetPipeline has a ControlNet of its own; give the model",
        ),
        (
            (KEYPOINTS, "checkpoint", "--model", "kolors_without_sentencepiece"),
            "KolorsImg2ImgPipeline needs sentencepiece, which is not installed",
        ),
        (
            (KEYPOINTS, "sdedit", "--model", "sdedit_inpainting_nine_channels"),
            "its UNet takes 9 channels, not 4",
        ),
        (
            (KEYPOINTS, "sdedit", "--model", "_toy_sd", "--lora", "lora_comfy_prefix/{}"),
            "lora_comfy_prefix/{}: none of the 32 layers in {} fits the model; the first is ",
        ),
        (("cityscapes_8bit_ids", "identity"), "has 8 bits, which cannot hold class * 1000 + n"),
        (("infinigen_frames", "identity"), "looks like Infinigen: "),
    ],
)
def test_what_cannot_be_done_is_one_line(
    run: Run, tmp_path: Path, args: tuple[str, ...], says: str
) -> None:
    for lora in ("comfy_prefix.safetensors", "peft_base_model.safetensors")[: 1 + ("{}" in says)]:
        data, translator, *more = (word.replace("{}", lora) for word in args)
        chosen = GRADE if translator == "identity" else ["--translator", translator]
        code, _, err = run("convert", "--input", data, "--output", tmp_path / "o", *chosen, *more)
        assert code == 2
        (line,) = [line for line in err.splitlines() if line.startswith("Error: ")]
        assert says.replace("{}", lora) in line
        assert not (tmp_path / "o").exists()


@pytest.mark.parametrize(
    ("data", "options", "instances"),
    [
        ("bop_scene", (), 12),
        ("coco_backslash_names_other_format", ("--writer.format", "jpg"), 6),
        ("coco_image_id_text_and_number", (), 6),
        ("coco_polygon_of_four_numbers", ("--writer", "coco"), 6),
        ("falling_things_depth_beside", (), 12),
        ("infinigen_frames", ("--preset", "infinigen"), 6),
        ("mask_in_alpha_only", (), 2),
    ],
)
def test_what_can_be_done_is_done_and_holds(
    run: Run, tmp_path: Path, data: str, options: tuple[str, ...], instances: int
) -> None:
    output = tmp_path / "out"
    code, out, _ = run("convert", "--input", data, "--output", output, *GRADE, *options)
    assert code == 0, out
    named = [ids for record in records(output) for ids in record["instances"].values()]
    assert sum(map(len, named)) == instances
    assert f"{instances} instances" in out
    assert run("verify", output)[0] == 0
    code, out, _ = run("lint", output) if "--preset" not in options else (0, "", "")
    assert code == 0, out


def test_of_bop_the_visible_masks_are_taken_and_all_files_go_along(
    run: Run, tmp_path: Path
) -> None:
    run("convert", "--input", "bop_scene", "--output", tmp_path / "out", *GRADE)
    source = {path.relative_to(CASES / "bop_scene") for path in (CASES / "bop_scene").rglob("*")}
    made = {path.relative_to(tmp_path / "out") for path in (tmp_path / "out").rglob("*")}
    assert source <= made
    rgb, mask_visib = (
        CASES / "bop_scene/train_pbr/000000" / name for name in ("rgb", "mask_visib")
    )
    (spec,) = sv2r_loaders()
    sample = spec.build(spec.options(), Runtime())(CASES / "bop_scene").samples[0]
    assert sample.image == rgb / "000000.png"
    labels = sample.load_instances().labels
    for value in range(3):
        visible = np.asarray(Image.open(mask_visib / f"000000_{value:06}.png")) > 0
        assert np.array_equal(labels == value + 1, visible)


def test_a_coco_export_keeps_what_does_not_depend_on_the_mask(run: Run, tmp_path: Path) -> None:
    args = ("convert", "--input", KEYPOINTS, "--output", tmp_path / "out", *GRADE)
    assert run(*args, "--writer", "coco")[0] == 0
    before = json.loads((CASES / KEYPOINTS / "annotations.json").read_text())
    after = json.loads((tmp_path / "out/annotations.json").read_text())
    own = {"segmentation", "bbox", "area", "id", "image_id", "iscrowd", "category_id"}
    for old, new in zip(before["annotations"], after["annotations"], strict=True):
        kept = {key: value for key, value in old.items() if key not in own}
        assert kept.items() <= new.items()
    for kind in ("licenses", "info", "categories"):
        assert after.get(kind) == before.get(kind)


@pytest.mark.parametrize(
    ("data", "code", "says"),
    [
        ("coco_category_listed_twice", 0, "6 instances · 3 categories"),
        ("coco_category_number_as_name", 0, "6 instances · 3 categories"),
        ("exif_upright_labels/p_exif180_labels_upright", 1, "as its EXIF orientation 3 turns it"),
        ("exif_upright_labels/p_exif6_labels_upright", 1, "EXIF orientation 6"),
        ("exif_upright_labels/p_exif6_square_labels_upright", 1, "EXIF orientation 6"),
        ("mask_antialiased_binary", 1, "cut at half: --loader.encoding binary settles it"),
        ("mask_antialiased_colour", 1, "each such value becomes an instance"),
        ("mask_ids_with_255_ignore", 1, "value 255 stands next to 1 to 3 in 2 of 2 masks"),
    ],
)
def test_lint_says_what_it_is(run: Run, data: str, code: int, says: str) -> None:
    given, out, _ = run("lint", data)
    assert says in out
    assert given == code
