"""Pascal VOC's segmentation, made pixel by pixel."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from sv2r.errors import ConfigError, SampleError
from sv2r.images.label_tables import voc_colours
from sv2r.loaders.voc import VocOptions, detect, load, sv2r_loaders
from sv2r.testing import check_loader
from sv2r.types import Dataset

OBJECTS = [[1, 255, 2], [1, 0, 2]]
KINDS = [[15, 255, 7], [15, 0, 7]]


def palette(values: Any) -> Image.Image:
    image = Image.fromarray(np.uint8(values), "P")
    image.putpalette([part for c in voc_colours(256) for part in (c >> 16, c >> 8 & 255, c & 255)])
    return image


def put(root: Path, stem: str = "a", objects: Any = None, kinds: Any = None) -> None:
    pictures = {
        f"JPEGImages/{stem}.jpg": Image.fromarray(np.full((2, 3, 3), 90, np.uint8)),
        f"SegmentationObject/{stem}.png": palette(OBJECTS) if objects is None else objects,
        f"SegmentationClass/{stem}.png": palette(KINDS) if kinds is None else kinds,
    }
    for name, image in pictures.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        image.save(root / name)


def listed(root: Path, name: str, *stems: str) -> None:
    path = root / "ImageSets" / "Segmentation" / f"{name}.txt"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(f"{stem}\n" for stem in stems))


def dataset(root: Path, **options: Any) -> Dataset:
    return load(VocOptions(**options), root)


def test_indices_are_objects_and_the_class_picture_names_them(tmp_path: Path) -> None:
    put(tmp_path / "VOC2012")
    data = dataset(tmp_path)
    instances = data.samples[0].load_instances()
    assert instances.labels.tolist() == [[1, 0, 2], [1, 0, 2]]
    assert {id_: one.category for id_, one in instances.table.items()} == {1: "person", 2: "car"}
    assert data.category_ids["person"] == 15
    assert list(data.ids) == ["VOC2012/JPEGImages/a.jpg"]


def test_colours_and_a_labelmap_as_cvat_writes_them(tmp_path: Path) -> None:
    red, green = (200, 0, 0), (0, 200, 0)
    void, none = (224, 224, 192), (0, 0, 0)
    objects = Image.fromarray(np.uint8([[red, void, green], [red, none, green]]))
    mug, bowl = (50, 1, 2), (60, 3, 4)
    kinds = Image.fromarray(np.uint8([[mug, void, bowl], [mug, none, bowl]]))
    put(tmp_path, "a", objects, kinds)
    rows = ("# label", "background:0,0,0::", "mug:50,1,2::", "bowl:60,3,4::")
    (tmp_path / "labelmap.txt").write_text("\n".join(rows))
    data = dataset(tmp_path)
    instances = data.samples[0].load_instances()
    assert instances.labels.tolist() == [[2, 0, 1], [2, 0, 1]]
    assert {id_: one.category for id_, one in instances.table.items()} == {1: "bowl", 2: "mug"}
    assert data.categories == ("mug", "bowl")
    (tmp_path / "labelmap.txt").write_text("mug:50,1\n")
    with pytest.raises(ConfigError, match=r"labelmap\.txt: has a row that is no name:r,g,b"):
        dataset(tmp_path)


def test_lists_are_splits_and_what_they_miss_is_a_problem(tmp_path: Path) -> None:
    put(tmp_path, "a")
    put(tmp_path, "b")
    put(tmp_path, "c")
    (tmp_path / "SegmentationObject" / "b.png").unlink()
    (tmp_path / "SegmentationObject" / "c.png").unlink()
    listed(tmp_path, "train", "a")
    listed(tmp_path, "val", "b", "gone")
    data = dataset(tmp_path)
    assert [sample.attributes["split"] for sample in data.samples] == ["train"]
    # c is in no list: a picture without segmentation, as most of VOC's are.
    assert [problem.id for problem in data.problems] == ["JPEGImages/b.jpg", "JPEGImages/gone.jpg"]
    assert list(dataset(tmp_path, split="train").ids) == ["JPEGImages/a.jpg"]
    with pytest.raises(ConfigError, match=r"--loader\.split test: .* there is train, val"):
        dataset(tmp_path, split="test")


@pytest.mark.parametrize(
    ("kinds", "message"),
    [
        ([[99, 255, 7], [99, 0, 7]], "an object lies on class 99, which has no name"),
        ([[0, 255, 7], [0, 0, 7]], "an object lies on class 0, which has no name"),
        ([[15, 255, 7]], "is of another size"),
    ],
)
def test_classes_that_do_not_fit_fail_their_picture(
    tmp_path: Path, kinds: Any, message: str
) -> None:
    put(tmp_path, "a", None, palette(kinds))
    with pytest.raises(SampleError, match=message):
        dataset(tmp_path).samples[0].load_instances()


def test_the_colours_are_vocs_own() -> None:
    assert voc_colours(16)[1] == 128 << 16
    assert voc_colours(16)[15] == 192 << 16 | 128 << 8 | 128
    assert voc_colours(256)[255] == 224 << 16 | 224 << 8 | 192


def test_it_keeps_the_contract_and_is_recognised(tmp_path: Path) -> None:
    put(tmp_path)
    check_loader(sv2r_loaders()[0], tmp_path)  # type: ignore[index]
    assert detect(tmp_path).confidence == 0.95
    assert detect(tmp_path / "JPEGImages").confidence == 0
