"""A plugin that ends the process, and prints, at each stage: sv2r says so and goes its way."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from sv2r.cli.main import cli, run_command

SOURCE = '''
import os
import click
from sv2r import *
from sv2r.plugin.registry import load_registry

def at(stage):
    """End the process with success where it is this stage's turn, after some noise on stdout."""
    if stage == "STAGE":
        print("noise")
        os.write(1, b"more noise\\n")
        raise SystemExit(0)

at("import")

def detect(root):
    at("detect")
    return Match(0.1, "perhaps")

class Lazy:
    def __init__(self, name, items):
        self.name, self.items = name, items
    def __len__(self):
        return len(self.items)
    def __getitem__(self, index):
        at(self.name)
        return self.items[index]

def build_loader(options, runtime):
    at("build a loader")
    coco = load_registry(disable="stages").spec("loader", "coco")
    inner = coco.build(coco.options(), runtime)
    def load(root):
        at("load")
        from dataclasses import replace
        found = inner(root)
        def with_labels(sample):
            def load_instances():
                at("instances")
                return sample.load_instances()
            return replace(sample, load_instances=load_instances)
        samples = Lazy("samples", [with_labels(sample) for sample in found.samples])
        return replace(found, samples=samples, ids=Lazy("ids", list(found.ids)))
    return load

class Conditioner:
    def settings(self):
        at("settings")
        return {}
    def __call__(self, frame):
        at("condition")
        return ControlMap("plain", frame.image)

def build_conditioner(options, runtime):
    return Conditioner()

def objection(options, sample):
    at("objection")

def controls(options):
    at("controls")
    return frozenset()

def preflight(options, sizes):
    at("preflight")

class Translator:
    def bucket(self, height, width):
        at("bucket")
        return height, width
    def __call__(self, batch):
        import torch
        at("translate")
        return [(frame.image * 255).round().to(torch.uint8) for frame in batch.frames]

def build_translator(options, runtime):
    at("build")
    return Translator()

def build_check(options, runtime):
    def check(frame, picture):
        at("check")
        return CheckResult()
    return check

class Writer:
    def __init__(self, inner):
        self.inner = inner
    def target(self, sample, variant):
        at("target")
        return self.inner.target(sample, variant)
    def claims(self, sample, variant):
        yield self.inner.target(sample, variant)
        at("claims")
    def publish(self, *args):
        at("publish")
        return self.inner.publish(*args)
    def finish(self, *args):
        at("finish")
        return self.inner.finish(*args)

def build_writer(options, runtime):
    mirror = load_registry(disable="stages").spec("writer", "mirror")
    return Writer(mirror.build(mirror.options(), runtime))

class Executor:
    def run(self, work, tasks):
        at("run")
        yield from work.worker("cpu").run(tasks)

def build_executor(options, runtime):
    return Executor()

@click.command()
def stages():
    """Break."""
    at("command")
    print("a result")

def one(kind, build, **more):
    return [kind(name="staged", summary="s", options=Options, build=build, **more)]

@hookimpl
def sv2r_loaders():
    at("hook")
    return one(LoaderSpec, build_loader, detect=detect)

@hookimpl
def sv2r_conditioners():
    return one(ConditionerSpec, build_conditioner, produces="plain", objection=objection)

@hookimpl
def sv2r_translators():
    return one(TranslatorSpec, build_translator, controls=controls, preflight=preflight)

@hookimpl
def sv2r_checks():
    return one(CheckSpec, build_check)

@hookimpl
def sv2r_writers():
    return one(WriterSpec, build_writer)

@hookimpl
def sv2r_executors():
    return one(ExecutorSpec, build_executor)

@hookimpl
def sv2r_commands():
    return [stages]
