"""Other passes of a picture, previews and BOP's two kinds of mask are taken for what they are."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from sv2r.config.resolve import detect_loader
from sv2r.errors import ConfigError
from sv2r.loaders.folder.loader import FolderOptions, detect, load
from sv2r.plugin.registry import load_registry
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


def test_what_is_seen_of_objects_comes_before_their_whole_outlines(tmp_path):
    put(tmp_path / "rgb/000003.png")
    for kind in ("mask", "mask_visib"):
        put(tmp_path / f"{kind}/000003_000000.png", WHITE)
    assert pairs(dataset(tmp_path)) == {"rgb/000003.png": ["mask_visib/000003_000000.png"]}


def test_infinigen_is_named_with_the_preset_that_reads_it(tmp_path):
    for kind in ("Image", "ObjectSegmentation"):
        put(tmp_path / f"frames/{kind}/camera_0/{kind}_0.png")
    put(tmp_path / "frames/ObjectSegmentation/camera_0/ObjectSegmentation_0.npy", IDS)
    match = detect(tmp_path)
    assert (match.confidence, match.known) == (0, True)
    with pytest.raises(ConfigError) as refused:
        detect_loader(load_registry(), tmp_path)
    assert str(refused.value) == f"{tmp_path}: {match.reason}"
    assert match.reason.startswith("looks like Infinigen: its masks are .npy or .npz")
    assert "--preset infinigen" in match.reason


def test_a_preview_of_a_mask_is_no_mask_without_a_picture(tmp_path):
    put(tmp_path / "images/a.png")
    put(tmp_path / "labels/a.png", IDS)
    put(tmp_path / "labels/a_preview.png", WHITE)
    put(tmp_path / "labels/b.png", IDS)
    data = dataset(tmp_path)
    assert pairs(data) == {"images/a.png": ["labels/a.png"]}
    assert [problem.id for problem in data.problems] == ["labels/b.png"]


@pytest.mark.parametrize(("image", "mask"), [("rgb.png", "mask.png"), ("image.jpg", "seg.npy")])
def test_a_folder_for_each_frame_has_files_of_one_name(tmp_path, image, mask):
    for frame in ("0001", "0002"):
        put(tmp_path / frame / image)
        put(tmp_path / frame / mask, IDS)
        put(tmp_path / frame / "depth.png")
    data = dataset(tmp_path)
    assert pairs(data) == {f"{f}/{image}": [f"{f}/{mask}"] for f in ("0001", "0002")}
    assert data.problems == ()


@pytest.mark.parametrize("word", ["vis", "viz", "overlay", "visualization", "amodal"])
def test_a_view_of_a_mask_beside_an_array_is_another_pass(tmp_path, word):
    for number in range(3):
        Image.new("RGB", (12, 8)).save(tmp_path / f"{number}.png")
        Image.new("RGB", (12, 8)).save(tmp_path / f"{number}_{word}.png")
        np.save(tmp_path / f"{number}.npy", np.eye(8, 12, dtype=np.uint8))
    dataset = load(FolderOptions(), tmp_path)
    assert list(dataset.ids) == ["0.png", "1.png", "2.png"]
    assert dataset.problems == ()


@pytest.mark.parametrize("suffix", ["gif", "avif", "HEIC", "jp2"])
def test_a_picture_that_is_not_read_is_named_and_no_mask_is_to_be_removed(tmp_path, suffix):
    for folder in ("images", "masks"):
        (tmp_path / folder).mkdir()
        for number in range(2):
            Image.new("L", (12, 8), 5).save(tmp_path / folder / f"{number}.png")
    (tmp_path / "images/1.png").rename(tmp_path / f"images/1.{suffix}")
    (problem,) = load(FolderOptions(), tmp_path).problems
    told = f"a picture as {suffix.upper()}, which is not read; save it as PNG or TIFF"
    assert problem.message == f"images/1.{suffix}: {told}"
    (tmp_path / "images/0.png").rename(tmp_path / f"images/0.{suffix}")
    with pytest.raises(ConfigError, match=f"pictures as {suffix.upper()} are not read"):
        load(FolderOptions(), tmp_path)


@pytest.mark.parametrize("word", ["depth", "Normals", "semantic", "disparity"])
def test_other_passes_are_not_counted_as_pictures_without_a_mask(tmp_path, word):
    for folder in ("rgb", word):
        (tmp_path / folder).mkdir()
        Image.new("L", (12, 8), 5).save(tmp_path / folder / "0.png")
    with pytest.raises(ConfigError, match=r"rgb/0.png is one of 1\)"):
        load(FolderOptions(), tmp_path)
