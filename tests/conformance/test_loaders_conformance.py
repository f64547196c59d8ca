"""The loaders on third-party data, where it lies next to the checkout: literal expectations."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from sv2r.errors import ConfigError, SampleError
from sv2r.images.decode import PICTURE_SUFFIXES, picture_size, read_picture
from sv2r.plugin.options import validate_options
from sv2r.plugin.registry import load_registry
from sv2r.plugin.specs import Runtime
from sv2r.storage.hashes import sha256_file

CHECKOUT = Path(__file__).resolve().parents[2]
DATA = CHECKOUT.parent / "shared" / "data"


def folder(name):
    """Return a folder of the data; skips the test where it is not there."""
    path = DATA / name
    if not path.is_dir():
        pytest.skip(f"no third-party data in {path}")
    return path


def load(loader, name, **values):
    root = folder(name)
    spec = load_registry().spec("loader", loader)
    options = validate_options(spec.options, values, where="--loader")
    return spec.build(options, Runtime(input=root))(root)


def counted(data):
    """Return pictures, instances with pixels and the table's categories; every sample is read."""
    categories: Counter[str] = Counter()
    for sample in data.samples:
        instances = sample.load_instances()
        height, width = picture_size(sample.image, sample.id)
        assert instances.size == (height, width)
        drawn = set(np.unique(instances.labels).tolist()) - {0}
        assert drawn <= set(instances.table)
        categories.update(instance.category for instance in instances.table.values())
    return len(data.samples), sum(categories.values()), categories


def detected(name):
    root = folder(name)
    registry = load_registry()
    return {e.name: e.value.detect(root) for e in registry.of_kind("loader")}


def test_robot_masks_are_named_by_their_json():
    data = load("folder", "robot_semantic_rgba")
    pictures, instances, categories = counted(data)
    assert (pictures, instances, len(categories)) == (10, 484, 55)
    assert data.problems == ()
    assert set(data.categories) == set(categories)
    assert categories["gripper0_right_r_palm_vis"] == 10
    assert data.notes[0] == (
        "pictures in rgb, masks in segmentation: rgb_{stem} with semantic_segmentation_{stem}"
    )
    assert [path.name for path in data.samples[0].annotation_files] == [
        "semantic_segmentation_000016.png",
        "semantic_segmentation_labels_000016.json",
    ]


def test_shapes_have_a_file_per_instance():
    data = load("folder", "per_instance_shapes")
    assert counted(data) == (2, 5, {"square": 3, "circle": 2})
    assert data.problems == ()
    second = data.samples[1].load_instances()
    assert [instance.source_id for instance in second.table.values()] == [
        *("circle_0", "square_1", "square_2", "circle_3")
    ]
    assert second.areas() == {1: 1636, 2: 2650, 3: 3078, 4: 2613}
    assert dict(second.overlaps) == {}


def test_the_mug_is_black_and_white_with_its_depth():
    data = load(
        "folder",
        "blender_mug",
        image_pattern="rgb.png",
        mask_pattern="segmentation.png",
        depth="depth_map.exr",
        category="mug",
    )
    assert counted(data) == (2, 2, {"mug": 2})
    assert [sample.load_instances().areas()[1] for sample in data.samples] == [18789, 164582]
    assert [sample.channels["depth"].name for sample in data.samples] == ["depth_map.exr"] * 2
    assert data.problems == ()


def test_carlas_instance_camera_is_read_as_colours_whose_red_is_the_tag():
    name = "carla_instance"
    data = load("folder", name)
    pictures, instances, categories = counted(data)
    assert (pictures, instances, categories) == (1, 202, {"object": 202})
    things = {"12,*,*": "pedestrian", "14,*,*": "car", "18,*,*": "motorcycle"}
    data = load("folder", name, categories=things, only_named=True)
    assert counted(data) == (1, 12, {"pedestrian": 6, "car": 5, "motorcycle": 1})
    sizes = data.samples[0].load_instances().areas()
    assert sum(sizes.values()) == 9586 + 30684 + 334


def test_solo_is_no_plain_folder_and_read_as_colours_if_asked():
    for name, frames in (("solo_keypoints", 10), ("solo_custom_type", 1)):
        matches = detected(name)
        assert matches["folder"].reason.startswith("looks like Unity's SOLO: take --loader solo")
        data = load(
            "folder",
            name,
            image_pattern="{stem}.camera.png",
            mask_pattern="{stem}.camera.instance segmentation.png",
            categories={"#ff0000": "Character"},
            category="Crate",
        )
        assert counted(data) == (
            frames,
            3 * frames,
            {"Character": frames, "Crate": 2 * frames},
        )
        assert data.problems == ()


