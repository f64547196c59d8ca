"""Photos are found, captioned, looked at and cut before anything is learnt."""

from __future__ import annotations

import shutil

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from sv2r.errors import ConfigError
from sv2r.images.references import find_photos as find_references
from sv2r.training.draws import Draws
from sv2r.training.options import LoraOptions, seconds
from sv2r.training.photos import SquarePlace, cut_square, fingerprint, read_photos, split


def options(photos, **more):
    values = {"photos": photos, "output": photos / "out", "model": "none", "resolution": 32}
    return LoraOptions.model_validate({**values, **more})


def test_photos_are_found_in_subfolders_by_name(photos):
    found = read_photos(options(photos))
    assert [p.name for p in found][:3] == [
        "dining_room/0.png",
        "dining_room/2.png",
        "dining_room/4.png",
    ]
    assert len(found) == 10
    assert found[0].size == (34, 40)


def test_a_caption_is_made_from_the_template_or_read_from_the_file_beside(photos):
    templated = read_photos(options(photos, caption="a photo of {stem} in a {folder}"))
    assert templated[0].caption == "a photo of 0 in a dining room"
    assert read_photos(options(photos, caption_files=True))[0].caption == "mug 0"
    assert read_photos(options(photos))[0].caption == ""


def test_of_a_dataset_only_the_images_are_photos(photos, tmp_path):
    for place in ("a.png", "set/images/b.png", "set/depth/b.png", "set/masks/mug/b.png"):
        (tmp_path / place).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(photos / "kitchen" / "1.png", tmp_path / place)
    assert len(read_photos(options(tmp_path))) == 4
    (tmp_path / "set" / "annotations.json").write_text("{}")
    assert [p.name for p in read_photos(options(tmp_path))] == ["a.png", "set/images/b.png"]
    references = find_references(tmp_path, "--photos").paths
    assert references == (tmp_path / "a.png", tmp_path / "set" / "images" / "b.png")
    assert [p.name for p in read_photos(options(tmp_path / "set" / "depth"))] == ["b.png"]


def test_an_empty_folder_is_refused(tmp_path):
    (tmp_path / "notes.txt").write_text("no photo")
    with pytest.raises(
        ConfigError, match=r"there is no photo in it \(\.bmp, .*give a folder that has"
    ):
        read_photos(options(tmp_path))
    with pytest.raises(
        ConfigError, match="no such folder; give the folder with photos by --photos"
    ):
        read_photos(options(tmp_path / "none"))


def test_a_broken_photo_is_named_or_left_out(photos, tmp_path):
    folder = tmp_path / "photos"
    shutil.copytree(photos, folder)
    whole = (folder / "kitchen" / "1.png").read_bytes()
    (folder / "kitchen" / "1.png").write_bytes(whole[:100])
    with pytest.raises(ConfigError) as told:
        read_photos(options(folder))
    assert str(told.value) == (
        "kitchen/1.png: truncated after 100 bytes; render it again, then run the same command; "
        "--skip-broken true leaves such photos out"
    )
    assert len(read_photos(options(folder, skip_broken=True))) == 9


@pytest.mark.parametrize(
    ("more", "line"),
    [
        ({"caption": "a {colour} mug"}, r"no field \{colour\}; there are \{stem\} \{folder\}"),
        ({"caption": "a {stem"}, "--caption 'a {stem'"),
        ({"caption": "a {stem:d}"}, r"'a \{stem:d\}': .*; write \{stem\} alone"),
        ({"caption": "a {stem:{x}}"}, r"'a \{stem:\{x\}\}': .*; write \{stem\} alone"),
    ],
)
def test_a_caption_that_cannot_be_made_is_refused(photos, more, line):
    with pytest.raises(ConfigError, match=line):
        read_photos(options(photos, **more))


def test_a_missing_caption_file_is_named(photos, tmp_path):
    folder = tmp_path / "photos"
    shutil.copytree(photos, folder)
    (folder / "kitchen" / "3.txt").unlink()
    with pytest.raises(ConfigError, match=r"kitchen/3.png: there is no readable 3.txt next to it"):
        read_photos(options(folder, caption_files=True))


def test_held_out_photos_are_never_learnt_from(photos):
    asked = options(photos, crops=3, held_out=8)
    found = read_photos(asked)
    learnt, held = split(found, asked)
    assert len(held) == 2  # a fifth at most
    assert len(learnt) == 8 * 3 * 2
    assert not {s.photo.name for s in held.squares} & {s.photo.name for s in learnt.squares}
    assert [s.photo.name for s in split(found, asked)[1].squares] == [
        s.photo.name for s in held.squares
    ]


def test_the_mirror_image_is_the_same_square_turned_around(photos):
    asked = options(photos)
    learnt, _ = split(read_photos(asked), asked)
    assert learnt.picture(0).shape == (3, 32, 32)
    assert torch.equal(learnt.picture(1), learnt.picture(0).flip(-1))
    assert not torch.equal(learnt.picture(1), learnt.picture(0))


def test_a_square_of_a_photo_of_its_own_size_is_the_photo(tmp_path):
    pixels = np.random.default_rng(0).integers(0, 255, (32, 32, 3)).astype(np.uint8)
    Image.fromarray(pixels).save(tmp_path / "a.png")
    asked = options(tmp_path, flip=False, held_out=0)
    learnt, _ = split(read_photos(asked), asked)
    assert np.array_equal(learnt.picture(0).permute(1, 2, 0).numpy(), pixels)


@given(
    height=st.integers(1, 70),
    width=st.integers(1, 70),
    side=st.integers(1, 40),
    down=st.floats(0, 1),
    right=st.floats(0, 1),
)
def test_a_square_has_its_side_whatever_the_photo(height, width, side, down, right):
    square = cut_square(np.zeros((height, width, 3), np.uint8), SquarePlace(side, down, right))
    assert square.shape == (side, side, 3)


def test_a_photo_set_is_known_by_names_bytes_and_captions(photos):
    before = fingerprint(read_photos(options(photos)))
    assert fingerprint(read_photos(options(photos))) == before
    assert fingerprint(read_photos(options(photos, caption="a mug"))) != before


def test_every_item_is_drawn_once_in_every_epoch_in_another_order():
    draws = Draws(7, "unet", 5)
    first = [draw.item for draw in draws.take(range(5))]
    second = [draw.item for draw in draws.take(range(5, 10))]
    assert sorted(first) == sorted(second) == [0, 1, 2, 3, 4]
    assert first != second


@given(cut_at=st.integers(0, 12))
def test_what_is_drawn_at_a_position_does_not_depend_on_where_one_begins(cut_at):
    def noise(positions):
        return [
            (draw.item, float(torch.rand((), generator=draw.generator)))
            for draw in Draws(0, "unet", 5).take(positions)
        ]

    assert noise(range(12)) == noise(range(cut_at)) + noise(range(cut_at, 12))


@pytest.mark.parametrize(("text", "value"), [("90s", 90), ("45m", 2700), ("1.5h", 5400), (3, 3)])
def test_a_duration_is_written_with_its_unit(text, value):
    assert seconds(text) == value


def test_a_duration_without_sense_is_refused():
    with pytest.raises(ValueError, match=r"such as 90s, 45m or 1\.5h"):
        seconds("an hour")
