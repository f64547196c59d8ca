"""`sv2r compare`: runs side by side."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import sv2r as package
from tests.toys.datasets import make_coco

NAMES = tuple(f"{number}.png" for number in range(5))


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("runs")
    make_coco(root / "renders", NAMES)
    for name, spread in (("soft", 4), ("hard", 25)):
        grade = {"name": "grade", "mean": [60, 10, 5], "std": [spread, 5, 5]}
        config = {"input": str(root / "renders"), "output": str(root / name), "translator": grade}
        package.convert({**config, "damage": ["keep"]})
    return root


def test_runs_are_told_by_score_and_shown_where_they_differ(sv2r, runs, tmp_path):
    page = tmp_path / "deep" / "page.html"
    page.parent.mkdir()
    words = ["compare", runs / "soft", runs / "hard", "--pictures", 3, "--html", page]
    code, out, error = sv2r(*words)
    assert code == 0, error
    lines = out.splitlines()
    assert lines[0] == "5 pictures are done in all 2 runs"
    assert [line.partition(":")[0] for line in lines[1:3]] == ["run soft", "run hard"]
    (better,) = (line for line in lines if line.startswith("highest survival: "))
    counts = [int(n) for n in re.findall(r"(\d+) (?:in|alike)", better)]
    assert sum(counts) == 5
    text = page.read_text()
    assert text.count("data:image/jpeg") == 3 + 2 * 3
    links = re.findall(r'<a href="([^"]+)"', text)
    assert len(links) == 6
    assert all((page.parent / link).is_file() for link in links)


def test_what_cannot_be_compared_is_one_line(sv2r, runs, tmp_path):
    make_coco(tmp_path / "other", ("x.png",))
    grade = {"name": "grade", "mean": [60, 10, 5], "std": [9, 5, 5]}
    config = {"input": str(tmp_path / "other"), "output": str(tmp_path / "out")}
    package.convert({**config, "translator": grade})
    for words, says in (
        ([runs / "soft"], "sv2r compare needs two runs at least"),
        ([runs / "soft", runs / "renders"], "no output of sv2r"),
        ([runs / "soft", tmp_path / "out"], "no picture is done in all of them"),
    ):
        code, out, error = sv2r("compare", *words, "--html", tmp_path / "page.html")
        assert (code, out, error.count("\n")) == (2, "", 1)
        assert says in error
    assert not (tmp_path / "page.html").exists()
