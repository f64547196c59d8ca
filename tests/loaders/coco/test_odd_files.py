"""COCO files as other tools write them: odd ids, names, boxes and charsets."""

from __future__ import annotations

import json

import numpy as np
import pytest
from PIL import Image

from sv2r.errors import ConfigError, SampleError
from sv2r.loaders.coco.loader import CocoOptions, load
from sv2r.plugin.options import validate_options

CAR = [{"id": 1, "name": "car"}]
BOX = [[0, 0, 2, 0, 2, 1, 0, 1]]


def write(root, data, encoding="utf-8"):
    """Write a COCO file, and a picture of 5 x 1 pixels for every name that stays inside."""
    for image in data["images"]:
        path = root / image["file_name"].replace("\\", "/")
        if not image["file_name"].startswith(("/", "http", "C:")):
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(np.zeros((1, 5, 3), np.uint8)).save(path)
    text = json.dumps(data, ensure_ascii=False)
    (root / "coco.json").write_bytes(text.encode(encoding))
    return root


def coco(images, annotations=(), categories=CAR):
    """Return a COCO file: pictures by id, and annotations as pairs of picture's id and mask."""
    return {
        "images": [
            {"id": id_, "file_name": name, "height": 1, "width": 5} for id_, name in images.items()
        ],
        "annotations": [
            {"id": n, "image_id": id_, "category_id": 1, "segmentation": mask}
            for n, (id_, mask) in enumerate(annotations, 1)
        ],
        "categories": categories,
    }


def loaded(root, **options):
    return load(root, validate_options(CocoOptions, options, where="--loader"))


def labels(dataset):
    return [sample.load_instances().labels.tolist()[0] for sample in dataset.samples]


@pytest.mark.parametrize(
    ("listed", "told"),
    [("1", 1), (1, "1"), ("0001", 1), (7, "007"), (" 7", 7)],
)
def test_ids_that_are_text_on_one_side_are_taken_as_equal_and_told(tmp_path, listed, told):
    dataset = loaded(write(tmp_path, coco({listed: "a.png"}, [(told, BOX)])))
    assert labels(dataset) == [[1, 1, 0, 0, 0]]
    assert dataset.problems == ()
    assert dataset.notes[-1] == (
        "coco.json: annotations whose image_id is a text where the picture's id is a number, "
        "or the other way round: 1; taken as equal"
    )


def test_an_id_that_two_pictures_spell_is_not_guessed(tmp_path):
    dataset = loaded(write(tmp_path, coco({"1": "a.png", "01": "b.png"}, [(1, BOX)])))
    assert labels(dataset) == [[0] * 5, [0] * 5]
    assert [problem.message for problem in dataset.problems] == [
        "coco.json: annotation 1: for picture 1, which 'images' does not list; add it to 'images'"
    ]


def test_a_category_id_that_is_text_on_one_side_is_taken_as_equal(tmp_path):
    data = coco({1: "a.png"}, [(1, BOX)], [{"id": "1", "name": "car"}])
    (sample,) = loaded(write(tmp_path, data)).samples
    assert sample.load_instances().table[1].category == "car"


@pytest.mark.parametrize(
    ("mask", "row"),
    [
        ([[1, 0, 2, 1]], [0, 1, 1, 0, 0]),
        ([[0, 0, 1, 1], [3, 0, 2, 1]], [1, 0, 0, 1, 1]),
        ([[2.0, 0.0, 9.0, 1.0]], [0, 0, 1, 1, 1]),
    ],
)
def test_polygons_of_four_numbers_are_boxes_and_told(tmp_path, mask, row):
    dataset = loaded(write(tmp_path, coco({1: "a.png"}, [(1, mask)])))
    assert labels(dataset) == [row]
    assert dataset.notes[-1] == (
        "coco.json: segmentations of four numbers: 1; each is drawn as the box x, y, width, "
        "height, as pycocotools does"
    )


