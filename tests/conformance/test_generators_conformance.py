"""Loaders of generators' own formats on third-party data, against an independent reader."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from sv2r.plugin.options import validate_options
from sv2r.plugin.registry import load_registry
from sv2r.plugin.specs import Runtime
from sv2r.types import Dataset, Instances

SHARED = Path(__file__).resolve().parents[3] / "shared"


def folder(name: str) -> Path:
    """Return a folder of the data; skips the test where it is not there."""
    path = SHARED / name
    if not path.is_dir():
        pytest.skip(f"no third-party data in {path}")
    return path


def load(loader: str, root: Path, **values: Any) -> Dataset:
    spec = load_registry().spec("loader", loader)
    options = validate_options(spec.options, values, where="--loader")
    return spec.build(options, Runtime(input=root))(root)  # type: ignore[no-any-return]


def categories(data: Dataset) -> Counter[str]:
    tables = (sample.load_instances().table for sample in data.samples)
    return Counter(one.category for table in tables for one in table.values())


def masks(instances: Instances) -> list[bytes]:
    """Return the instances' masks, in an order that does not depend on their ids."""
    return sorted(np.packbits(instances.mask(id_)).tobytes() for id_ in instances.table)


def packed(values: Any, colour: Any) -> bytes:
    same = (values[..., :3] == np.array(colour[:3])).all(-1)
    return np.packbits(same).tobytes()


@pytest.mark.parametrize("name", ["data/bop_cnos_single", "cases/bop_scene"])
def test_bop_masks_are_those_of_mask_visib(name: str) -> None:
    root = folder(name)
    data = load("bop", root)
    for sample in data.samples:
        scene, stem = sample.image.parents[1], sample.image.stem
        files = sorted((scene / "mask_visib").glob(f"{stem}_*.png"))
        expected = sorted(np.packbits(np.array(Image.open(f)) > 0).tobytes() for f in files)
        assert masks(sample.load_instances()) == expected
    counts = {"data/bop_cnos_single": {"obj_000001": 10}}
    three = {f"obj_00000{n}": 4 for n in (1, 2, 3)}
    assert categories(data) == counts.get(name, three)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("data/solo_keypoints", {"Crate": 20, "Character": 10}),
        ("data/solo_custom_type", {"Crate": 2, "Character": 1}),
    ],
)
def test_solo_masks_are_the_colours_of_the_json(name: str, expected: dict[str, int]) -> None:
    root = folder(name)
    data = load("solo", root)
    assert categories(data) == expected
    for sample in data.samples:
        told = json.loads(
            next(f for f in sample.annotation_files if f.suffix == ".json").read_text()
        )
        (annotation,) = (
            a
            for a in told["captures"][0]["annotations"]
            if a["@type"].endswith("InstanceSegmentationAnnotation")
        )
        values = np.array(Image.open(sample.image.parent / annotation["filename"]).convert("RGBA"))
        expected_masks = sorted(packed(values, one["color"]) for one in annotation["instances"])
        assert masks(sample.load_instances()) == expected_masks


def test_replicator_reads_robot_masks_as_their_json_names_them() -> None:
    root = folder("data/robot_semantic_rgba")
    data = load("replicator", root)
    assert sum(categories(data).values()) == 484
    for sample in data.samples[:2]:
        mask, told = sample.annotation_files[:2]
        values = np.array(Image.open(mask))
        names = json.loads(told.read_text())
        colours = [tuple(int(n) for n in key.strip("()").split(",")) for key in names]
        expected = sorted(
            packed(values, colour)
            for colour, label in zip(colours, names.values(), strict=True)
            if label["class"] not in ("BACKGROUND", "UNLABELLED")
        )
        assert masks(sample.load_instances()) == expected


def test_replicator_reads_isaac_sims_own_json(tmp_path: Path) -> None:
    """The JSON files are Isaac Sim's; the pictures are drawn after them."""
    source = folder("data/isaacsim_instance_mapping") / "golden" / "00001" / "1"
    kind = "instance_segmentation"
    for frame in ("0000", "0001"):
        for part in ("mapping", "semantics_mapping"):
            name = f"{kind}_{part}_{frame}.json"
            (tmp_path / name).write_bytes((source / name).read_bytes())
        names = json.loads((source / f"{kind}_semantics_mapping_{frame}.json").read_text())
        colours = [[int(n) for n in key.strip("()").split(",")] for key in names]
        values = np.repeat(np.array(colours, np.uint8)[None], 4, axis=0)
        Image.fromarray(values).save(tmp_path / f"{kind}_{frame}.png")
        Image.fromarray(values[..., :3]).save(tmp_path / f"rgb_{frame}.png")
    data = load("replicator", tmp_path)
    table = data.samples[0].load_instances().table
    assert Counter(one.category for one in table.values()) == {
        "reference": 5,
        "floor": 1,
        "item": 1,
        "box": 1,
    }


