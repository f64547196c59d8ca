from __future__ import annotations

import pytest

from sv2r.errors import ConfigError, SampleError
from sv2r.loaders.channels import channel_pattern, find_channels, require_channels


def put(path):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"")
    return path


@pytest.mark.parametrize(
    ("pattern", "where"),
    [
        ("{stem}_depth.png", "images/train/0001_depth.png"),
        ("{name}.npy", "images/train/0001.png.npy"),
        ("../../depth/{parent}/{stem}.exr", "depth/train/0001.exr"),
        ("..\\..\\depth\\{stem}.exr", "depth/0001.exr"),
    ],
)
def test_a_pattern_starts_in_the_pictures_folder(tmp_path, pattern, where):
    depth = put(tmp_path / where)
    image = put(tmp_path / "images/train/0001.png")
    assert find_channels(tmp_path, image, {"depth": pattern}) == {"depth": depth}


def test_what_a_picture_does_not_have_and_an_empty_pattern_are_left_out(tmp_path):
    image = put(tmp_path / "a.png")
    assert find_channels(tmp_path, image, {"depth": "{stem}.exr", "normals": ""}) == {}


def test_braces_in_a_file_name_are_no_fields(tmp_path):
    image, depth = put(tmp_path / "{x}.png"), put(tmp_path / "{x}.exr")
    assert find_channels(tmp_path, image, {"depth": "{stem}.exr"}) == {"depth": depth}


def test_a_file_outside_of_the_root_is_refused(tmp_path):
    put(tmp_path / "depth/a.exr")
    image = put(tmp_path / "in/a.png")
    with pytest.raises(SampleError, match=r"\.\./depth/a\.exr: lies outside of the input folder"):
        find_channels(tmp_path / "in", image, {"depth": "../depth/{stem}.exr"})


def test_a_link_that_leaves_the_root_is_refused(tmp_path):
    image = put(tmp_path / "in/a.png")
    (tmp_path / "in/a.exr").symlink_to(put(tmp_path / "a.exr"))
    with pytest.raises(SampleError, match=r"a\.exr: a link leads out of the input folder"):
        find_channels(tmp_path / "in", image, {"depth": "{stem}.exr"})


@pytest.mark.parametrize("pattern", ["{id}.png", "{}.png", "{stem", "{stem.nope}", "{0}"])
def test_other_fields_are_refused(pattern):
    with pytest.raises(ValueError, match=r"\{stem\}, \{name\} and \{parent\}"):
        channel_pattern(pattern)


def test_an_absolute_pattern_is_refused():
    with pytest.raises(ValueError, match="starts in the picture's folder"):
        channel_pattern("/depth/{stem}.exr")


def test_a_pattern_that_finds_nothing_at_all_is_told(tmp_path):
    images = [put(tmp_path / "a.png"), put(tmp_path / "b.png")]
    with pytest.raises(ConfigError) as told:
        require_channels(tmp_path, images, {"depth": "{stem}_depth.png"})
    assert str(told.value) == (
        "--loader.depth '{stem}_depth.png' finds nothing for the first 2 pictures; "
        "it looked for a_depth.png: fix the pattern or leave it out"
    )
    put(tmp_path / "b_depth.png")
    require_channels(tmp_path, images, {"depth": "{stem}_depth.png"})


def test_a_pattern_that_leads_out_is_told_before_anything_runs(tmp_path):
    with pytest.raises(ConfigError, match="lies outside of the input folder"):
        require_channels(tmp_path, [put(tmp_path / "a.png")], {"depth": "../{stem}.exr"})
