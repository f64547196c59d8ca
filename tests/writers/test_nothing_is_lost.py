"""What came in goes out: names that resolve, files beside, and all that is said of an instance."""

from __future__ import annotations

import json

import numpy as np
import pytest
from PIL import Image

import sv2r
from sv2r.errors import ConfigError
from sv2r.loaders.coco.loader import CocoOptions, load
from sv2r.plugin.specs import Runtime
from sv2r.storage.others import find_others
from sv2r.verify.dataset import verify
from sv2r.writers.mirror import Mirror, MirrorOptions

GRADE = {"name": "grade", "mean": [60, 10, 5], "std": [15, 5, 5]}
SQUARE = [[4, 4, 16, 4, 16, 16, 4, 16]]


def render(path):
    pixels = np.full((24, 32, 3), 90, np.uint8)
    pixels[4:16, 4:16] = 200
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)


def coco(root, names, **annotation):
    """Write a COCO dataset; names: file_name as written, by the path of the picture."""
    images, annotations = [], []
    for number, (path, name) in enumerate(names.items(), 1):
        render(root / path)
        images.append({"id": number, "file_name": name, "height": 24, "width": 32, "license": 3})
        own = {"id": number, "image_id": number, "category_id": 2, "segmentation": SQUARE}
        annotations.append({**own, "path": f"old/{name}", **annotation})
    data = {
        "info": {"year": 2026},
        "licenses": [{"id": 3, "name": "CC0"}],
        "images": images,
        "annotations": annotations,
        "categories": [{"id": 2, "name": "cup", "supercategory": "dish", "skeleton": [[1, 2]]}],
    }
    (root / "coco.json").write_text(json.dumps(data))
    return root


def convert(source, output, writer, **more):
    config = {"input": str(source), "output": str(output), "translator": GRADE, "writer": writer}
    return sv2r.convert({**config, "checks": ["sanity"], "batch_size": 2, **more})


@pytest.fixture
def with_videos(tmp_path):
    """Return a dataset whose JSON has lists, and a number, that COCO does not name."""
    source = coco(tmp_path / "in", {"a.png": "a.png"})
    data = json.loads((source / "coco.json").read_text())
    more = {"videos": [{"id": 7}], "version": 2, "captions": [{"image_id": 1}], **data, "fps": 9}
    (source / "coco.json").write_text(json.dumps(more))
    return source


@pytest.mark.parametrize(
    ("writer", "file"), [("coco", "annotations.json"), ("folder", "dataset.json")]
)
def test_lists_that_coco_does_not_name_go_along(tmp_path, with_videos, writer, file):
    assert convert(with_videos, tmp_path / "out", writer).exit_code == 0
    written = json.loads((tmp_path / "out" / file).read_text())
    assert (written["videos"], written["version"], written["fps"]) == ([{"id": 7}], 2, 9)
    assert "captions" not in written


def test_what_an_export_cannot_hold_of_them_is_counted(with_videos):
    from sv2r.writers.encoding import left_out

    dataset = load(with_videos, CocoOptions())
    (line,) = left_out(dataset, "annotations.json")
    assert line == (
        "annotations.json cannot hold captions (1), which name pictures or annotations by number; "
        "--writer mirror carries them"
    )
    (line,) = left_out(dataset, "data.yaml", extra=False)
    assert line == (
        "data.yaml cannot hold captions (1), fps, info (1), licenses (1), version, videos (1); "
        "--writer mirror carries them"
    )


def test_a_list_that_is_too_large_is_told(with_videos, monkeypatch):
    from sv2r.loaders.coco import build_index

    monkeypatch.setattr(build_index, "_EXTRA", 10)
    dataset = load(with_videos, CocoOptions())
    assert "captions and info and licenses and videos are too large" in dataset.notes[-1]


@pytest.mark.parametrize(
    ("names", "loader", "new"),
    [
        ({"images/a.png": "images\\a.png"}, {}, ["images\\a.jpg"]),
        ({"images/a.png": "./images//a.png"}, {}, ["./images//a.jpg"]),
        ({"images/ä.png": "images/ä.png"}, {}, ["images/ä.jpg"]),
        ({"a/1.png": "a/1.png", "b/1.png": "b/1.png"}, {}, ["a/1.jpg", "b/1.jpg"]),
        ({"images/1.png": "1.png"}, {"images": "images"}, ["1.jpg"]),
        ({"images/1.png": "/data/x/1.png"}, {"remap": {"/data/x": "images"}}, ["/data/x/1.jpg"]),
    ],
)
def test_another_format_renames_each_picture_however_it_is_named(tmp_path, names, loader, new):
    source = coco(tmp_path / "in", names)
    loader = {"name": "coco", **loader}
    summary = convert(source, tmp_path / "out", {"name": "mirror", "format": "jpg"}, loader=loader)
    assert (summary.exit_code, summary.faults) == (0, ())
    before = json.loads((source / "coco.json").read_text())
    after = json.loads((tmp_path / "out/coco.json").read_text())
    assert [image["file_name"] for image in after["images"]] == new
    assert after["annotations"] == before["annotations"]
    assert verify(tmp_path / "out").findings == ()


