from __future__ import annotations

import pickle
import subprocess
import sys

import pytest

from sv2r.errors import ConfigError
from sv2r.loaders.folder.layout import Asked, find_places
from sv2r.loaders.folder.loader import detect, sv2r_loaders
from sv2r.loaders.tree import read_tree
from sv2r.testing import check_loader
from tests.toys.folders import IDS, WHITE, dataset, pairs, problems, put


def test_images_and_masks_folders_with_nested_folders_are_found(tmp_path):
    for name in ("night/b.jpg", "day/a.png", "c.png"):
        put(tmp_path / "images" / name)
        put((tmp_path / "masks" / name).with_suffix(".png"), IDS)
    data = dataset(tmp_path)
    assert list(data.ids) == ["images/c.png", "images/day/a.png", "images/night/b.jpg"]
    assert pairs(data) == {
        "images/c.png": ["masks/c.png"],
        "images/day/a.png": ["masks/day/a.png"],
        "images/night/b.jpg": ["masks/night/b.png"],
    }
    assert [dict(sample.attributes) for sample in data.samples] == [
        {},
        {"folder": "day"},
        {"folder": "night"},
    ]
    assert data.notes == (
        "pictures in images, masks in masks of the same name",
        "masks are 16-bit ids (masks/c.png holds 0, 1, 7)",
    )
    assert data.problems == ()
    assert data.categories == ("object",)


def test_a_masks_folder_inside_the_pictures_folder_holds_no_pictures(tmp_path):
    for name in ("a.png", "x/b.png"):
        put(tmp_path / name)
        put(tmp_path / "masks" / name, IDS)
    expected = {"a.png": ["masks/a.png"], "x/b.png": ["masks/x/b.png"]}
    assert pairs(dataset(tmp_path)) == expected
    assert pairs(dataset(tmp_path, masks="masks")) == expected
    assert pairs(dataset(tmp_path, images=".", masks=str(tmp_path / "masks"))) == expected


def test_masks_may_lie_outside_of_the_input(tmp_path):
    put(tmp_path / "in/x/a.png")
    mask = put(tmp_path / "elsewhere/x/a.png", IDS)
    put(tmp_path / "elsewhere/b.png", IDS)
    data = dataset(tmp_path / "in", images=".", masks=str(tmp_path / "elsewhere"))
    (sample,) = data.samples
    assert sample.annotation_files == (mask,)
    assert sample.load_instances().labels.tolist() == IDS.tolist()
    assert problems(data) == {
        "elsewhere/b.png": "elsewhere/b.png: a mask without a picture in the input folder;"
        " render it, or remove the mask"
    }


def test_each_split_has_its_own_pair_of_folders(tmp_path):
    for split in ("train", "val"):
        put(tmp_path / split / "images/a.png")
        put(tmp_path / split / "labels/a.png", IDS)
    data = dataset(tmp_path)
    assert pairs(data) == {
        "train/images/a.png": ["train/labels/a.png"],
        "val/images/a.png": ["val/labels/a.png"],
    }
    assert data.notes[0] == (
        "pictures in train/images, masks in train/labels of the same name (and 1 more such folders)"
    )


@pytest.mark.parametrize(
    ("image", "mask"),
    [
        ("x/a.png", "x/a_mask.png"),
        ("x/a.png", "x/a_instance.tif"),
        ("x/a.png", "x/a-seg.png"),
        ("x/a.jpg", "x/a.label.png"),
        ("x/a_img.png", "x/a_instance.png"),
        ("x/rgb_7.png", "x/instance_segmentation_7.png"),
        ("x/a.png", "x/mask_a.png"),
        ("x/a.png", "x/a.npy"),
        ("x/a.jpg", "x/a.png"),
        ("images/a.png", "masks/a_mask.png"),
        ("rgb/rgb_7.png", "segmentation/semantic_segmentation_7.png"),
        ("photos of today/a.png", "masks/a.png"),
        ("img_dir/train/a.jpg", "ann_dir/train/a.png"),
        ("JPEGImages/480p/bear/a.jpg", "Annotations/480p/bear/a.png"),
    ],
)
def test_the_usual_names_are_found(tmp_path, image, mask):
    put(tmp_path / image)
    put(tmp_path / mask, IDS)
    assert pairs(dataset(tmp_path)) == {image: [mask]}


