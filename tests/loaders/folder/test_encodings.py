from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from sv2r.errors import ConfigError, SampleError
from tests.toys.folders import COLOURS, IDS, WHITE, dataset, only, pairs, problems, put


@pytest.mark.parametrize(
    ("mask", "values", "note"),
    [
        ("a.png", IDS, "masks are 16-bit ids (masks/a.png holds 0, 1, 7)"),
        ("a.png", IDS.astype(np.uint8), "masks are 8-bit ids (masks/a.png holds 0, 1, 7)"),
        ("a.tif", IDS.astype(np.int32), "masks are 32-bit ids (masks/a.tif holds 0, 1, 7)"),
        ("a.npy", IDS.astype(np.int64), "masks are 64-bit ids (masks/a.npy holds 0, 1, 7)"),
        (
            "a.png",
            np.stack([IDS.astype(np.uint8)] * 3, -1),
            (
                "masks are 8-bit ids in equal channels"
                " (masks/a.png holds (0, 0, 0), (1, 1, 1), (7, 7, 7))"
            ),
        ),
    ],
)
def test_auto_finds_ids_and_says_why(tmp_path, mask, values, note):
    put(tmp_path / "images/a.png")
    put(tmp_path / "masks" / mask, values)
    assert dataset(tmp_path).notes[-1] == note
    assert only(tmp_path) == (IDS.tolist(), {1: "object", 7: "object"})


def test_auto_finds_palettes_colours_and_black_and_white(tmp_path):
    put(tmp_path / "images/a.png")
    mask = tmp_path / "masks/a.png"
    palette = Image.fromarray(IDS.astype(np.uint8), "P")
    palette.putpalette([0, 0, 0, *range(30)])
    mask.parent.mkdir()
    palette.save(mask)
    assert only(tmp_path) == (IDS.tolist(), {1: "object", 7: "object"})
    assert dataset(tmp_path).notes[-1] == (
        "masks are palette indices, each one instance (masks/a.png holds 0, 1, 7)"
    )
    put(mask, COLOURS)
    red, green = 255 << 16, 255 << 8
    assert only(tmp_path) == (
        [[0, red, red], [green, green, 0]],
        {red: "object", green: "object"},
    )
    assert dataset(tmp_path).notes[-1] == (
        "masks are colour codes, each colour one instance"
        " (masks/a.png holds (0, 0, 0), (0, 255, 0), (255, 0, 0))"
    )
    for white in (WHITE, np.stack([WHITE] * 3, -1), WHITE.astype(np.uint16) * 257):
        put(mask, white)
        assert only(tmp_path, category="mug") == ([[0, 1, 1], [0, 0, 0]], {1: "mug"})
    put(mask, np.zeros((2, 3), np.uint8))
    assert only(tmp_path) == ([[0, 0, 0], [0, 0, 0]], {})


def test_what_auto_took_for_black_and_white_is_held_against_every_mask(tmp_path):
    for number in range(9):
        put(tmp_path / f"images/{number}.png")
        put(tmp_path / f"masks/{number}.png", WHITE)
    put(tmp_path / "masks/3.png", np.array([[0, 100, 255], [0, 0, 0]], np.uint8))
    samples = dataset(tmp_path).samples
    with pytest.raises(SampleError) as caught:
        samples[3].load_instances()
    assert str(caught.value) == (
        "masks/3.png: holds 100, where other masks hold black and white alone;"
        " choose --loader.encoding ids or binary"
    )
    asked = dataset(tmp_path, encoding="binary").samples[3].load_instances()
    assert asked.labels.tolist() == [[0, 0, 1], [0, 0, 0]]


def test_masks_of_several_encodings_ask_for_one(tmp_path):
    put(tmp_path / "images/a.png")
    put(tmp_path / "images/b.png")
    put(tmp_path / "masks/a.png", IDS)
    put(tmp_path / "masks/b.png", COLOURS)
    with pytest.raises(ConfigError) as caught:
        dataset(tmp_path)
    assert str(caught.value) == (
        "masks/b.png is a colour mask and masks/a.png is not; choose with --loader.encoding"
    )
    samples = dataset(tmp_path, encoding="ids").samples
    assert samples[0].load_instances().labels.tolist() == IDS.tolist()
    with pytest.raises(SampleError, match=r"masks/b.png: a colour picture, where masks are read"):
        samples[1].load_instances()