def test_yolo_rows_are_instances_of_the_class_that_the_yaml_names() -> None:
    root = folder("data/yolo_seg_feral_cat")
    data = load("yolo", root)
    rows = sum(len(path.read_text().split("\n")) for path in root.rglob("labels*/*.txt"))
    assert categories(data) == {"cat": rows}
    assert Counter(sample.attributes["split"] for sample in data.samples) == {
        "train": 3,
        "val": 3,
        "test": 5,
    }


def test_carla_instances_are_those_of_green_and_blue() -> None:
    root = folder("data/carla_instance")
    data = load("carla", root)
    (sample,) = data.samples
    values = np.array(Image.open(next(root.glob("*_instance.png"))).convert("RGB")).astype(int)
    things = {12: "pedestrian", 14: "car", 6: "pole", 8: "traffic sign", 18: "motorcycle"}
    triples = np.unique(values.reshape(-1, 3), axis=0).tolist()
    expected = [t for t in triples if t[0] in things and (t[1] or t[2])]
    instances = sample.load_instances()
    assert masks(instances) == sorted(packed(values, colour) for colour in expected)
    assert categories(data) == Counter(things[tag] for tag, *_ in expected)


@pytest.mark.parametrize(
    ("name", "factor", "expected"),
    [
        ("data/tiny_formats/mots_dataset", 1000, {"a": 1, "c": 1, "d": 3}),
        (
            "data/tiny_formats/kitti_dataset/kitti_segmentation",
            256,
            {"truck": 2, "train": 1, "wall": 1},
        ),
    ],
)
def test_kitti_instances_are_the_pixels_of_one_value(
    name: str, factor: int, expected: dict[str, int]
) -> None:
    root = folder(name)
    data = load("kitti", root)
    for sample in data.samples:
        values = np.array(Image.open(sample.annotation_files[0]))
        own = [v for v in np.unique(values).tolist() if v and v % factor]
        found = masks(sample.load_instances())
        assert found == sorted(np.packbits(values == v).tobytes() for v in own)
    assert categories(data) == expected


FORMATS = {
    "bop": ["data/bop_cnos_single", "cases/bop_scene"],
    "carla": ["data/carla_instance"],
    "coco": ["data/blenderproc_coco", "data/coco_panoptic_api", "data/tiny_formats/coco_dataset"],
    "cityscapes": ["data/tiny_formats/cityscapes_dataset/train_dataset"],
    "folder": ["data/per_instance_shapes", "data/kubric_helloworld"],
    "kitti": [
        "data/tiny_formats/mots_dataset",
        "data/tiny_formats/kitti_dataset/kitti_segmentation",
    ],
    "replicator": ["data/robot_semantic_rgba"],
    "solo": ["data/solo_keypoints", "data/solo_custom_type"],
    "voc": ["data/tiny_formats/voc_dataset/voc_dataset1"],
    "yolo": ["data/yolo_seg_feral_cat"],
}


@pytest.mark.parametrize(
    ("loader", "name"), [(loader, name) for loader, names in FORMATS.items() for name in names]
)
def test_no_format_is_taken_for_another(loader: str, name: str) -> None:
    root = folder(name)
    entries = load_registry().of_kind("loader")
    sure = {entry.name: entry.value.detect(root).confidence for entry in entries}
    assert max(sure, key=lambda one: sure[one]) == loader, sure
    assert [one for one, confidence in sure.items() if confidence == sure[loader]] == [loader]


@pytest.mark.parametrize(
    "name",
    [
        *("data/grocery_photos", "data/hdf5_colors_only", "data/isaacsim_deformable_labels"),
        *("data/perception_legacy_boxes", "data/replicator_recorder_boxes", "data/webdataset_cls"),
        "data/tiny_formats/yolo_dataset",
    ],
)
def test_what_has_no_masks_is_taken_for_nothing(name: str) -> None:
    root = folder(name)
    matches = [entry.value.detect(root) for entry in load_registry().of_kind("loader")]
    assert max(match.confidence for match in matches) == 0
    assert all(match.reason and "\n" not in match.reason for match in matches)