def test_a_folder_of_masks_may_add_a_word_to_the_name_of_its_neighbour(tmp_path):
    for images, masks in (("train", "trainannot"), ("val", "valannot"), ("test", "test_labels")):
        put(tmp_path / images / "a.png")
        put(tmp_path / masks / "a.png", IDS)
    put(tmp_path / "test_gt" / "b.png", IDS)
    data = dataset(tmp_path)
    assert pairs(data) == {
        "test/a.png": ["test_labels/a.png"],
        "train/a.png": ["trainannot/a.png"],
        "val/a.png": ["valannot/a.png"],
    }
    assert data.problems == ()


def test_patterns_name_pictures_and_masks(tmp_path):
    for scene in ("1", "2"):
        put(tmp_path / scene / "rgb.png")
        put(tmp_path / scene / "depth.png")
        put(tmp_path / scene / "segmentation.png", WHITE)
    data = dataset(
        tmp_path, image_pattern="rgb.png", mask_pattern="segmentation.png", depth="depth.png"
    )
    assert pairs(data) == {
        "1/rgb.png": ["1/segmentation.png"],
        "2/rgb.png": ["2/segmentation.png"],
    }
    assert dict(data.samples[1].channels) == {"depth": tmp_path / "2/depth.png"}
    assert data.problems == ()


def test_depth_beside_the_pictures_is_no_picture(tmp_path):
    put(tmp_path / "a.png")
    put(tmp_path / "a_mask.png", IDS)
    put(tmp_path / "a_depth.png")
    assert problems(dataset(tmp_path)) == {}
    data = dataset(tmp_path, depth="{stem}_depth.png")
    assert data.problems == ()
    assert list(data.ids) == ["a.png"]
    assert dict(data.samples[0].channels) == {"depth": tmp_path / "a_depth.png"}


def test_the_stem_of_depth_is_that_of_the_pictures_pattern(tmp_path):
    put(tmp_path / "rgb_1.png")
    put(tmp_path / "depth_1.png")
    put(tmp_path / "mask_1.png", IDS)
    patterns = {"image_pattern": "rgb_{stem}.png", "mask_pattern": "mask_{stem}.png"}
    data = dataset(tmp_path, **patterns, depth="depth_{stem}.png")
    assert (list(data.ids), data.problems) == (["rgb_1.png"], ())
    assert dict(data.samples[0].channels) == {"depth": tmp_path / "depth_1.png"}
    guessed = dataset(tmp_path, depth="depth_{stem}.png")
    assert dict(guessed.samples[0].channels) == {"depth": tmp_path / "depth_1.png"}
    with pytest.raises(ConfigError, match=r"it looked for 1_depth\.png: fix the pattern"):
        dataset(tmp_path, **patterns, depth="{stem}_depth.png")


def test_other_passes_of_the_renderer_are_left_alone_and_told(tmp_path):
    put(tmp_path / "images/a.png")
    put(tmp_path / "masks/a.png", IDS)
    put(tmp_path / "normals/a.png")
    put(tmp_path / "albedo/a.png")
    data = dataset(tmp_path)
    assert pairs(data) == {"images/a.png": ["masks/a.png"]}
    assert data.problems == ()
    assert data.notes[1] == "not taken as pictures: albedo (1), normals (1)"


def test_no_other_folder_of_masks_holds_pictures(tmp_path):
    put(tmp_path / "a.png")
    put(tmp_path / "instances/a.png", IDS)
    put(tmp_path / "segmentation/a.png")
    data = dataset(tmp_path)
    assert pairs(data) == {"a.png": ["instances/a.png"]}
    assert data.problems == ()
    assert data.notes[1] == "not taken as pictures: segmentation (1)"


