"""Third-party datasets, converted from start to end with a toy checkpoint; labels as they were."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import sv2r
from sv2r.images.decode import picture_size
from sv2r.images.picture_file import PICTURE_SUFFIXES
from tests.toys.jobs import files_of, records_of

DATA = Path(__file__).resolve().parents[2].parent / "shared" / "data"
TINY = "tiny_formats"
COCO = f"{TINY}/coco_dataset"

SOLO = {
    "name": "folder",
    "image_pattern": "{stem}.camera.png",
    "mask_pattern": "{stem}.camera.instance segmentation.png",
}
MUG = {
    "name": "folder",
    "image_pattern": "rgb.png",
    "mask_pattern": "segmentation.png",
    "depth": "depth_map.exr",
    "category": "mug",
}

# name of a folder -> (what the loader is told, pictures of the first two that are done).
# Where no loader is named, the one that is found by itself.
TOLD = {
    "blenderproc_coco": ({}, 2),
    "per_instance_shapes": ({}, 2),
    "blender_mug": (MUG, 2),
    "carla_instance": ({}, 1),
    "robot_semantic_rgba": ({}, 2),
    "solo_keypoints": (SOLO, 2),
    "solo_custom_type": (SOLO, 1),
    f"{COCO}/coco": ({}, 2),
    f"{COCO}/coco_instances": ({}, 2),
    f"{COCO}/coco_panoptic": ({}, 1),
    f"{COCO}/coco_roboflow": ({}, 2),
    f"{COCO}/mmdet_coco": ({}, 2),
    f"{TINY}/camvid_dataset": ({"name": "folder", "images": "test", "masks": "testannot"}, 2),
    f"{TINY}/cityscapes_dataset/train_dataset": ({}, 2),
    f"{TINY}/kitti_dataset/kitti_segmentation": (
        {"name": "folder", "images": "training/image_2", "masks": "training/instance"},
        2,
    ),
    f"{TINY}/synthia_dataset/rand": ({"name": "folder", "images": "RGB", "masks": "GT"}, 2),
    f"{TINY}/synthia_dataset/al": ({"name": "folder", "images": "RGB", "masks": "SemSeg"}, 2),
}
# Data whose first pictures have stuff alone.
UNLABELLED = frozenset({f"{COCO}/coco_panoptic"})
# What is wrong in the data itself.
TROUBLE = {
    f"{COCO}/coco_panoptic": [
        "images/train/a.jpg: the picture is 10×5, its labels 5×5; render both at one size"
    ],
}


def source(name: str) -> Path:
    path = DATA / name
    if not path.is_dir():
        pytest.skip(f"no third-party data in {path}")
    return path


def converted(root, output, loader, model, **more) -> sv2r.Summary:
    config = {
        "input": str(root),
        "output": str(output),
        "checks": ["sanity"],
        # One evaluation at a small size: what is looked at is that all of it arrives.
        "translator": {
            "name": "sdedit",
            "model": str(model),
            "steps": 2,
            "strength": 0.5,
            "fit": "scale",
            "resolution": 64,
        },
        "batch_size": 1,
        **more,
    }
    return sv2r.convert({**config, "loader": loader} if loader else config)


@pytest.mark.parametrize("name", TOLD)
def test_it_converts_and_its_labels_stay_as_they_are(name, tmp_path, toy_sd15):
    root, (loader, done) = source(name), TOLD[name]
    more = {"allow_unlabelled": True} if name in UNLABELLED else {}
    summary = converted(root, tmp_path / "out", loader, toy_sd15, limit=2, **more)
    assert [str(record.error) for record in summary.troubles] == TROUBLE.get(name, [])
    assert (summary.done, summary.exit_code) == (done, 1 if name in TROUBLE else 0)
    assert_kept(root, tmp_path / "out")
    assert summary.equal > 0


def assert_kept(root: Path, output: Path) -> None:
    """Whatever is not a picture that was made is the input's file; those have the input's size."""
    made = {record["output"] for record in records_of(output).values() if "output" in record}
    assert made
    kept = {
        n: d for n, d in files_of(output).items() if not n.startswith("sv2r/") and n not in made
    }
    assert kept
    assert kept == {name: (root / name).read_bytes() for name in kept}
    for name in made:
        assert picture_size(output / name, name) == picture_size(root / name, name)
        assert (output / name).read_bytes() != (root / name).read_bytes()


# Pictures without labels, each given one object.
PICTURES = {
    "exif_orientation": ["Landscape_0.jpg", "Landscape_6.jpg", "Portrait_8.jpg"],
    "grocery_photos": None,
    "palletjack_synthetic_and_real": None,
    "odd_pictures/testimages": [
        *("monkey16.png", "shira_bird8.bmp", "testimgint.jpg", "testorig.png", "vgl_6548_0026a.bmp")
    ],
}


@pytest.mark.parametrize("name", PICTURES)
def test_its_pictures_convert_with_masks_of_their_own(name, tmp_path, toy_sd15):
    found = [p for p in sorted(source(name).rglob("*")) if p.suffix.lower() in PICTURE_SUFFIXES]
    pictures = [source(name) / file for file in PICTURES[name] or ()] or found[:2] + found[-1:]
    root = tmp_path / "in"
    for picture in pictures:
        give_mask(picture, root)
    summary = converted(root, tmp_path / "out", {}, toy_sd15)
    assert [str(record.error) for record in summary.troubles] == []
    assert (summary.done, summary.equal, summary.instances) == (len(pictures),) * 3
    assert_kept(root, tmp_path / "out")
    for picture in pictures:
        with Image.open(tmp_path / "out" / "images" / picture.name) as made:
            assert not made.getexif()


def give_mask(picture: Path, root: Path) -> None:
    height, width = picture_size(picture, picture.name)
    ids = np.zeros((height, width), np.uint8)
    ids[height // 4 : height // 2, width // 4 : width // 2] = 1
    for folder in ("images", "masks"):
        (root / folder).mkdir(parents=True, exist_ok=True)
    shutil.copy(picture, root / "images")
    Image.fromarray(ids).save(root / "masks" / f"{picture.stem}.png")


def test_a_picture_that_cannot_be_read_fails_by_name_and_the_other_is_done(tmp_path, toy_sd15):
    folder, root = source("odd_pictures/testimages"), tmp_path / "in"
    give_mask(folder / "testorig.jpg", root)
    shutil.copy(folder / "monkey12.jpg", root / "images")
    Image.new("L", (149, 227), 1).save(root / "masks" / "monkey12.png")
    summary = converted(root, tmp_path / "out", {}, toy_sd15)
    assert (summary.done, summary.failed, summary.exit_code) == (1, 1, 1)
    assert "12-bit" in str(summary.troubles[0].error)


def test_edges_and_depth_of_a_render_feed_controlnets(tmp_path, toy_sd15, toy_canny):
    root = source("blender_mug")
    translator = {
        "name": "controlnet",
        "model": str(toy_sd15),
        "steps": 2,
        "strength": 0.5,
        "controlnet": {"canny": str(toy_canny), "depth": str(toy_canny)},
        "fit": "scale",
        "resolution": 64,
    }
    maps = {"canny": {}, "depth": {}}
    summary = converted(
        root, tmp_path / "out", MUG, toy_sd15, translator=translator, conditioners=maps
    )
    assert (summary.done, summary.exit_code) == (2, 0)
    assert_kept(root, tmp_path / "out")
