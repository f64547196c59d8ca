"""A finished run in a bucket is opened, verified and reported on as one on disk is."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

import sv2r as package
from sv2r.evaluation import sets
from tests.remote.test_convert import KEEP, MIRROR, comparable, pictures
from tests.toys.jobs import files_of


@pytest.fixture
def real(sv2r, s3, renders, tmp_path):
    """Return the URL of a run, of which nothing is on this machine."""
    source = s3.put(renders, "renders")
    url = f"{s3.url}/real"
    assert sv2r("convert", "--input", source, "--output", url, *KEEP)[0] == 0
    shutil.rmtree(tmp_path / "cache")
    return url


def test_it_is_opened_from_python(real, renders):
    run = package.open(real)
    assert [one.record.sample for one in run] == pictures(
        path.relative_to(renders).as_posix() for path in renders.rglob("*") if path.is_file()
    )
    assert (run[0].pixels == run[0].source).all()
    assert run[0].instances.labels.any()
    assert str(run[0].path) == f"{real}/a/0.png"


def test_verify_sees_what_was_changed_or_removed_there(sv2r, s3, real):
    code, text, error = sv2r("verify", real)
    assert (code, error) == (0, ""), text
    s3.client.put_object(Bucket=s3.bucket, Key="real/a/0.png", Body=b"no picture")
    s3.client.delete_object(Bucket=s3.bucket, Key="real/a/1.png")
    code, text, _ = sv2r("verify", real, "--json")
    assert code == 1
    assert {(one["kind"], one["path"]) for one in json.loads(text)["findings"]} == {
        ("unreadable", "a/0.png"),
        ("missing", "a/1.png"),
    }


def test_what_verify_fixes_the_same_command_puts_right_there(sv2r, s3, real, renders):
    whole = s3.files("real/")
    s3.client.put_object(Bucket=s3.bucket, Key="real/a/0.png", Body=b"no picture")
    s3.client.delete_object(Bucket=s3.bucket, Key="real/a/1.png")
    assert sv2r("verify", real, "--fix")[0] == 1
    words = ("--input", f"{s3.url}/renders", "--output", real, *KEEP)
    assert sv2r("convert", *words)[0] == 0
    assert comparable(s3.files("real/")) == comparable(whole)
    assert sv2r("verify", real)[0] == 0


def test_a_report_is_put_there(sv2r, s3, real):
    before = s3.files("real/")["sv2r/report.html"]
    s3.client.delete_object(Bucket=s3.bucket, Key="real/sv2r/report.html")
    code, _, error = sv2r("report", real)
    assert code == 0, error
    assert s3.files("real/")["sv2r/report.html"] == before


def test_it_is_exported(sv2r, s3, real, renders, tmp_path):
    code, _, error = sv2r("export", real, "--writer", "folder", "--output", tmp_path / "there")
    assert code == 0, error
    assert sv2r("convert", "--input", renders, "--output", tmp_path / "real", *KEEP)[0] == 0
    out = tmp_path / "here"
    assert sv2r("export", tmp_path / "real", "--writer", "folder", "--output", out)[0] == 0
    assert comparable(files_of(tmp_path / "there")) == comparable(files_of(out))


def test_lint_and_a_dry_run_read_a_bucket(sv2r, s3, renders, tmp_path):
    source = s3.put(renders, "renders")
    assert sv2r("lint", source)[0] == sv2r("lint", renders)[0]
    code, _, error = sv2r("export", source, "--output", f"{s3.url}/x", *MIRROR, "--dry-run")
    assert code == 0, error
    assert not s3.times("x/")
    assert not (tmp_path / "cache" / "remote" / "work").exists()


def test_what_is_no_run(sv2r, s3, renders):
    source = s3.put(renders, "renders")
    for command in ("verify", "report"):
        code, _, error = sv2r(command, source)
        assert code == 2
        assert error == f"Error: {source}: no output of sv2r; give the URL that --output named\n"


def test_a_first_config_names_the_urls(sv2r, s3, renders, tmp_path):
    source = s3.put(renders, "renders")
    file = tmp_path / "sv2r.yaml"
    code, _, error = sv2r("init", source, "--write", file, "--model", "sd15", "--yes")
    assert code == 0, error
    text = file.read_text()
    assert f'input: "{source}"\n' in text
    assert f'output: "{source}-real"\n' in text
    _, shown, _ = sv2r("config", "show", "--config", file)
    assert f"{source}-real" in shown


def test_two_runs_are_compared_and_their_pictures_are_found(
    sv2r, s3, real, tmp_path, registry, monkeypatch
):
    words = ("--input", f"{s3.url}/renders", *KEEP)
    assert sv2r("convert", *words, "--output", f"{s3.url}/other", "--limit", 4)[0] == 0
    page = tmp_path / "compare.html"
    code, text, error = sv2r("compare", real, f"{s3.url}/other", "--html", page)
    assert code == 0, error
    assert text.startswith("4 pictures are done in all 2 runs")
    assert page.is_file()
    monkeypatch.setattr(sets, "LEAST_PICTURES", 6)
    found = sets.pictures_of("real", Path(real), registry)
    assert str(found.paths[0]) == f"{real}/a/0.png"
