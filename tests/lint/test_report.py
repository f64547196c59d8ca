"""Tiny datasets with one thing wrong in each, and what is said of it."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from sv2r.lint.findings import LintOptions
from sv2r.lint.report import lint
from sv2r.plugin.registry import load_registry
from sv2r.plugin.specs import Runtime
from sv2r.types import Dataset

# What is looked at with torch is a test of its own.
QUICK = LintOptions(ignore=("unseen",))


def picture(seed: int = 0, size: tuple[int, int] = (64, 64)) -> np.ndarray:
    """Even grey with a little noise: nothing stands out."""
    noise = np.random.default_rng(seed).normal(0, 1, (*size, 3))
    return np.clip(np.rint(100 + noise), 0, 255).astype(np.uint8)


def box(left: int, top: int, width: int, height: int, **more) -> dict:
    """An annotation of a rectangle that says of itself what is true."""
    corners = [left, top, left + width, top, left + width, top + height, left, top + height]
    return {
        "category_id": 1,
        "segmentation": [corners],
        "bbox": [left, top, width, height],
        "area": width * height,
        "iscrowd": 0,
        **more,
    }


@pytest.fixture
def make_coco(tmp_path: Path):
    def make(annotations_by_picture: list[list[dict]], pixels=None, categories=("mug",)) -> Path:
        """Write a COCO dataset and return its folder; annotation ids count from 1."""
        images, annotations = [], []
        for number, own in enumerate(annotations_by_picture):
            image = pixels[number] if pixels else picture(number)
            Image.fromarray(image).save(tmp_path / f"{number}.png")
            height, width = image.shape[:2]
            images.append(
                {"id": number, "file_name": f"{number}.png", "height": height, "width": width}
            )
            for annotation in own:
                id_ = len(annotations) + 1
                annotations.append({"id": id_, "image_id": number, **annotation})
        listed = [{"id": i, "name": name} for i, name in enumerate(categories, start=1)]
        data = {"images": images, "annotations": annotations, "categories": listed}
        (tmp_path / "annotations.json").write_text(json.dumps(data))
        return tmp_path

    return make


@pytest.fixture
def open_coco(make_coco):
    def make(*args, **more) -> Dataset:
        root = make_coco(*args, **more)
        spec = load_registry().spec("loader", "coco")
        return spec.build(spec.options(), Runtime(input=root))(root)

    return make


def told(report) -> list[tuple]:
    return [(f.kind, f.severity, f.sample, f.instance, f.what) for f in report.findings]


def test_a_sound_dataset_has_nothing_against_it(open_coco):
    report = lint(open_coco([[box(4, 4, 20, 20), box(30, 30, 20, 20)]]), QUICK)
    assert told(report) == []
    assert report.exit_code == 0
    assert (report.pictures, report.instances) == (1, 2)


def test_an_empty_mask_is_an_error(open_coco):
    report = lint(open_coco([[box(4, 4, 20, 20), {**box(0, 0, 9, 9), "segmentation": []}]]), QUICK)
    assert told(report) == [("empty", "error", "0.png", "2", "has no pixel")]
    assert report.exit_code == 1
    assert report.findings[0].message == ("0.png instance 2 has no pixel; export their masks again")


def test_a_mask_far_smaller_than_its_area_is_incomplete(open_coco):
    report = lint(open_coco([[box(4, 4, 20, 20, area=1000)]]), QUICK)
    what = "has 400 pixels where the dataset says 1,000"
    assert told(report) == [("incomplete", "error", "0.png", "1", what)]


def test_a_mask_that_fills_little_of_its_box_is_incomplete(open_coco):
    report = lint(open_coco([[box(4, 4, 10, 10, bbox=[4, 4, 40, 40])]]), QUICK)
    what = "has a mask that spans 6% of the box that the dataset says"
    assert told(report) == [("incomplete", "error", "0.png", "1", what)]


def test_a_mask_outside_of_its_box_is_misplaced(open_coco):
    report = lint(open_coco([[box(4, 4, 20, 20, bbox=[40, 40, 20, 20])]]), QUICK)
    what = "has 0% of its mask's box in the box that the dataset says"
    assert told(report) == [("misplaced", "error", "0.png", "1", what)]


def test_a_polygon_outside_of_the_picture_is_an_error(open_coco):
    report = lint(open_coco([[box(100, 4, 20, 20)]]), QUICK)
    what = "lies outside of the picture of 64×64 (x 100 to 120, y 4 to 24)"
    assert told(report) == [("out-of-frame", "error", "0.png", "1", what)]


def test_a_polygon_partly_outside_is_a_remark_beyond_the_margin(open_coco):
    dataset = open_coco([[box(50, 4, 20, 20), box(4, 45, 21, 21)]])
    what = "reaches 6 px out of the picture of 64×64 (x 50 to 70, y 4 to 24)"
    assert told(lint(dataset, QUICK)) == [("out-of-frame", "remark", "0.png", "1", what)]
    assert told(lint(dataset, QUICK.model_copy(update={"margin": 6.0}))) == []


def test_two_instances_with_the_same_pixels_are_a_duplicate_and_not_hidden_as_well(open_coco):
    report = lint(open_coco([[box(4, 4, 20, 20), box(4, 4, 20, 20)]]), QUICK)
    assert [(f.kind, f.severity) for f in report.findings] == [("duplicate", "error")]
    assert report.findings[0].what.endswith("(100% in common)")


def test_an_instance_that_others_cover_whole_is_hidden(open_coco):
    halves = [box(4, 4, 10, 20), box(14, 4, 10, 20)]
    report = lint(open_coco([[box(4, 4, 20, 20), *halves]]), QUICK)
    hidden = [f for f in report.findings if f.kind == "hidden"]
    assert [(f.severity, f.instance, f.what) for f in hidden] == [
        ("error", "1", "is covered by others, all 400 pixels")
    ]


def test_instances_that_share_half_of_the_smaller_overlap(open_coco):
    report = lint(open_coco([[box(4, 4, 30, 30), box(24, 4, 20, 20)]]), QUICK)
    what = "shares 50% of its pixels with instance 1"
    assert told(report) == [("overlap", "remark", "0.png", "2", what)]
    assert report.exit_code == 0


def test_a_crowd_may_lie_under_all_others(open_coco):
    counts = [0, 64 * 64]
    crowd = {"segmentation": {"size": [64, 64], "counts": counts}, "iscrowd": 1, "category_id": 1}
    assert told(lint(open_coco([[crowd, box(4, 4, 20, 20)]]), QUICK)) == []


def test_an_instance_smaller_than_a_latent_cell_is_tiny(open_coco):
    dataset = open_coco([[box(4, 4, 7, 9), box(30, 30, 8, 8)]])
    assert told(lint(dataset, QUICK)) == [
        ("tiny", "remark", "0.png", "1", "has 63 pixels, less than 8×8")
    ]
    assert lint(dataset, QUICK.model_copy(update={"cell": 16})).counts == {("tiny", "remark"): 2}


def test_an_annotation_id_in_two_pictures_is_shared(open_coco):
    report = lint(open_coco([[box(4, 4, 20, 20, id=7)], [box(4, 4, 20, 20, id=7)]]), QUICK)
    what = "has its id in common with another annotation"
    assert told(report) == [("shared-id", "error", "1.png", "7", what)]


def test_pictures_of_the_same_bytes_are_an_error_where_their_labels_differ(open_coco):
    same = [picture(), picture(), picture()]
    labels = [[box(4, 4, 20, 20)], [box(4, 4, 20, 20)], [box(30, 4, 20, 20)]]
    assert told(lint(open_coco(labels, same), QUICK)) == [
        ("same-picture", "error", "2.png", None, "has the bytes of 0.png, but other labels"),
        ("same-picture", "remark", "1.png", None, "has the bytes of 0.png, and its labels"),
    ]


def test_two_samples_of_one_file_are_told_as_that_alone(open_coco):
    dataset = open_coco([[box(4, 4, 20, 20)], [box(4, 4, 20, 20)]])
    first = dataset.samples[0]
    samples = [first, replace(first, id="again.png")]
    doubled = replace(dataset, samples=samples, ids=[s.id for s in samples])
    kinds = [f for f in told(lint(doubled, QUICK)) if f[0] not in ("shared-id", "unlisted")]
    assert kinds == [("same-file", "error", "again.png", None, "is the file of 0.png as well")]


def test_what_the_loader_could_not_use_is_an_error(open_coco):
    dataset = open_coco([[box(4, 4, 20, 20), box(4, 30, 20, 20, image_id=99)]])
    report = lint(dataset, QUICK)
    assert report.counts == {("input", "error"): 1}
    assert "99" in report.findings[0].message


def test_a_picture_that_cannot_be_read_is_an_error_and_the_others_are_looked_at(open_coco):
    dataset = open_coco([[box(4, 4, 20, 20)], [box(4, 4, 7, 7)]])
    Path(dataset.root / "0.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    report = lint(dataset, QUICK)
    assert [(f.kind, f.sample) for f in report.findings] == [
        ("unreadable", "0.png"),
        ("tiny", "1.png"),
    ]


def test_a_picture_of_another_size_than_its_labels_is_an_error(open_coco):
    dataset = open_coco([[box(4, 4, 20, 20)]])
    Image.fromarray(picture(0, (64, 60))).save(dataset.root / "0.png")
    assert lint(dataset, QUICK).findings[0].message == (
        "0.png: the picture is 60×64, its labels 64×64; render both at one size"
    )


def test_pictures_and_categories_without_an_instance_are_remarks(open_coco):
    dataset = open_coco([[box(4, 4, 20, 20)], []], categories=("mug", "bowl"))
    assert told(lint(dataset, QUICK)) == [
        ("bare", "remark", "1.png", None, "has no instance"),
        ("unused", "remark", None, None, "1 of 2 categories: bowl"),
    ]


def test_a_dataset_without_any_instance_is_an_error(open_coco):
    report = lint(open_coco([[], []]), QUICK)
    assert report.counts == {("unlabelled", "error"): 1, ("bare", "remark"): 2}


def test_an_instance_that_does_not_stand_out_is_unseen(open_coco):
    faint, clear = picture(0, (96, 96)), picture(1, (96, 96))
    clear[20:60, 20:60] = (200, 40, 40)
    report = lint(open_coco([[box(20, 20, 40, 40)], [box(20, 20, 40, 40)]], [faint, clear]))
    assert told(report) == [
        ("unseen", "remark", "0.png", "1", "stands out along 0% of its boundary")
    ]


def test_only_the_first_findings_of_a_kind_are_kept_but_all_are_counted(open_coco):
    dataset = open_coco([[box(10 * k, 4, 5, 5) for k in range(6)]])
    assert len(lint(dataset, QUICK).findings) == 3
    assert len(lint(dataset, QUICK, examples=None).findings) == 6
    assert lint(dataset, QUICK).counts == {("tiny", "remark"): 6}


def test_pictures_that_no_json_lists_are_a_remark(open_coco, tmp_path):
    dataset = open_coco([[box(4, 4, 20, 20)]])
    for name in ("b.png", "c.PNG", "notes.txt"):
        (dataset.root / name).write_bytes(b"x")
    (dataset.root / "depth").mkdir()
    (dataset.root / "depth" / "0.png").write_bytes(b"x")
    (one,) = (f for f in lint(dataset, QUICK).findings if f.kind == "unlisted")
    assert one.severity == "remark"
    assert one.message == (
        "2 next to those that are listed, such as b.png; list them, or leave them: "
        "none is converted"
    )


def test_a_limit_looks_at_the_first_pictures_and_says_nothing_of_unused_categories(open_coco):
    dataset = open_coco([[box(4, 4, 20, 20)], []], categories=("mug", "bowl"))
    seen: list[tuple[int, int]] = []
    report = lint(dataset, QUICK, limit=1, watch=lambda *count: seen.append(count))
    assert told(report) == []
    assert (report.pictures, report.total) == (1, 2)
    assert seen == [(1, 1)]


def test_categories_and_sizes_are_counted(open_coco):
    dataset = open_coco(
        [
            [box(0, 0, 5, 5), box(20, 0, 20, 20), box(0, 30, 10, 10, category_id=2)],
            [box(4, 4, 40, 40)],
        ],
        categories=("mug", "bowl"),
    )
    report = lint(dataset, QUICK)
    assert [(c.name, c.instances, c.pictures) for c in report.categories] == [
        ("mug", 3, 2),
        ("bowl", 1, 1),
    ]
    assert report.sides == (0, 1, 1, 1, 1, 0)
    assert report.sizes == {(64, 64): 2}


def test_errors_come_before_remarks(open_coco):
    report = lint(open_coco([[box(4, 4, 5, 5), box(100, 4, 20, 20)]]), QUICK)
    assert [(f.kind, f.severity) for f in report.findings] == [
        ("out-of-frame", "error"),
        ("tiny", "remark"),
    ]
