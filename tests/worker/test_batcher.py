"""What the batcher asks of a translator."""

from __future__ import annotations

import torch

import sv2r
from tests.toys.datasets import make_coco
from tests.toys.jobs import records_of
from tests.toys.registries import with_translator


def test_no_batch_size_is_tried_for_the_few_pictures_that_only_leaves(tmp_path):
    root = make_coco(
        tmp_path / "renders", names=tuple(f"{n}.png" for n in range(70)), size=(24, 40)
    )
    batches = []

    def translate(batch):
        batches.append([frame.sample.id for frame in batch.frames])
        return [frame.pixels for frame in batch.frames]

    config = {"input": root, "output": tmp_path / "out", "loader": "coco", "translator": "keep"}
    asked = {**config, "only": ["7.png"], "checks": [], "batch_size": "auto"}
    summary = sv2r.convert(asked, registry=with_translator("keep", translate))
    assert (summary.done, batches) == (1, [["7.png"]])


def test_a_picture_of_a_wrong_size_fails_whatever_its_batch_holds(tmp_path):
    root = make_coco(tmp_path / "renders", names=("a.png", "b.png", "c.png"))

    def translate(batch):
        small = torch.zeros(3, 8, 8, dtype=torch.uint8)
        return [small if f.sample.id == "b.png" else f.pixels for f in batch.frames]

    config = {"input": root, "output": tmp_path / "out", "loader": "coco", "translator": "keep"}
    asked = {**config, "checks": [], "batch_size": 2}
    summary = sv2r.convert(asked, registry=with_translator("keep", translate))
    assert (summary.done, summary.failed) == (2, 1)
    error = records_of(tmp_path / "out")["b.png"]["error"]
    assert error == "b.png: the translator returned (3, 8, 8) torch.uint8, not (3, 32, 40) uint8"