def test_cityscapes_ids_from_1000_on_are_instances():
    data = load("cityscapes", "tiny_formats/cityscapes_dataset/train_dataset")
    assert data.problems == ()
    assert counted(data) == (4, 5, {"truck": 2, "train": 1, "person": 1, "ego vehicle": 1})
    labels = {s.attributes["split"]: s.load_instances().labels.tolist() for s in data.samples}
    assert labels == {
        "test": [[31001, 31001, 0, 0, 0]],
        "train": [[0, 0, 24001, 0, 0]],
        "val": [[0, 1024, 1024, 0, 0]],
    }
    assert data.samples[0].load_instances().labels.tolist() == [[0, 0, 27001, 27002, 27002]]
    assert [path.name for path in data.samples[0].annotation_files] == [
        "defaultcity_000001_000031_gtFine_instanceIds.png",
        "defaultcity_000001_000031_gtFine_labelTrainIds.png",
    ]
    assert dict(data.samples[0].attributes) == {
        "split": "test",
        "city": "defaultcity",
        "sequence": "000001",
    }


def test_cityscapes_with_8_bit_ids_is_refused():
    with pytest.raises(ConfigError, match=r"has 8 bits, which cannot hold class \* 1000 \+ n"):
        load("cityscapes", "tiny_formats/cityscapes_dataset/dataset")


def test_mots_is_refused_by_itself_and_read_if_told_how():
    name = "tiny_formats/mots_dataset"
    classes = {f"{n}000-{n}999": word for n, word in enumerate("abcd", start=1)}
    data = load("folder", name, background=[0, "10000-10999"], categories=classes)
    tables = [sample.load_instances().table for sample in data.samples]
    assert [[instance.category for instance in table.values()] for table in tables] == [
        ["c", "d", "d"],
        ["d"],
        ["a"],
    ]
    assert data.problems == ()
    # Here pictures are 1 x 5 and their masks 5 x 1, which fails each of them in a job.
    first = data.samples[0]
    assert picture_size(first.image, first.id) == (5, 1)
    assert first.load_instances().size == (1, 5)


def test_pascal_voc_is_refused_by_itself_and_read_if_told_how():
    data = load(
        "folder",
        "tiny_formats/voc_dataset/voc_dataset1",
        images="JPEGImages",
        masks="SegmentationObject",
        background=[0, 255],
    )
    assert counted(data) == (1, 1, {"object": 1})
    (problem,) = data.problems
    assert problem.message == (
        "JPEGImages/2007_000002.jpg: no mask (SegmentationObject/2007_000002.png is missing);"
        " render it, or take the picture out"
    )


TAKEN = {
    "blenderproc_coco": "coco",
    "carla_instance": "carla",
    "per_instance_shapes": "folder",
    "robot_semantic_rgba": "replicator",
    "tiny_formats/cityscapes_dataset/dataset": "cityscapes",
    "tiny_formats/cityscapes_dataset/train_dataset": "cityscapes",
    "tiny_formats/coco_dataset/coco_instances": "coco",
}


@pytest.mark.parametrize("name", TAKEN)
def test_one_loader_alone_is_surest(name):
    matches = detected(name)
    surest = max(matches, key=lambda loader: matches[loader].confidence)
    assert surest == TAKEN[name]
    others = [match.confidence for loader, match in matches.items() if loader != surest]
    assert max(others) < matches[surest].confidence


