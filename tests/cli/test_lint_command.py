"""`sv2r lint` as it is typed: what it prints, and the exit code."""

from __future__ import annotations

import json

from tests.toys.datasets import make_coco


def damaged(root):
    """Return a dataset whose first annotation has lost its mask."""
    make_coco(root, ("a.png", "b.png"))
    file = root / "annotations.json"
    data = json.loads(file.read_text())
    data["annotations"][0]["segmentation"] = []
    file.write_text(json.dumps(data))
    return root


def test_a_sound_dataset_ends_with_0_and_says_what_to_try(sv2r, renders):
    code, text, error = sv2r("lint", renders)
    assert (code, error) == (0, "")
    assert text.startswith("coco · 6 pictures · 12 instances · 2 categories\n")
    assert "try --translator.fit scale\n" in text
    assert text.splitlines()[-1].startswith("nothing is wrong")


def test_what_is_wrong_is_named_with_its_fix_and_ends_with_1(sv2r, tmp_path):
    code, text, error = sv2r("lint", damaged(tmp_path / "renders"), "--ignore", "unseen")
    assert (code, error) == (1, "")
    assert "        a.png instance 1 has no pixel\n" in text
    assert "export their masks again\n" in text
    assert text.splitlines()[-1] == "1 error, 0 remarks"


def test_json_holds_every_finding_and_the_exit_code(sv2r, tmp_path):
    code, text, _ = sv2r("lint", damaged(tmp_path / "renders"), "--json", "--ignore", "unseen")
    found = json.loads(text)
    assert (code, found["exit_code"], found["errors"]) == (1, 1, 1)
    assert [(f["kind"], f["sample"], f["instance"]) for f in found["findings"]] == [
        ("empty", "a.png", "1")
    ]
    assert sum(found["sides"].values()) == 4


def test_options_of_the_loader_are_taken_and_others_refused(sv2r, renders):
    (renders / "more.json").write_bytes((renders / "annotations.json").read_bytes())
    code, _, error = sv2r("lint", renders, "--ignore", "unseen")
    assert (code, "--loader.annotations" in error) == (2, True)
    code, text, _ = sv2r(
        *("lint", renders, "--loader", "coco", "--loader.annotations", "annotations.json"),
        *("--ignore", "unseen", "--limit", "2"),
    )
    assert (code, text.splitlines()[0]) == (
        0,
        "coco · 2 of 6 pictures · 4 instances · 2 categories",
    )
    code, _, error = sv2r("lint", renders, "--translator.model", "x")
    assert (code, error) == (
        2,
        "Error: no option --translator.model; lint takes only --loader.… options\n",
    )


def test_a_kind_that_is_none_gets_the_nearest_one(sv2r, renders):
    code, _, error = sv2r("lint", renders, "--ignore", "tinny")
    assert code == 2
    assert error == "Error: --ignore: no kind of finding is 'tinny'; did you mean tiny?\n"


def test_a_folder_that_is_not_there_is_one_line(sv2r, tmp_path):
    assert sv2r("lint", tmp_path / "gone") == (
        2,
        "",
        f"Error: {tmp_path / 'gone'}: no such folder; give the dataset's folder\n",
    )


def test_help_shows_the_options_of_the_loader_that_is_named(sv2r):
    assert "--loader.annotations" in sv2r("lint", "--loader", "coco", "--help")[1]
    assert "--loader.annotations" not in sv2r("lint", "--help")[1]