def test_a_picture_beside_an_array_is_its_preview(tmp_path):
    put(tmp_path / "images/a.png")
    put(tmp_path / "masks/a.png", WHITE)
    put(tmp_path / "masks/a.npy", IDS)
    assert problems(dataset(tmp_path)) == {}
    assert only(tmp_path) == (IDS.tolist(), {1: "object", 7: "object"})
    assert only(tmp_path, encoding="npy") == (IDS.tolist(), {1: "object", 7: "object"})
    assert only(tmp_path, mask_pattern="{stem}.png") == ([[0, 1, 1], [0, 0, 0]], {1: "object"})


def test_two_masks_of_one_picture_are_told(tmp_path):
    put(tmp_path / "images/a.png")
    put(tmp_path / "masks/a.png", WHITE)
    put(tmp_path / "masks/a.tif", WHITE)
    assert problems(dataset(tmp_path)) == {
        "images/a.png": "images/a.png: has two masks, masks/a.png and masks/a.tif; remove one,"
        " or choose with --loader.mask_pattern '{stem}.png'"
    }


def test_values_can_be_named_singly_by_range_and_by_colour(tmp_path):
    put(tmp_path / "images/a.png")
    put(tmp_path / "masks/a.png", np.array([[0, 26001, 26002], [24001, 5, 7]], np.uint16))
    named = {"26000-26999": "car", "24001": "person", "5": "pole"}
    labels, table = only(tmp_path, categories=named)
    assert table == {5: "pole", 7: "object", 24001: "person", 26001: "car", 26002: "car"}
    labels, table = only(tmp_path, categories=named, only_named=True)
    assert labels == [[0, 26001, 26002], [24001, 5, 0]]
    assert 7 not in table
    data = dataset(tmp_path, categories=named)
    assert data.categories == ("car", "person", "pole", "object")
    put(tmp_path / "masks/a.png", COLOURS)
    labels, table = only(tmp_path, categories={"#ff0000": "car", "0,*,*": "tree"})
    assert table == {255 << 16: "car", 255 << 8: "tree"}


def test_background_can_be_any_value(tmp_path):
    put(tmp_path / "images/a.png")
    put(tmp_path / "masks/a.png", np.array([[0, 1, 255], [255, 1, 0]], np.uint8))
    assert only(tmp_path, background=[0, 255]) == ([[0, 1, 0], [0, 1, 0]], {1: "object"})
    labels, table = only(tmp_path, background="255")
    assert labels == [[256, 1, 0], [0, 1, 256]]
    assert list(table) == [256, 1]
    (sample,) = dataset(tmp_path, background=255).samples
    assert sample.load_instances().table[256].source_id == "0"
    put(tmp_path / "masks/a.png", COLOURS)
    labels, _ = only(tmp_path, background="255,0,0")
    assert labels[0][1:] == [0, 0]
    assert labels[0][0] == labels[1][2] > 0


@pytest.mark.parametrize("wrong", [-1, 2**31])
def test_an_id_that_is_none_is_refused_unless_it_is_background(tmp_path, wrong):
    put(tmp_path / "images/a.png")
    put(tmp_path / "masks/a.npy", np.array([[0, 1, wrong]], np.int64))
    with pytest.raises(SampleError) as caught:
        only(tmp_path)
    assert str(caught.value) == (
        f"masks/a.npy: holds id {wrong}; ids go from 0 to 2147483647 (what is no instance can be"
        f" named with --loader.background {wrong})"
    )
    assert only(tmp_path, background=[0, wrong]) == ([[0, 1, 0]], {1: "object"})


def test_a_photograph_is_no_mask(tmp_path):
    put(tmp_path / "images/a.png")
    noise = np.random.default_rng(0).integers(0, 256, (150, 150, 3), np.uint8)
    put(tmp_path / "masks/a.png", noise)
    with pytest.raises(SampleError, match=r"masks/a.png: holds 22,4\d\d different colours; is it"):
        only(tmp_path)


