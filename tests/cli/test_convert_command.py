"""`sv2r convert` as it is typed: its switches, what it prints, and the exit code."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys

import pytest

from tests.toys.jobs import files_of, records_of

NAMES = ("a/0.png", "a/1.png", "b/0.png", "b/1.jpg", "b/2.png", "c.png")


@pytest.fixture
def asked(renders, tmp_path, toy_sd15):
    """The words of a whole job: six pictures, four steps."""
    folders = ["--input", renders, "--output", tmp_path / "out", "--batch-size", 2]
    folders += ["--check", "sanity"]  # a toy keeps no object in place
    translator = ["--translator", "sdedit", "--translator.model", toy_sd15]
    return [*folders, *translator, "--translator.steps", 4, "--translator.strength", 0.5]


def test_a_dry_run_says_what_would_run_and_writes_nothing(sv2r, asked, tmp_path, renders):
    (renders / "annotations.json").write_text(
        (renders / "annotations.json").read_text().replace("c.png", "../c.png")
    )
    before = files_of(tmp_path)
    code, out, error = sv2r("convert", *asked, "--prompt", "{count} things", "--dry-run")
    assert (code, error) == (1, "")
    lines = out.splitlines()
    assert lines[0] == "loader      coco · 5 pictures · 2 categories"
    assert lines[-7].startswith("plan        5 of 6 to do · output ")
    assert lines[-6:-3] == [f"prompt      {name}: 2 things" for name in NAMES[:3]]
    assert re.fullmatch(
        r"disk        about \S+ kB for the pictures, guessed from the pictures' sizes; .* are free",
        lines[-2],
    )
    assert lines[-3] == (
        "failed      annotations.json: images[5]: ../c.png: the path climbs out by '..'; "
        "keep it inside the input folder"
    )
    assert lines[-1] == "dry run: nothing was written"
    assert files_of(tmp_path) == before


def test_a_dry_run_that_tries_says_what_the_job_will_take(sv2r, asked, tmp_path):
    before = files_of(tmp_path)
    code, out, error = sv2r("convert", *asked, "--dry-run", "--try", 3, "--json")
    assert code == 0, error
    found = json.loads(out)
    measured = found["forecast"]
    assert [measured[name] for name in ("done", "rejected", "failed", "device")] == [3, 0, 0, "cpu"]
    assert 0 < measured["seconds"] < 60
    assert 0 < measured["memory"] < measured["memory_of"]
    assert 1000 < measured["size"] < 3 * 40 * 43
    assert 0.2 < measured["size"] * 6 / found["size"] < 5
    code, out, _ = sv2r("convert", *asked, "--dry-run", "--try")
    lines = [line for line in out.splitlines() if line.startswith(("tried", "time", "memory"))]
    assert lines[0].startswith("tried       done 6 · rejected 0 · failed 0 · begun after ")
    assert re.fullmatch(r"time        about \S+ s for 6 pictures on cpu", lines[1])
    assert files_of(tmp_path) == before
    code, _, error = sv2r("convert", *asked, "--try")
    assert (code, error.splitlines()[-1]) == (2, "Error: --try goes with --dry-run")


def test_a_dry_run_refuses_an_output_and_a_device_as_the_run_does(sv2r, asked, tmp_path):
    output = tmp_path / "mine"
    output.mkdir()
    (output / "thesis.txt").touch()
    words = [
        output if last == "--output" else word
        for last, word in zip(["", *asked], asked, strict=False)
    ]
    code, _, error = sv2r("convert", *words, "--dry-run")
    assert (code, sv2r("convert", *words)[::2]) == (2, (2, error))
    assert "holds files that no run of sv2r made, such as thesis.txt" in error
    code, _, error = sv2r("convert", *asked, "--device", "cuda:7", "--dry-run")
    assert (code, sv2r("convert", *asked, "--device", "cuda:7")[0]) == (2, 2)
    assert "cuda:7" in error


def test_a_dry_run_in_json_has_the_config_and_the_prompts(sv2r, asked):
    code, out, _ = sv2r("convert", *asked, "--prompt", "{count} things", "--dry-run", "--json")
    found = json.loads(out)
    assert (code, found["pictures"], found["problems"]) == (0, 6, [])
    assert found["prompts"] == dict.fromkeys(NAMES[:3], "2 things")
    assert found["config"]["translator"]["strength"] == 0.5
    assert found["config"]["loader"]["name"] == "coco"


def test_a_wrong_step_is_told_by_the_name_that_was_typed(sv2r, asked):
    told = "must be some of undo, retry, redo, restore, reject, keep, not 'again'\n"
    assert sv2r("convert", *asked, "--on-damage", "again") == (2, "", f"Error: --on-damage {told}")
    assert sv2r("convert", *asked, "--damage.steps", "again") == (
        2,
        "",
        f"Error: --damage.steps {told}",
    )
    assert sv2r("convert", *asked, "--prompt", "a {")[2].startswith("Error: --prompt: ")


def test_the_last_lines_are_the_counts_the_labels_and_where_to_look(sv2r, asked, tmp_path):
    code, out, error = sv2r("convert", *asked)
    output = tmp_path / "out"
    assert code == 0
    seconds, *rest = out.splitlines()
    assert re.fullmatch(
        r"done 6 · rejected 0 · failed 0 · [\d.]+ s · "
        r"labels verified: 1 file, 12 instances \(0 checked\), bytes equal",
        seconds,
    )
    assert rest == [
        f"look        {output}/sv2r/report.html",
        f"again       sv2r convert --config {output}/sv2r/run.yaml",
    ]
    assert "\x1b" not in error


def test_limit_and_only_choose_and_the_rest_can_follow(sv2r, asked, tmp_path):
    assert sv2r("convert", *asked, "--limit", 1)[0] == 0
    assert set(records_of(tmp_path / "out")) == {"a/0.png"}
    assert sv2r("convert", *asked, "--only", "b/*", "--only", "c.*", "--limit", 3)[0] == 0
    assert set(records_of(tmp_path / "out")) == {"a/0.png", "b/0.png", "b/1.jpg", "b/2.png"}
    code, out, error = sv2r("convert", *asked)
    assert (code, out[:6]) == (0, "done 6")
    assert "plan        2 of 6 to do · 4 done earlier · " in error
    assert sv2r("convert", *asked, "--only", "z*") == (
        2,
        "",
        "Error: --only z*: no sample matches; the first one is a/0.png\n",
    )


def test_fail_fast_stops_at_the_first_failure(sv2r, asked, renders, tmp_path):
    (renders / "a/0.png").write_bytes(b"")
    words = [*asked, "--readers", 1]
    words[words.index("--batch-size") + 1] = 1
    code, out, error = sv2r("convert", *words, "--fail-fast")
    assert code == 1
    assert "stopping at the first failure: finishing what is begun" in error
    assert re.match(r"done \d · rejected 0 · failed 1 · not begun [1-5] · ", out)
    assert "failed      a/0.png: is empty" in error
    assert out.splitlines()[-1] == "again       run the same command again to continue"
    assert sv2r("convert", *words)[1][:6] == "done 5"


def test_overwrite_makes_all_of_it_again(sv2r, asked, tmp_path):
    sv2r("convert", *asked, "--limit", 2)
    before = files_of(tmp_path / "out")
    other = [*asked, "--seed", 3, "--limit", 2]
    code, _, error = sv2r("convert", *other)
    assert code == 2
    assert error.endswith(
        "/out: made with other settings (seed was 0, now 3); "
        "choose another --output, the old settings, or --overwrite\n"
    )
    assert files_of(tmp_path / "out") == before
    code, _, error = sv2r("convert", *other, "--overwrite")
    assert (code, "2 of 2 to do" in error) == (0, True)
    assert files_of(tmp_path / "out")["a/0.png"] != before["a/0.png"]


def test_json_is_all_of_stdout_and_stderr_is_sv2rs_own_lines_alone(asked, renders, tmp_path):
    """A process of its own, in which every library is imported anew and could have its say."""
    (renders / "b/0.png").write_bytes(b"no picture")
    command = [sys.executable, "-m", "sv2r.cli.main", "convert", *map(str, asked), "--json"]
    ended = subprocess.run(command, capture_output=True, text=True, check=False, env=os.environ)
    assert ended.returncode == 1
    summary = json.loads(ended.stdout)
    assert summary.pop("seconds") > 0
    (digest,) = summary.pop("verified").values()
    assert len(digest) == 64
    (trouble,) = summary.pop("troubles")
    assert (trouble["sample"], trouble["status"]) == ("b/0.png", "failed")
    assert summary == {
        "output": str(tmp_path / "out"),
        "inputs": 6,
        "done": 5,
        "rejected": 0,
        "failed": 1,
        "restored": 0,
        "left": 0,
        "equal": 1,
        "instances": 10,
        "checked": 0,
        "retried": 0,
        "repaired": 0,
        "overdone": 0,
        "rendered": 0.0,
        "faults": [],
        "judged": True,
        "reread": True,
        "notes": [],
        "interrupted": False,
        "exit_code": 1,
    }
    lines = [line for line in ended.stderr.splitlines() if not line.startswith("converting")]
    titles = [line[:12].strip() for line in lines]
    assert titles == ["loader", "", "translator", "plan", "loading", "failed"]


def test_a_job_of_very_many_pictures_leaves_its_page_to_sv2r_report(
    sv2r, asked, tmp_path, monkeypatch
):
    monkeypatch.setattr("sv2r.conversion.LARGEST_REPORT", 1)
    out = sv2r("convert", *asked, "--limit", 2)[1]
    assert not (tmp_path / "out" / "sv2r" / "report.html").exists()
    assert f"contact-sheet.png   a page of all: sv2r report {tmp_path / 'out'}\n" in out