REFUSED = {
    "cvat_xml_tiny": "looks like CVAT's XML: export it to COCO first",
    "exif_orientation": "no picture has a mask (Landscape_0.jpg is one of 18)",
    "grocery_photos": (
        "no picture that was looked at has a mask (Alpro-Blueberry-Soyghurt_002.jpg is one of 620)"
    ),
    "odd_pictures": "no picture has a mask (testimages/monkey12.jpg is one of 10)",
    "palletjack_synthetic_and_real": (
        "no picture that was looked at has a mask"
        " (loco_palletjacks/1564562568.298206.jpg is one of 57)"
    ),
    "tiny_formats/ade20k2017_dataset/dataset": "looks like ADE20K: ",
    "tiny_formats/kitti_dataset/kitti_detection": "looks like KITTI: ",
    "tiny_formats/kitti_dataset/kitti_raw": "looks like KITTI: ",
    "tiny_formats/labelme_dataset": "looks like LabelMe: ",
    "tiny_formats/voc_dataset/voc_dataset2": "no picture in it (PNG, JPEG, WebP, TIFF, BMP)",
    "tiny_formats/yolo_dataset/strict": "looks like YOLO: ",
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_no_loader_takes_is_refused_with_a_reason(name):
    matches = detected(name)
    assert {match.confidence for match in matches.values()} == {0.0}
    assert matches["folder"].reason.startswith(REFUSED[name])
    assert all("\n" not in match.reason for match in matches.values())


@pytest.mark.parametrize(
    ("name", "pairs"),
    [
        (
            "blender_mug",
            {"rgb.png": "segmentation.png", "table_only/rgb.png": "table_only/segmentation.png"},
        ),
        (
            "tiny_formats/camvid_dataset",
            {
                "test/0001TP_008550.png": "testannot/0001TP_008550.png",
                "test/0001TP_008580.png": "testannot/0001TP_008580.png",
                "train/0001TP_006690.png": "trainannot/0001TP_006690.png",
                "val/0016E5_07959.png": "valannot/0016E5_07959.png",
            },
        ),
        (
            "tiny_formats/synthia_dataset/rand",
            {"RGB/000000.png": "GT/000000.png", "RGB/000001.png": "GT/000001.png"},
        ),
    ],
)
def test_folders_are_paired_by_their_names(name, pairs):
    (best,) = (loader for loader, match in detected(name).items() if match.confidence)
    assert best == "folder"
    samples = load("folder", name).samples
    root = folder(name)
    found = {s.id: s.annotation_files[0].relative_to(root).as_posix() for s in samples}
    assert found == pairs


@pytest.mark.parametrize("name", ["grocery_photos", "palletjack_synthetic_and_real"])
def test_pictures_without_labels_are_no_dataset(name):
    with pytest.raises(
        ConfigError, match=r"no picture that was looked at has a mask .*; say where they are with"
    ):
        load("folder", name)


@pytest.mark.parametrize(
    "name",
    ["robot_semantic_rgba", "per_instance_shapes", "carla_instance"],
)
def test_loading_changes_no_file(name):
    before = {p: sha256_file(p) for p in sorted(folder(name).rglob("*")) if p.is_file()}
    counted(load("folder", name))
    after = {p: sha256_file(p) for p in sorted(folder(name).rglob("*")) if p.is_file()}
    assert after == before


def test_pictures_stay_on_the_grid_that_their_file_stores():
    root = folder("exif_orientation")
    for shape, sizes in {"Landscape": (1200, 1800), "Portrait": (1800, 1200)}.items():
        for orientation in range(9):
            name = f"{shape}_{orientation}.jpg"
            picture = read_picture(root / name, name)
            # From 5 on the camera was held sideways: the stored picture lies on its side.
            stored = sizes if orientation < 5 else sizes[::-1]
            assert picture.pixels.shape == (*stored, 3)
            assert picture_size(root / name, name) == stored
            told = (f"EXIF orientation {orientation} not applied",) if orientation > 1 else ()
            assert picture.normalised == told


ODD = {
    "monkey16.png": ((227, 149), ("16-bit to 8-bit by the high byte",)),
    "shira_bird8.bmp": ((144, 192), ()),
    "testimgint.jpg": ((149, 227), ()),
    "testorig.jpg": ((149, 227), ()),
    "testorig.png": ((149, 227), ("grey to RGB",)),
    "vgl_5674_0098.png": ((96, 120), ()),
    "vgl_6434_0018a.bmp": ((96, 119), ()),
    "vgl_6548_0026a.bmp": ((95, 128), ()),
}


@pytest.mark.parametrize("name", ODD)
def test_odd_pictures_that_can_be_read_are(name):
    path = folder("odd_pictures/testimages") / name
    size, normalised = ODD[name]
    picture = read_picture(path, name)
    assert picture.pixels.shape == (*size, 3)
    assert picture.normalised == normalised


def test_odd_pictures_that_cannot_be_read_get_one_line():
    root = folder("odd_pictures/testimages")
    lines = {}
    for path in sorted(root.iterdir()):
        if path.name not in ODD and path.name != "testimgari.jpg":
            with pytest.raises(SampleError) as caught:
                read_picture(path, path.name)
            lines[path.name] = str(caught.value)
    kind = "not a picture; give PNG, JPEG, WebP, TIFF or BMP"
    strangers = (
        "LICENSE.txt",
        "monkey16.pgm",
        "test.scan",
        "test1.icc",
        "test3.icc",
        "testorig.ppm",
    )
    assert lines == {
        "monkey12.jpg": "monkey12.jpg: a JPEG that cannot be read (cannot handle 12-bit layers);"
        " save it as 8-bit PNG",
        **{name: f"{name}: {kind}" for name in strangers},
    }


def test_an_arithmetic_jpeg_gives_the_pixels_of_its_huffman_twin():
    root = folder("odd_pictures/testimages")
    try:
        picture = read_picture(root / "testimgari.jpg", "testimgari.jpg")
    except SampleError as error:
        pytest.skip(f"this libjpeg has no arithmetic coding: {error}")
    twin = read_picture(root / "testimgint.jpg", "testimgint.jpg")
    assert np.array_equal(picture.pixels, twin.pixels)


@pytest.mark.parametrize(
    "name",
    [
        "blenderproc_coco",
        "solo_keypoints",
        "palletjack_synthetic_and_real",
        "robot_semantic_rgba/rgb",
        "carla_instance",
        "tiny_formats/kitti_dataset/kitti_segmentation",
    ],
)
def test_every_picture_can_be_read(name):
    pictures = [p for p in folder(name).rglob("*") if p.suffix.lower() in PICTURE_SUFFIXES]
    assert pictures
    for path in pictures[:20]:
        picture = read_picture(path, path.name)
        assert picture.pixels.shape == (*picture_size(path, path.name), 3)
        assert picture.sha256 == sha256_file(path)
