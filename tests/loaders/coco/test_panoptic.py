from __future__ import annotations

import json

import numpy as np
import pytest
from PIL import Image

from sv2r.errors import SampleError
from sv2r.loaders.coco.loader import CocoOptions, detect, load
from sv2r.types import Instance

CATEGORIES = [
    {"id": 3, "name": "car", "isthing": 1},
    {"id": 5, "name": "road", "isthing": 0},
    {"id": 9, "name": "sign"},
]
# 460551 is (7, 7, 7) and 131329 is (1, 1, 2).
SEGMENTS = [
    {"id": 460551, "category_id": 3, "iscrowd": 0},
    {"id": 131329, "category_id": 9, "iscrowd": 1},
    {"id": 2, "category_id": 5, "iscrowd": 0},
]
COLOURS = [[[7, 7, 7], [7, 7, 7], [1, 1, 2], [2, 0, 0], [0, 0, 0]]]


def write(root, annotations, name="annotations/panoptic_train.json", colours=COLOURS, png="a.png"):
    image = {"id": 1, "file_name": "a.jpg", "height": 1, "width": 5}
    data = {"images": [image], "annotations": annotations, "categories": CATEGORIES}
    path = root / name
    (root / "images/train").mkdir(parents=True)
    Image.new("RGB", (5, 1)).save(root / "images/train/a.jpg")
    (path.with_suffix("")).mkdir(parents=True)
    path.write_text(json.dumps(data))
    Image.fromarray(np.array(colours, np.uint8)).save(path.with_suffix("") / png)
    return root


def annotation(segments=SEGMENTS, **more):
    return {"image_id": 1, "file_name": "a.png", "segments_info": segments, **more}


def test_things_are_instances_and_stuff_is_background(tmp_path):
    root = write(tmp_path, [annotation()])
    dataset = load(root, CocoOptions())
    (sample,) = dataset.samples
    assert dataset.notes == (
        "annotations in annotations/panoptic_train.json",
        "pictures of annotations/panoptic_train.json in images/train (1 of 1 looked for)",
    )
    assert sample.annotation_files == (root / "annotations/panoptic_train/a.png",)
    instances = sample.load_instances()
    assert instances.labels.tolist() == [[460551, 460551, 131329, 0, 0]]
    assert instances.labels.dtype == np.int32
    assert dict(instances.table) == {
        460551: Instance(460551, "car"),
        131329: Instance(131329, "sign", crowd=True),
    }
    assert detect(root).reason == "annotations/panoptic_train.json is COCO panoptic (segments_info)"


def test_the_png_may_lie_beside_the_json_file(tmp_path):
    root = write(tmp_path, [annotation()])
    (root / "annotations/panoptic_train/a.png").rename(root / "annotations/a.png")
    (sample,) = load(root, CocoOptions()).samples
    assert sample.annotation_files == (root / "annotations/a.png",)
    assert list(sample.load_instances().table) == [460551, 131329]


def test_a_picture_without_segments_has_no_instances(tmp_path):
    root = write(tmp_path, [annotation([])], colours=[[[0, 0, 0]] * 5])
    assert load(root, CocoOptions()).samples[0].load_instances().labels.tolist() == [[0] * 5]


@pytest.mark.parametrize(
    ("annotations", "message"),
    [
        (
            [annotation(SEGMENTS[1:])],
            (
                "annotations/panoptic_train/a.png: segment 460551 is not in "
                "segments_info; add it there"
            ),
        ),
        (
            [annotation([*SEGMENTS, SEGMENTS[0]])],
            "segment id 460551: it must be a colour's number, each only once",
        ),
        (
            [annotation([{"id": 0, "category_id": 3}])],
            "segment id 0: it must be a colour's number, each only once",
        ),
        (
            [annotation([{"id": 7, "category_id": 4}])],
            "segment 7: category_id 4 is not in 'categories'; add it there",
        ),
        ([annotation(7)], "segments_info is not a list of segments"),
        ([annotation(), annotation()], "2 panoptic annotations; a picture has one"),
        (
            [annotation(file_name=None)],
            "file_name of the annotation is None; name the panoptic PNG",
        ),
        (
            [annotation(file_name="b.png")],
            (
                "annotations/panoptic_train/b.png: is missing; put it there, "
                "then run the same command"
            ),
        ),
        (
            [annotation(file_name="../../../a.png")],
            (
                "annotations/panoptic_train/../../../a.png: the path climbs out by '..'; "
                "keep it inside the input folder"
            ),
        ),
    ],
)
def test_what_does_not_agree_fails_the_picture(tmp_path, annotations, message):
    (sample,) = load(write(tmp_path, annotations), CocoOptions()).samples
    with pytest.raises(SampleError) as told:
        sample.load_instances()
    assert str(told.value) == f"images/train/a.jpg in annotations/panoptic_train.json: {message}"


def test_a_grey_png_is_refused(tmp_path):
    root = write(tmp_path, [annotation()], colours=[[7, 7, 1, 2, 0]])
    with pytest.raises(SampleError, match="is no RGB picture, in whose colours segment ids"):
        load(root, CocoOptions()).samples[0].load_instances()
