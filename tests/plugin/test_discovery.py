"""Plugins are found whatever the metadata of other distributions is like."""

from __future__ import annotations

import os
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from sv2r.plugin.discovery import Owner, Unwanted, find_plugins
from sv2r.plugin.registry import load_registry

BAD = b"\xff\xfe\x00caf\xe9"


def _distribution(folder: Path, name: str, points: bytes, metadata: bytes = b"") -> None:
    info = folder / f"{name}-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_bytes(metadata or f"Name: {name}\nVersion: 1.0\n".encode())
    (info / "entry_points.txt").write_bytes(points)


def _names() -> list[str]:
    return [plugin.owner.plugin for plugin in find_plugins()[0]]


@pytest.mark.parametrize(
    ("points", "metadata"),
    [
        (b"[console_scripts]\nx = " + BAD, b""),
        (b"[console_scripts]\nx = y\n", BAD),
        (b"[other]\n= no name\nno equals\n", b""),
    ],
)
def test_metadata_of_others_is_none_of_our_business(
    points: bytes, metadata: bytes, site: Any, good: Callable[[str], str]
) -> None:
    _distribution(site.plugin("good", good("good")), "other", points, metadata)
    assert "good" in _names()
    assert find_plugins()[1] == []
    assert load_registry().entry("check", "good")


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (b"x = " + BAD, "entry_points.txt: 'utf-8' codec can't decode byte 0xff"),
        (
            b"just words",
            "entry_points.txt: the line 'just words' is not an entry point (name = mod",
        ),
        (
            b"= module",
            "entry_points.txt: the line '= module' is not an entry point (name = module)",
        ),
        (b"a\x1b[2Jb = m", r"entry_points.txt: the line 'a\x1b[2Jb = m' is not an entry point"),
    ],
)
def test_a_damaged_list_of_plugins_is_a_failure_of_its_distribution_alone(
    line: bytes, reason: str, site: Any, good: Callable[[str], str]
) -> None:
    folder = site.plugin("good", good("good"))
    _distribution(folder, "sv2r_bent", b"[sv2r]\n" + line + b"\n")
    registry = load_registry()
    (told,) = [str(f) for f in registry.failures if f.owner.distribution == "sv2r-bent"]
    assert told.startswith(f"plugin 'unknown' (sv2r-bent 1.0) disabled: metadata: {reason}")
    assert registry.entry("check", "good")


@pytest.mark.parametrize("target", ["no module!", "sv2r_good:gone", "sv2r_good:gone.deeper", ""])
def test_an_entry_point_that_leads_nowhere_is_a_failed_import(
    target: str, site: Any, good: Callable[[str], str]
) -> None:
    folder = site.plugin("good", good("good"))
    _distribution(folder, "sv2r_lost", f"[sv2r]\nlost = {target}\n".encode())
    (failure,) = [f for f in load_registry().failures if f.owner.plugin == "lost"]
    assert failure.stage == "import"


def test_of_a_distribution_that_is_there_twice_the_first_on_the_path_counts(
    site: Any, good: Callable[[str], str]
) -> None:
    site.plugin("twice", good("old"), version="1.0")
    site.plugin("twice", good("new"), version="2.0")
    owners = [plugin.owner for plugin in find_plugins()[0] if plugin.owner.plugin == "twice"]
    assert owners == [Owner("twice", "sv2r-twice", "2.0")]


def test_a_plugin_in_a_zip_file_and_one_in_an_egg_info_are_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with zipfile.ZipFile(tmp_path / "all.zip", "w") as archive:
        archive.writestr("sv2r_zipped-3.1.dist-info/entry_points.txt", "[sv2r]\nzipped = z\n")
    (tmp_path / "sv2r_egg-0.4-py3.12.egg-info").mkdir()
    points = tmp_path / "sv2r_egg-0.4-py3.12.egg-info" / "entry_points.txt"
    points.write_text("[sv2r]\negg = e\n")
    monkeypatch.syspath_prepend(tmp_path / "all.zip")
    monkeypatch.syspath_prepend(tmp_path)
    owners = {plugin.owner for plugin in find_plugins()[0]}
    assert {Owner("zipped", "sv2r-zipped", "3.1"), Owner("egg", "sv2r-egg", "0.4")} <= owners


def test_distributions_are_turned_off_by_any_spelling_of_their_name() -> None:
    owner = Owner("haze", "sv2r-haze", "1")
    assert owner in Unwanted.read("SV2R_Haze")
    assert owner not in Unwanted.read("sv2r")


@pytest.mark.parametrize("words", [["--help"], ["convert", "--help"], ["plugins"]])
def test_the_command_line_works_beside_damaged_metadata(words: list[str], tmp_path: Path) -> None:
    _distribution(tmp_path, "other", b"[console_scripts]\nx = " + BAD, BAD)
    _distribution(tmp_path, "sv2r_bent", b"[sv2r]\nx = " + BAD)
    _distribution(tmp_path, "sv2r_odd", "[sv2r]\nü b = sv2r..odd\n".encode())
    done = subprocess.run(
        [sys.executable, "-m", "sv2r.cli.main", *words],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "PYTHONPATH": str(tmp_path)},
    )
    assert (done.returncode, done.stderr) == (0, "")
