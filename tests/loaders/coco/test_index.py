from __future__ import annotations

import json
import os
import random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sv2r.errors import ConfigError, SampleError
from sv2r.loaders.coco import build_index as coco_build
from sv2r.loaders.coco import cache as coco_cache
from sv2r.loaders.coco.build_index import build_index
from sv2r.loaders.coco.cache import cache_file, open_index
from sv2r.loaders.coco.index import CocoTally

CAR = [{"id": 1, "name": "car"}]
BOX = [[0, 0, 2, 0, 2, 1]]


def image(id_, name, **more):
    return {"id": id_, "file_name": name, "height": 1, "width": 5, **more}


def annotation(id_, image_id, **more):
    return {"id": id_, "image_id": image_id, "category_id": 1, "segmentation": BOX, **more}


def write(folder, images, annotations=(), categories=CAR, **more):
    path = folder / "coco.json"
    data = {"images": images, "annotations": list(annotations), "categories": categories, **more}
    path.write_text(json.dumps(data))
    return path


def index_of(folder, images, annotations=(), **more):
    return build_index(write(folder, images, annotations, **more), "coco.json")


def told(index):
    return [entry.message for entry in index.unusable]


def test_each_picture_finds_its_annotations_in_their_order(tmp_path):
    images = [image(7, "b.png"), image(3, "a/a.png"), image(5, "c.png")]
    annotations = [annotation(n, i) for n, i in ((1, 3), (2, 7), (3, 3), (4, 7), (5, 3))]
    index = index_of(tmp_path, images, annotations)
    assert list(index.names) == ["b.png", "a/a.png", "c.png"]
    assert index.names[-1] == "c.png"
    assert index.names[:2] == ["b.png", "a/a.png"]
    assert index.folders == ("", "a")
    assert [[a["id"] for a in index.annotations(i)] for i in range(3)] == [[2, 4], [1, 3, 5], []]
    assert index.image(1) == images[1]
    assert index.sizes.tolist() == [[1, 5]] * 3
    assert index.categories == {1: "car"}
    assert index.tally == CocoTally(5, 0, 0, ("id", "image_id", "category_id", "segmentation"))
    assert told(index) == []


ids = st.one_of(st.integers(-5, 5), st.sampled_from(["1", "x", 2**62, -(2**62), 2**80, 1.0]))


@given(st.lists(ids, max_size=6, unique=True), st.lists(ids, max_size=12), st.randoms())
def test_any_ids_group_as_in_a_dictionary(tmp_path_factory, image_ids, annotated, shuffler):
    # 1 and 1.0 are one id, as they are to pycocotools; "1" means 1 only where no picture has "1".
    path = tmp_path_factory.mktemp("coco")
    images = [image(id_, f"{n}.png") for n, id_ in enumerate(image_ids)] or [image("?", "0.png")]
    annotations = [annotation(n, id_) for n, id_ in enumerate(annotated)]
    shuffler.shuffle(annotations)
    known = [entry["id"] for entry in images]

    def meant(id_):
        """Return the id of the picture that an annotation is for, or None."""
        alike = [key for key in known if str(key).removesuffix(".0") == str(id_).removesuffix(".0")]
        return id_ if id_ in known else alike[0] if len(alike) == 1 else None

    index = index_of(path, images, annotations)
    for position in range(len(index.names)):
        mine = [a["id"] for a in annotations if meant(a["image_id"]) == images[position]["id"]]
        assert [a["id"] for a in index.annotations(position)] == mine
    assert len(told(index)) == len(
        {a["image_id"] for a in annotations if meant(a["image_id"]) is None}
    )


