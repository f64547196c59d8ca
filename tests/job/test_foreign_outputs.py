"""Outputs that came from a stranger or were changed: nothing outside of them is ever touched."""

from __future__ import annotations

import json
import os
import sqlite3
from functools import partial

import numpy as np
import pytest
from PIL import Image

import sv2r
from sv2r.errors import ConfigError, Sv2rError
from sv2r.output.finished import Finished
from sv2r.report.write import write_report
from sv2r.storage.strict_yaml import write_yaml
from sv2r.verify.dataset import verify
from tests.toys import processes
from tests.toys.datasets import make_coco
from tests.toys.jobs import files_of

NAMES = ("a/0.png", "b/1.png", "c.png")


def asked(root, out, **more):
    grade = {"name": "grade", "mean": [60, 10, 5], "std": [15, 5, 5]}
    return {"input": root, "output": out, "translator": grade, "checks": ["sanity"], **more}


@pytest.fixture
def config(tmp_path):
    """Return the config of a job that has been done; beside its output lies a victim."""
    config = asked(make_coco(tmp_path / "in", NAMES), tmp_path / "out")
    sv2r.convert(config)
    (tmp_path / "victim").write_text("mine")
    return config


def change(output, statement, *values):
    with sqlite3.connect(output / "sv2r" / "journal.sqlite3") as database:
        database.execute(statement, values)
    database.close()


def set_field(folder, **fields):
    """Set fields of the first record in the journal."""
    with sqlite3.connect(folder / "sv2r" / "journal.sqlite3") as database:
        (data,) = database.execute("SELECT data FROM records WHERE sample = 'c.png'").fetchone()
        text = json.dumps({**json.loads(data), **fields})
        database.execute("UPDATE records SET data = ? WHERE sample = 'c.png'", (text,))
    database.close()


@pytest.mark.parametrize("kind", ["climbing", "absolute", "label", "verified"])
def test_overwrite_removes_nothing_outside(config, tmp_path, kind):
    victim = tmp_path / "victim"
    if kind == "verified":
        change(
            tmp_path / "out",
            "UPDATE meta SET value = ? WHERE key = 'verified'",
            json.dumps({"../victim": "0", str(victim): "0"}),
        )
    else:
        name = str(victim) if kind == "absolute" else "../victim"
        set_field(tmp_path / "out", **({"labels": [name]} if kind == "label" else {"output": name}))
    summary = sv2r.convert(config, overwrite=True)
    assert victim.read_text() == "mine"
    assert summary.done == 3


def test_overwrite_removes_nothing_through_a_linked_folder(config, tmp_path):
    output = tmp_path / "out"
    (output / "a").rename(tmp_path / "elsewhere")
    (output / "a").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(ConfigError, match=r"out/a: is a link to a folder, which no run makes"):
        sv2r.convert(config, overwrite=True)
    assert (tmp_path / "elsewhere" / "0.png").is_file()


def test_a_resume_writes_nothing_through_a_linked_folder(config, tmp_path):
    output = tmp_path / "out"
    change(output, "DELETE FROM records WHERE sample = 'a/0.png'")
    (output / "a" / "0.png").unlink()
    (output / "a").rmdir()
    (tmp_path / "elsewhere").mkdir()
    (output / "a").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(ConfigError, match="is a link to a folder"):
        sv2r.convert(config)
    assert not list((tmp_path / "elsewhere").iterdir())


@pytest.mark.parametrize("name", ["lock", "journal.sqlite3", "samples.jsonl", "run.yaml"])
@pytest.mark.parametrize("action", ["convert", "fix"])
def test_a_job_s_own_file_that_is_a_link_is_refused(config, tmp_path, name, action):
    output, victim = tmp_path / "out", tmp_path / "victim"
    own = output / "sv2r" / name
    if name == "lock":
        own.unlink()
        own.symlink_to(victim)
        before = b"mine"
    else:
        own.rename(victim)
        own.symlink_to(victim)
        before = victim.read_bytes()
    (output / "c.png").unlink()  # so that --fix has something to do
    run = partial(sv2r.convert, config)
    if action == "fix":
        run = partial(verify, output, sample="0", fix=True)
    with pytest.raises(ConfigError, match=rf"sv2r/{name}: is a link or no file"):
        run()
    assert victim.read_bytes() == before


