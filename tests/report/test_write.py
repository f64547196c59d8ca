"""The report as a file: what it holds, what it leaves out, what it refuses."""

from __future__ import annotations

import json
import re
import shutil
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from sv2r.errors import ConfigError
from sv2r.output.finished import open_dataset, open_finished
from sv2r.report import statistics
from sv2r.report.entries import make_entry, shift_of, survival_of
from sv2r.report.pictures import contours
from sv2r.report.write import write_report
from sv2r.types import Record
from tests.toys.outputs import make_output, scores


def data_of(path) -> dict:
    text = path.read_text(encoding="utf-8")
    found = re.search(r'<script type="application/json" id="data">(.*?)</script>', text, re.DOTALL)
    return json.loads(found[1])


def test_it_is_one_file_and_changes_no_other(out):
    before = {p: p.read_bytes() for p in out.rglob("*") if p.is_file()}
    path = write_report(out)
    assert path == out / "sv2r" / "report.html"
    after = {p: p.read_bytes() for p in out.rglob("*") if p.is_file()}
    assert after.keys() - before.keys() == {path}
    assert {p: after[p] for p in before} == before


def test_the_same_output_gives_the_same_bytes_wherever_it_lies(out, tmp_path):
    first = write_report(out).read_bytes()
    assert write_report(out).read_bytes() == first
    shutil.copytree(out, tmp_path / "copy")
    assert write_report(tmp_path / "copy").read_bytes() == first


def test_nothing_in_it_points_to_a_network(report):
    text = report.read_text(encoding="utf-8")
    assert set(re.findall(r"https?://[^\s\"']+", text)) == {"http://www.w3.org/2000/svg"}
    assert "default-src 'none'" in text


def test_only_the_worst_are_carried_within_the_page(out):
    data = data_of(write_report(out, embedded=2))
    assert [item["i"] for item in data["items"][:2]] == ["a/1.png", "b/1.png"]
    assert len(data["pictures"]) == 2
    assert data["pictures"][1]["b"].startswith("data:image/jpeg;base64,")
    assert data["pictures"][1]["contours"][0] == [31, "M3 6h12v14h-12z"]
    assert data_of(write_report(out, embedded=0))["pictures"] == []


def test_the_dataset_may_be_given(out):
    from sv2r.plugin.registry import load_registry

    opened = write_report(out).read_bytes()
    dataset = open_dataset(open_finished(out), load_registry())
    assert write_report(out, dataset).read_bytes() == opened


def test_where_the_input_is_gone_the_page_does_without_it_and_says_so(out, tmp_path):
    shutil.move(tmp_path / "renders", tmp_path / "moved")
    path = write_report(out)
    text = path.read_text(encoding="utf-8")
    assert f"the input {tmp_path / 'renders'} is not there" in text
    items = data_of(path)["items"]
    assert all("b" not in item for item in items)
    assert sorted(items[2]["c"]) == [0, 1]  # the record itself knows its categories
    data = data_of(write_report(out, source=tmp_path / "moved"))
    assert data["categories"] == [["bowl", 4], ["coffee_mug", 4]]
    assert data["items"][2]["b"] == "../../moved/a/0.png"


def test_pictures_that_vanished_are_named(out, tmp_path):
    (out / "c.png").unlink()
    (tmp_path / "renders" / "a/0.png").unlink()
    text = write_report(out).read_text(encoding="utf-8")
    assert "<li>c.png: is missing; put it there, then run the same command</li>" in text
    assert "<li>a/0.png: is missing; put it there, then run the same command</li>" in text


def test_labels_that_cannot_be_read_leave_the_rest(out, tmp_path):
    labels = tmp_path / "renders" / "annotations.json"
    data = json.loads(labels.read_text())
    data["annotations"][0]["segmentation"] = [[1, 2, 3, float("nan"), 5, 6]]
    labels.write_text(json.dumps(data))
    path = write_report(out)
    assert "<li>a/0.png in annotations.json: annotation 1 holds NaN" in path.read_text("utf-8")
    data = data_of(path)
    pairs = zip(data["items"], data["pictures"], strict=True)
    contours = {item["i"]: bool(own["contours"]) for item, own in pairs}
    assert (contours["a/0.png"], contours["c.png"]) == (False, True)


@pytest.mark.parametrize(
    ("line", "why"),
    [
        ("{", "Expecting property name"),
        ("[]", "not a mapping"),
        ('{"sample": "a", "variant": 0}', "status is missing"),
        ('{"sample": "a", "variant": 0, "status": "lost"}', "status is 'lost'"),
        ('{"sample": 3, "variant": 0, "status": "done"}', "sample is missing or of the wrong type"),
        ('{"sample": "a", "variant": 0, "status": "done", "scores": 3}', "scores is not a mapping"),
    ],
)
def test_a_damaged_line_is_refused_by_its_number(out, line, why):
    path = out / "sv2r" / "samples.jsonl"
    lines = path.read_text().splitlines()
    path.write_text("\n".join([lines[0], line, *lines[2:]]))
    with pytest.raises(
        ConfigError, match=re.escape("sv2r/samples.jsonl line 2 is not a record")
    ) as e:
        write_report(out)
    assert why in str(e.value)
    assert not (out / "sv2r" / "report.html").exists()