@pytest.mark.parametrize(
    ("annotations", "message"),
    [
        (
            [annotation(17, 99)],
            ("annotation 17: for picture 99, which 'images' does not list; add it to 'images'"),
        ),
        (
            [annotation(17, "9"), annotation(18, "9"), annotation(19, "9")],
            (
                "annotation 17 and 2 more: for picture '9', which 'images' does not list; "
                "add it to 'images'"
            ),
        ),
        (
            [annotation(17, None)],
            ("annotation 17: without a picture: image_id is None; give a picture's id"),
        ),
        (
            [annotation(17, 1.5)],
            ("annotation 17: without a picture: image_id is 1.5; give a picture's id"),
        ),
    ],
)
def test_an_annotation_without_its_picture_is_named(tmp_path, annotations, message):
    index = index_of(tmp_path, [image(1, "a.png")], [annotation(1, 1), *annotations])
    assert told(index) == [message]
    assert [a["id"] for a in index.annotations(0)] == [1]


def test_very_many_unlisted_pictures_are_told_as_one(tmp_path, monkeypatch):
    monkeypatch.setattr(coco_build, "MOST_UNLISTED", 2)
    index = index_of(tmp_path, [image(1, "a.png")], [annotation(n, n) for n in range(2, 9)])
    assert len(told(index)) == 3
    assert told(index)[-1] == "annotations for 5 more pictures that 'images' does not list"


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        (
            {"id": 1, "file_name": "../a.png"},
            "images[1]: ../a.png: the path climbs out by '..'; keep it inside the input folder",
        ),
        (
            {"id": 1, "file_name": "/a.png"},
            (
                "images[1]: /a.png: is an absolute path; "
                "say where its pictures lie in the input with "
                "--loader.remap '/=FOLDER'"
            ),
        ),
        (
            {"id": 1, "file_name": "C:\\a.png"},
            (
                "images[1]: C:\\a.png: is an absolute path; "
                "say where its pictures lie in the input with "
                "--loader.remap 'C:=FOLDER'"
            ),
        ),
        (
            {"id": 1, "file_name": "a\n.png"},
            "images[1]: 'a\\n.png': the name holds characters that are not printed; rename it",
        ),
        ({"id": 1}, "images[1]: file_name is missing; name the picture's file"),
        ({"id": 1, "file_name": 5}, "images[1]: file_name is missing; name the picture's file"),
        (
            {"file_name": "a.png"},
            "images[1]: a.png has no id; annotations find their picture by it",
        ),
        (
            {"id": True, "file_name": "a.png"},
            "images[1]: a.png has no id; annotations find their picture by it",
        ),
        (
            {"id": 1, "file_name": "\ud800.png"},
            "images[1]: '\\ud800.png': the name holds characters that are not printed; rename it",
        ),
    ],
)
def test_a_picture_that_cannot_be_used_is_named_and_the_others_stay(tmp_path, entry, message):
    index = index_of(tmp_path, [image(0, "b.png"), entry], [annotation(1, 1), annotation(2, 0)])
    assert told(index)[0] == message
    assert list(index.names) == ["b.png"]
    assert [a["id"] for a in index.annotations(0)] == [2]


def test_the_annotations_of_a_picture_that_cannot_be_used_are_not_told_as_well(tmp_path):
    images = [image(0, "b.png"), image(1, "../a.png")]
    assert len(told(index_of(tmp_path, images, [annotation(1, 1)]))) == 1


def test_a_picture_listed_twice_counts_once(tmp_path):
    images = [image(1, "a.png"), image(2, "b.png"), image(3, "./a.png"), image(1, "a.png")]
    index = index_of(tmp_path, images, [annotation(n, n) for n in (1, 2, 3)])
    assert list(index.names) == ["a.png", "b.png"]
    assert told(index) == ["a.png is listed twice; keep one of its entries in 'images'"] * 2
    assert [a["id"] for a in index.annotations(0)] == [1]


def test_pictures_that_share_an_id_are_both_out_since_nobody_knows_whose_labels_are_whose(tmp_path):
    images = [image(1, "a.png"), image(2, "b.png"), image(1, "c.png")]
    index = index_of(tmp_path, images, [annotation(1, 1), annotation(2, 2)])
    assert list(index.names) == ["b.png"]
    assert told(index) == [
        "a.png has its id in common with another picture; give each its own in 'images'",
        "c.png has its id in common with another picture; give each its own in 'images'",
    ]