def test_a_file_per_instance_takes_category_and_number_from_its_name(tmp_path):
    for image in ("0_a", "0_a_b", "1"):
        put(tmp_path / f"shapes/{image}.png")
    left, right = (np.array([row, [0, 0, 0]], np.uint8) for row in ([255, 255, 0], [0, 255, 0]))
    opaque = np.dstack([left, left, left, np.full((2, 3), 255, np.uint8)])
    put(tmp_path / "annotations/0_a_circle_3.png", right)
    put(tmp_path / "annotations/0_a_traffic_light_0.png", opaque)
    put(tmp_path / "annotations/0_a_b_square_0.png", right)
    data = dataset(tmp_path)
    first, second, third = (sample.load_instances() for sample in data.samples)
    # The smaller one is drawn on top, what it covers is kept.
    assert first.labels.tolist() == [[1, 2, 0], [0, 0, 0]]
    assert {i: (x.category, x.source_id) for i, x in first.table.items()} == {
        1: ("traffic_light", "traffic_light_0"),
        2: ("circle", "circle_3"),
    }
    assert {i: pixels.tolist() for i, pixels in first.overlaps.items()} == {1: [1]}
    assert first.areas() == {1: 2, 2: 1}
    assert [x.category for x in second.table.values()] == ["square"]
    assert third.labels.tolist() == [[0, 0, 0], [0, 0, 0]]
    assert data.categories == ("circle", "square", "traffic_light")
    assert data.notes == (
        "pictures in shapes, masks in annotations: {stem} with {stem}_<category>_<n>",
        (
            "masks are one file per instance, <image>_<category>_<n>;"
            " 1 pictures without any are taken as empty"
        ),
    )


def test_a_file_per_instance_can_lie_beside_its_picture_if_asked(tmp_path):
    put(tmp_path / "a.png")
    put(tmp_path / "a_car_0.png", WHITE)
    with pytest.raises(ConfigError):
        dataset(tmp_path)
    data = dataset(tmp_path, encoding="per-instance")
    assert pairs(data) == {"a.png": ["a_car_0.png"]}
    assert data.problems == ()


def test_a_number_is_no_category(tmp_path):
    put(tmp_path / "images/scene.png")
    put(tmp_path / "images/scene_1.png")
    put(tmp_path / "masks/scene_1_0.png", WHITE)
    data = dataset(tmp_path, category="box")
    assert pairs(data) == {"images/scene.png": [], "images/scene_1.png": ["masks/scene_1_0.png"]}
    assert data.samples[1].load_instances().table[1].category == "box"
    assert data.categories == ("box",)


def test_folders_of_both_kinds_ask_for_one(tmp_path):
    put(tmp_path / "a/images/1.png")
    put(tmp_path / "a/masks/1_car_0.png", WHITE)
    put(tmp_path / "b/images/1.png")
    put(tmp_path / "b/masks/1.png", IDS)
    with pytest.raises(ConfigError, match=r"other folders hold one file per instance; choose"):
        dataset(tmp_path)
    assert pairs(dataset(tmp_path, encoding="ids")) == {"b/images/1.png": ["b/masks/1.png"]}


def test_an_instance_file_of_another_size_is_told(tmp_path):
    put(tmp_path / "images/a.png")
    put(tmp_path / "masks/a_car_0.png", np.full((4, 5), 255, np.uint8))
    with pytest.raises(SampleError) as caught:
        only(tmp_path)
    assert str(caught.value) == (
        "masks/a_car_0.png: the mask is 5×4, the picture 3×2; render both at one size"
    )


@pytest.mark.parametrize("name", ["background", "categories", "names"])
def test_options_on_values_have_no_meaning_for_files_per_instance(tmp_path, name):
    put(tmp_path / "images/a.png")
    put(tmp_path / "masks/a_car_0.png", WHITE)
    value = {"7": "car"} if name == "categories" else "7"
    with pytest.raises(ConfigError, match=f"--loader.{name}: has no meaning"):
        dataset(tmp_path, **{name: value})
