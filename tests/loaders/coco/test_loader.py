from __future__ import annotations

import json
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from PIL import Image
from pycocotools import mask as coco
from pycocotools.coco import COCO

from sv2r.errors import ConfigError, SampleError
from sv2r.loaders.coco.annotations import draw_annotations
from sv2r.loaders.coco.loader import CocoOptions, detect, load
from sv2r.plugin.options import validate_options
from sv2r.types import Instance, Problem

CATEGORIES = [{"id": 1, "name": "car"}, {"id": 90, "name": "traffic light"}]
LEFT = [[0, 0, 2, 0, 2, 1, 0, 1]]  # pixels 0 and 1 of a 1 × 5 picture


def image(id_, name, **more):
    return {"id": id_, "file_name": name, "height": 1, "width": 5, **more}


def annotation(id_, image_id=1, **more):
    return {"id": id_, "image_id": image_id, "category_id": 1, "segmentation": LEFT, **more}


def rle(*counts):
    return {"size": [1, 5], "counts": list(counts)}


def write(root, images, annotations=(), name="coco.json", folder="", **more):
    """Write a COCO file, and a 1 × 5 picture per safe file name below a folder."""
    data = {"images": images, "annotations": list(annotations), "categories": CATEGORIES, **more}
    (root / name).parent.mkdir(parents=True, exist_ok=True)
    (root / name).write_text(json.dumps(data))
    for entry in images:
        picture = root / folder / str(entry.get("file_name", "x.png"))
        if ".." not in picture.parts and picture.is_relative_to(root):
            picture.parent.mkdir(parents=True, exist_ok=True)
            Image.new("RGB", (5, 1)).save(picture)
    return root


def loaded(root, **options):
    return load(root, CocoOptions(**options))


def only(root, annotations, **more):
    """Return the instances of the only picture of a dataset with these annotations."""
    dataset = loaded(write(root, [image(1, "a.png", **more)], annotations))
    return dataset.samples[0].load_instances()


def test_a_dataset_of_tiny_pictures_comes_in_whole(tmp_path):
    images = [
        image(4, "b/1.png", weather="rain", fps=24, night=True, tags=["x"]),
        image(2, "a.png"),
    ]
    annotations = [
        annotation(11, 4, category_id=90, segmentation=rle(3, 2), iscrowd=1),
        annotation(7, 4, bbox=[0, 0, 2, 1], area=2),
    ]
    root = write(tmp_path, images, annotations)
    dataset = loaded(root)
    assert list(dataset.ids) == ["b/1.png", "a.png"]
    assert dataset.categories == ("car", "traffic light")
    assert dataset.category_ids == {"car": 1, "traffic light": 90}
    assert dataset.annotation_files == (root / "coco.json",)
    assert dataset.problems == ()
    assert dataset.notes == ("annotations in coco.json",)
    first, second = dataset.samples
    assert first.id == "b/1.png"
    assert first.image == root / "b/1.png"
    assert first.size == (1, 5)
    assert first.annotation_files == ()
    assert dict(first.attributes) == {"weather": "rain", "fps": "24", "night": "true"}
    assert dict(second.attributes) == {}
    instances = first.load_instances()
    assert instances.labels.tolist() == [[7, 7, 0, 11, 11]]
    assert instances.labels.dtype == np.int32
    assert dict(instances.table) == {
        11: Instance(11, "traffic light", crowd=True),
        7: Instance(7, "car"),
    }
    assert second.load_instances().labels.tolist() == [[0, 0, 0, 0, 0]]
    assert dict(second.load_instances().table) == {}


def test_samples_are_made_when_they_are_asked_for_and_slices_are_lists(tmp_path):
    dataset = loaded(write(tmp_path, [image(n, f"{n}.png") for n in range(4)]))
    assert len(dataset.samples) == len(dataset.ids) == 4
    assert dataset.samples[1] is not dataset.samples[1]
    assert dataset.ids[-1] == "3.png"
    assert dataset.ids[1:3] == ["1.png", "2.png"]
    assert [sample.id for sample in dataset.samples[::2]] == ["0.png", "2.png"]
    with pytest.raises(IndexError):
        dataset.samples[4]


