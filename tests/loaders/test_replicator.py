"""Omniverse Replicator's BasicWriter, made pixel by pixel."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from sv2r.errors import ConfigError, SampleError
from sv2r.loaders.replicator import ReplicatorOptions, detect, load, sv2r_loaders
from sv2r.testing import check_loader
from sv2r.types import Dataset

BOX, ITEM, OTHER = (140, 255, 25, 255), (255, 25, 197, 255), (25, 82, 255, 255)
PRIMS = {"(0, 0, 0, 0)": "BACKGROUND", "(0, 0, 0, 255)": "UNLABELLED"}
NOTHING = {key: {"class": name} for key, name in PRIMS.items()}


def put(path: Path, values: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".json":
        path.write_text(json.dumps(values))
    elif path.suffix == ".npy":
        np.save(path, values)
    else:
        Image.fromarray(values).save(path)


def colours() -> Any:
    """Return a 2x3 picture: a box, two items, and a pixel each without label and background."""
    values = np.zeros((2, 3, 4), np.uint8)
    values[0, 0], values[0, 1], values[0, 2] = BOX, ITEM, OTHER
    values[1, :2] = (0, 0, 0, 255)
    return values


def frame(root: Path, key: str = "0000", flat: bool = True) -> None:
    def at(annotator: str, name: str) -> Path:
        return root / name if flat else root / annotator / name

    kind = "instance_segmentation"
    put(at("rgb", f"rgb_{key}.png"), np.full((2, 3, 4), 90, np.uint8))
    put(at(kind, f"{kind}_{key}.png"), colours())
    prims = {**PRIMS, str(BOX): "/World/box", str(ITEM): "/World/a", str(OTHER): "/World/b"}
    put(at(kind, f"{kind}_mapping_{key}.json"), prims)
    classes = {
        str(BOX): {"class": "box"},
        str(ITEM): {"class": "item"},
        str(OTHER): {"class": "item"},
    }
    put(at(kind, f"{kind}_semantics_mapping_{key}.json"), {**NOTHING, **classes})
    depth = "distance_to_camera"
    put(at(depth, f"{depth}_{key}.npy"), np.full((2, 3), 2.5, np.float32))


def dataset(root: Path, **options: Any) -> Dataset:
    return load(ReplicatorOptions(**options), root)


@pytest.mark.parametrize("flat", [True, False])
@pytest.mark.parametrize("key", ["0000", "000000", "seq1_0003"])
def test_two_prims_of_one_class_stay_two_in_every_layout(
    tmp_path: Path, key: str, flat: bool
) -> None:
    frame(tmp_path / "Replicator_01", key, flat)
    data = dataset(tmp_path)
    (sample,) = data.samples
    instances = sample.load_instances()
    assert instances.labels.tolist() == [[1, 2, 3], [0, 0, 0]]
    assert [one.category for one in instances.table.values()] == ["box", "item", "item"]
    assert data.categories == ("box", "item")
    assert sample.channels["depth"].name == f"distance_to_camera_{key}.npy"
    assert [path.name for path in sample.annotation_files] == [
        f"instance_segmentation_{key}.png",
        f"instance_segmentation_semantics_mapping_{key}.json",
        f"instance_segmentation_mapping_{key}.json",
    ]
    assert dict(sample.attributes) == {"camera": "Replicator_01"}


@pytest.mark.parametrize("bytes_", [False, True])
def test_raw_ids_are_read_as_grey_and_as_the_bytes_of_a_pixel(tmp_path: Path, bytes_: bool) -> None:
    frame(tmp_path)
    ids = np.array([[5, 300, 0], [0, 0, 0]], np.uint32)
    mask = ids.view(np.uint8).reshape(2, 3, 4) if bytes_ else ids.astype(np.uint16)
    put(tmp_path / "instance_segmentation_0000.png", mask)
    classes = {"0": {"class": "BACKGROUND"}, "5": {"class": "box"}, "300": {"class": "item"}}
    put(tmp_path / "instance_segmentation_semantics_mapping_0000.json", classes)
    instances = dataset(tmp_path).samples[0].load_instances()
    assert instances.labels.tolist() == [[1, 2, 0], [0, 0, 0]]


def test_semantic_segmentation_alone_is_one_instance_a_class_and_says_so(tmp_path: Path) -> None:
    put(tmp_path / "rgb_0000.png", np.full((2, 3, 3), 90, np.uint8))
    put(tmp_path / "semantic_segmentation_0000.png", colours())
    classes = {str(BOX): {"class": "box"}, str(ITEM): {"class": "item"}, str(OTHER): {"class": "b"}}
    put(tmp_path / "semantic_segmentation_labels_0000.json", {**NOTHING, **classes})
    data = dataset(tmp_path)
    assert len(data.samples[0].load_instances().table) == 3
    assert data.notes[1].startswith("semantic_segmentation tells no two objects of one class apart")


def test_an_unfinished_frame_is_left_out_and_counted(tmp_path: Path) -> None:
    frame(tmp_path, "0000")
    frame(tmp_path, "0001")
    (tmp_path / "instance_segmentation_semantics_mapping_0001.json").unlink()
    data = dataset(tmp_path)
    assert (list(data.ids), data.problems) == (["rgb_0000.png"], ())
    assert data.notes[1].startswith("1 frames are unfinished and left out, such as rgb_0001.png")


def test_classes_can_be_background(tmp_path: Path) -> None:
    frame(tmp_path)
    data = dataset(tmp_path, ignore=["box"])
    assert data.samples[0].load_instances().labels.tolist() == [[0, 1, 2], [0, 0, 0]]
    assert data.categories == ("item",)


@pytest.mark.parametrize(
    ("classes", "message"),
    [
        ({str(BOX): {"class": "box"}}, r"2 values that .* does not name, such as \(25, 82, 255\)"),
        ({str(BOX): 3}, "has no class"),
        ({str(BOX): {}}, "has no class"),
        ({"red": {"class": "box"}}, "neither a colour nor an id"),
        ([], "is not what it should be"),
    ],
)
def test_what_the_json_cannot_name_fails_its_picture(
    tmp_path: Path, classes: Any, message: str
) -> None:
    frame(tmp_path)
    put(tmp_path / "instance_segmentation_semantics_mapping_0000.json", classes)
    with pytest.raises(SampleError, match=message):
        dataset(tmp_path).samples[0].load_instances()


def test_pictures_without_named_labels_are_refused(tmp_path: Path) -> None:
    put(tmp_path / "rgb_0000.png", np.full((2, 3, 3), 90, np.uint8))
    with pytest.raises(ConfigError, match="turn instance_segmentation on in the BasicWriter"):
        dataset(tmp_path)
    assert detect(tmp_path).confidence == 0


def test_it_keeps_the_contract_and_is_recognised(tmp_path: Path) -> None:
    frame(tmp_path)
    check_loader(sv2r_loaders()[0], tmp_path)  # type: ignore[index]
    assert detect(tmp_path).confidence == 0.96
