from __future__ import annotations

import pytest

from sv2r.errors import ConfigError, SampleError
from tests.toys.folders import IDS, WHITE, dataset, options, problems, put


def test_what_has_no_other_half_is_a_problem(tmp_path):
    for name in ("a.png", "b.png", "c.jpg", "c.png", "d.png", "e.png"):
        put(tmp_path / "images" / name)
    for name in ("a.png", "c.png", "f.png"):
        put(tmp_path / "masks" / name, IDS)
    (tmp_path / "masks/d.png").mkdir()
    (tmp_path / "images/g.png").mkdir()
    data = dataset(tmp_path)
    assert list(data.ids) == ["images/a.png", "images/c.jpg"]
    assert problems(data) == {
        "images/b.png": "images/b.png: no mask (masks/b.png is missing); render it, or take the"
        " picture out",
        "images/c.png": "images/c.png: has its mask masks/c.png in common with images/c.jpg;"
        " keep one",
        "images/d.png": "images/d.png: its mask masks/d.png is a folder; put the mask itself there",
        "images/e.png": "images/e.png: no mask (masks/e.png is missing); render it, or take the"
        " picture out",
        "images/g.png": "images/g.png: is a folder; put the picture itself there",
        "masks/f.png": "masks/f.png: a mask without a picture in images; render it, or remove the"
        " mask",
    }


def test_what_a_link_leads_out_to_is_a_problem(tmp_path):
    root = tmp_path / "in"
    for name in ("a.png", "b.png"):
        put(root / "images" / name)
        put(root / "masks" / name, IDS)
    outside = put(tmp_path / "outside/c.png")
    (root / "images/c.png").symlink_to(outside)
    (root / "masks/c.png").symlink_to(root / "masks/b.png")
    (root / "images/more").symlink_to(tmp_path / "outside")
    data = dataset(root)
    assert list(data.ids) == ["images/a.png", "images/b.png"]
    assert problems(data) == {
        "images/c.png": "images/c.png: a link leads out of the input folder; put the file itself"
        " there",
        "images/more": "images/more: a link to a folder, which is not followed; put the folder"
        " itself there",
    }


def test_the_mask_of_a_picture_that_is_a_folder_is_not_told_as_well(tmp_path):
    put(tmp_path / "images/a.png")
    put(tmp_path / "masks/a_mask.png", IDS)
    (tmp_path / "images/b.png").mkdir()
    put(tmp_path / "masks/b_mask.png", IDS)
    assert problems(dataset(tmp_path)) == {
        "images/b.png": "images/b.png: is a folder; put the picture itself there"
    }


def test_a_name_that_other_systems_cannot_read_is_a_problem(tmp_path):
    put(tmp_path / "images/a.png")
    put(tmp_path / "masks/a.png", IDS)
    put(tmp_path / "images/b\nc.png")
    put(tmp_path / "images/d\\e.png")
    (tmp_path / "images").joinpath("f\udcff.png").write_bytes(b"")
    data = dataset(tmp_path)
    assert list(data.ids) == ["images/a.png"]
    assert [problem.message for problem in data.problems] == [
        f"{name}: the name holds characters that no other system reads; rename it"
        for name in (r"'images/b\nc.png'", r"'images/d\\e.png'", r"'images/f\udcff.png'")
    ]


def test_a_broken_mask_fails_its_own_sample(tmp_path):
    for name in ("a.png", "b.png", "c.jpg"):
        put(tmp_path / "images" / name)
    put(tmp_path / "masks/a.png", IDS)
    (tmp_path / "masks/b.png").write_bytes((tmp_path / "masks/a.png").read_bytes()[:50])
    put(tmp_path / "masks/c.jpg", WHITE)
    a, b, c = dataset(tmp_path).samples
    assert a.load_instances().size == (2, 3)
    with pytest.raises(SampleError) as caught:
        b.load_instances()
    assert str(caught.value) == (
        "masks/b.png: truncated after 50 bytes; render it again, then run the same command"
    )
    with pytest.raises(SampleError) as caught:
        c.load_instances()
    assert str(caught.value) == (
        "masks/c.jpg: labels in JPEG, which changes values; write them as PNG"
    )