@pytest.mark.parametrize("name", ["lock", "journal.sqlite3", "samples.jsonl", "run.yaml"])
def test_a_pipe_in_place_of_a_job_s_file_does_not_hang(config, tmp_path, name):
    own = tmp_path / "out" / "sv2r" / name
    own.unlink()
    os.mkfifo(own)
    with pytest.raises(ConfigError, match=rf"sv2r/{name}: is a link or no file"):
        sv2r.convert(config)
    assert verify(tmp_path / "out", sample="0").findings or name == "lock"
    if name == "journal.sqlite3":
        with pytest.raises(ConfigError, match=rf"sv2r/{name}: is a link or no file"):
            verify(tmp_path / "out", sample="0", fix=True)


def test_the_folder_of_the_job_s_files_that_is_a_link_is_refused(config, tmp_path):
    (tmp_path / "out" / "sv2r").rename(tmp_path / "elsewhere")
    (tmp_path / "out" / "sv2r").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(ConfigError, match="out/sv2r: is a link, which no run makes"):
        sv2r.convert(config)


@pytest.mark.parametrize("place", ["../labels", "/tmp/labels", "a/../../labels", ""])
def test_labels_are_never_relocated_out_of_the_output(config, tmp_path, place):
    writer = {"name": "mirror", "relocate": {".": place}}
    with pytest.raises(ConfigError, match=r"relocate.*name a folder in it"):
        sv2r.convert({**config, "output": tmp_path / "other", "writer": writer})
    run = tmp_path / "out" / "sv2r" / "run.yaml"
    settings = {**config, "writer": writer}
    run.write_text(
        write_yaml({k: str(v) if k in ("input", "output") else v for k, v in settings.items()})
    )
    with pytest.raises(ConfigError, match=r"relocate.*name a folder in it"):
        sv2r.convert(run)
    assert not (tmp_path / "labels").exists()


def test_a_page_shows_nothing_from_outside(config, tmp_path):
    secret = tmp_path / "secret.png"
    Image.fromarray(np.full((27, 43, 3), 200, np.uint8)).save(secret)
    lines = tmp_path / "out" / "sv2r" / "samples.jsonl"
    lines.write_text(lines.read_text().replace('"output": "c.png"', '"output": "../secret.png"'))
    page = write_report(tmp_path / "out").read_text()
    assert "leads out" in page or "climbs out" in page or "gone" in page


def test_a_label_file_that_is_a_link_to_an_equal_one_is_found_and_replaced(config, tmp_path):
    labels = tmp_path / "out" / "annotations.json"
    labels.rename(tmp_path / "equal.json")
    labels.symlink_to(tmp_path / "equal.json")
    (finding,) = verify(tmp_path / "out", sample="0").findings
    assert (finding.path, finding.kind) == ("annotations.json", "labels")
    assert "is a link, which no run makes" in finding.message
    change(tmp_path / "out", "DELETE FROM records WHERE sample = 'c.png'")
    sv2r.convert(config)
    assert not labels.is_symlink()
    assert verify(tmp_path / "out", sample="0").findings == ()


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE records SET status = 'rejected' WHERE sample = 'c.png'",
        "UPDATE records SET sample = 'd.png' WHERE sample = 'c.png'",
        "UPDATE records SET variant = 7 WHERE sample = 'c.png'",
    ],
)
def test_a_changed_column_of_the_journal_is_found(config, tmp_path, statement):
    change(tmp_path / "out", statement)
    findings = verify(tmp_path / "out", sample="0").findings
    assert any("journal.sqlite3" in f.path and "columns of" in f.message for f in findings)
    verify(tmp_path / "out", sample="0", fix=True)
    sv2r.convert(config)
    assert verify(tmp_path / "out", sample="0").findings == ()