def test_small_instances_lie_on_large_ones_and_crowds_below_all(tmp_path):
    annotations = [
        annotation(1, segmentation=rle(0, 2, 3)),
        annotation(2, segmentation=rle(0, 4, 1)),
        annotation(3, segmentation=rle(0, 1, 4), iscrowd=1),
        annotation(4, segmentation=rle(4, 1)),
    ]
    instances = only(tmp_path, annotations)
    assert instances.labels.tolist() == [[1, 1, 2, 2, 4]]
    assert instances.mask(2).tolist() == [[True, True, True, True, False]]
    assert instances.mask(3).tolist() == [[True, False, False, False, False]]
    assert instances.areas() == {1: 2, 2: 4, 3: 1, 4: 1}
    assert list(instances.table) == [1, 2, 3, 4]


@pytest.mark.parametrize(
    "own", [[0, 4], [4, 4], [2**31, 4], ["17", 4], [4.0, 5], [None, 4], [True, 4]]
)
def test_ids_that_no_label_map_can_hold_are_counted_anew_and_kept_by_name(tmp_path, own):
    annotations = [annotation(own[0], segmentation=rle(0, 1, 4)), annotation(own[1])]
    table = only(tmp_path, annotations).table
    assert list(table) == [1, 2]
    expected = [None if id_ is None else str(id_) for id_ in own]
    assert [instance.source_id for instance in table.values()] == expected


def test_the_largest_id_is_kept(tmp_path):
    assert only(tmp_path, [annotation(2**31 - 1)]).labels.tolist() == [[2**31 - 1] * 2 + [0] * 3]


@pytest.mark.parametrize("empty", [[], [[]], [[1, 1]], [[1, 1], [0, 0, 4, 1]], rle(5)])
def test_an_empty_mask_is_an_instance_without_pixels(tmp_path, empty):
    instances = only(tmp_path, [annotation(3, segmentation=empty, bbox=[0, 0, 2, 1])])
    assert instances.labels.tolist() == [[0, 0, 0, 0, 0]]
    assert instances.areas() == {3: 0}


def test_empty_segmentations_are_told_before_gpu_hours_are_spent(tmp_path):
    root = write(tmp_path, [image(1, "a.png")], [annotation(1), annotation(2, segmentation=[])])
    assert loaded(root).notes[1:] == (
        (
            "coco.json: annotations with an empty segmentation: 1; "
            "they are carried, but nothing of them can be drawn or checked"
        ),
    )


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (
            {"segmentation": rle(2, 2)},
            "RLE counts add up to 4, not to 1 × 5 = 5; export the mask again",
        ),
        (
            {"segmentation": {"size": [5, 1], "counts": [5]}},
            (
                "RLE size is 5 × 1 but the picture is 1 × 5 (height × width); "
                "export the mask at the picture's size"
            ),
        ),
        (
            {"segmentation": [[0, 0, 1e12, 0, 1, 1]]},
            (
                "polygon 1 has the coordinate 1000000000000.0, more than 1000 pixels away; "
                "coordinates are pixels of the picture"
            ),
        ),
        ({"category_id": 2}, "category_id 2 is not in 'categories'; add it there"),
        ({"category_id": None}, "category_id None is not in 'categories'; add it there"),
        ({"category_id": [1]}, "category_id [1] is not in 'categories'; add it there"),
        ({"iscrowd": "no"}, "iscrowd is 'no'; it must be 0 or 1"),
        ({"segmentation": None}, "has no segmentation; export it with masks (polygons or RLE)"),
        (
            {"segmentation": None, "bbox": [0, 0, 2, 1]},
            "has a box but no segmentation; export it with masks (polygons or RLE)",
        ),
    ],
)
def test_a_wrong_annotation_fails_its_picture_and_no_other(tmp_path, wrong, message):
    images = [image(1, "a.png"), image(2, "b.png")]
    annotations = [annotation(5), annotation(6, **wrong), annotation(7, 2)]
    bad, good = loaded(write(tmp_path, images, annotations)).samples
    with pytest.raises(SampleError) as told:
        bad.load_instances()
    assert str(told.value) == f"a.png in coco.json: annotation 6: {message}"
    assert list(good.load_instances().table) == [7]


