"""Other passes of a picture, previews and BOP's two kinds of mask are taken for what they are."""

from __future__ import annotations

import json

import numpy as np
import pytest

from sv2r.loaders.folder.loader import detect
from tests.toys.folders import IDS, WHITE, dataset, pairs, problems, put


@pytest.mark.parametrize(
    ("mask", "others"),
    [
        ("a.left_mask.png", ["a.left.depth.png", "a.left_normals.png"]),
        ("a.left.seg.png", ["a.left.depth.png"]),
        ("a.left_seg.png", ["depth_a.left.png", "albedo_a.left.png"]),
    ],
)
def test_other_passes_beside_pictures_are_no_pictures(tmp_path, mask, others):
    put(tmp_path / "a.left.png")
    put(tmp_path / mask, IDS)
    for name in others:
        put(tmp_path / name)
    data = dataset(tmp_path)
    assert pairs(data) == {"a.left.png": [mask]}
    assert problems(data) == {}
    assert data.notes[1] == (
        f"taken as other passes, not as pictures: {len(others)}, such as {min(others)}"
    )


def test_a_picture_that_only_sounds_like_a_pass_keeps_its_place(tmp_path):
    for name in ("depth.png", "a_depth.png"):
        put(tmp_path / name)
        put(tmp_path / name.replace(".png", "_mask.png"), IDS)
    assert sorted(pairs(dataset(tmp_path))) == ["a_depth.png", "depth.png"]


def bop(root, scene):
    for kind in ("mask", "mask_visib"):
        for number in range(2):
            put(root / f"000000/{kind}/000003_{number:06}.png", WHITE)
    put(root / "000000/rgb/000003.png")
    (root / "000000/scene_gt.json").write_text(json.dumps(scene))


@pytest.mark.parametrize(
    ("scene", "categories"),
    [
        ({"3": [{"obj_id": 7}, {"obj_id": 2}]}, ["obj_7", "obj_2"]),
        ({"3": [{"obj_id": 7}]}, ["obj_7", "object"]),
        ({"4": []}, ["object", "object"]),
        ([], ["object", "object"]),
    ],
)
def test_bop_gives_what_is_seen_and_the_objects_of_its_scene(tmp_path, scene, categories):
    bop(tmp_path, scene)
    (sample,) = dataset(tmp_path).samples
    assert {path.parent.name for path in sample.annotation_files} == {"mask_visib"}
    assert [one.category for one in sample.load_instances().table.values()] == categories


def test_infinigen_is_named_with_the_options_that_read_it(tmp_path):
    for kind in ("Image", "ObjectSegmentation"):
        put(tmp_path / f"frames/{kind}/camera_0/{kind}_0.png")
    put(tmp_path / "frames/ObjectSegmentation/camera_0/ObjectSegmentation_0.npy", IDS)
    match = detect(tmp_path)
    assert match.confidence == 0
    assert match.reason.startswith("looks like Infinigen: its masks are .npy beside previews of")
    options = {
        "images": "frames/Image/camera_0",
        "masks": "frames/ObjectSegmentation/camera_0",
        "image_pattern": "Image_{stem}.png",
        "mask_pattern": "ObjectSegmentation_{stem}.npy",
    }
    told = match.reason.replace("'", "")
    assert all(f"--loader.{name} {value}" in told for name, value in options.items())
    data = dataset(tmp_path, **options)
    assert list(data.ids) == ["frames/Image/camera_0/Image_0.png"]
    assert np.array_equal(data.samples[0].load_instances().labels, IDS)