def test_masks_that_are_all_lossy_stop_the_job(tmp_path):
    put(tmp_path / "images/a.png")
    put(tmp_path / "masks/a.jpg", WHITE)
    with pytest.raises(ConfigError, match=r"masks/a.jpg: labels in JPEG, which changes values"):
        dataset(tmp_path)


def test_when_no_mask_can_be_looked_at_each_sample_tells_its_own_fault(tmp_path):
    put(tmp_path / "images/a.png")
    (tmp_path / "masks").mkdir()
    (tmp_path / "masks/a.png").write_bytes(b"text, no picture")
    data = dataset(tmp_path)
    assert data.notes[-1] == (
        "masks are taken as ids, since those looked at cannot be read (masks/a.png: not a picture;"
        " give PNG, JPEG, WebP, TIFF or BMP)"
    )
    with pytest.raises(SampleError, match=r"masks/a.png: not a picture"):
        data.samples[0].load_instances()


@pytest.mark.parametrize(
    ("make", "asked", "message"),
    [
        ((), {}, "no picture in it (PNG, JPEG, WebP, TIFF, BMP): ROOT"),
        (
            ("a.png",),
            {},
            (
                "no picture has a mask (a.png is one of 1); say where they are with"
                " --loader.images FOLDER and --loader.masks FOLDER, or how masks are named with"
                " --loader.mask_pattern '{stem}_mask.png'"
            ),
        ),
        (("a.png",), {"masks": "labels"}, "--loader.masks labels: no such folder in ROOT"),
        (
            ("a.png", "x/y.txt"),
            {"images": "x"},
            "--loader.images x: no picture there; name a folder inside ROOT",
        ),
        (
            ("images/a.png", "masks/b.png"),
            {"masks": "masks"},
            "no picture has a mask in masks (images/a.png is one of 1); say where",
        ),
    ],
)
def test_nothing_to_pair_is_the_users_to_fix(tmp_path, make, asked, message):
    for name in make:
        if name.endswith(".png"):
            put(tmp_path / name)
        else:
            (tmp_path / name).parent.mkdir()
            (tmp_path / name).write_text("")
    with pytest.raises(ConfigError) as caught:
        dataset(tmp_path, **asked)
    assert str(caught.value).startswith(message.replace("ROOT", str(tmp_path)))


def test_a_missing_input_is_told(tmp_path):
    with pytest.raises(ConfigError, match="nowhere: no such folder"):
        dataset(tmp_path / "nowhere")
    put(tmp_path / "a.png")
    with pytest.raises(ConfigError, match="cannot be listed"):
        dataset(tmp_path / "a.png")


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ({"images": "/data"}, "--loader.images must lie inside the input folder"),
        ({"images": "../x"}, "--loader.images must lie inside the input folder"),
        ({"mask_pattern": "masks/{stem}.png"}, "--loader.mask_pattern must be a file name"),
        ({"image_pattern": "{name}.png"}, "--loader.image_pattern: can hold {stem} once"),
        ({"encoding": "colours"}, "--loader.encoding must be 'auto', 'ids', 'palette', 'colour', "),
        ({"background": "red"}, "--loader.background: 'red' is not an id (7), range of ids"),
        ({"categories": {"9-5": "car"}}, "--loader.categories: '9-5' ends before it begins"),
        ({"categories": {"300,0,0": "car"}}, "--loader.categories: '300,0,0' is not an id"),
        ({"depth": "/d/{stem}.exr"}, "--loader.depth: the pattern starts in the picture's folder"),
    ],
)
def test_wrong_options_are_refused_by_name(asked, message):
    with pytest.raises(ConfigError) as caught:
        options(**asked)
    assert str(caught.value).startswith(message)
    assert "\n" not in str(caught.value)
