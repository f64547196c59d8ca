"""Whatever is typed or lies in a file ends in one line and the right exit code."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from sv2r.cli.lines import plain
from sv2r.cli.main import cli, run_command
from tests.toys.datasets import make_coco

GRADE = [
    *("--translator", "grade", "--translator.mean", "60", "--translator.mean", "10"),
    *("--translator.mean", "5", "--translator.std", "15", "--translator.std", "5"),
    *("--translator.std", "5", "--check", "sanity"),
]
Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def sv2r(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """Return what runs the command in this process: (exit code, stdout, stderr)."""

    def run(*args: object) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["sv2r", *map(str, args)])
        code = run_command(cli)
        out, err = capsys.readouterr()
        return code, out, err

    return run


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return make_coco(tmp_path / "in", ("a.png", "b.png"))


def config(tmp_path: Path, more: str) -> Path:
    text = (
        f"input: {tmp_path / 'in'}\noutput: {tmp_path / 'out'}\n"
        "translator: {name: grade, mean: [60, 10, 5], std: [15, 5, 5]}\n"
    )
    file = tmp_path / "config.yaml"
    file.write_text(text + more)
    return file


def refused(result: tuple[int, str, str], says: str, code: int = 2) -> None:
    assert result[0] == code, result
    (line,) = result[2].splitlines()
    assert line.startswith("Error: ")
    assert says in line


@pytest.mark.parametrize(
    ("more", "says"),
    [
        ("checks: {survival: 0.5}", "checks.survival needs a mapping of its options, not 0.5"),
        ("conditioners: {canny: 3}", "conditioners.canny needs a mapping of its options, not 3"),
        ("checks: {sanity: [1]}", "checks.sanity needs a mapping of its options, not [1]"),
        ("checks: 5", "checks needs a list of names, or a mapping"),
        ("writer: 5", "writer needs a name or a mapping, not 5"),
        ("prompt: {text: &a [*a]}", "an anchor that holds itself is not read"),
        ("variants: 1000000000000", "--variants must be at most 10000"),
        ("batch_size: 1000000000", "--batch-size must be a number from 1 to 4096, or auto"),
        ("extends: PIPE", "pipe.yaml: not a regular file; give a config file"),
    ],
)
def test_values_of_another_kind(
    sv2r: Run, data: Path, tmp_path: Path, more: str, says: str
) -> None:
    os.mkfifo(tmp_path / "pipe.yaml")
    file = config(tmp_path, more.replace("PIPE", str(tmp_path / "pipe.yaml")))
    refused(sv2r("convert", "--config", file, "--dry-run"), says)


@pytest.mark.parametrize(
    "field", ["{count:9999999999}", "{categories:>999999999}", "{count:.5000}"]
)
def test_fields_wider_than_a_memory(sv2r: Run, data: Path, tmp_path: Path, field: str) -> None:
    result = sv2r("convert", "--config", config(tmp_path, ""), "--prompt", field)
    refused(result, "is wider than a prompt; write {c")


def test_aliases_that_multiply(sv2r: Run, data: Path, tmp_path: Path) -> None:
    lines = [f"a{n}: &a{n} [*a{n - 1}, *a{n - 1}]" for n in range(1, 60)]
    file = config(tmp_path, "\n".join(["a0: &a0 [x, x]", *lines]))
    refused(sv2r("convert", "--config", file), "aliases multiply to too much; write the values out")


@pytest.mark.parametrize("name", ["a\0b", "x" * 300, "ä" * 150])
@pytest.mark.parametrize("option", ["--input", "--output"])
def test_names_that_no_file_has(
    sv2r: Run, data: Path, tmp_path: Path, name: str, option: str
) -> None:
    given = {"--input": data, "--output": tmp_path / "out", option: tmp_path / name}
    words = [word for pair in given.items() for word in pair]
    said = "holds a NUL character" if "\0" in name else "has a name of more than 255 bytes"
    refused(sv2r("convert", *words, *GRADE), said)


PIPES = ("notes.json", "a.parquet", "a.tar", "data.yaml", "0.txt", "a.hdf5", "depth.npy", "a.zip")


def test_pipes_in_the_input_do_not_hold_lint_up(data: Path) -> None:
    (data / "more").mkdir()
    for name in PIPES:
        os.mkfifo(data / name)
        os.mkfifo(data / "more" / name)
    assert typed("lint", str(data), timeout=100).returncode == 0


@pytest.mark.parametrize("name", ["pipe", "/dev/zero"])
def test_a_list_of_samples_that_never_ends(data: Path, tmp_path: Path, name: str) -> None:
    os.mkfifo(tmp_path / "pipe")
    words = ["--config", str(config(tmp_path, "")), "--only", f"@{tmp_path / name}"]
    done = typed("convert", *words, timeout=100)
    assert done.returncode == 2
    assert done.stderr.decode().endswith("not a regular file\n")


@pytest.mark.parametrize("command", ["verify", "report", "lint"])
@pytest.mark.parametrize("name", ["x" * 300, "/dev/null", "loop"])
def test_commands_on_what_is_no_folder(sv2r: Run, tmp_path: Path, command: str, name: str) -> None:
    (tmp_path / "loop").symlink_to("loop")
    code, _, err = sv2r(command, tmp_path / name)
    assert code == 2
    assert len(err.splitlines()) == 1


def test_a_home_that_nobody_has(sv2r: Run, data: Path) -> None:
    result = sv2r("convert", "--input", data, "--output", "~nobody-here/out", *GRADE)
    refused(result, "there is no such user here")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_an_output_that_cannot_be_written(sv2r: Run, data: Path, tmp_path: Path) -> None:
    (tmp_path / "closed").mkdir(mode=0o555)
    result = sv2r("convert", "--input", data, "--output", tmp_path / "closed/out", *GRADE)
    refused(result, "cannot be made (permission denied)")


def test_an_output_below_a_file(sv2r: Run, data: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    result = sv2r("convert", "--input", data, "--output", tmp_path / "file/out", *GRADE)
    assert result[0] == 2
    assert len(result[2].splitlines()) == 1


def edited(data: Path, change: Callable[[Any], None]) -> Path:
    file = data / "annotations.json"
    content = json.loads(file.read_text())
    change(content)
    file.write_text(json.dumps(content))
    return data


@pytest.mark.parametrize(
    "segmentation",
    [
        *(
            {"counts": counts, "size": [27, 43]}
            for counts in ([None], [[1]], 5, {"a": 1}, "ÿ", None)
        ),
        *({"counts": [1], "size": size} for size in (None, ["a", 1], [1], 5, [1e400, 1])),
        *([[None] * 6], [["a"] * 8], [{}], "x", 5, [[[1, 2]]], [[1e308] * 6]),
    ],
)
def test_outlines_that_are_none(sv2r: Run, data: Path, tmp_path: Path, segmentation: Any) -> None:
    def change(content: Any) -> None:
        content["annotations"][0].update(segmentation=segmentation, iscrowd=1)

    edited(data, change)
    code, out, _ = sv2r("convert", "--input", data, "--output", tmp_path / "out", *GRADE)
    assert code == 1
    assert "done 1 · rejected 0 · failed 1" in out
    code, out, _ = sv2r("lint", data)
    assert code == 1


def test_a_category_name_gives_the_terminal_no_orders(
    sv2r: Run, data: Path, tmp_path: Path
) -> None:
    name = "\x1b]0;owned\x07\x1b[31mred\u202e"
    edited(data, lambda content: content["categories"][0].update(name=name))
    output = tmp_path / "out"
    for args in (("lint", data), ("convert", "--input", data, "--output", output, *GRADE)):
        code, out, err = sv2r(*args)
        assert code == 0
        assert not any(order in out + err for order in "\x1b\x07\u202e")


def test_orders_are_written_out() -> None:
    assert plain("a\x1b[31m\tb\nc\u202e") == r"a\x1b[31m	b\nc\u202e"


def test_half_a_letter_in_a_name_and_a_prompt(sv2r: Run, data: Path, tmp_path: Path) -> None:
    edited(data, lambda content: content["categories"][0].update(name="mug\ud83d"))
    output = tmp_path / "out"
    code, out, _ = sv2r(
        "convert", "--input", data, "--output", output, "--prompt", "a\udcff {categories}", *GRADE
    )
    assert (code, "done 2" in out) == (0, True)
    assert sv2r("verify", output)[0] == 0
    assert sv2r("report", output)[0] == 0
    records = (output / "sv2r" / "samples.jsonl").read_text().splitlines()
    assert "mug\ud83d" in json.loads(records[0])["instances"]


def test_folders_that_are_not_utf8(sv2r: Run, data: Path, tmp_path: Path) -> None:
    renders, output = tmp_path / os.fsdecode(b"in\xe9"), tmp_path / os.fsdecode(b"out\xe8")
    data.rename(renders)
    assert sv2r("convert", "--input", renders, "--output", output, *GRADE)[0] == 0
    assert sv2r("verify", output)[0] == 0
    code, _, err = sv2r("convert", "--input", renders, "--output", output, *GRADE)
    assert (code, "0 of 2 to do" in err) == (0, True)


def typed(*args: str, **more: Any) -> subprocess.CompletedProcess[bytes]:
    command = [sys.executable, "-m", "sv2r.cli.main", *args]
    return subprocess.run(command, stderr=subprocess.PIPE, check=False, **more)


def test_a_full_stdout() -> None:
    with Path("/dev/full").open("w") as full:
        ran = typed("config", "list", stdout=full)
    assert ran.returncode == 1
    assert ran.stderr.decode().splitlines() == [
        "Error: the output cannot be written: no space left on device"
    ]


def test_a_closed_stdout() -> None:
    ran = typed("config", "list", preexec_fn=lambda: os.close(1))
    assert b"Traceback" not in ran.stderr


def test_a_latin_1_terminal(tmp_path: Path) -> None:
    env = {**os.environ, "PYTHONIOENCODING": "latin-1", "PYTHONUTF8": "0"}
    ran = typed("lint", str(tmp_path / "нет – …"), stdout=subprocess.PIPE, env=env)
    assert ran.returncode == 2
    assert b"Traceback" not in ran.stderr
    assert b"no such folder" in ran.stderr


@pytest.mark.parametrize(
    "words",
    [
        ("lint", "LONG"),
        ("lint", "LONG", "--loader.masks", "x"),
        ("init", "LONG", "--yes"),
        ("init", ".", "--yes", "--output", "LONG"),
        ("export", "LONG", "--writer", "yolo", "--output", "out"),
        ("compare", "LONG", "LONG2"),
        ("preview", "--input", "LONG", "--output", "out"),
        ("evaluate", "--source", "LONG", "--translated", "LONG", "--photos", "LONG"),
        ("train", "lora", "--photos", "LONG", "--output", "out", "--model", "LONG"),
        ("config", "copy", "default", "LONG"),
        ("config", "show", "--config", "LONG"),
        ("verify", "LONG", "--input", "LONG"),
        ("report", "LONG"),
    ],
)
@pytest.mark.parametrize("name", ["x" * 300, "~nobody-here/x"])
def test_every_command_refuses_a_path_that_cannot_be(
    sv2r: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, words: tuple[str, ...], name: str
) -> None:
    monkeypatch.chdir(tmp_path)
    code, _, err = sv2r(*(word.replace("LONG", name) for word in words))
    assert (code, len(err.splitlines())) == (2, 1), err[-500:]
