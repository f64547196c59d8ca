"""Exporting writers mark instances that survived poorly; the dataset's own crowds stay crowds."""

from __future__ import annotations

import json

import pytest

from sv2r.plugin.registry import load_registry
from sv2r.plugin.specs import Runtime
from sv2r.types import Record
from tests.toys.datasets import make_coco

SURVIVAL = {"survival": {"picture": {}, "instances": {"1": {"survival": 0.7}, "2": {}}}}


@pytest.fixture
def finish(tmp_path):
    def run(name: str, **options) -> str:
        """Write the labels of one picture whose first instance has a survival of 0.7."""
        root = make_coco(tmp_path / "in", ("a.png",))
        registry = load_registry()
        loader, writer = registry.spec("loader", "coco"), registry.spec("writer", name)
        dataset = loader.build(loader.options(), Runtime(input=root))(root)
        runtime = Runtime(input=root, output=tmp_path / "out")
        (tmp_path / "out").mkdir(exist_ok=True)
        record = Record("a.png", 0, "done", output="images/a.png", scores=SURVIVAL)
        (file,) = writer.build(writer.options(**options), runtime).finish(dataset, [record])
        return (tmp_path / "out" / file).read_text()

    return run


@pytest.mark.parametrize(
    ("doubtful", "crowds"), [(0.0, [0, 0]), (0.7, [0, 0]), (0.71, [1, 0]), (1.0, [1, 0])]
)
def test_coco_marks_what_survived_less_than_asked(finish, doubtful, crowds):
    annotations = json.loads(finish("coco", doubtful=doubtful))["annotations"]
    assert [annotation["iscrowd"] for annotation in annotations] == crowds


def test_folder_marks_them_as_well(finish):
    rows = json.loads(finish("folder", doubtful=0.8))["instances"]
    assert [row["crowd"] for row in rows] == [True, False]
