"""Rendering and its datasets, with Mitsuba at toy size."""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image
from sv2r_tabletop import describe, render
from sv2r_tabletop.command import tabletop
from sv2r_tabletop.dataset import finish, plan, render_all
from sv2r_tabletop.scene import draw_scene
from sv2r_tabletop.settings import Settings

from sv2r import ConfigError

needs_mitsuba = pytest.mark.skipif(
    importlib.util.find_spec("mitsuba") is None, reason="sv2r-tabletop[render] is not installed"
)
SMALL = ["--size", "24", "--spp", "4"]


def _settings(*domains: str, first: int = 700_000) -> list[Settings]:
    return [Settings(domain, 24, 4 if domain == "photo" else 0, first) for domain in domains]


def _make(output: Path, settings: list[Settings], count: int, workers: int = 1) -> None:
    for _ in render_all(plan(output, settings, count), workers):
        pass
    finish(output, settings, count)


def _bytes(root: Path) -> dict[str, bytes]:
    return {str(p.relative_to(root)): p.read_bytes() for p in root.rglob("*") if p.is_file()}


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> Path:
    output = tmp_path_factory.mktemp("world") / "both"
    _make(output, _settings("synthetic", "photo"), 2)
    return output


@needs_mitsuba
def test_both_domains_have_the_same_labels_and_depth(both: Path) -> None:
    documents = {
        domain: json.loads((both / domain / "annotations.json").read_bytes())
        for domain in ("synthetic", "photo")
    }
    assert documents["synthetic"]["annotations"] == documents["photo"]["annotations"]
    assert documents["synthetic"]["categories"] == documents["photo"]["categories"]
    assert len(documents["photo"]["annotations"]) >= 6
    for seed in (700_000, 700_001):
        depths = [(both / d / "depth" / f"{seed}.png").read_bytes() for d in documents]
        assert depths[0] == depths[1]
        synthetic = np.asarray(Image.open(both / "synthetic/images" / f"{seed}.png"), float)
        photo = np.asarray(Image.open(both / "photo/images" / f"{seed}.jpg"), float)
        assert synthetic.shape == photo.shape == (24, 24, 3)
        assert np.abs(synthetic - photo).mean() > 5
        assert min(synthetic.std(), photo.std()) > 8


@needs_mitsuba
def test_sv2r_reads_the_dataset_as_it_is(both: Path) -> None:
    from sv2r.loaders.coco import loader as coco
    from sv2r.plugin.specs import Runtime

    options = coco.CocoOptions(depth="../depth/{stem}.png")
    dataset = coco.build(options, Runtime())(both / "photo")

    assert [sample.id for sample in dataset.samples] == ["images/700000.jpg", "images/700001.jpg"]
    assert set(dataset.categories) == {"mug", "bowl", "bottle", "box", "ball", "can"}
    assert not dataset.problems
    sample = dataset.samples[0]
    with Image.open(sample.channels["depth"]) as depth:
        millimetres = np.asarray(depth)
    assert millimetres.dtype == np.uint16
    truth = render.render_truth(draw_scene(700_000), 24)
    assert np.abs(millimetres / 1000 - truth.depth).max() < 0.001
    # A thing's number in the scene is what its annotation's id ends with.
    labels = sample.load_instances().labels % 100
    assert (labels == truth.labels).all()


@needs_mitsuba
def test_labels_are_where_the_projection_says() -> None:
    scene = draw_scene(700_003)
    truth = render.render_truth(scene, 64)
    for number, placed in enumerate(scene.objects, 1):
        rows, columns = np.nonzero(truth.labels == number)
        place, depth = scene.view.project(placed.mesh.vertices)
        left, top = place.min(0) * 64
        right, bottom = place.max(0) * 64
        assert left - 1 <= columns.min() <= columns.max() <= right + 1
        assert top - 1 <= rows.min() <= rows.max() <= bottom + 1
        seen = truth.depth[rows, columns]
        assert depth.min() - 0.001 <= seen.min() <= seen.max() <= depth.max() + 0.001


@needs_mitsuba
def test_a_synthetic_picture_has_no_noise_and_few_colours() -> None:
    scene = draw_scene(700_001)
    labels = render.render_truth(scene, 64).labels
    picture = render.render_synthetic(scene, 64)
    assert (picture == render.render_synthetic(scene, 64)).all()
    flat = (labels == 0) & (np.roll(labels, 1, 1) == 0)
    steps = np.abs(np.diff(picture.astype(int), axis=1)).max(2)[flat[:, 1:]]
    assert np.mean(steps <= 1) > 0.8


@needs_mitsuba
def test_workers_and_order_change_no_byte(both: Path, tmp_path: Path) -> None:
    _make(tmp_path / "again", _settings("synthetic", "photo"), 2, workers=2)
    assert _bytes(tmp_path / "again") == _bytes(both)


