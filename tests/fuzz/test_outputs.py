"""Outputs that were changed at random, and runs that were killed anywhere."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest

import sv2r
from sv2r.errors import Sv2rError
from sv2r.storage.strict_yaml import read_yaml
from sv2r.verify.dataset import verify
from tests.fuzz.changes import cases, change_folder, changed_bytes
from tests.fuzz.reading import assert_one_line
from tests.toys import processes
from tests.toys.datasets import make_coco
from tests.toys.jobs import files_of

NAMES = ("a/0.png", "b.png", "c.png")
# What differs between two runs into two folders, or is written when somebody looks.
FREE = ("sv2r/run.yaml", "sv2r/report.html", "sv2r/journal.sqlite3", "sv2r/lock")


def config_of(root: Path, output: Path) -> dict[str, Any]:
    grade = {"name": "grade", "mean": [60, 10, 5], "std": [15, 5, 5]}
    return {"input": root, "output": output, "translator": grade, "checks": ["sanity"]}


@pytest.fixture
def whole(tmp_path: Path) -> Path:
    """Return a folder with `in`, and `whole`: what a run makes of it."""
    make_coco(tmp_path / "in", NAMES)
    sv2r.convert(config_of(tmp_path / "in", tmp_path / "out"))
    (tmp_path / "out").rename(tmp_path / "whole")
    return tmp_path


def anew(root: Path) -> Path:
    shutil.rmtree(root / "out", ignore_errors=True)
    shutil.copytree(root / "whole", root / "out")
    return root / "out"


def comparable(output: Path) -> dict[str, bytes]:
    return {k: v for k, v in files_of(output).items() if k not in FREE and "damaged" not in k}


def same_settings(output: Path, other: Path) -> bool:
    try:
        one, two = (
            read_yaml((folder / "sv2r/run.yaml").read_text(), "run.yaml")
            for folder in (output, other)
        )
    except (Sv2rError, OSError, ValueError):
        return False
    return bool(one == two)


def test_a_change_of_any_file_is_found(whole: Path) -> None:
    for chance in cases(40):
        output = anew(whole)
        done = change_folder(output, chance)
        # A lock, and the page that `sv2r report` writes again, say nothing about pictures; SQLite's
        # file has bytes that mean nothing.
        if any(name in done for name in ("lock", "report.html", "contact", "journal")):
            continue
        if "run.yaml" in done and same_settings(output, whole / "whole"):
            continue  # a comment, or an empty line
        try:
            found = bool(verify(output, sample="0").findings)
        except Sv2rError as error:
            assert_one_line(error)
            found = True
        assert found, f"{chance.name}: {done}"  # type: ignore[attr-defined]


def test_a_damaged_journal_is_told_or_rebuilt(whole: Path) -> None:
    right = comparable(whole / "whole")
    for chance in cases(20):
        output = anew(whole)
        journal = output / "sv2r" / "journal.sqlite3"
        journal.write_bytes(changed_bytes(journal.read_bytes(), chance))
        try:
            sv2r.convert(config_of(whole / "in", output))
        except Sv2rError as error:
            assert_one_line(error)
        verify(output, sample="0", fix=True)
        told = ""
        try:
            summary = sv2r.convert(config_of(whole / "in", output))
        except Sv2rError as error:
            told = str(error)
        if told:  # what the run was asked for was changed itself: that is the user's to decide
            assert "made with other settings" in told, chance.name  # type: ignore[attr-defined]
            continue
        assert summary.done == len(NAMES), chance.name  # type: ignore[attr-defined]
        assert comparable(output) == right, chance.name  # type: ignore[attr-defined]


def test_a_kill_anywhere_and_a_resume_end_with_the_same_bytes(whole: Path) -> None:
    right = comparable(whole / "whole")
    actions = (processes.convert_and_die, processes.overwrite_and_die)
    for chance in cases(3):
        output = whole / "out"
        shutil.rmtree(output, ignore_errors=True)
        config = config_of(whole / "in", output)
        for _ in range(chance.randint(1, 3)):
            processes.run(chance.choice(actions), config, output, chance.randint(1, 20))
        assert processes.run(processes.convert, config) == 0
        assert comparable(output) == right, chance.name  # type: ignore[attr-defined]