def test_lines_that_are_missing_or_binary_are_refused(out):
    path = out / "sv2r" / "samples.jsonl"
    path.write_bytes(b"\xff\xfe\x00" * 40)
    with pytest.raises(ConfigError, match=r"samples.jsonl line 1 is not a record"):
        write_report(out)
    path.unlink()
    with pytest.raises(ConfigError, match=r"samples.jsonl is missing; sv2r verify --fix"):
        write_report(out)


def test_a_folder_that_is_no_output_is_refused(tmp_path):
    with pytest.raises(ConfigError, match="no output of sv2r"):
        write_report(tmp_path)


def test_odd_scores_do_not_stop_it(tmp_path):
    odd = {
        "survival": {"picture": {"lowest": float("nan")}, "instances": {"x": {"survival": "no"}}},
        "shift": {"picture": []},
        "other": 3,
    }
    output = make_output(tmp_path, ("a.png",), lambda record: replace(record, scores=odd))
    (item,) = data_of(write_report(output))["items"]
    assert ("w" in item, "t" in item) == (False, False)


def test_unknown_keys_of_a_later_version_are_left_out(out):
    path = out / "sv2r" / "samples.jsonl"
    path.write_text(path.read_text().replace('{"', '{"a_new_key": [1], "', 1))
    assert len(data_of(write_report(out))["items"]) == 5


def test_contours_run_along_the_cracks_and_go_around_holes():
    labels = np.zeros((4, 5), np.int32)
    labels[0:3, 1:4] = 7
    labels[1, 2] = 0
    assert contours(labels) == {7: "M1 0h3v3h-3zM2 1v1h1v-1z"}


def test_large_label_maps_are_drawn_on_a_coarser_grid(tmp_path):
    output = make_output(tmp_path, ("a.png",))
    root = tmp_path / "renders"
    Image.new("RGB", (3000, 40)).save(root / "a.png")
    data = json.loads((root / "annotations.json").read_text())
    data["images"][0].update(width=3000, height=40)
    (root / "annotations.json").write_text(json.dumps(data))
    picture = data_of(write_report(output))["pictures"][0]
    assert picture["grid"] == pytest.approx([40 / 3, 1000])


def test_scores_are_read_from_a_record():
    found = scores({3: 0.5, 4: None}, shift=1.25)
    assert (survival_of(found, "3"), survival_of(found, "4"), shift_of(found)) == (0.5, None, 1.25)
    assert (survival_of({}, "3"), shift_of({})) == (None, None)


def entry(name: str, status: str = "done", **given):
    record = Record(name, 0, status, scores=scores(**given) if given else {})
    return make_entry(record, None, None, None)


def test_failed_then_rejected_then_the_least_survival_then_the_largest_shift():
    entries = [
        entry("good", survival={1: 0.9}, shift=0.1),
        entry("moved", survival={1: 0.9}, shift=0.8),
        entry("melted", survival={1: 0.2, 2: 1.0}),
        entry("unscored", survival={1: None}),
        entry("rejected", "rejected", survival={1: 0.99}),
        entry("failed", "failed"),
    ]
    names = [e.record.sample for e in sorted(entries, key=lambda e: e.rank)]
    assert names == ["failed", "rejected", "melted", "moved", "good", "unscored"]


def test_categories_are_summed_up_the_least_surviving_first(tmp_path):
    survival = {1: 0.2, 2: 0.9, 11: 0.4, 12: None}
    names = ("a.png", "b.png")
    output = make_output(tmp_path, names, lambda r: replace(r, scores=scores(survival)))
    finished = open_finished(output)
    from sv2r.plugin.registry import load_registry

    dataset = open_dataset(finished, load_registry())
    entries = [
        make_entry(record, output, dataset, index)
        for index, record in enumerate(finished.records())
    ]
    mug, bowl = statistics.by_category(entries, 0.6)
    assert (mug.name, mug.instances, mug.scored, mug.damaged) == ("coffee_mug", 2, 2, 1.0)
    assert (bowl.name, bowl.scored, bowl.middle, bowl.damaged) == ("bowl", 1, 0.9, 0.0)
    assert (bowl.bars[18], sum(bowl.bars)) == (1, 1)


def test_shifts_are_counted_in_bars_of_a_round_width():
    shifts = [0.05, 0.1, 0.3, 0.31, 2.0]
    histogram = statistics.shift_histogram([entry(str(s), survival={}, shift=s) for s in shifts])
    assert histogram.width == 0.1
    assert (histogram.bars[0], histogram.bars[1], histogram.bars[3]) == (1, 1, 2)
    assert sum(histogram.bars) + histogram.more == 5
    assert histogram.middle == 0.3
    assert statistics.shift_histogram([entry("a")]) is None
