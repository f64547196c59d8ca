"""A finished dataset looked at again: real conversions at toy size, then harmed on purpose."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import sqlite3
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import sv2r
from sv2r.errors import ConfigError
from sv2r.output.journal import Journal
from sv2r.output.records import line_of
from sv2r.report.write import write_report
from sv2r.verify.dataset import Verification, verify
from sv2r.verify.lines import verify_lines
from sv2r.verify.scores import ScoredPart, read_part
from tests.toys.datasets import make_coco, write_render
from tests.toys.outputs import make_output

NAMES = ("a/0.png", "a/1.png", "b/1.jpg", "c.png")
# Own files that say where the folder is, so that they differ in another one.
NAMES_FOLDERS = {"sv2r/journal.sqlite3", "sv2r/run.yaml", "sv2r/report.html"}


def config_of(renders: Path, output: Path, model: Path, **more) -> dict:
    return {
        "input": str(renders),
        "output": str(output),
        "loader": "coco",
        "translator": {"name": "sdedit", "model": str(model), "steps": 2, "strength": 0.5},
        "checks": ["sanity"],
        "batch_size": 2,
        **more,
    }


@pytest.fixture(scope="module")
def converted(tmp_path_factory, toy_sd15) -> Path:
    """A folder with renders/ and out/, which no test may change."""
    root = tmp_path_factory.mktemp("converted")
    make_coco(root / "renders", NAMES)
    sv2r.convert(config_of(root / "renders", root / "out", toy_sd15))
    return root


@pytest.fixture
def out(converted, tmp_path) -> Path:
    shutil.copytree(converted / "out", tmp_path / "out")
    return tmp_path / "out"


def found(output: Path, **more) -> set[tuple[str, str]]:
    """Return what is wrong as (kind, path)."""
    more.setdefault("sample", "0")
    return {(f.kind, f.path) for f in verify(output, **more).findings}


def rewrite(output: Path, change) -> None:
    """Change the records in the journal and in samples.jsonl alike; None leaves one out."""
    with Journal(output) as journal:
        records = [(record, change(record)) for record in journal.records()]
        verified = journal.get("verified")
        journal.clear()
        for _, record in records:
            if record is not None:
                journal.add(record)
        journal.keep("verified", verified)
        journal.keep("complete", value=True)
        lines = [line_of(record) for record in journal.records()]
    (output / "sv2r" / "samples.jsonl").write_text("".join(lines), encoding="utf-8")


def set_input(output: Path, place: str) -> None:
    """Make an output one whose input lay somewhere else."""
    run = output / "sv2r" / "run.yaml"
    before = next(line for line in run.read_text().splitlines() if line.startswith("input: "))
    run.write_text(run.read_text().replace(before, f"input: {place}"))
    with Journal(output) as journal:
        journal.keep_identity({**journal.identity(), "input": place})


def contents(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def flip_byte(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


def test_an_untouched_output_is_clean_and_stays_untouched(out):
    before = contents(out)
    result = verify(out, sample="100%")
    assert result == Verification(
        out, 4, 0, 0, 1, "equal to the input's byte for byte", 4, findings=(), notes=()
    )
    assert result.exit_code == 0
    assert contents(out) == before


@pytest.mark.parametrize("name", [*NAMES, "annotations.json"])
def test_a_byte_changed_in_any_picture_or_label_file_is_found(out, name):
    flip_byte(out / name)
    result = verify(out, sample="0")
    assert {f.path for f in result.findings} == {name}
    assert result.exit_code == 1


def test_a_byte_changed_in_the_record_is_found(out):
    lines = out / "sv2r" / "samples.jsonl"
    lines.write_text(lines.read_text().replace('"prompt": "a photo', '"prompt": "a phot0', 1))
    (finding,) = verify(out, sample="0").findings
    assert str(finding) == (
        "changed     sv2r/samples.jsonl: its line is not as the journal has a/0.png"
    )


def test_what_is_missing_extra_or_left_over_is_listed(out):
    (out / "a/0.png").unlink()
    (out / "annotations.json").unlink()
    (out / "notes.txt").write_text("mine")
    (out / "b" / ".sv2r-tmp-k3j.png").write_bytes(b"half")
    assert found(out) == {
        ("missing", "a/0.png"),
        ("missing", "annotations.json"),
        ("extra", "notes.txt"),
        ("extra", "b/.sv2r-tmp-k3j.png"),
    }


def test_a_truncated_picture_and_one_that_became_a_folder_are_found(out):
    data = (out / "a/0.png").read_bytes()
    (out / "a/0.png").write_bytes(data[: len(data) // 2])
    (out / "c.png").unlink()
    (out / "c.png").mkdir()
    result = verify(out, sample="0")
    assert [str(f) for f in result.findings] == [
        f"unreadable  a/0.png: truncated after {len(data) // 2:,} bytes",
        "unreadable  c.png: is a folder",
    ]


def test_a_picture_of_another_size_than_its_labels_is_found_though_its_hash_fits(out):
    Image.new("RGB", (44, 27)).save(out / "c.png")
    digest = hashlib.sha256((out / "c.png").read_bytes()).hexdigest()
    rewrite(out, lambda r: replace(r, output_sha256=digest) if r.sample == "c.png" else r)
    messages = {f.message for f in verify(out, sample="0").findings if f.kind == "size"}
    assert messages == {"44×27, its label 43×27", "44×27, its source 43×27"}


def test_a_source_that_changed_or_went_since_is_told(converted, out, tmp_path):
    moved = tmp_path / "moved"
    shutil.copytree(converted / "renders", moved)
    write_render(moved / "a/0.png", 27, 43, seed=99)
    (moved / "c.png").unlink()
    assert found(out, source=moved) == {("changed", "a/0.png"), ("missing", "c.png")}


def test_where_the_input_is_gone_labels_are_held_against_what_the_run_noted(
    converted, out, tmp_path
):
    gone, elsewhere = converted / "renders", tmp_path / "elsewhere"
    shutil.copytree(gone, elsewhere)
    set_input(out, "/nowhere")
    result = verify(out)
    assert (result.findings, result.labels, result.labels_how) == ((), 1, "as the run noted them")
    assert result.notes == (
        (
            "labels, sizes and files without a record were not looked at: "
            "the input /nowhere is not there; say where it is with --input"
        ),
    )
    assert found(out, source=elsewhere) == set()
    flip_byte(out / "annotations.json")
    assert found(out) == {("labels", "annotations.json")}


def test_a_sample_without_a_record_is_missing(out):
    rewrite(out, lambda r: None if r.sample == "a/1.png" else r)
    assert found(out) == {("missing", "a/1.png"), ("extra", "a/1.png")}


def test_a_record_of_a_sample_that_the_input_does_not_have_is_told(out):
    rewrite(out, lambda r: replace(r, sample="gone.png") if r.sample == "a/1.png" else r)
    kinds = {f.kind for f in verify(out, sample="0").findings}
    assert kinds == {"missing", "record"}


@pytest.mark.parametrize("path", ["../renders/c.png", "/etc/hostname", ""])
def test_a_record_that_names_a_file_outside_of_the_output_is_not_followed(out, path):
    rewrite(out, lambda r: replace(r, output=path) if r.sample == "c.png" else r)
    kinds = {(f.kind, f.message) for f in verify(out, sample="0").findings}
    told = "its record, or a link, leads to a file outside of the output folder"
    assert ("record", told) in kinds


def test_a_link_to_a_picture_elsewhere_is_replaced_by_a_picture(converted, out, toy_sd15):
    (out / "c.png").unlink()
    (out / "c.png").symlink_to(converted / "out" / "c.png")
    assert found(out, fix=True) == {("record", "c.png")}
    sv2r.convert(config_of(converted / "renders", out, toy_sd15))
    assert found(out) == set()
    assert not (out / "c.png").is_symlink()
    assert (out / "c.png").read_bytes() == (converted / "out" / "c.png").read_bytes()


def test_the_damage_that_explains_the_rest_stands_first(out):
    for name in ("journal.sqlite3", "samples.jsonl"):
        (out / "sv2r" / name).write_bytes(b"nothing of use")
    first, second, *rest = (f.path for f in verify(out, sample="0").findings)
    assert (first, second) == ("sv2r/journal.sqlite3", "sv2r/samples.jsonl")
    assert "a/0.png" in rest


def test_a_journal_and_a_run_file_that_are_both_damaged_are_fixed(converted, out, toy_sd15):
    (out / "sv2r" / "journal.sqlite3").write_bytes(b"nothing of use")
    (out / "sv2r" / "run.yaml").write_bytes(b"\xff: [")
    verify(out, sample="0", fix=True)
    summary = sv2r.convert(config_of(converted / "renders", out, toy_sd15))
    assert (summary.restored, summary.done) == (4, 4)
    assert found(out) == set()


def test_an_input_that_is_named_and_cannot_be_opened_is_refused(out, tmp_path):
    (tmp_path / "empty").mkdir()
    with pytest.raises(ConfigError, match=r"empty: no COCO file"):
        verify(out, source=tmp_path / "empty")


def test_rejected_and_failed_pictures_are_no_fault_unless_their_file_is_there(out):
    def rejected(record):
        fields = {"status": "rejected", "output": None, "output_sha256": None, "error": "moved"}
        return replace(record, **fields) if record.sample == "c.png" else record

    rewrite(out, rejected)
    assert found(out) == {("extra", "c.png")}
    (out / "c.png").unlink()
    result = verify(out, sample="0")
    assert (result.findings, result.pictures, result.rejected) == ((), 3, 1)


def test_a_score_that_the_picture_does_not_have_is_found(out):
    def falsified(record):
        scores = json.loads(json.dumps(record.scores))
        scores["sanity"]["picture"]["std"] = 12.0
        return replace(record, scores=scores) if record.sample == "b/1.jpg" else record

    rewrite(out, falsified)
    assert found(out, sample="0") == set()
    (finding,) = verify(out, sample="100%").findings
    assert (finding.kind, finding.path) == ("score", "b/1.jpg")
    assert finding.message.startswith("sanity: std was 12, is ")


def test_a_check_that_is_not_installed_any_more_is_noted(out):
    run = out / "sv2r" / "run.yaml"
    run.write_text(run.read_text().replace("  sanity:\n", "  crystal-ball: {}\n  sanity:\n"))
    result = verify(out, sample="1")
    assert (result.scored, result.findings) == (1, ())
    assert result.notes[0].startswith("the crystal-ball check cannot be run again: no check")


def test_a_damaged_journal_is_found_and_the_records_are_read_from_the_lines(out):
    (out / "sv2r" / "journal.sqlite3").write_bytes(b"this is not a database" * 100)
    result = verify(out, sample="0")
    assert (result.pictures, result.labels) == (4, 1)
    assert [str(f) for f in result.findings] == [
        "changed     sv2r/journal.sqlite3: is damaged (file is not a database)"
    ]


@pytest.mark.parametrize("how", ["a page", "a record", "missing"])
def test_a_journal_is_rebuilt_so_that_the_job_goes_on_where_it_was(converted, out, toy_sd15, how):
    journal = out / "sv2r" / "journal.sqlite3"
    if how == "a page":
        data = bytearray(journal.read_bytes())
        data[5000:9000] = os.urandom(4000)
        journal.write_bytes(data)
    elif how == "a record":
        with sqlite3.connect(journal) as database:
            database.execute("UPDATE records SET data = '{' WHERE sample = 'c.png'")
        database.close()
    else:
        journal.unlink()
    result = verify(out, sample="0", fix=True)
    assert result.exit_code == 1
    assert result.fixed[0].startswith("the journal is rebuilt from the 4 records that")
    summary = sv2r.convert(config_of(converted / "renders", out, toy_sd15))
    assert (summary.restored, summary.exit_code) == (4, 0)
    assert found(out) == set()
    after, before = contents(out), contents(converted / "out")
    differing = {name for name in before if after[name] != before[name]}
    assert differing <= NAMES_FOLDERS


@pytest.mark.parametrize("lines", ["missing", "cut short"])
def test_journal_and_lines_both_damaged_are_told_and_fixed_in_one_step(
    converted, out, toy_sd15, lines
):
    samples = out / "sv2r" / "samples.jsonl"
    config = config_of(converted / "renders", out, toy_sd15)
    (out / "sv2r" / "journal.sqlite3").write_bytes(b"this is not a database" * 100)
    whole = samples.read_text().splitlines()
    if lines == "missing":
        samples.unlink()
    else:
        samples.write_text("\n".join([*whole[:2], whole[2][:40], whole[1]]))
    with pytest.raises(ConfigError, match=r"is damaged .*; sv2r verify --fix rebuilds it"):
        sv2r.convert(config)
    result = verify(out, sample="0", fix=True)
    own = {f.path: f.message for f in result.findings if f.path.startswith("sv2r/")}
    assert own["sv2r/journal.sqlite3"] == "is damaged (file is not a database)"
    told = "is missing too" if lines == "missing" else "line 3 is not a record ("
    assert own["sv2r/samples.jsonl"].startswith(told)
    assert own["sv2r/samples.jsonl"].endswith("left" if lines == "missing" else ", and 1 more")
    summary = sv2r.convert(config)
    assert (summary.restored, summary.done) == (0 if lines == "missing" else 2, 4)
    assert found(out) == set()
    for name in NAMES:
        assert (out / name).read_bytes() == (converted / "out" / name).read_bytes()


@pytest.mark.parametrize(
    ("harm", "told"),
    [
        (lambda text: "", "says nothing; the same sv2r convert writes it anew"),
        (
            lambda text: text.replace("strength: 0.5", "strength: 0.9"),
            "not what ran: translator.strength was 0.5, now 0.9",
        ),
        (
            lambda text: text.replace("  name: sdedit\n", ""),
            "not what ran: translator.name was 'sdedit', now not set",
        ),
    ],
)
def test_a_run_file_that_does_not_say_what_ran_is_found_and_written_anew(
    converted, out, toy_sd15, harm, told
):
    run = out / "sv2r" / "run.yaml"
    run.write_text(harm(run.read_text()))
    assert ("sv2r/run.yaml", told) in {(f.path, f.message) for f in verify(out).findings}
    sv2r.convert(config_of(converted / "renders", out, toy_sd15))
    assert found(out) == set()


def test_a_run_file_that_is_no_yaml_is_refused_by_its_line_and_written_anew(
    converted, out, toy_sd15
):
    run = out / "sv2r" / "run.yaml"
    run.write_text(run.read_text() + "loader: [\n")
    with pytest.raises(ConfigError, match=r"run.yaml line \d+: .*; the same sv2r convert writes"):
        verify(out)
    sv2r.convert(config_of(converted / "renders", out, toy_sd15))
    assert found(out) == set()


def test_lines_that_went_missing_are_written_anew_though_nothing_is_left_to_do(
    converted, out, toy_sd15
):
    (out / "sv2r" / "samples.jsonl").unlink()
    (out / "sv2r" / "run.yaml").unlink()
    assert found(out) == {("missing", "sv2r/samples.jsonl"), ("missing", "sv2r/run.yaml")}
    summary = sv2r.convert(config_of(converted / "renders", out, toy_sd15))
    assert summary.restored == 4
    assert found(out) == set()


def test_empty_folders_links_and_strays_among_the_jobs_own_files_are_found(out, tmp_path):
    (out / "empty" / "inner").mkdir(parents=True)
    (tmp_path / "other").mkdir()
    (out / "link").symlink_to(tmp_path / "other")
    (out / "sv2r" / "notes.txt").write_text("mine")
    (out / "sv2r" / "old").mkdir()
    (out / "sv2r" / "old" / "run.yaml").write_text("")
    assert found(out) == {
        ("extra", "empty/inner"),
        ("extra", "link"),
        ("extra", "sv2r/notes.txt"),
        ("extra", "sv2r/old/run.yaml"),
    }


def test_what_is_missing_or_changed_is_made_again_bit_for_bit(converted, out, toy_sd15):
    (out / "a/0.png").unlink()
    flip_byte(out / "b/1.jpg")
    flip_byte(out / "annotations.json")
    result = verify(out, sample="0", fix=True)
    assert result.fixed[0] == "2 pictures will be made again"
    assert found(out) >= {("record", ".")}
    summary = sv2r.convert(config_of(converted / "renders", out, toy_sd15))
    assert (summary.restored, summary.done, summary.exit_code) == (2, 4, 0)
    assert found(out) == set()
    after, before = contents(out), contents(converted / "out")
    differing = {name for name in before if after[name] != before[name]}
    assert differing <= NAMES_FOLDERS


def test_a_run_that_was_not_finished_is_told(out):
    with Journal(out) as journal:
        journal.keep("complete", value=False)
    assert [f.message for f in verify(out, sample="0").findings] == [
        "the last run was not finished; run the same command again: it continues where it stopped"
    ]


def test_a_folder_that_a_run_writes_to_is_refused(out):
    with Journal(out), pytest.raises(ConfigError, match="a run writes to it; wait for it to end"):
        verify(out)


def test_a_folder_that_is_no_output_is_refused_with_what_to_give(out, tmp_path):
    (tmp_path / "other").mkdir()
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match=r"no output of sv2r .* give the folder that --output"):
        verify(tmp_path / "other")
    with pytest.raises(ConfigError, match="no such folder; give the folder that --output named"):
        verify(tmp_path / "nowhere")
    with pytest.raises(ConfigError, match="is not a folder"):
        verify(tmp_path / "file")
    with pytest.raises(ConfigError, match=f"give the folder around it, {out}"):
        verify(out / "sv2r")


def test_settings_that_were_changed_in_the_journal_are_made_again(out):
    database = sqlite3.connect(out / "sv2r/journal.sqlite3")
    (text,) = database.execute("SELECT value FROM meta WHERE key = 'identity'").fetchone()
    changed = json.dumps({**json.loads(text), "seed": 12345})
    database.execute("UPDATE meta SET value = ? WHERE key = 'identity'", (changed,))
    database.commit()
    database.close()
    (fault,) = verify(out).findings
    assert str(fault) == (
        "changed     sv2r/journal.sqlite3: is damaged (the settings in it are not those that were "
        "stored)"
    )
    told = r"not those that were stored\); sv2r verify --fix rebuilds it"
    with Journal(out) as journal, pytest.raises(ConfigError, match=told):
        journal.identity()
    fixed = verify(out, fix=True)
    assert fixed.fixed[0].startswith("the journal is rebuilt from the ")
    with Journal(out) as journal:
        assert journal.identity() == json.loads(text)


def test_without_run_yaml_hashes_are_still_looked_at(out):
    (out / "sv2r" / "run.yaml").unlink()
    flip_byte(out / "a/1.png")
    kinds = {(f.path) for f in verify(out).findings}
    assert kinds == {"sv2r/run.yaml", "a/1.png"}


# What cannot be read any more without a file: a whole dataset without its JSON, and the masks whose
# instances a JSON names.
_MASKS = {("labels", f"masks/{name}.png") for name in ("a/0", "a/0_v1", "b", "b_v1")}


@pytest.mark.parametrize(
    ("writer", "labels"),
    [
        ("coco", {"annotations.json": (set(), set())}),
        ("folder", {"instances.jsonl": (set(), _MASKS), "masks/a/0_v1.png": (set(), set())}),
    ],
)
def test_labels_that_a_writer_makes_are_read_again_and_compared(tmp_path, toy_sd15, writer, labels):
    make_coco(tmp_path / "renders", ("a/0.png", "b.jpg"))
    out = tmp_path / "out"
    more = {"writer": writer, "variants": 2}
    sv2r.convert(config_of(tmp_path / "renders", out, toy_sd15, **more))
    result = verify(out, sample="100%")
    assert (result.findings, result.pictures, result.scored) == ((), 4, 4)
    assert result.labels_how == "holding what the input's labels hold"
    for name, (with_damage, with_loss) in labels.items():
        before = (out / name).read_bytes()
        flip_byte(out / name)
        assert found(out) == {("labels", name)} | with_damage
        (out / name).write_bytes(before)
        (out / name).rename(out / "elsewhere")
        assert found(out) == {("missing", name), ("extra", "elsewhere")} | with_loss
        (out / "elsewhere").rename(out / name)
    assert found(out) == set()


def test_masks_beside_the_pictures_are_held_against_the_inputs(tmp_path, toy_sd15):
    for name in ("x.png", "d/y.png"):
        write_render(tmp_path / "in" / name, 24, 32, seed=1)
        mask = np.zeros((24, 32), np.uint8)
        mask[6:20, 3:15] = 1
        (tmp_path / "in/masks" / name).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(mask).save(tmp_path / "in/masks" / name)
    out = tmp_path / "out"
    sv2r.convert(config_of(tmp_path / "in", out, toy_sd15, loader="folder"))
    result = verify(out, sample="0")
    assert (result.findings, result.labels) == ((), 2)
    flip_byte(out / "masks/d/y.png")
    (out / "masks/x.png").unlink()
    assert found(out) == {("labels", "masks/d/y.png"), ("missing", "masks/x.png")}


def test_pictures_in_another_format_have_their_names_fixed_in_the_labels(tmp_path, toy_sd15):
    make_coco(tmp_path / "renders", ("a/0.png", "b.jpg"))
    out = tmp_path / "out"
    writer = {"name": "mirror", "format": "png"}
    sv2r.convert(config_of(tmp_path / "renders", out, toy_sd15, writer=writer))
    assert found(out) == set()
    text = (out / "annotations.json").read_text()
    (out / "annotations.json").write_text(text.replace('"iscrowd": 0', '"iscrowd": 1', 1))
    assert found(out) == {("labels", "annotations.json")}


def test_the_sample_is_a_share_or_a_number():
    assert read_part("5%") == ScoredPart(share=0.05)
    assert [read_part(text).of(total) for text, total in (("5%", 10), ("5%", 1000))] == [1, 50]
    assert [read_part(text).of(30) for text in ("0", "0%", "7", "99", "100%")] == [0, 0, 7, 30, 30]


@pytest.mark.parametrize("text", ["", "some", "-1", "101%", "-5%", "5.5", "nan%"])
def test_any_other_sample_is_refused(text):
    with pytest.raises(ConfigError, match="give a share such as 5%, or a number of pictures"):
        read_part(text)


def test_what_is_not_as_the_model_made_it_is_counted(tmp_path):
    def repaired(record):
        if record.sample == "c.png":
            return record
        share = 0.25 if record.sample == "a.png" else None
        return replace(record, repairs=("retry: made 2 times",), rendered=share)

    output = make_output(tmp_path, ("a.png", "b.png", "c.png"), repaired)
    found = verify(output, sample="0")
    told = "2 pictures made again · 1 picture holds pixels of the render: 8.3% of all that is done"
    assert found.repaired.words == told
    assert f"repairs     {told}" in list(verify_lines(found))
    assert told in write_report(output).read_text()