@pytest.mark.parametrize(
    "statements",
    [
        ["CREATE TRIGGER t AFTER INSERT ON records BEGIN DELETE FROM records; END"],
        ["CREATE TABLE more (a)"],
        ["ALTER TABLE records RENAME TO r", "CREATE VIEW records AS SELECT * FROM r"],
    ],
)
def test_what_no_run_puts_into_a_journal_is_found(config, tmp_path, statements):
    for statement in statements:
        change(tmp_path / "out", statement)
    findings = verify(tmp_path / "out", sample="0").findings
    assert any("which no run makes" in f.message for f in findings)
    with pytest.raises(ConfigError, match="the journal is damaged"):
        sv2r.convert(config)
    verify(tmp_path / "out", sample="0", fix=True)
    sv2r.convert(config)
    assert verify(tmp_path / "out", sample="0").findings == ()


@pytest.mark.parametrize("more", ["FIRST", "\n", "no record\n", "[" * 9000 + "\n", "\0\n"])
def test_lines_that_are_no_records_are_found(config, tmp_path, more):
    lines = tmp_path / "out" / "sv2r" / "samples.jsonl"
    first = lines.read_text().partition("\n")[0]
    with lines.open("a") as stream:
        stream.write(more.replace("FIRST", f"{first}\n"))
    (finding,) = verify(tmp_path / "out", sample="0").findings
    assert (finding.path, finding.kind) == ("sv2r/samples.jsonl", "changed")
    verify(tmp_path / "out", sample="0", fix=True)
    sv2r.convert(config)
    assert verify(tmp_path / "out", sample="0").findings == ()


def test_a_record_that_was_changed_in_the_journal_is_made_again(config, tmp_path):
    output = tmp_path / "out"
    right = (output / "sv2r" / "samples.jsonl").read_bytes()
    set_field(output, prompt="something else", seed=1)
    (finding,) = verify(output, sample="0").findings
    assert (finding.path, finding.sample) == ("sv2r/samples.jsonl", "c.png")
    verify(output, sample="0", fix=True)
    sv2r.convert(config)
    assert (output / "sv2r" / "samples.jsonl").read_bytes() == right


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE records SET data = x'00ff' WHERE sample = 'c.png'",
        "UPDATE records SET data = 5 WHERE sample = 'c.png'",
        "UPDATE records SET data = '[1]' WHERE sample = 'c.png'",
        "UPDATE records SET variant = 'one' WHERE sample = 'c.png'",
        "UPDATE meta SET value = x'ff' WHERE key = 'identity'",
        "UPDATE meta SET value = '{' WHERE key = 'identity'",
        "DROP TABLE records",
        "CREATE TABLE more (x)",
        "ALTER TABLE records RENAME COLUMN data TO content",
    ],
)
def test_another_database_ends_in_one_line_or_runs(config, tmp_path, statement):
    change(tmp_path / "out", statement)
    told = ""
    try:
        sv2r.convert(config, overwrite=True)
    except Sv2rError as error:
        told = str(error)
    assert "\n" not in told
    assert not told or "verify --" in told


def test_a_record_of_a_newer_version_is_read(config, tmp_path):
    output = tmp_path / "out"
    before = files_of(output)
    set_field(output, mood="sunny", weights=[1, 2])
    assert sv2r.convert(config).done == 3
    assert {k: v for k, v in files_of(output).items() if "sv2r/" not in k} == {
        k: v for k, v in before.items() if "sv2r/" not in k
    }