def test_nan_in_one_object_costs_that_object_alone(tmp_path):
    nan = float("nan")
    images = [image(1, "a.png"), image(2, "b.png", exposure=nan), image(3, "c.png")]
    annotations = [
        annotation(11, 1),
        annotation(12, 2),
        annotation(13, 3, segmentation=[[0, 0, nan, 0, 2, 1]]),
    ]
    index = index_of(tmp_path, images, annotations)
    assert list(index.names) == ["a.png", "b.png", "c.png"]
    assert index.sizes.tolist() == [[1, 5], [0, 0], [1, 5]]
    assert [a["id"] for a in index.annotations(0)] == [11]
    with pytest.raises(SampleError) as told_of_image:
        index.image(1)
    assert str(told_of_image.value) == (
        "image 2 holds NaN or Infinity, which JSON does not have; write a number"
    )
    with pytest.raises(SampleError) as told_of_annotation:
        index.annotations(2)
    assert str(told_of_annotation.value) == (
        "annotation 13 holds NaN or Infinity, which JSON does not have; write a number"
    )


def test_missing_and_empty_segmentations_are_counted(tmp_path):
    masks = [BOX, [], None, {"size": [1, 5], "counts": [5]}, "odd"]
    annotations = [annotation(n, 1, segmentation=mask) for n, mask in enumerate(masks)]
    annotations.append({"id": 9, "image_id": 1, "category_id": 1, "bbox": [0, 0, 1, 1]})
    tally = index_of(tmp_path, [image(1, "a.png")], annotations).tally
    assert (tally.annotations, tally.unmasked, tally.empty) == (6, 2, 1)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"annotations": []}, "coco.json: lists no pictures; a COCO file has them in 'images'"),
        (
            {"images": [image(1, "a")], "annotations": [annotation(1, 1)]},
            "coco.json: has no 'categories'; give every category id its name",
        ),
        (
            {"images": [image(1, "a")], "categories": [{"id": 1}]},
            "coco.json: categories[0] must have an id and a name (a text)",
        ),
        (
            {"images": [image(1, "a")], "categories": [1]},
            "coco.json: categories[0] must have an id and a name (a text)",
        ),
        (
            {"images": [image(1, "a")], "categories": {"1": "car"}},
            "coco.json: 'categories' is not a list of objects with id and name",
        ),
        (
            {"images": [image(1, "a")], "categories": [*CAR, {"id": 1, "name": "bus"}]},
            "coco.json: category id 1 stands for car and bus; give each its own",
        ),
    ],
)
def test_a_file_that_is_no_coco_dataset_is_refused(tmp_path, content, message):
    path = tmp_path / "coco.json"
    path.write_text(json.dumps(content))
    with pytest.raises(ConfigError) as refused:
        build_index(path, "coco.json")
    assert str(refused.value) == message


@pytest.mark.parametrize("broken", ['{"id": 1 "file_name": "a"}', '{"id": 1, "file_name": "a}'])
def test_an_object_that_is_no_json_is_refused_with_its_place(tmp_path, broken):
    path = tmp_path / "coco.json"
    path.write_text('{"images": [{"id": 0, "file_name": "b"}, ' + broken + "]}")
    with pytest.raises(ConfigError, match=r"^coco\.json: .*byte"):
        build_index(path, "coco.json")


def test_deep_nesting_is_refused_and_not_run_into(tmp_path):
    path = tmp_path / "coco.json"
    deep = "[" * 100_000 + "]" * 100_000
    path.write_text('{"images": [{"id": 1, "file_name": "a", "x": ' + deep + "}]}")
    with pytest.raises(ConfigError, match="what begins at byte 12 is no JSON object"):
        build_index(path, "coco.json")


def test_a_file_that_is_not_there_is_told(tmp_path):
    with pytest.raises(ConfigError, match=r"coco\.json: no such file"):
        build_index(tmp_path / "coco.json", "coco.json")


