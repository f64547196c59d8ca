"""`sv2r verify` as it is typed: what it prints, and the exit code."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from tests.toys.outputs import make_output


@pytest.fixture
def out(tmp_path) -> Path:
    return make_output(tmp_path, ("a/0.png", "b.png"))


def test_a_clean_output_is_one_line_and_exit_code_0(sv2r, out):
    assert sv2r("verify", out, "--sample", "0") == (
        0,
        (
            "clean: 2 pictures looked at · 1 label file equal to the input's byte for byte · "
            "0 scored again\n"
        ),
        "",
    )


def test_what_is_wrong_is_listed_with_the_fix_and_exit_code_1(sv2r, out):
    (out / "a/0.png").unlink()
    code, text, _ = sv2r("verify", out, "--sample", "0")
    assert code == 1
    assert text.splitlines() == [
        "missing     a/0.png: the picture is gone",
        f"fix         sv2r verify {out} --fix, then the same sv2r convert again",
        (
            "1 thing wrong: 2 pictures looked at · "
            "1 label file equal to the input's byte for byte · "
            "0 scored again"
        ),
    ]


def test_json_has_all_of_it(sv2r, out):
    (out / "stray.txt").write_text("")
    code, text, _ = sv2r("verify", out, "--sample", "0", "--json")
    assert code == 1
    assert json.loads(text) == {
        "output": str(out),
        "pictures": 2,
        "rejected": 0,
        "failed": 0,
        "labels": 1,
        "labels_how": "equal to the input's byte for byte",
        "scored": 0,
        "findings": [
            {
                "kind": "extra",
                "path": "stray.txt",
                "message": "no record and no label explains it; move it out of the output folder",
                "sample": None,
                "variant": 0,
            }
        ],
        "notes": [],
        "fixed": [],
        "retried": 0,
        "repaired": 0,
        "rendered": 0.0,
        "clean": False,
        "exit_code": 1,
    }


def test_what_cannot_be_looked_at_is_one_line_and_exit_code_2(sv2r, out, tmp_path):
    (tmp_path / "empty").mkdir()
    assert sv2r("verify", tmp_path / "empty") == (
        2,
        "",
        (
            f"Error: {tmp_path / 'empty'}: no output of sv2r (there is no sv2r/samples.jsonl); "
            "give the folder that --output named\n"
        ),
    )
    code, _, error = sv2r("verify", out, "--sample", "many")
    assert (code, error) == (
        2,
        "Error: --sample many: give a share such as 5%, or a number of pictures\n",
    )


def test_many_findings_are_cut_short_with_their_number(sv2r, tmp_path):
    out = make_output(tmp_path, tuple(f"{n:02}.png" for n in range(50)))
    for n in range(50):
        (out / f"{n:02}.png").unlink()
    code, text, _ = sv2r("verify", out, "--sample", "0")
    assert (code, text.splitlines()[40]) == (1, "            and 10 more; --json lists all")


def test_an_input_that_moved_is_named_with_input(sv2r, out, tmp_path):
    shutil.move(tmp_path / "renders", tmp_path / "moved")
    code, text, _ = sv2r("verify", out, "--sample", "0")
    assert (code, "say where it is with --input" in text) == (0, True)
    code, text, _ = sv2r("verify", out, "--sample", "0", "--input", tmp_path / "moved")
    assert (code, "note" in text) == (0, False)