@pytest.mark.parametrize(
    ("categories", "names"),
    [
        ([{"id": 1, "name": 1}, {"id": 2, "name": 2.0}], ("1", "2")),
        ([{"id": 1, "name": "cube"}, {"id": 1, "name": "cube"}], ("cube",)),
        ([{"id": 1, "name": "cube"}, {"id": 1.0, "name": "cube", "colour": 3}], ("cube",)),
    ],
)
def test_numbers_are_names_and_a_category_may_stand_there_twice(tmp_path, categories, names):
    assert loaded(write(tmp_path, coco({1: "a.png"}, (), categories))).categories == names


@pytest.mark.parametrize("given", ["a.PNG", "A.png", "Sub/a.png", "SUB/A.PNG"])
def test_a_name_in_another_case_is_found(tmp_path, given):
    data = coco({1: "sub/a.png" if "/" in given else "a.png"}, [(1, BOX)])
    write(tmp_path, data)
    data["images"][0]["file_name"] = given
    (tmp_path / "coco.json").write_text(json.dumps(data))
    (sample,) = loaded(tmp_path).samples
    assert (sample.id, sample.image.name) == (given, "a.png")
    assert sample.image.is_file()


@pytest.mark.parametrize("encoding", ["utf-16", "utf-8-sig", "utf-32", "utf-16-le"])
def test_files_with_a_mark_of_their_charset_are_read(tmp_path, encoding):
    write(tmp_path, coco({1: "图/å.png"}, [(1, BOX)], [{"id": 1, "name": "车"}]), encoding)
    if encoding == "utf-16-le":
        text = (tmp_path / "coco.json").read_bytes()
        (tmp_path / "coco.json").write_bytes(b"\xff\xfe" + text)
    dataset = loaded(tmp_path)
    assert (list(dataset.ids), dataset.categories) == (["图/å.png"], ("车",))
    assert labels(dataset) == [[1, 1, 0, 0, 0]]


def test_another_charset_is_asked_for_and_read(tmp_path):
    data = coco({1: "图.png"}, [(1, BOX)], [{"id": 1, "name": "车"}])
    write(tmp_path, data, "gbk")
    with pytest.raises(ConfigError, match=r"is not UTF-8 \(.*byte .*--loader.charset, such as gbk"):
        loaded(tmp_path)
    assert loaded(tmp_path, charset="gbk").categories == ("车",)
    with pytest.raises(ConfigError, match=r"--loader.charset gkb: no such charset"):
        loaded(tmp_path, charset="gkb")


def test_a_byte_of_another_charset_fails_its_picture_alone(tmp_path):
    write(tmp_path, coco({1: "a.png", 2: "b.png"}, [(1, BOX), (2, BOX)]))
    file = tmp_path / "coco.json"
    text = file.read_bytes()
    at = text.rindex(b'"segmentation"')
    file.write_bytes(text[:at] + b'"note": "\xe7", ' + text[at:])
    first, second = loaded(tmp_path).samples
    assert len(first.load_instances().table) == 1
    with pytest.raises(SampleError, match=r"annotation is not UTF-8 \(byte .*--loader.charset"):
        second.load_instances()


@pytest.mark.parametrize(
    ("given", "start"),
    [
        ("/data/run/a.png", "/data/run"),
        ("https://host/run/a.png", "https://host/run"),
        ("C:\\run\\a.png", "C:/run"),
        ("file:///run/a.png", "file:///run"),
    ],
)
def test_names_from_elsewhere_are_remapped(tmp_path, given, start):
    write(tmp_path, coco({1: "a.png"}))
    write(tmp_path, coco({1: given}, [(1, BOX)]))
    for dataset in (loaded(tmp_path), loaded(tmp_path, remap={start: "."})):
        assert list(dataset.ids) == ["a.png"]
        assert labels(dataset) == [[1, 1, 0, 0, 0]]
    assert loaded(tmp_path).notes[-1] == f"coco.json: file names that begin with {start} in ."
    (tmp_path / "a.png").rename(tmp_path / "b.png")
    with pytest.raises(ConfigError) as told:
        loaded(tmp_path)
    assert str(told.value) == (
        f"coco.json: file names are absolute paths or URLs, such as {given}; "
        f"say which folder of the input that is with --loader.remap '{start}=FOLDER'"
    )