@pytest.fixture
def large(tmp_path, monkeypatch):
    """A file that is large enough for its index to be kept, in a cache of its own."""
    monkeypatch.setenv("SV2R_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(coco_cache, "SMALLEST", 100)
    (tmp_path / "in").mkdir()
    images = [image(n, f"é/{n}.png") for n in range(40)] + [image(99, "../x.png")]
    annotations = [annotation(n, random.Random(n).randrange(41)) for n in range(200)]
    return write(tmp_path / "in", images, annotations)


def same(one, other):
    arrays = ("sizes", "image_at", "image_length", "first", "annotation_at", "annotation_length")
    for name in arrays:
        assert np.array_equal(getattr(one, name), getattr(other, name))
        assert getattr(one, name).dtype == getattr(other, name).dtype
    assert list(one.names) == list(other.names)
    for name in ("path", "folders", "categories", "unusable", "tally"):
        assert getattr(one, name) == getattr(other, name)


@pytest.fixture
def builds(monkeypatch):
    """The files that have been read whole."""
    built = []

    def counting(path, name, remap):
        built.append(name)
        return build_index(path, name, remap)

    monkeypatch.setattr(coco_cache, "build_index", counting)
    return built


def test_a_second_process_opens_the_index_without_reading_the_file_again(large, builds):
    first, second = open_index(large, "coco.json"), open_index(large, "coco.json")
    assert builds == ["coco.json"]
    same(first, second)
    assert second.annotations(3) == first.annotations(3)


def test_a_changed_file_is_read_again_even_at_the_same_size_and_time(large, builds):
    open_index(large, "coco.json")
    before = large.stat()
    large.write_text(large.read_text().replace('"car"', '"bus"'))
    os.utime(large, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert large.stat().st_size == before.st_size
    assert open_index(large, "coco.json").categories == {1: "bus"}
    assert len(builds) == 2


@pytest.mark.parametrize("place", [0, 100, 0.5, -30])
def test_a_damaged_index_is_made_anew(large, builds, place):
    good = open_index(large, "coco.json")
    kept = bytearray(cache_file(large).read_bytes())
    kept[int(place * len(kept)) if isinstance(place, float) else place] ^= 255
    cache_file(large).write_bytes(kept)
    same(open_index(large, "coco.json"), good)
    same(open_index(large, "coco.json"), good)
    assert builds == ["coco.json", "coco.json"]


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04", b"nothing of the kind"])
def test_what_is_no_index_is_made_anew(large, builds, content):
    good = open_index(large, "coco.json")
    cache_file(large).write_bytes(content)
    same(open_index(large, "coco.json"), good)
    assert builds == ["coco.json", "coco.json"]


def test_a_cache_that_cannot_be_written_is_no_failure(large, monkeypatch, tmp_path):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("SV2R_CACHE", str(tmp_path / "file"))
    assert len(open_index(large, "coco.json").names) == 40


def test_a_small_file_leaves_nothing_in_the_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("SV2R_CACHE", str(tmp_path / "cache"))
    open_index(write(tmp_path, [image(1, "a.png")]), "coco.json")
    assert not (tmp_path / "cache").exists()


def test_the_cache_lies_where_the_environment_says(monkeypatch, tmp_path):
    monkeypatch.delenv("SV2R_CACHE", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert cache_file(tmp_path / "a.json").parent == tmp_path / "sv2r" / "coco"
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    assert cache_file(tmp_path / "a.json").parent == tmp_path / "home/.cache/sv2r/coco"


def test_a_file_that_changes_under_the_index_fails_the_sample_and_not_the_job(tmp_path):
    path = write(tmp_path, [image(1, "a.png")], [annotation(1, 1)])
    index = build_index(path, "coco.json")
    path.write_text(" " * path.stat().st_size)
    with pytest.raises(SampleError, match="the file has changed"):
        index.annotations(0)
    path.unlink()
    with pytest.raises(SampleError, match=r"coco\.json cannot be read \(no such file"):
        index.annotations(0)
