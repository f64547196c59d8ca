from __future__ import annotations

import json

import numpy as np
import pytest

from sv2r.errors import SampleError
from tests.toys.folders import COLOURS, IDS, dataset, only, put


def omniverse(root, names):
    put(root / "rgb/rgb_0001.png")
    rgba = np.dstack([COLOURS, np.full((2, 3), 255, np.uint8)])
    put(root / "segmentation/semantic_segmentation_0001.png", rgba)
    path = root / "labels/semantic_segmentation_labels_0001.json"
    path.parent.mkdir()
    path.write_text(names if isinstance(names, str) else json.dumps(names))


def test_omniverse_names_its_colours_in_json(tmp_path):
    omniverse(
        tmp_path,
        {
            "(0, 0, 0, 0)": {"class": "BACKGROUND"},
            "(255, 0, 0, 255)": {"class": "crate"},
            "(0, 255, 0, 255)": {"class": "UNLABELLED"},
        },
    )
    data = dataset(tmp_path)
    (sample,) = data.samples
    red = 255 << 16
    instances = sample.load_instances()
    assert instances.labels.tolist() == [[0, red, red], [0, 0, 0]]
    assert [x.category for x in instances.table.values()] == ["crate"]
    assert data.categories == ("crate",)
    assert [path.name for path in sample.annotation_files] == [
        "semantic_segmentation_0001.png",
        "semantic_segmentation_labels_0001.json",
    ]
    assert only(tmp_path, categories={"0,255,0": "tree"})[1] == {255 << 8: "tree", red: "crate"}


@pytest.mark.parametrize(
    ("names", "message"),
    [
        ({"(255, 0, 0, 255)": "crate"}, "holds (0, 255, 0), which labels/"),
        ({"red": "crate"}, "'red' is not an id (7), range of ids"),
        ({"(255, 0, 0, 255)": {"class": 7}}, "7 is not a class name"),
        ([], "must be a JSON object from colours or ids to classes"),
        ("{", "no valid JSON"),
        ("", "is empty"),
    ],
)
def test_json_that_does_not_name_all_values_is_refused(tmp_path, names, message):
    omniverse(tmp_path, names)
    (sample,) = dataset(tmp_path).samples
    with pytest.raises(SampleError) as caught:
        sample.load_instances()
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_json_can_be_named_by_a_pattern(tmp_path):
    put(tmp_path / "images/x/a.png")
    put(tmp_path / "masks/x/a.png", IDS)
    (tmp_path / "classes/x").mkdir(parents=True)
    (tmp_path / "classes/x/a.json").write_text('{"1": "crate", "7": {"class": "pallet"}}')
    assert only(tmp_path, names="classes/{stem}.json")[1] == {1: "crate", 7: "pallet"}
    (sample,) = dataset(tmp_path, names="class/{stem}.json").samples
    with pytest.raises(SampleError, match=r"^class/x/a.json: is missing"):
        sample.load_instances()