@needs_mitsuba
def test_a_killed_run_goes_on_to_the_same_bytes(tmp_path: Path) -> None:
    _make(tmp_path / "whole", _settings("photo"), 6)
    output = tmp_path / "killed"
    arguments = ["render", "--domain", "photo", "--count", "6", "--seed", "700000", *SMALL]
    arguments += ["--output", str(output)]
    code = f"from sv2r_tabletop.command import tabletop; tabletop({arguments!r})"
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(p for p in sys.path if p)}
    process = subprocess.Popen([sys.executable, "-c", code], env=environment)
    deadline = time.monotonic() + 120
    while not any((output / "images").glob("7*.jpg")) and time.monotonic() < deadline:
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    process.wait()
    done = len(list((output / ".tabletop").glob("7*.json")))
    assert done < 6, "the run was over before it could be killed"
    (output / "images" / ".part-1-700005.jpg").write_bytes(b"half")  # as a kill may leave it

    _make(output, _settings("photo"), 6)

    assert _bytes(output) == _bytes(tmp_path / "whole")


@needs_mitsuba
def test_a_dataset_can_grow(both: Path, tmp_path: Path) -> None:
    _make(tmp_path / "grown", _settings("synthetic"), 1)
    _make(tmp_path / "grown", _settings("synthetic"), 2)
    assert _bytes(tmp_path / "grown") == _bytes(both / "synthetic")


@needs_mitsuba
def test_a_file_that_was_removed_is_made_again(both: Path, tmp_path: Path) -> None:
    output = tmp_path / "fixed"
    shutil.copytree(both, output)
    settings = _settings("synthetic", "photo")
    assert not plan(output, settings, 2)
    (output / "photo" / "images" / "700001.jpg").unlink()
    (output / "synthetic" / "depth" / "700000.png").unlink()
    tasks = plan(output, settings, 2)
    assert [(t.seed, [one.domain for _, one in t.targets]) for t in tasks] == [
        (700_000, ["synthetic"]),
        (700_001, ["photo"]),
    ]
    _make(output, settings, 2)
    assert _bytes(output) == _bytes(both)


def test_a_damaged_file_of_the_state_is_told_with_its_fix(tmp_path: Path) -> None:
    settings = _settings("photo")
    plan(tmp_path, settings, 1)
    part, state = (tmp_path / ".tabletop" / f"{name}.json" for name in ("700000", "settings"))
    part.write_bytes(b"")
    with pytest.raises(ConfigError, match=r"700000\.json: is damaged; remove it, then run the"):
        finish(tmp_path, settings, 1)
    state.write_text('{"domain":')
    with pytest.raises(ConfigError, match=r"settings\.json: is damaged; remove .*, or give"):
        plan(tmp_path, settings, 1)


def test_what_is_there_is_not_taken_for_something_else(tmp_path: Path) -> None:
    plan(tmp_path / "data", _settings("photo"), 3)
    with pytest.raises(ConfigError, match="was begun with seed 700000, not 5; give the same or"):
        plan(tmp_path / "data", _settings("photo", first=5), 3)
    with pytest.raises(ConfigError, match="was begun with domain photo, not synthetic"):
        plan(tmp_path / "data", _settings("synthetic"), 3)
    (tmp_path / "data" / ".tabletop" / "700004.json").write_text("{}")
    with pytest.raises(ConfigError, match="holds 5 scenes; give --count 5 or more, or another"):
        plan(tmp_path / "data", _settings("photo"), 3)
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.tex").write_text("x")
    with pytest.raises(ConfigError, match="mine: is not empty and no tabletop dataset"):
        plan(tmp_path / "mine", _settings("photo"), 3)
    assert not (tmp_path / "mine" / ".tabletop").exists()


@needs_mitsuba
def test_the_command_renders_and_says_where(tmp_path: Path) -> None:
    arguments = ["render", "--domain", "synthetic", "--count", "1", "--seed", "500000", *SMALL]
    result = CliRunner().invoke(tabletop, [*arguments, "--output", str(tmp_path / "out")])
    assert result.exit_code == 0, result.output
    assert result.stdout == f"{tmp_path / 'out' / 'annotations.json'}\n"
    assert "scenes 500,000 to 500,000 (test)" in result.stderr


def test_a_missing_renderer_is_one_line_before_anything_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "mitsuba", None)  # as if it were not installed
    describe.mitsuba.cache_clear()
    arguments = ["render", "--domain", "photo", "--count", "1", "--seed", "0", *SMALL]
    result = CliRunner().invoke(tabletop, [*arguments, "--output", str(tmp_path / "out")])
    describe.mitsuba.cache_clear()
    assert isinstance(result.exception, ConfigError)
    assert str(result.exception) == (
        "rendering needs Mitsuba 3; run pip install 'sv2r-tabletop[render]'"
    )
    assert not (tmp_path / "out").exists()


def test_the_plugin_loads_without_numpy_or_mitsuba() -> None:
    code = (
        "import sys, sv2r_tabletop.plugin as p; names = [c.name for c in p.sv2r_commands()]; "
        "assert names == ['tabletop'], names; "
        "print([m for m in ('numpy', 'mitsuba', 'torch', 'PIL') if m in sys.modules])"
    )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(p for p in sys.path if p)}
    out = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True
    )
    assert out.stdout.strip() == "[]"
