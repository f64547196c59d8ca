"""`python -m syn_via_diff.pipeline`, as it is typed."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from sv2r.cli.main import run_command
from syn_via_diff.pipeline import pipeline
from tests.toys import processes
from tests.toys.datasets import write_render
from tests.toys.jobs import files_of, records_of

DEFAULT = Path(__file__).parents[1] / "configs" / "default.yaml"
NAMES = ("a.png", "near/b.jpg", "near/deep/c.png")


@pytest.fixture
def dataset(tmp_path) -> Path:
    """Three pictures in nested folders, and inside of it their masks, in the same folders."""
    root = tmp_path / "synthetic_dataset"
    for number, name in enumerate(NAMES):
        write_render(root / name, 27, 35, number)
        write_mask(root / "masks" / Path(name).with_suffix(".png"), 27, 35)
    return root


def write_mask(path: Path, height: int, width: int) -> None:
    ids = np.zeros((height, width), np.uint16)
    ids[6:20, 3:15], ids[6:20, 18:30] = 7, 300
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(ids).save(path)


@pytest.fixture
def short(monkeypatch, capfd):
    """Run the command in this process and return (exit code, stdout, stderr)."""

    def run(*args: object) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["pipeline", *map(str, args)])
        code = run_command(pipeline)
        captured = capfd.readouterr()
        return code, captured.out, captured.err

    return run


def asked(dataset: Path, output: Path, model: Path | None, config: Path = DEFAULT) -> list[object]:
    folders = ["--input-dir", dataset, "--mask-dir", dataset / "masks", "--output-dir", output]
    steps = ["--translator.steps", 4, "--translator.strength", 0.5, "--config", config]
    steps += ["--damage.steps", "keep"]  # a toy keeps no object in place
    return [*folders, *steps, *(["--model", model] if model else [])]


def masks_of(folder: Path) -> dict[str, bytes]:
    return {name: data for name, data in files_of(folder).items() if name.startswith("masks/")}


def test_pictures_keep_their_paths_and_masks_go_to_masks_byte_for_byte(dataset, tmp_path, toy_sd15):
    before, output = files_of(dataset), tmp_path / "realistic_dataset"
    out, error = tmp_path / "out.txt", tmp_path / "error.txt"
    args = asked(dataset, output, toy_sd15)
    assert processes.run(processes.typed, "syn_via_diff.pipeline", args, out, error) == 0
    assert out.read_text().startswith("done 3 · rejected 0 · failed 0 · ")
    assert files_of(dataset) == before
    made = files_of(output)
    assert {name for name in made if not name.startswith(("sv2r/", "masks/"))} == set(NAMES)
    assert masks_of(output) == masks_of(dataset) != {}
    for name in NAMES:
        assert made[name] != before[name]
        with Image.open(output / name) as after, Image.open(dataset / name) as source:
            assert (after.size, after.format) == (source.size, source.format)


def test_what_lies_in_the_masks_folder_is_never_taken_for_a_picture(
    short, dataset, tmp_path, toy_sd15
):
    # One that would have its own mask if it were a picture, and one that has none.
    write_render(dataset / "masks" / "stray" / "x.png", 27, 35, 9)
    write_mask(dataset / "masks" / "masks" / "a.png", 27, 35)
    code, _, error = short(*asked(dataset, tmp_path / "out", toy_sd15))
    records = records_of(tmp_path / "out")
    strays = {"masks/stray/x.png", "masks/masks/a.png"}
    assert {name: record["status"] for name, record in records.items()} == (
        dict.fromkeys(NAMES, "done") | dict.fromkeys(strays, "failed")
    )
    assert code == 1
    assert "masks/stray/x.png: a mask without a picture in the input folder; render it" in error
    assert masks_of(tmp_path / "out") == {
        name: data for name, data in masks_of(dataset).items() if name not in strays
    }


def test_a_second_run_does_what_is_missing(short, dataset, tmp_path, toy_sd15):
    output = tmp_path / "out"
    assert short(*asked(dataset, output, toy_sd15))[0] == 0
    before = files_of(output)
    times = {path: path.stat().st_mtime_ns for path in output.rglob("*.png")}
    write_render(dataset / "late.png", 27, 35, 5)
    write_mask(dataset / "masks/late.png", 27, 35)
    code, out, error = short(*asked(dataset, output, toy_sd15))
    assert (code, out[:6]) == (0, "done 4")
    assert "1 of 4 to do · 3 done earlier" in error
    made = files_of(output)
    assert {"late.png", "masks/late.png"} <= made.keys()
    kept = {name for name in before if not name.startswith("sv2r/")}
    assert {name: made[name] for name in kept} == {name: before[name] for name in kept}
    unchanged = {path for path in times if path.parent.name != "sv2r"}
    assert {path: path.stat().st_mtime_ns for path in unchanged} == {
        path: times[path] for path in unchanged
    }


def test_masks_may_lie_outside_of_the_input(short, dataset, tmp_path, toy_sd15):
    masks = (dataset / "masks").rename(tmp_path / "labels")
    folders = ["--input-dir", dataset, "--mask-dir", masks, "--output-dir", tmp_path / "out"]
    code, _, error = short(
        *folders, "--config", DEFAULT, "--model", toy_sd15, "--damage.steps", "keep"
    )
    assert (code, error.count("failed")) == (0, 0)
    assert masks_of(tmp_path / "out") == {
        f"masks/{name}": data for name, data in files_of(masks).items()
    }


def test_the_default_config_names_no_model_and_one_line_says_how_to_give_one(
    short, dataset, tmp_path
):
    assert short(*asked(dataset, tmp_path / "out", None)) == (
        2,
        "",
        (
            "Error: no model given: --translator.model takes a folder with a model_index.json, a "
            ".safetensors file or a Hugging Face repository id\n"
        ),
    )
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("change", "line"),
    [
        ({"--mask-dir": "nowhere"}, "nowhere: no such folder; give the masks' folder with"),
        ({"--input-dir": "nowhere"}, "nowhere: no such folder; give the pictures' folder with"),
        ({"--config": "nowhere.yaml"}, "nowhere.yaml: no such file or directory; give a config"),
        ({"--output-dir": "synthetic_dataset/out"}, "lies inside the input"),
    ],
)
def test_a_wrong_folder_is_one_line_and_nothing_is_written(
    short, dataset, tmp_path, toy_sd15, monkeypatch, change, line
):
    monkeypatch.chdir(tmp_path)
    given = {"--input-dir": dataset, "--mask-dir": dataset / "masks", "--output-dir": "out"}
    given |= {"--config": DEFAULT, "--model": toy_sd15, **change}
    before = files_of(tmp_path)
    code, out, error = short(*(word for pair in given.items() for word in pair))
    assert (code, out, error.count("\n")) == (2, "", 1)
    assert line in error
    assert files_of(tmp_path) == before