def test_escaped_keys_are_renamed_and_a_name_in_another_field_stays(tmp_path):
    source = coco(tmp_path / "in", {"a.png": "a.png"})
    text = (source / "coco.json").read_text()
    (source / "coco.json").write_text(text.replace('"file_name"', '"file\\u005fname"'))
    convert(source, tmp_path / "out", {"name": "mirror", "format": "jpg"})
    written = (tmp_path / "out/coco.json").read_text()
    assert '"file\\u005fname": "a.jpg"' in written
    assert '"path": "old/a.png"' in written


def test_a_result_that_does_not_hold_is_not_called_verified(tmp_path, monkeypatch):
    from sv2r.writers.coco import CocoWriter

    source = coco(tmp_path / "in", {"a.png": "a.png"})
    whole = CocoWriter._annotations

    def wrong(*args):
        for annotation in whole(*args):
            yield {**annotation, "segmentation": {"size": [24, 32], "counts": [0, 768]}}

    monkeypatch.setattr(CocoWriter, "_annotations", wrong)
    summary = convert(source, tmp_path / "out", "coco")
    assert summary.exit_code == 1
    assert summary.faults == (
        "images/a.png: 1 of 1 instances are not those of its source (1 others)",
    )
    assert "labels" in {finding.kind for finding in verify(tmp_path / "out").findings}


SAID = {
    "keypoints": [5, 5, 2, 9, 9, 1],
    "num_keypoints": 2,
    "attributes": {"worn": True},
    "score": 0.5,
    "bbox": [4.25, 4, 11.5, 12],
    "area": 144.5,
}


@pytest.mark.parametrize("writers", [["coco"], ["folder", "coco"], ["coco", "coco"]])
def test_exports_keep_all_that_still_holds(tmp_path, writers):
    place = coco(tmp_path / "in", {"a.png": "a.png"}, **SAID)
    for number, writer in enumerate(writers):
        convert(place, tmp_path / f"out{number}", writer)
        place = tmp_path / f"out{number}"
    data = json.loads((place / "annotations.json").read_text())
    assert {key: data["annotations"][0][key] for key in SAID} == SAID
    assert data["categories"][0] == {
        "supercategory": "dish",
        "skeleton": [[1, 2]],
        "id": data["categories"][0]["id"],
        "name": "cup",
    }
    assert (data["info"], data["licenses"]) == ({"year": 2026}, [{"id": 3, "name": "CC0"}])
    if "folder" not in writers:
        assert data["images"][0]["license"] == 3
    assert verify(place).findings == ()


def test_the_box_and_area_of_an_empty_mask_stay(tmp_path):
    source = coco(tmp_path / "in", {"a.png": "a.png"}, segmentation=[], bbox=[1, 2, 3, 4], area=12)
    with pytest.raises(ConfigError, match=r"none of 1 instances .* --allow-unlabelled"):
        convert(source, tmp_path / "out", "coco")
    convert(source, tmp_path / "out", "coco", allow_unlabelled=True)
    (own,) = json.loads((tmp_path / "out/annotations.json").read_text())["annotations"]
    assert (own["bbox"], own["area"]) == ([1, 2, 3, 4], 12)


def test_mirror_carries_what_the_loader_does_not_know_and_verify_knows_it(tmp_path):
    source = coco(tmp_path / "in", {"a.png": "a.png"})
    render(source / "unlisted.png")
    for name in ("scene/camera.json", "depth/a.exr", ".hidden", "README"):
        (source / name).parent.mkdir(exist_ok=True)
        (source / name).write_bytes(name.encode())
    (tmp_path / "elsewhere").write_text("x")
    (source / "link").symlink_to(tmp_path / "elsewhere")
    convert(source, tmp_path / "out", "mirror")
    made = {p.relative_to(tmp_path / "out").as_posix() for p in (tmp_path / "out").rglob("*")}
    assert {"scene/camera.json", "depth/a.exr", ".hidden", "README", "unlisted.png"} <= made
    assert "link" not in made
    assert (tmp_path / "out/unlisted.png").read_bytes() == (source / "unlisted.png").read_bytes()
    assert verify(tmp_path / "out").findings == ()
    (tmp_path / "out/depth/a.exr").write_bytes(b"other")
    (tmp_path / "out/README").unlink()
    found = {finding.path for finding in verify(tmp_path / "out").findings}
    assert found == {"depth/a.exr", "README"}


