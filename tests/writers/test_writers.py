"""Exports are pixel-exact, and mirror changes nothing but pixels."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from PIL import Image
from pycocotools import mask as coco_mask

import sv2r
from sv2r.errors import ConfigError
from sv2r.images.rle import encode_instances
from sv2r.types import Instance, Instances
from tests.toys.datasets import make_coco


def _config(source: Path, output: Path, **more):
    # grade changes colours alone: what the writers do is the point here.
    grade = {"name": "grade", "mean": [60, 10, 5], "std": [15, 5, 5]}
    return {
        "input": str(source),
        "output": str(output),
        "translator": grade,
        "checks": ["sanity"],
        "batch_size": 2,
        **more,
    }


def _masks(root: Path, file: str = "annotations.json") -> dict[tuple[str, str, int], bytes]:
    """Return every mask of a COCO file, by picture's stem, category and place in the file."""
    data = json.loads((root / file).read_text())
    images = {image["id"]: image for image in data["images"]}
    names = {category["id"]: category["name"] for category in data["categories"]}
    masks, seen = {}, {}
    for annotation in data["annotations"]:
        image = images[annotation["image_id"]]
        shape = annotation["segmentation"]
        if isinstance(shape, list):
            parts = coco_mask.frPyObjects(shape, image["height"], image["width"])
            shape = coco_mask.merge(parts)
        stem = Path(image["file_name"].removeprefix("images/")).with_suffix("").as_posix()
        key = (stem, names[annotation["category_id"]])
        seen[key] = seen.get(key, 0) + 1
        masks[(*key, seen[key])] = coco_mask.decode(shape).tobytes()
    return masks


def test_coco_exports_overlapping_masks_pixel_exact(tmp_path):
    source = make_coco(tmp_path / "in", ("a.png", "b/c.png"))
    data = json.loads((source / "annotations.json").read_text())
    over = {**data["annotations"][0], "id": 99, "category_id": 4}
    over["segmentation"] = [[5, 8, 25, 8, 25, 16, 5, 16]]
    data["annotations"].append(over)
    (source / "annotations.json").write_text(json.dumps(data))
    sv2r.convert(_config(source, tmp_path / "out", writer="coco"))
    assert _masks(tmp_path / "out") == _masks(source)


def test_coco_exports_variants_with_a_group_id(tmp_path):
    source = make_coco(tmp_path / "in", ("a.png", "b.png"))
    summary = sv2r.convert(_config(source, tmp_path / "out", writer="coco", variants=3))
    data = json.loads((tmp_path / "out" / "annotations.json").read_text())
    assert summary.done == 6
    groups = [(image["group_id"], image["file_name"]) for image in data["images"]]
    assert groups == [
        *(("a.png", "images/a.png"), ("a.png", "images/a_v1.png"), ("a.png", "images/a_v2.png")),
        *(("b.png", "images/b.png"), ("b.png", "images/b_v1.png"), ("b.png", "images/b_v2.png")),
    ]
    assert len({a["id"] for a in data["annotations"]}) == len(data["annotations"]) == 12
    again = sv2r.convert(_config(tmp_path / "out", tmp_path / "again", writer="coco"))
    assert again.done == 6


def test_folder_exports_ids_that_the_folder_loader_reads_back(tmp_path):
    source = make_coco(tmp_path / "in", ("a.png", "b/c.jpg"))
    sv2r.convert(_config(source, tmp_path / "out", writer="folder"))
    masks = _masks(source)
    for name in ("a", "b/c"):
        labels = np.asarray(Image.open(tmp_path / "out" / "masks" / f"{name}.png"))
        assert labels.dtype == np.uint16
        mine = [mask for (stem, *_), mask in masks.items() if stem == name]
        ids = [value for value in np.unique(labels) if value]
        assert sorted((labels == i).astype(np.uint8).tobytes(order="C") for i in ids) == sorted(
            np.frombuffer(m, np.uint8).reshape(labels.shape).tobytes() for m in mine
        )
    lines = (tmp_path / "out" / "instances.jsonl").read_text().splitlines()
    assert [i["category"] for i in json.loads(lines[0])["instances"]] == ["coffee_mug", "bowl"]
    again = _config(tmp_path / "out", tmp_path / "again", writer="folder", loader="folder")
    sv2r.convert(again)
    for name in ("a", "b/c"):
        first = (tmp_path / "out" / "masks" / f"{name}.png").read_bytes()
        assert (tmp_path / "again" / "masks" / f"{name}.png").read_bytes() == first


def test_mirror_holds_one_picture_per_source(tmp_path):
    source = make_coco(tmp_path / "in", ("a.png",))
    with pytest.raises(ConfigError, match="choose --writer cityscapes, coco, folder, "):
        sv2r.convert(_config(source, tmp_path / "out", variants=2))


def test_another_format_renames_pictures_and_only_their_names_in_the_labels(tmp_path):
    source = make_coco(tmp_path / "in", ("a.jpg", "b/c.jpeg", "d.png"))
    sv2r.convert(_config(source, tmp_path / "out", writer={"name": "mirror", "format": "png"}))
    assert Image.open(tmp_path / "out" / "b" / "c.png").format == "PNG"
    before = (source / "annotations.json").read_text()
    expected = before.replace('"a.jpg"', '"a.png"').replace('"b/c.jpeg"', '"b/c.png"')
    assert (tmp_path / "out" / "annotations.json").read_text() == expected


@given(
    arrays(np.int32, st.tuples(st.integers(1, 6), st.integers(1, 6)), elements=st.integers(0, 4))
)
def test_rle_of_all_instances_equals_pycocotools_on_each(labels):
    ids = range(1, 5)
    hidden = np.flatnonzero(labels == 2)[:2]
    instances = Instances(labels, {i: Instance(i, "x") for i in ids}, {1: hidden})
    for rle in encode_instances(instances):
        mask = np.asfortranarray(instances.mask(rle.id).astype(np.uint8))
        theirs = coco_mask.encode(mask)
        assert rle.counts == theirs["counts"].decode()
        assert rle.area == int(mask.sum())
        assert list(rle.bbox) == [int(v) for v in coco_mask.toBbox(theirs)]


def test_the_name_of_a_picture_that_failed_stays_as_it_is(tmp_path):
    source = make_coco(tmp_path / "in", ("a.jpg", "a.png", "b/a.jpg"))
    config = _config(source, tmp_path / "out", writer={"name": "mirror", "format": "png"})
    assert sv2r.convert(config).failed == 1
    data = json.loads((tmp_path / "out" / "annotations.json").read_text())
    names = [image["file_name"] for image in data["images"]]
    assert names == ["a.jpg", "a.png", "b/a.png"]
