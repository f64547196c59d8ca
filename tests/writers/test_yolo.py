"""YOLO exports are read back to the pixel, in splits that keep together what belongs together."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import sv2r
from sv2r.errors import ConfigError
from sv2r.loaders.yolo import YoloOptions, load
from sv2r.plugin.specs import Runtime
from sv2r.storage.strict_yaml import read_yaml
from tests.toys.datasets import make_coco
from tests.toys.jobs import records_of


def export(source: Path, output: Path, **more: Any) -> sv2r.Summary:
    grade = {"name": "grade", "mean": [60, 10, 5], "std": [15, 5, 5]}
    return sv2r.convert(
        {
            "input": str(source),
            "output": str(output),
            "translator": grade,
            "checks": ["sanity"],
            "writer": {"name": "yolo", **more.pop("writer", {})},
            **more,
        }
    )


def masks(dataset: sv2r.Dataset, index: int) -> list[tuple[str, bytes]]:
    instances = dataset.samples[index].load_instances()
    return sorted(
        (one.category, instances.mask(id_).tobytes()) for id_, one in instances.table.items()
    )


def test_every_instance_comes_back_to_the_pixel(tmp_path: Path) -> None:
    from sv2r.loaders.coco.loader import CocoOptions, build

    source = make_coco(tmp_path / "in", ("a.png", "b/c.png"))
    summary = export(source, tmp_path / "out")
    assert (summary.done, summary.faults, summary.notes) == (2, (), ())
    before = build(CocoOptions(), Runtime(input=source))(source)
    after = load(YoloOptions(), tmp_path / "out")
    assert list(after.ids) == ["images/train/a.png", "images/train/b/c.png"]
    assert [masks(after, n) for n in range(2)] == [masks(before, n) for n in range(2)]
    about = read_yaml((tmp_path / "out" / "data.yaml").read_text(), "data.yaml")
    assert about == {
        "path": ".",
        "train": "images/train",
        "val": "images/train",
        "names": {0: "coffee_mug", 1: "bowl"},
    }


def test_an_instance_of_two_pieces_is_told_of(tmp_path: Path) -> None:
    source = make_coco(tmp_path / "in", ("a.png",))
    data = json.loads((source / "annotations.json").read_text())
    data["annotations"][0]["segmentation"].append([4, 24, 8, 24, 8, 26, 4, 26])
    (source / "annotations.json").write_text(json.dumps(data))
    summary = export(source, tmp_path / "out")
    assert (summary.done, summary.faults) == (1, ())
    (iou,) = records_of(tmp_path / "out")["a.png"]["label_iou"].values()
    assert 0.9 < iou < 0.98
    (note,) = summary.notes
    assert note == (
        f"1 instance is not held to the pixel, at worst with an IoU of {iou:.2f} (label_iou in "
        "samples.jsonl); --writer coco or folder is exact"
    )


def test_a_crowd_is_left_out_and_told_of(tmp_path: Path) -> None:
    source = make_coco(tmp_path / "in", ("a.png",))
    data = json.loads((source / "annotations.json").read_text())
    data["annotations"][0]["iscrowd"] = 1
    (source / "annotations.json").write_text(json.dumps(data))
    summary = export(source, tmp_path / "out")
    assert (summary.done, summary.faults) == (1, ())
    assert records_of(tmp_path / "out")["a.png"]["label_iou"] == {"1": 0.0}
    assert (tmp_path / "out/labels/train/a.txt").read_text().count("\n") == 1


def test_a_changed_row_is_found(tmp_path: Path) -> None:
    from click.testing import CliRunner

    from sv2r.cli.main import cli

    source = make_coco(tmp_path / "in", ("a.png", "b.png"))
    export(source, tmp_path / "out")
    assert cli.main(["verify", str(tmp_path / "out")], standalone_mode=False) == 0
    rows = tmp_path / "out" / "labels" / "train" / "a.txt"
    rows.write_text(rows.read_text().replace("0 0.", "1 0.", 1))
    words = ["verify", str(tmp_path / "out")]
    told = CliRunner().invoke(cli, words, standalone_mode=False)
    assert told.return_value == 1
    assert "1 of 2 instances are not those of its source" in told.output


def test_splits_keep_variants_together_and_come_from_the_seed(tmp_path: Path) -> None:
    names = tuple(f"{number}.png" for number in range(12))
    source = make_coco(tmp_path / "in", names)

    def splits(output: Path, seed: int) -> dict[str, set[str]]:
        writer = {"split": [0.5, 0.5], "split_seed": seed}
        assert export(source, output, writer=writer, variants=2).done == 24
        found: dict[str, set[str]] = {}
        for path in sorted(output.glob("images/*/*.png")):
            found.setdefault(path.stem.removesuffix("_v1"), set()).add(path.parent.name)
        return found

    one, other = splits(tmp_path / "one", 0), splits(tmp_path / "other", 1)
    assert all(len(where) == 1 for where in one.values())
    assert {name for where in one.values() for name in where} == {"train", "val"}
    assert one != other
    with pytest.raises(ConfigError, match="up to three shares that add up to 1"):
        export(source, tmp_path / "bad", writer={"split": [0.5, 0.4]})


def test_rows_are_drawn_alike_by_opencv() -> None:
    cv2 = pytest.importorskip("cv2", reason="opencv is not installed")
    from sv2r.images.contours import polygon_of

    random = np.random.default_rng(0)
    mask = np.kron(random.random((12, 12)) < 0.8, np.ones((5, 5), bool)).astype(bool)
    mask[:5] = True
    canvas = np.zeros(mask.shape, np.uint8)
    cv2.fillPoly(canvas, [polygon_of(mask).astype(np.int32)], 1)
    assert (canvas.astype(bool) | mask == canvas.astype(bool)).all()