def test_passes_that_stand_together_are_told_apart_in_any_number(tmp_path):
    for number in range(72):
        for kind in ("_a_depth", "_img", "_mask"):
            (tmp_path / f"{number:02}{kind}.png").touch()
    (place,) = find_places(Asked(), read_tree(tmp_path))
    assert place.words() == (
        "pictures in the input folder, masks next to them: {stem}_img with {stem}_mask"
    )


def test_of_several_folders_whose_names_say_nothing_none_is_guessed(tmp_path):
    for folder in ("beauty", "depth"):
        put(tmp_path / folder / "a.png")
    put(tmp_path / "masks/a.png", IDS)
    with pytest.raises(ConfigError, match=r"--loader\.images FOLDER"):
        dataset(tmp_path)
    assert pairs(dataset(tmp_path, images="beauty")) == {"beauty/a.png": ["masks/a.png"]}


def test_hidden_files_are_not_there(tmp_path):
    put(tmp_path / "images/a.png")
    put(tmp_path / "masks/a.png", IDS)
    put(tmp_path / "images/._a.png")
    put(tmp_path / ".cache/images/b.png")
    assert list(dataset(tmp_path).ids) == ["images/a.png"]
    assert dataset(tmp_path).problems == ()


def test_the_loader_keeps_the_contract(tmp_path):
    for name in ("day/a.png", "b.png"):
        put(tmp_path / "images" / name)
        put(tmp_path / "masks" / name, IDS)
    (spec,) = sv2r_loaders()
    check_loader(spec, tmp_path)


def test_detect_knows_pairs_and_says_why_not(tmp_path):
    assert detect(tmp_path).confidence == 0
    assert detect(tmp_path).reason == "no picture in it (PNG, JPEG, WebP, TIFF, BMP)"
    put(tmp_path / "images/a.png")
    assert detect(tmp_path).confidence == 0
    assert detect(tmp_path).reason.startswith(
        "no picture has a mask (images/a.png is one of 1); say where they are with --loader folder "
    )
    put(tmp_path / "masks/a.png", IDS)
    assert detect(tmp_path).confidence == 0.6
    assert detect(tmp_path).reason == "pictures in images, masks in masks of the same name"
    (tmp_path / "images/a.frame_data.json").write_text("{}")
    assert detect(tmp_path).confidence == 0
    assert detect(tmp_path).reason.startswith("looks like Unity's SOLO: ")


def test_samples_are_lazy_stable_and_can_be_sent_elsewhere(tmp_path):
    for name in "abc":
        put(tmp_path / f"images/{name}.png")
        put(tmp_path / f"masks/{name}.png", IDS)
    samples = dataset(tmp_path).samples
    assert len(samples) == 3
    assert [sample.id for sample in samples[1:]] == ["images/b.png", "images/c.png"]
    assert samples[-1].id == "images/c.png"
    again = pickle.loads(pickle.dumps(samples))
    assert again[0].load_instances().labels.tolist() == IDS.tolist()


def test_the_module_is_light():
    code = (
        "import sys, sv2r.loaders.folder.loader, sv2r.loaders.cityscapes;"
        "print(*({'numpy', 'PIL', 'torch'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ""


def test_a_link_in_circles_is_a_problem_and_no_end(tmp_path):
    for name in "ab":
        put(tmp_path / f"images/{name}.png")
        put(tmp_path / f"masks/{name}.png", IDS)
    (tmp_path / "images/c.png").symlink_to("c.png")
    (tmp_path / "notes.txt").symlink_to("notes.txt")
    data = dataset(tmp_path)
    assert list(data.ids) == ["images/a.png", "images/b.png"]
    assert [problem.id for problem in data.problems] == ["images/c.png"]
    assert detect(tmp_path).confidence == 0.6