def test_nan_as_python_writes_it_fails_its_picture_and_no_other(tmp_path):
    images = [image(1, "a.png"), image(2, "b.png", gain=float("inf")), image(3, "c.png")]
    nan = annotation(6, 1, segmentation=[[0, 0, float("nan"), 0, 1, 1]])
    samples = loaded(write(tmp_path, images, [nan, annotation(7, 3)])).samples
    with pytest.raises(SampleError) as told:
        samples[0].load_instances()
    assert str(told.value) == (
        "a.png in coco.json: annotation 6 holds NaN or Infinity, "
        "which JSON does not have; write a number"
    )
    assert dict(samples[1].attributes) == {}
    with pytest.raises(SampleError, match=r"^b\.png in coco\.json: image 2 holds NaN"):
        samples[1].load_instances()
    assert list(samples[2].load_instances().table) == [7]


@pytest.mark.parametrize(
    ("size", "message"),
    [
        ({"height": "1"}, "height is '1'; it must be a whole number of pixels"),
        ({"height": 0}, "height is 0; it must be a whole number of pixels"),
        ({"height": 1.0}, "height is 1.0; it must be a whole number of pixels"),
        ({"width": None}, "width is None; it must be a whole number of pixels"),
        ({"width": -5}, "width is -5; it must be a whole number of pixels"),
        (
            {"height": 100_000, "width": 100_000},
            "100,000 × 100,000 pixels are more than 89,478,485; cut it into tiles",
        ),
    ],
)
def test_a_size_that_is_none_fails_its_picture(tmp_path, size, message):
    with pytest.raises(SampleError) as told:
        only(tmp_path, [annotation(1)], **size)
    assert str(told.value) == f"a.png in coco.json: {message}"


def test_without_a_size_the_mask_tells_it_and_else_the_picture(tmp_path):
    entry = {"id": 1, "file_name": "a.png"}
    sample = loaded(write(tmp_path, [entry], [annotation(1, segmentation=rle(0, 5))])).samples[0]
    assert sample.size is None
    assert sample.load_instances().labels.tolist() == [[1, 1, 1, 1, 1]]
    sample = loaded(write(tmp_path, [entry], [annotation(1)])).samples[0]
    assert sample.load_instances().labels.tolist() == [[1, 1, 0, 0, 0]]
    (tmp_path / "a.png").write_bytes(b"")
    with pytest.raises(SampleError, match=r"a\.png: is empty"):
        sample.load_instances()


