"""What comes with the world, and the demo that shows it."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image
from sv2r_tabletop import demo, recipe
from sv2r_tabletop.bundled import MODEL, PHOTOS, RENDERS
from sv2r_tabletop.command import tabletop

from sv2r import ConfigError
from sv2r.cli.main import cli


def test_what_is_bundled_is_small_and_whole() -> None:
    annotations = json.loads((RENDERS / "annotations.json").read_bytes())
    assert len(annotations["images"]) == 24
    for entry in annotations["images"]:
        assert (RENDERS / entry["file_name"]).is_file()
        assert (RENDERS / "depth" / f"{Path(entry['file_name']).stem}.png").is_file()
    assert len(list((PHOTOS / "images").glob("*.jpg"))) == 24
    seeds = {int(Path(entry["file_name"]).stem) for entry in annotations["images"]}
    assert seeds.isdisjoint(int(path.stem) for path in PHOTOS.rglob("*.jpg"))
    assert _bytes(RENDERS) + _bytes(PHOTOS) < 3_000_000
    assert _bytes(MODEL) < 20_000_000
    assert "licence" in (MODEL / "README.md").read_text()


def _bytes(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def test_the_demo_translates_the_bundled_renders(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    command = demo._command
    # Four of the 24 are enough to see that model, preset and renders fit.
    monkeypatch.setattr(demo, "_command", lambda *given: [*command(*given), "--limit", "4"])
    folder = tmp_path / "demo"
    result = CliRunner().invoke(demo.demo, ["--output", str(folder), "--device", "cpu"])
    output = folder / "real"
    assert result.exception is None, result.output
    assert "sv2r convert --preset tabletop" in result.output.replace("\\\n    ", "")
    assert (output / "annotations.json").read_bytes() == (RENDERS / "annotations.json").read_bytes()
    lines = (output / "sv2r" / "samples.jsonl").read_text().splitlines()
    records = [json.loads(line) for line in lines]
    assert [record["status"] for record in records].count("done") >= 3
    for record in records:
        if record["status"] == "done":
            made = np.asarray(Image.open(output / record["output"]), float)
            render = np.asarray(Image.open(RENDERS / record["output"]).convert("RGB"), float)
            assert made.shape == render.shape
            assert np.abs(made - render).mean() > 4
    with Image.open(folder / demo.SHEET) as sheet:
        assert sheet.width > 1000
    assert cli.main(["verify", str(output)], standalone_mode=False) == 0


@pytest.mark.parametrize(("failing", "code"), [(("failed", "done"), 1), (("rejected",), 0)])
def test_the_demo_fails_where_a_picture_failed_alone(
    failing: tuple[str, ...], code: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    output = tmp_path / "demo"

    def leave(*_: object, **__: object) -> int:
        lines = [
            {"sample": f"images/{n}.png", "variant": 0, "status": status}
            for n, status in enumerate(failing)
        ]
        (output / "real" / "sv2r").mkdir(parents=True)
        text = "".join(json.dumps(line) + "\n" for line in lines)
        (output / "real" / "sv2r" / "samples.jsonl").write_text(text)
        return 1

    monkeypatch.setattr(cli, "main", leave)
    result = CliRunner().invoke(demo.demo, ["--output", str(output)], standalone_mode=False)
    assert result.return_value == code, result.output
    assert (output / demo.SHEET).is_file()


def test_a_demo_that_was_stopped_shows_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cli, "main", lambda *_, **__: 130)
    result = CliRunner().invoke(
        demo.demo, ["--output", str(tmp_path / "demo")], standalone_mode=False
    )
    assert result.return_value == 130
    assert "Look at" not in result.output
    assert not (tmp_path / "demo").exists()


def test_a_demo_without_its_model_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(demo, "MODEL", tmp_path / "none")
    result = CliRunner().invoke(demo.demo, ["--output", str(tmp_path / "demo")])
    assert "the bundled model is missing; install sv2r-tabletop again" in str(result.exception)
    assert not (tmp_path / "demo").exists()


def test_a_recipe_makes_one_model_folder_that_a_job_takes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    toy = recipe.Recipe(
        base={
            "resolution": 32,
            "pixels": True,
            "prediction": "sample",
            "steps": 1,
            "batch-size": 2,
            "unet-channels": (8, 8),
            "heads": 2,
            "held-out": 1,
        },
        bridge={"resolution": 32, "start": 0.03, "steps": 1, "held-out": 1},
    )
    monkeypatch.setitem(recipe.RECIPES, "small", toy)  # type: ignore[arg-type]
    model = tmp_path / "model"
    arguments = ["train", "--photos", str(PHOTOS), "--renders", str(RENDERS)]
    arguments += ["--output", str(model)]
    result = CliRunner().invoke(tabletop, arguments)
    assert result.exception is None, result.output
    assert "sv2r train bridge" in result.output
    card = (model / "README.md").read_text()
    assert "| photos | 24 from photo/" in card
    assert "| bridge: steps | 1 |" in card
    assert str(tmp_path) not in card
    assert not list(model.rglob("train.yaml"))
    again = CliRunner().invoke(tabletop, arguments)  # its own folder, ended: nothing is refused
    assert again.exception is None, again.output
    words = ["convert", "--preset", "tabletop", "--input", str(RENDERS)]
    words += ["--output", str(tmp_path / "out"), "--translator.model", str(model), "--dry-run"]
    assert cli.main(words, standalone_mode=False) == 0


def test_a_recipe_refuses_a_folder_with_other_files_before_it_trains(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "model_index.json").write_text("{}")
    monkeypatch.chdir(tmp_path)
    for output, told in (("mine", "holds model_index.json, which"), (".", "has no name; give")):
        arguments = ["train", "--photos", str(PHOTOS), "--renders", str(RENDERS)]
        arguments += ["--output", output]
        result = CliRunner().invoke(tabletop, arguments)
        assert isinstance(result.exception, ConfigError)
        assert told in str(result.exception)
    assert [path.name for path in tmp_path.iterdir()] == ["mine"]


@pytest.mark.parametrize("size", list(recipe.RECIPES))
def test_a_recipe_asks_for_nothing_that_the_trainings_refuse(size: str, tmp_path: Path) -> None:
    from sv2r.training.options import BaseOptions, BridgeOptions

    asked = recipe.RECIPES[size]
    shared = {"photos": tmp_path, "renders": tmp_path, "output": tmp_path, "model": "m"}
    for model, options in ((BaseOptions, asked.base), (BridgeOptions, asked.bridge)):
        named = {name.replace("-", "_"): value for name, value in options.items()}
        own = {k: v for k, v in shared.items() if k in model.model_fields}
        assert model.model_validate({**own, **named}).resolution == 128