def test_a_dataset_that_has_a_folder_of_the_jobs_name(tmp_path):
    source = coco(tmp_path / "in", {"a.png": "a.png"})
    (source / "sv2r").mkdir()
    (source / "sv2r/notes.txt").write_text("ours")
    (source / "deep/sv2r").mkdir(parents=True)
    (source / "deep/sv2r/x.txt").write_text("x")
    others = find_others(load(source, CocoOptions()))
    assert others.files == ("deep/sv2r/x.txt",)
    said = "the folder sv2r, as the output has its own; rename it to have it carried"
    assert others.left == {said: 1}
    (source / "coco.json").rename(source / "sv2r/coco.json")
    with pytest.raises(ConfigError, match=r"^sv2r/coco\.json: the folder sv2r in the output is"):
        convert(source, tmp_path / "out", "mirror")
    moved = {"name": "mirror", "relocate": {"sv2r": "labels"}}
    assert convert(source, tmp_path / "out", moved).exit_code == 0
    assert (tmp_path / "out/labels/coco.json").is_file()
    assert verify(tmp_path / "out").findings == ()


@pytest.mark.parametrize("name", ["notes.txt", "a.json", "depth", "c.png"])
def test_a_link_in_circles_is_left_and_stops_nothing(tmp_path, name):
    source = coco(tmp_path / "in", {"a.png": "a.png"})
    (source / name).symlink_to(name)
    assert convert(source, tmp_path / "out", "mirror").done == 1
    assert find_others(load(source, CocoOptions())).left == {
        "links that lead out of the input, or names that cannot be kept": 1
    }
    assert verify(tmp_path / "out").findings == ()


def test_mirror_leaves_other_files_if_asked(tmp_path):
    source = coco(tmp_path / "in", {"a.png": "a.png"})
    (source / "README").write_text("x")
    convert(source, tmp_path / "out", {"name": "mirror", "others": "leave"})
    assert not (tmp_path / "out/README").exists()
    assert verify(tmp_path / "out").findings == ()


def test_pictures_that_were_not_asked_for_are_not_carried_as_they_are(tmp_path):
    source = coco(tmp_path / "in", {"a.png": "a.png", "b.png": "b.png"})
    convert(source, tmp_path / "out", "mirror", limit=1)
    assert not (tmp_path / "out/b.png").exists()


@pytest.mark.parametrize("writer", ["folder", "webdataset", "hf"])
def test_what_is_said_of_dataset_categories_and_pictures_goes_through_another_format(
    tmp_path, writer
):
    source = coco(tmp_path / "in", {"a.png": "a.png"})
    convert(source, tmp_path / "between", {"name": writer})
    convert(tmp_path / "between", tmp_path / "out", {"name": "coco"})
    found = json.loads((tmp_path / "out/annotations.json").read_text())
    (category,) = found["categories"]
    assert (category["supercategory"], category["skeleton"]) == ("dish", [[1, 2]])
    assert (found["info"], found["licenses"]) == ({"year": 2026}, [{"id": 3, "name": "CC0"}])
    assert found["images"][0]["license"] == 3


@pytest.mark.parametrize("writer", ["coco", "folder"])
def test_half_a_character_goes_through_an_export(tmp_path, writer):
    source = coco(tmp_path / "in", {"a.png": "a.png"}, note="\ud800x")
    convert(source, tmp_path / "out", {"name": writer})
    assert verify(tmp_path / "out").findings == ()
    written = tmp_path / "out" / ("annotations.json" if writer == "coco" else "instances.jsonl")
    assert '"note": "\\ud800x"' in written.read_text()


def told_by(source, **options):
    runtime = Runtime(input=source, output=source.parent / "out")
    return list(Mirror(MirrorOptions(**options), runtime).prepare(load(source, CocoOptions())))


def test_a_file_whose_place_a_picture_takes_is_not_said_to_be_carried(tmp_path):
    source = coco(tmp_path / "in", {"a.png": "a.png"})
    (source / "a.BMP").write_bytes(b"mine")
    (source / "notes").write_bytes(b"more")
    summary = convert(source, tmp_path / "out", {"name": "mirror", "format": "bmp"})
    assert summary.done == 1
    (told, left) = told_by(source, format="bmp")
    assert told.startswith("carries 1 file that the loader does not know (4 bytes)")
    assert left == "left behind: files in whose places pictures are written, such as a.BMP (1)"
    assert not (tmp_path / "out/a.BMP").exists()


def test_the_folder_of_the_job_in_another_case_is_not_carried(tmp_path):
    source = coco(tmp_path / "in", {"a.png": "a.png"})
    (source / "SV2R").mkdir()
    (source / "SV2R/run.yaml").write_text("mine")
    found = find_others(load(source, CocoOptions()))
    assert found.files == ()
    assert list(found.left) == [
        "the folder sv2r, as the output has its own; rename it to have it carried"
    ]