shapes = st.tuples(st.integers(1, 7), st.integers(1, 7))
corner = st.one_of(st.integers(-2, 9), st.integers(-4, 18).map(lambda n: n / 2))
polygons = st.lists(
    st.lists(corner, min_size=6, max_size=10).map(lambda c: c[: len(c) // 2 * 2]),
    min_size=1,
    max_size=2,
)


def encoded(mask):
    found = coco.encode(np.asfortranarray(mask))
    return {"size": found["size"], "counts": found["counts"].decode()}


@given(shapes.flatmap(lambda size: st.tuples(
    st.just(size),
    st.lists(
        st.tuples(
            st.one_of(polygons, arrays(np.uint8, size, elements=st.integers(0, 1)).map(encoded)),
            st.integers(0, 1),
        ),
        max_size=5,
    ),
)))  # fmt: skip
def test_every_mask_is_pycocotools_own_bit_for_bit(case):
    size, drawn = case
    annotations = [
        annotation(n, segmentation=segmentation, iscrowd=crowd)
        for n, (segmentation, crowd) in enumerate(drawn, start=1)
    ]
    instances = draw_annotations(annotations, size, {1: "car"})
    reference = COCO()
    reference.imgs = {1: {"height": size[0], "width": size[1]}}
    for entry in annotations:
        assert np.array_equal(instances.mask(entry["id"]), reference.annToMask(entry))


def test_problems_name_the_file_and_the_picture_and_the_rest_is_loaded(tmp_path):
    images = [image(1, "a.png"), image(2, "../b.png"), image(3, "a.png"), {"id": 4}]
    root = write(tmp_path / "in", images, [annotation(1), annotation(8, 77)], folder="images")
    dataset = loaded(root)
    assert list(dataset.ids) == ["images/a.png"]
    assert dataset.problems == (
        Problem(
            "../b.png",
            "coco.json: images[1]: ../b.png: the path climbs out by '..'; "
            "keep it inside the input folder",
        ),
        Problem("coco.json", "coco.json: images[3]: file_name is missing; name the picture's file"),
        Problem(
            "images/a.png",
            "coco.json: a.png is listed twice; keep one of its entries in 'images'",
        ),
        Problem(
            "coco.json",
            "coco.json: annotation 8: for picture 77, which 'images' does not list; "
            "add it to 'images'",
        ),
    )


def test_a_picture_behind_a_link_out_of_the_folder_is_a_problem(tmp_path):
    names = ["a.png", "file.png", "folder/b.png", "within.png"]
    root = write(tmp_path / "in", [image(n, name) for n, name in enumerate(names)])
    outside = tmp_path / "outside"
    (root / "folder").rename(outside)
    (root / "folder").symlink_to(outside)
    (root / "file.png").unlink()
    (root / "file.png").symlink_to(outside / "b.png")
    (root / "within.png").unlink()
    (root / "within.png").symlink_to(root / "a.png")
    dataset = loaded(root)
    assert list(dataset.ids) == ["a.png", "within.png"]
    fix = "a link leads out of the input folder; put the file itself there"
    assert dataset.problems == (
        Problem("file.png", f"coco.json: file.png: {fix}"),
        Problem("folder/b.png", f"coco.json: folder/b.png: {fix}"),
    )


@pytest.mark.parametrize(
    ("name", "folder"),
    [
        ("coco.json", ""),
        ("coco.json", "images"),
        ("run 1/coco.json", "run 1"),
        ("run 1/coco.json", "run 1/images"),
        ("annotations/instances_train2017.json", "train2017"),
        ("annotations/instances_train2017.json", "images/train2017"),
        ("labels/coco.json", "images"),
        ("labels/val.json", "val"),
    ],
)
def test_the_pictures_are_found_in_the_layouts_that_people_have(tmp_path, name, folder):
    root = write(tmp_path, [image(1, "x/a.png")], [annotation(1)], name=name, folder=folder)
    assert list(loaded(root).ids) == [f"{folder}/x/a.png".lstrip("/")]


def test_the_folder_of_the_pictures_is_noted_where_it_is_not_the_files_own(tmp_path):
    root = write(tmp_path, [image(1, "a.png")], [annotation(1)], folder="images")
    (root / "images/a.png").unlink()
    write(root, [image(1, "a.png"), image(2, "b.png")], [annotation(1)], folder="images")
    (root / "images/b.png").unlink()
    assert loaded(root).notes[1:] == ("pictures of coco.json in images (1 of 2 looked for)",)


def test_pictures_that_are_nowhere_are_told_once_and_not_one_by_one(tmp_path):
    root = write(tmp_path, [image(n, f"{n}.png") for n in range(3)], folder="elsewhere")
    with pytest.raises(ConfigError) as told:
        loaded(root)
    assert str(told.value) == (
        "coco.json: 0.png (one of 3 looked for) is not in the input folder itself; "
        "--loader.images elsewhere is where elsewhere/0.png lies"
    )
    assert loaded(root, images="elsewhere").ids[0] == "elsewhere/0.png"
    assert loaded(root, images=".").ids[0] == "0.png"


def test_a_picture_that_is_missing_is_found_when_it_is_read(tmp_path):
    root = write(tmp_path, [image(1, "a.png"), image(2, "b.png")])
    (root / "b.png").unlink()
    assert list(loaded(root).ids) == ["a.png", "b.png"]


@pytest.mark.parametrize(
    ("images", "message"),
    [
        ("nowhere", "--loader.images nowhere: no such folder inside the input folder"),
        (
            "..",
            "--loader.images ..: the path climbs out by '..'; keep it inside the input folder",
        ),
    ],
)
def test_a_wrong_pictures_folder_is_refused(tmp_path, images, message):
    root = write(tmp_path / "in", [image(1, "a.png")])
    with pytest.raises(ConfigError) as told:
        loaded(root, images=images)
    assert str(told.value) == message


@pytest.fixture
def two_runs(tmp_path):
    for run in ("run 1", "run 2"):
        write(tmp_path, [image(1, "a.png")], [annotation(5)], f"{run}/coco.json", folder=run)
    return tmp_path


@pytest.mark.parametrize(
    "annotations", [("run 1/coco.json", "run 2/coco.json"), "*/coco.json", "*/*.json", ()]
)
def test_several_files_make_one_dataset(two_runs, annotations):
    dataset = loaded(two_runs, annotations=annotations)
    assert list(dataset.ids) == ["run 1/a.png", "run 2/a.png"]
    assert dataset.annotation_files == (two_runs / "run 1/coco.json", two_runs / "run 2/coco.json")
    assert dataset.category_ids == {"car": 1, "traffic light": 90}
    assert [list(s.load_instances().table) for s in dataset.samples] == [[5], [5]]


def test_a_picture_in_two_files_is_a_problem_of_the_later_one(tmp_path):
    for name in ("a.json", "b.json"):
        write(tmp_path, [image(1, "a.png"), image(2, f"{name}.png")], [annotation(5)], name)
    dataset = loaded(tmp_path, annotations=("a.json", "b.json"))
    assert list(dataset.ids) == ["a.png", "a.json.png", "b.json.png"]
    assert dataset.problems == (
        Problem(
            "a.png",
            "b.json: a.png is listed in a.json as well; "
            "give one of the two files to --loader.annotations",
        ),
    )


def test_files_that_number_categories_differently_keep_their_names(two_runs):
    swapped = [{"id": 1, "name": "traffic light"}, {"id": 2, "name": "tree"}]
    write(
        two_runs,
        [image(1, "a.png")],
        [annotation(5)],
        "run 2/coco.json",
        "run 2",
        categories=swapped,
    )
    dataset = loaded(two_runs, annotations="*/coco.json")
    assert dataset.categories == ("car", "traffic light", "tree")
    assert dataset.category_ids == {}
    assert dataset.notes == (
        "category ids are ambiguous, so exports will number the categories anew",
    )
    assert [s.load_instances().table[5].category for s in dataset.samples] == [
        "car",
        "traffic light",
    ]


@pytest.mark.parametrize(
    ("annotations", "message"),
    [
        ("coco.jsn", "--loader.annotations coco.jsn: no such file; did you mean coco.json?"),
        (
            "x*y",
            "--loader.annotations x*y: no such file; it is relative to the input folder",
        ),
        (
            "../coco.json",
            (
                "--loader.annotations ../coco.json: ../coco.json: the path climbs out by '..'; "
                "keep it inside the input folder"
            ),
        ),
    ],
)
def test_annotations_that_are_not_there_are_refused(tmp_path, annotations, message):
    root = write(tmp_path / "in", [image(1, "a.png")])
    with pytest.raises(ConfigError) as told:
        loaded(root, annotations=annotations)
    assert str(told.value) == message


def test_a_coco_file_out_of_the_folder_is_refused_through_a_link_too(tmp_path):
    write(tmp_path, [image(1, "a.png")])
    (tmp_path / "in").mkdir()
    (tmp_path / "in/link.json").symlink_to(tmp_path / "coco.json")
    for name in ("link.json", "*.json"):
        with pytest.raises(ConfigError, match="a link leads out of the input folder"):
            loaded(tmp_path / "in", annotations=name)


@pytest.mark.parametrize(
    ("extra", "reason"),
    [
        ({"caption": "a car"}, "it has captions"),
        ({"bbox": [0, 0, 1, 1]}, "none of its annotations has a segmentation"),
    ],
)
def test_a_file_without_any_mask_is_refused_whole(tmp_path, extra, reason):
    root = write(tmp_path, [image(1, "a.png")], [{"id": 1, "image_id": 1, **extra}])
    assert detect(root).confidence == 0
    with pytest.raises(ConfigError) as told:
        loaded(root, annotations="coco.json")
    assert str(told.value) == f"coco.json: {reason}; give a COCO file with instance masks"
    with pytest.raises(ConfigError, match=r"^coco\.json: .*; instance masks are needed$"):
        loaded(root)


def test_the_only_file_with_masks_is_taken_from_among_others(tmp_path):
    write(tmp_path, [image(1, "a.png")], name="image_info.json")
    write(tmp_path, [image(1, "a.png")], [{"image_id": 1, "caption": "x"}], "captions.json")
    write(tmp_path, [image(1, "a.png")], [annotation(1)], "masks.json")
    (tmp_path / "camera.json").write_text("[1, 2]")
    (tmp_path / "broken.json").write_bytes(b"\xff\x00")
    dataset = loaded(tmp_path)
    assert dataset.annotation_files == (tmp_path / "masks.json",)
    assert dataset.notes == ("annotations in masks.json",)
    assert detect(tmp_path).reason == "masks.json has images, annotations, categories"


def test_a_folder_without_coco_files_is_refused(tmp_path):
    (tmp_path / "camera.json").write_text("{}")
    assert detect(tmp_path).confidence == 0
    assert detect(tmp_path).reason == "no JSON file has images and annotations"
    with pytest.raises(ConfigError) as told:
        loaded(tmp_path)
    assert str(told.value) == (
        f"{tmp_path}: no COCO file up to 4 folders deep; name it with --loader.annotations FILE"
    )
    with pytest.raises(ConfigError, match="no such folder"):
        loaded(tmp_path / "nowhere")


def test_detection_is_surer_of_masks_than_of_pictures_alone(tmp_path):
    masked = write(tmp_path / "masked", [image(1, "a.png")], [annotation(1)])
    bare = write(tmp_path / "bare", [image(1, "a.png")])
    assert detect(masked).confidence == 0.95
    assert detect(bare).confidence == 0.5
    assert detect(bare).reason == "coco.json lists pictures without annotations"


@pytest.mark.parametrize("first", ["images", "annotations"])
def test_detection_looks_at_both_ends_of_a_large_file_alone(tmp_path, first):
    data = {
        "images": [image(n, f"{n:09d}.png") for n in range(3000)],
        "annotations": [annotation(n, n) for n in range(3000)],
        "categories": CATEGORIES,
    }
    order = [first, *(key for key in data if key != first)]
    (tmp_path / "coco.json").write_text(json.dumps({key: data[key] for key in order}))
    assert (tmp_path / "coco.json").stat().st_size > 300_000
    assert detect(tmp_path).confidence == 0.95


def test_depth_beside_the_pictures_becomes_a_channel(tmp_path):
    root = write(tmp_path, [image(1, "rgb/a.png"), image(2, "rgb/b.png")])
    (root / "depth").mkdir()
    (root / "depth/a.exr").write_bytes(b"")
    first, second = loaded(root, depth="../depth/{stem}.exr").samples
    assert dict(first.channels) == {"depth": root / "depth/a.exr"}
    assert dict(second.channels) == {}
    with pytest.raises(ConfigError, match=r"--loader\.depth .* finds nothing for the first 2"):
        loaded(root, depth="{stem}_depth.png")


def test_depth_behind_a_link_out_of_the_folder_fails_its_picture(tmp_path):
    root = write(tmp_path / "in", [image(1, "a.png"), image(2, "b.png")])
    (root / "a.exr").write_bytes(b"")
    (tmp_path / "b.exr").write_bytes(b"")
    dataset = loaded(root, depth="{stem}.exr")
    (root / "b.exr").symlink_to(tmp_path / "b.exr")
    sample = dataset.samples[1]
    assert dict(sample.channels) == {}
    with pytest.raises(SampleError, match=r"^b\.png: b\.exr: a link leads out of the input folder"):
        sample.load_instances()


def test_options_are_checked_before_anything_is_read():
    with pytest.raises(ConfigError, match=r"--loader\.depth: the fields of a pattern are"):
        validate_options(CocoOptions, {"depth": "{id}.png"}, where="--loader")
    assert validate_options(CocoOptions, {"annotations": "a.json"}, where="x").annotations == (
        "a.json",
    )


def test_the_plugin_is_listed_without_numpy_or_pycocotools():
    code = (
        "import sys, sv2r.loaders.coco.loader as c; print([s.name for s in c.sv2r_loaders()]); "
        "print({'numpy', 'pycocotools', 'msgspec', 'PIL', 'torch'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == ["['coco']", "set()"]
