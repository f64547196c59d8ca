"""A pass of their own for small objects: where the crops lie, and what is pasted."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from PIL import Image

import sv2r
from sv2r.config.sections import SmallOptions
from sv2r.types import Frame, Instance, Instances, Sample
from sv2r.worker.small import Crop, crop_frame, crops_of, paste
from tests.toys.datasets import write_render

OPTIONS = SmallOptions(cells=4, resolution=64, context=3, enlarge=4)


def labelled(size, *boxes, crowds=()) -> Instances:
    """Rectangles (top, left, height, width), numbered from 1."""
    labels = np.zeros(size, np.int32)
    for number, (top, left, height, width) in enumerate(boxes, 1):
        labels[top : top + height, left : left + width] = number
    ids = range(1, len(boxes) + 1)
    return Instances(labels, {i: Instance(i, "mug", i in crowds) for i in ids})


def test_none_has_a_pass_of_its_own_unless_asked():
    assert crops_of(labelled((64, 64), (4, 4, 5, 5)), SmallOptions()) == ()


def test_only_instances_of_few_cells_have_a_crop_with_context_inside_the_frame():
    instances = labelled((100, 120), (2, 3, 8, 6), (40, 40, 16, 16), (80, 100, 9, 12))
    assert crops_of(instances, OPTIONS) == (Crop(0, 0, 24, (1,)), Crop(64, 84, 36, (3,)))


def test_small_instances_near_each_other_share_a_crop():
    instances = labelled((100, 120), (50, 50, 6, 6), (51, 57, 3, 3), (90, 5, 5, 5))
    assert [crop.ids for crop in crops_of(instances, OPTIONS)] == [(1, 2), (3,)]


def test_a_crowd_and_what_cannot_be_enlarged_have_none():
    assert crops_of(labelled((64, 64), (4, 4, 5, 5), crowds=(1,)), OPTIONS) == ()
    slender = labelled((300, 300), (4, 4, 2, 100))
    assert crops_of(slender, OPTIONS) == ()


def test_a_crop_is_no_larger_than_the_picture():
    (crop,) = crops_of(labelled((10, 90), (1, 80, 5, 8)), OPTIONS)
    assert (crop.side, crop.top, crop.left) == (10, 0, 79)


def test_a_crop_is_a_frame_with_the_labels_of_its_pixels():
    instances = labelled((40, 40), (10, 12, 4, 6))
    image = torch.rand(3, 40, 40)
    frame = Frame(Sample("a", "a.png", lambda: instances), image, instances)
    crop = Crop(8, 8, 16, (1,))
    made = crop_frame(frame, crop, 64)
    assert (tuple(made.image.shape), made.instances.size) == ((3, 64, 64), (64, 64))
    assert 0 <= float(made.image.min()) <= float(made.image.max()) <= 1
    assert np.array_equal(made.instances.labels[::4, ::4], instances.labels[8:24, 8:24])
    assert list(made.instances.table) == [1]


def test_pasting_changes_the_instance_and_a_seam_of_background_alone():
    instances = labelled((40, 40), (10, 10, 5, 5), (10, 15, 5, 9))
    canvas = torch.full((3, 40, 40), 100, dtype=torch.uint8)
    canvas[:, ::2] = 120
    made = torch.randint(0, 256, (3, 64, 64), dtype=torch.uint8)
    crop = Crop(4, 4, 16, (1,))
    pasted = paste(canvas, made, crop, instances.labels, feather=2)
    changed = (pasted != canvas).any(0).numpy()
    assert changed[instances.labels == 1].all()
    assert not changed[instances.labels == 2].any()
    near = np.zeros((40, 40), bool)
    near[8:17, 8:17] = True
    assert not changed[~near].any()


@pytest.fixture
def config(tmp_path, toy_sd15):
    """A picture with one small and one large object, and one without any small one."""
    root = tmp_path / "renders"
    for number, name in enumerate(("a.png", "b.png")):
        write_render(root / name, 64, 80, number)
    boxes = {1: (0, 30, 30, 6, 6), 2: (0, 2, 2, 20, 24), 3: (1, 4, 4, 20, 20)}
    data = {
        "images": [
            {"id": i, "file_name": name, "height": 64, "width": 80}
            for i, name in enumerate(("a.png", "b.png"))
        ],
        "annotations": [
            {
                "id": id_,
                "image_id": image,
                "category_id": 1,
                "segmentation": [[x, y, x + w, y, x + w, y + h, x, y + h]],
                "bbox": [x, y, w, h],
                "area": w * h,
                "iscrowd": 0,
            }
            for id_, (image, x, y, w, h) in boxes.items()
        ],
        "categories": [{"id": 1, "name": "mug"}],
    }
    (root / "annotations.json").write_text(json.dumps(data))
    return {
        "input": root,
        "output": tmp_path / "out",
        "loader": "coco",
        "translator": {"name": "sdedit", "model": str(toy_sd15), "steps": 2, "strength": 0.5},
        "checks": ["sanity"],
        "batch_size": 2,
    }


def test_a_job_redraws_small_objects_says_which_and_leaves_the_rest(config, tmp_path):
    plain = {**config, "output": tmp_path / "plain"}
    assert sv2r.convert(plain).exit_code == 0
    small = {"cells": 4, "resolution": 64, "feather": 2}
    assert sv2r.convert({**config, "small": small}).exit_code == 0
    lines = (tmp_path / "out" / "sv2r" / "samples.jsonl").read_text().splitlines()
    records = {record["sample"]: record for record in map(json.loads, lines)}
    assert records["a.png"]["small"] == [1]
    assert "small" not in records["b.png"]
    pictures = {
        (folder, name): np.asarray(Image.open(tmp_path / folder / name)).astype(int)
        for folder in ("plain", "out")
        for name in ("a.png", "b.png")
    }
    assert np.array_equal(pictures["plain", "b.png"], pictures["out", "b.png"])
    changed = (pictures["plain", "a.png"] != pictures["out", "a.png"]).any(-1)
    assert changed[30:36, 30:36].mean() > 0.9
    changed[28:38, 28:38] = False
    assert not changed.any()


def test_a_small_object_is_the_same_whatever_else_is_made(config, tmp_path):
    small = {"cells": 4, "resolution": 64}
    sv2r.convert({**config, "small": small})
    sv2r.convert({**config, "small": small, "output": tmp_path / "one", "only": ["a.png"]})
    assert (tmp_path / "one" / "a.png").read_bytes() == (tmp_path / "out" / "a.png").read_bytes()
