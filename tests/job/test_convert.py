"""The main job, end to end, with a real pipeline at toy size."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import sv2r
from sv2r.config.layers import Layer
from sv2r.config.resolve import resolve
from sv2r.errors import ConfigError
from sv2r.output.journal import Journal
from tests.toys.datasets import make_coco, write_render
from tests.toys.jobs import config_of, files_of, records_of


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


@pytest.fixture
def config(renders, tmp_path, toy_sd15):
    return config_of(renders, tmp_path / "out", toy_sd15)


def test_pictures_change_and_nothing_else_does(config, renders, tmp_path):
    before = files_of(renders)
    summary = sv2r.convert(config)
    output = tmp_path / "out"
    assert (summary.inputs, summary.done, summary.exit_code) == (6, 6, 0)
    assert files_of(renders) == before
    assert sha256(output / "annotations.json") == sha256(renders / "annotations.json")
    for name in ("a/0.png", "b/1.jpg"):
        with Image.open(output / name) as after, Image.open(renders / name) as source:
            assert (after.size, after.format) == (source.size, source.format)
            assert np.asarray(after).std() > 1
            assert not np.array_equal(np.asarray(after), np.asarray(source))


def test_the_folder_holds_what_is_promised_and_no_leftovers(config, tmp_path):
    sv2r.convert(config)
    names = set(files_of(tmp_path / "out"))
    assert names == {
        *("a/0.png", "a/1.png", "b/0.png", "b/1.jpg", "b/2.png", "c.png", "annotations.json"),
        *("sv2r/run.yaml", "sv2r/samples.jsonl", "sv2r/contact-sheet.png", "sv2r/report.html"),
        "sv2r/lock",
    }


def test_the_record_says_what_ran(config, tmp_path, renders):
    sv2r.convert(config)
    record = records_of(tmp_path / "out")["a/0.png"]
    assert record["status"] == "done"
    assert record["prompt"] == "a photo of bowl and coffee mug" or "coffee mug" in record["prompt"]
    assert record["settings"]["effective_steps"] == 2
    assert len(record["settings"]["model_sha256"]) == 64
    assert record["input_sha256"] == sha256(renders / "a/0.png")
    assert record["output_sha256"] == sha256(tmp_path / "out" / "a/0.png")


def test_a_records_seed_makes_the_picture_again_with_diffusers_alone(
    config, renders, tmp_path, toy_sd15
):
    from diffusers import StableDiffusionImg2ImgPipeline

    sv2r.convert(config)
    record = records_of(tmp_path / "out")["a/1.png"]
    pipe = StableDiffusionImg2ImgPipeline.from_pretrained(toy_sd15, safety_checker=None)
    pipe.set_progress_bar_config(disable=True)
    with Image.open(renders / "a/1.png") as source:
        made = pipe(
            prompt=record["prompt"],
            image=source.convert("RGB"),
            strength=0.5,
            num_inference_steps=4,
            generator=torch.Generator().manual_seed(record["seed"]),
        ).images[0]
    with Image.open(tmp_path / "out" / "a/1.png") as ours:
        difference = np.abs(np.asarray(made, int) - np.asarray(ours, int))
    assert difference.max() <= 1


def test_a_second_run_does_nothing_and_changes_nothing(config, tmp_path):
    sv2r.convert(config)
    before = files_of(tmp_path / "out")
    times = {p: p.stat().st_mtime_ns for p in (tmp_path / "out").rglob("*.png")}
    summary = sv2r.convert(config)
    assert (summary.done, summary.restored, summary.exit_code) == (6, 6, 0)
    assert files_of(tmp_path / "out") == before
    assert {p: p.stat().st_mtime_ns for p in times} == times


def test_order_shard_and_neighbours_do_not_change_a_bit(renders, tmp_path, toy_sd15):
    whole = config_of(renders, tmp_path / "whole", toy_sd15, batch_size=4)
    sv2r.convert(whole)
    for pattern in ("c.png", "b/*", "a/*"):
        sv2r.convert(config_of(renders, tmp_path / "parts", toy_sd15, batch_size=4, only=[pattern]))
    pictures = {k: v for k, v in files_of(tmp_path / "whole").items() if not k.startswith("sv2r")}
    assert {
        k: v for k, v in files_of(tmp_path / "parts").items() if not k.startswith("sv2r")
    } == pictures


def test_another_setting_into_the_same_folder_is_refused_by_name(config, tmp_path):
    sv2r.convert(config)
    before = files_of(tmp_path / "out")
    config["translator"]["strength"] = 0.75
    with pytest.raises(ConfigError, match=r"translator.strength was 0.5, now 0.75"):
        sv2r.convert(config)
    assert files_of(tmp_path / "out") == before
    assert sv2r.convert(config, overwrite=True).done == 6
    assert records_of(tmp_path / "out")["c.png"]["settings"]["strength"] == 0.75


def test_other_weights_under_the_same_name_are_refused(renders, tmp_path):
    from tests import toys

    model = toys.save_sd15(tmp_path / "model")
    config = config_of(renders, tmp_path / "out", model)
    sv2r.convert({**config, "limit": 2})
    toys.save_sd15(tmp_path / "model", seed=5)
    with pytest.raises(ConfigError, match="weights have changed"):
        sv2r.convert(config)


def test_limit_then_all_equals_all_at_once(config, tmp_path, renders, toy_sd15):
    sv2r.convert({**config, "limit": 2})
    assert len(records_of(tmp_path / "out")) == 2
    summary = sv2r.convert(config)
    assert (summary.restored, summary.done) == (2, 6)
    sv2r.convert(config_of(renders, tmp_path / "once", toy_sd15))
    partly, once = files_of(tmp_path / "out"), files_of(tmp_path / "once")
    partly.pop("sv2r/run.yaml"), once.pop("sv2r/run.yaml")
    assert partly == once


def test_run_yaml_runs_it_again(config, tmp_path, renders):
    sv2r.convert(config)
    before = files_of(tmp_path / "out")
    run = tmp_path / "out" / "sv2r" / "run.yaml"
    assert sv2r.convert(run).restored == 6
    sv2r.convert(run, overwrite=True)
    assert files_of(tmp_path / "out") == before


def test_a_fixed_picture_is_done_by_the_next_run(config, tmp_path, renders):
    whole = (renders / "b/0.png").read_bytes()
    (renders / "b/0.png").write_bytes(whole[: len(whole) // 2])
    summary = sv2r.convert(config)
    assert (summary.done, summary.failed, summary.exit_code) == (5, 1, 1)
    assert "b/0.png" in str(summary.troubles[0].error)
    assert "truncated" in str(summary.troubles[0].error)
    assert not (tmp_path / "out" / "b/0.png").exists()
    (renders / "b/0.png").write_bytes(whole)
    summary = sv2r.convert(config)
    assert (summary.done, summary.restored, summary.exit_code) == (6, 5, 0)


def test_fail_fast_stops_and_can_be_resumed(renders, tmp_path, toy_sd15):
    (renders / "a/0.png").write_bytes(b"")
    config = config_of(renders, tmp_path / "out", toy_sd15, readers=1, batch_size=1)
    summary = sv2r.convert(config, fail_fast=True)
    assert summary.failed == 1
    assert summary.exit_code != 0
    assert sv2r.convert(config).done == 5


def test_two_names_that_differ_in_case_alone_fail_the_later_one(tmp_path, toy_sd15):
    renders = make_coco(tmp_path / "r", ("x.png", "X.png", "y.png"))
    summary = sv2r.convert(config_of(renders, tmp_path / "out", toy_sd15))
    assert (summary.done, summary.failed) == (2, 1)
    assert str(summary.troubles[0].error) == (
        "X.png: would write the same file as x.png (x.png); rename one of them"
    ) or "would write the same file as x.png" in str(summary.troubles[0].error)
    again = sv2r.convert(config_of(renders, tmp_path / "out", toy_sd15))
    assert (again.done, again.failed) == (2, 1)


@pytest.mark.parametrize("inner", ["out", "a/out"])
def test_an_output_inside_the_input_is_refused(config, renders, inner):
    config["output"] = str(renders / inner)
    with pytest.raises(ConfigError, match="lies inside the input"):
        sv2r.convert(config)
    assert not (renders / inner).exists()


def test_picture_and_label_of_different_size_fail_that_sample(config, renders):
    write_render(renders / "c.png", 50, 50, 3)
    summary = sv2r.convert(config)
    assert (summary.done, summary.failed) == (5, 1)
    assert "c.png: the picture is 50×50, its labels" in str(summary.troubles[0].error)


def test_a_second_run_at_the_same_time_is_refused(config, tmp_path):
    with Journal(tmp_path / "out"), pytest.raises(ConfigError, match="another run writes to it"):
        sv2r.convert(config)


def test_a_damaged_journal_is_refused_by_name(config, tmp_path):
    folder = tmp_path / "out" / "sv2r"
    folder.mkdir(parents=True)
    (folder / "journal.sqlite3").write_bytes(b"this is not a database" * 100)
    with pytest.raises(ConfigError, match=r"journal.sqlite3: the journal is damaged"):
        sv2r.convert(config)


def test_identity_leaves_out_where_and_how_fast(registry, config):
    one = resolve(registry, [Layer("x", config)])
    other = resolve(registry, [Layer("x", {**config, "batch_size": 5, "readers": 7, "limit": 3})])
    assert one.identity() == other.identity()