'''

WHO = "of plugin 'stages' (sv2r-stages 1.0) failed in"
Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def run(
    site: Any, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> Callable[[str], Run]:
    """Install the plugin that breaks at a stage, and return what runs `sv2r`."""

    def installed(stage: str) -> Run:
        site.plugin("stages", SOURCE.replace("STAGE", stage))

        def words(*args: object) -> tuple[int, str, str]:
            monkeypatch.setattr(sys, "argv", ["sv2r", *map(str, args)])
            capfd.readouterr()
            code = run_command(cli)
            captured = capfd.readouterr()
            return code, captured.out, captured.err

        return words

    return installed


def _words(renders: Path, tmp_path: Path, *kinds: str) -> list[object]:
    chosen = [word for kind in kinds for word in (f"--{kind}", "staged")]
    folders = ["--input", renders, "--output", tmp_path / "real"]
    return ["convert", *folders, *chosen, "--limit", 2, "--json", "--device", "cpu"]


ALL = ("loader", "conditioner", "translator", "check", "writer", "executor")


@pytest.mark.parametrize(
    ("stage", "told"),
    [
        ("build a loader", f"loader 'staged' {WHO} build: SystemExit: 0"),
        ("load", f"loader 'staged' {WHO} load: SystemExit: 0"),
        ("samples", f"loader 'staged' {WHO} load: SystemExit: 0"),
        ("ids", f"loader 'staged' {WHO} load: SystemExit: 0"),
        ("objection", f"conditioner 'staged' {WHO} objection: SystemExit: 0"),
        ("controls", f"translator 'staged' {WHO} controls: SystemExit: 0"),
        ("preflight", f"translator 'staged' {WHO} preflight: SystemExit: 0"),
        ("build", f"translator 'staged' {WHO} build: SystemExit: 0"),
        ("claims", f"writer 'staged' {WHO} claims: SystemExit: 0"),
    ],
)
def test_before_any_picture_it_is_one_line_and_exit_code_2(
    stage: str, told: str, run: Any, renders: Path, tmp_path: Path
) -> None:
    code, out, error = run(stage)(*_words(renders, tmp_path, *ALL))
    assert (code, out) == (2, "")
    lines = [line for line in error.splitlines() if line.startswith("Error")]
    assert lines == [f"Error: {told} (SV2R_TRACEBACK=1 shows where)"]


@pytest.mark.parametrize(
    ("stage", "told"),
    [
        ("instances", f"loader 'staged' {WHO} load: SystemExit: 0"),
        ("condition", f"conditioner 'staged' {WHO} call: SystemExit: 0"),
        ("translate", f"translator 'staged' {WHO} call: SystemExit: 0"),
        ("check", f"check 'staged' {WHO} call: SystemExit: 0"),
        ("publish", f"writer 'staged' {WHO} publish: SystemExit: 0"),
    ],
)
def test_at_a_picture_that_picture_fails(
    stage: str, told: str, run: Any, renders: Path, tmp_path: Path
) -> None:
    words = _words(renders, tmp_path, *ALL)
    code, out, error = run(stage)(*words)
    assert out, error
    summary = json.loads(out)
    assert (code, summary["done"], summary["failed"]) == (1, 0, 2)
    assert {trouble["error"].partition(": ")[2] for trouble in summary["troubles"]} == {told}


@pytest.mark.parametrize(
    ("stage", "told"),
    [
        ("bucket", f"translator 'staged' {WHO} bucket: SystemExit: 0"),
        ("settings", f"conditioner 'staged' {WHO} settings: SystemExit: 0"),
        ("run", f"executor 'staged' {WHO} run: SystemExit: 0"),
        ("finish", f"writer 'staged' {WHO} finish: SystemExit: 0"),
    ],
)
def test_where_no_picture_is_to_blame_the_job_ends_with_1(
    stage: str, told: str, run: Any, renders: Path, tmp_path: Path
) -> None:
    code, out, error = run(stage)(*_words(renders, tmp_path, *ALL))
    assert (code, out) == (1, "")
    assert f"Error: {told} (SV2R_TRACEBACK=1 shows where)" in error.splitlines()


def test_detection_goes_on_without_the_loader_that_breaks(
    run: Any, renders: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    code, out, _ = run("detect")(*_words(renders, tmp_path, "translator", "check"))
    assert (code, json.loads(out)["done"]) == (0, 2)
    assert caplog.messages == [f"warning     loader 'staged' {WHO} detect: SystemExit: 0"]


@pytest.mark.parametrize("stage", ["import", "hook"])
def test_what_cannot_be_loaded_is_named_by_who_asks_for_it(
    stage: str, run: Any, renders: Path, tmp_path: Path
) -> None:
    code, out, error = run(stage)(*_words(renders, tmp_path, "translator"))
    assert (code, out) == (2, "")
    assert "plugin 'stages' (sv2r-stages 1.0) disabled" in error
    assert "SystemExit: 0" in error


def test_a_command_that_exits_is_named_and_one_that_prints_may(run: Any) -> None:
    told = f"Error: command 'stages' {WHO} command: SystemExit: 0 (SV2R_TRACEBACK=1 shows where)\n"
    code, out, error = run("command")("stages")
    assert (code, out, error) == (1, "noise\nmore noise\n", told)


def test_a_command_of_a_plugin_prints_its_result(run: Any) -> None:
    assert run("never")("stages") == (0, "a result\n", "")


def test_a_whole_job_on_guarded_parts_is_done(run: Any, renders: Path, tmp_path: Path) -> None:
    code, out, error = run("never")(*_words(renders, tmp_path, *ALL))
    assert (code, json.loads(out)["done"]) == (0, 2), error