def test_a_picture_that_looks_like_a_temporary_file_is_kept(tmp_path):
    names = (".sv2r-tmp-0123456789abcdef.png", ".sv2r-tmp-dir/a.png", "b.png")
    root = make_coco(tmp_path / "in", names)
    (tmp_path / "in" / ".sv2r-tmp-0123456789abcdee").mkdir()
    config = asked(root, tmp_path / "out")
    assert sv2r.convert(config).done == 3
    left = tmp_path / "out" / ".sv2r-tmp-fedcba9876543210.png"
    left.write_bytes(b"half")
    (tmp_path / "out" / ".sv2r-tmp-fedcba9876543211").mkdir()
    change(tmp_path / "out", "DELETE FROM records WHERE sample = 'b.png'")
    assert sv2r.convert(config).done == 3
    assert all((tmp_path / "out" / name).is_file() for name in names)
    assert not left.exists()


def test_a_channel_that_is_another_picture_is_refused(tmp_path):
    root = make_coco(tmp_path / "in", ("a.png", "a_depth.png", "b.png", "b_depth.png"))
    loader = {"name": "coco", "depth": "{stem}_depth.png"}
    summary = sv2r.convert(asked(root, tmp_path / "out", loader=loader))
    assert {record.sample for record in summary.troubles} == {"a.png", "b.png"}
    assert str(summary.troubles[0].error) == (
        "a.png: its depth would be the picture a_depth.png, which is translated itself; correct "
        "--loader.depth"
    )
    assert summary.done == 2


def test_an_output_that_is_a_link_to_nothing(tmp_path):
    root = make_coco(tmp_path / "in", ("a.png",))
    (tmp_path / "out").symlink_to(tmp_path / "nowhere")
    with pytest.raises(ConfigError, match="out: is a link to nothing; give another --output"):
        sv2r.convert(asked(root, tmp_path / "out"))


# Kills at every change of a file, of what is not a plain run.


@pytest.fixture(scope="module")
def done(tmp_path_factory):
    """Return (input, what a whole run makes of it)."""
    root = tmp_path_factory.mktemp("done")
    renders = make_coco(root / "in", NAMES)
    assert processes.run(processes.convert, asked(renders, root / "out")) == 0
    return renders, comparable(root / "out")


def comparable(output):
    """Return what does not name the folder itself."""
    own = ("sv2r/run.yaml", "sv2r/report.html")
    return {k: v for k, v in files_of(output).items() if k not in own}


@pytest.mark.parametrize("step", [1, 2, 3, 5, 6, 8, 10, 13])
def test_a_kill_during_overwrite_and_a_plain_resume(done, tmp_path, step):
    """The journal must not call done what --overwrite had removed already."""
    renders, whole = done
    config = asked(renders, tmp_path / "out")
    assert processes.run(processes.convert, config) == 0
    assert processes.run(processes.overwrite_and_die, config, tmp_path / "out", step) == -9
    assert processes.run(processes.convert, config) == 0
    assert comparable(tmp_path / "out") == whole
    assert verify(tmp_path / "out", sample="0").findings == ()


@pytest.mark.parametrize("step", [1, 2, 3, 4])
@pytest.mark.parametrize("damage", ["picture", "journal"])
def test_a_kill_during_fix(done, tmp_path, step, damage):
    renders, whole = done
    output = tmp_path / "out"
    config = asked(renders, output)
    assert processes.run(processes.convert, config) == 0
    if damage == "picture":
        (output / "c.png").write_bytes(b"half")
    else:
        (output / "sv2r" / "journal.sqlite3").write_bytes(b"no database at all")
    processes.run(processes.fix_and_die, output, step)
    verify(output, sample="0", fix=True)
    assert processes.run(processes.convert, config) == 0
    made = {k: v for k, v in comparable(output).items() if "damaged-" not in k}
    assert made == whole


@pytest.mark.parametrize("step", [1, 2])
def test_a_kill_while_the_report_is_written(done, tmp_path, step):
    renders, _ = done
    output = tmp_path / "out"
    assert processes.run(processes.convert, asked(renders, output)) == 0
    before = (output / "sv2r" / "report.html").read_bytes()
    assert processes.run(processes.report_and_die, output, step) == -9
    assert (output / "sv2r" / "report.html").read_bytes() == before
    assert Finished(output, {}).records()
