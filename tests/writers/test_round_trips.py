"""What a writer wrote, its loader reads again: every mask, to the pixel, under its category."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image

from sv2r.config.resolve import detect_loader
from sv2r.errors import ConfigError, SampleError
from sv2r.loaders.coco.loader import CocoOptions
from sv2r.loaders.coco.loader import build as build_coco
from sv2r.plugin.registry import Registry, load_registry
from sv2r.plugin.specs import Runtime
from sv2r.types import Dataset, Instance, Instances, Record, Sample
from sv2r.worker.frames import read_frame

NAMES = ("car", "coffee mug", "Straße", "7", "person")
EXACT = ("coco", "folder", "voc", "cityscapes", "webdataset", "hf")

WITH_OPTIONS: Mapping[str, tuple[str, dict[str, Any]]] = {
    "coco polygon": ("coco", {"masks": "polygon"}),
    "coco panoptic": ("coco", {"panoptic": True}),
}

Case = tuple[NDArray[np.int32], Mapping[int, str]]
Masks = list[tuple[str, bytes]]


@st.composite
def cases(draw: st.DrawFn) -> Case:
    """Return a label map with ids of any size, and their categories; some ids have no pixel."""
    height, width = draw(st.integers(1, 9)), draw(st.integers(1, 9))
    largest = draw(st.sampled_from([5, 254, 65_535, 2**31 - 1]))
    ids = draw(st.lists(st.integers(1, largest), max_size=6, unique=True))
    pixels = draw(st.lists(st.sampled_from([0, *ids]), min_size=81, max_size=81))
    labels = np.array(pixels[: height * width], np.int32).reshape(height, width)
    return labels, {id_: draw(st.sampled_from(NAMES)) for id_ in ids}


def dataset_of(root: Path, some: Mapping[str, Case]) -> Dataset:
    """Return a dataset of pictures on disk with these labels."""
    samples = []
    for name, (labels, kinds) in some.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.full((*labels.shape, 3), 90, np.uint8)).save(root / name)
        table = {id_: Instance(id_, kind) for id_, kind in kinds.items()}
        found = Instances(labels, table)
        samples.append(Sample(name, root / name, lambda found=found: found, labels.shape))
    return Dataset(root, samples, list(some), NAMES)


def export(registry: Registry, name: str, dataset: Dataset, output: Path, **own: Any) -> Dataset:
    """Return what the writer's loader reads of an export of all pictures."""
    spec = registry.spec("writer", name)
    options = spec.options(**own)
    writer = spec.build(options, Runtime(input=dataset.root, output=output))
    tuple(writer.prepare(dataset))
    records = []
    for index, id_ in enumerate(dataset.ids):
        frame = read_frame(dataset, index)
        made = writer.publish(frame.sample, 0, None, frame)
        records.append(Record(id_, 0, "done", output=made.path, output_sha256=made.sha256))
    writer.finish(dataset, records)
    loader, values = spec.reader(options)
    reads = registry.spec("loader", loader)
    found: Dataset = reads.build(reads.options(**values), Runtime(input=output))(output)
    assert sorted(found.ids) == sorted(str(record.output) for record in records)
    places = {id_: place for place, id_ in enumerate(found.ids)}
    samples = [found.samples[places[str(record.output)]] for record in records]
    return Dataset(output, samples, [str(record.output) for record in records], found.categories)


def masks(dataset: Dataset) -> list[Masks]:
    """Return each picture's instances that have a pixel, by category and mask."""
    found = []
    for sample in dataset.samples:
        instances = sample.load_instances()
        drawn = ((one.category, instances.mask(id_)) for id_, one in instances.table.items())
        found.append(sorted((kind, mask.tobytes()) for kind, mask in drawn if mask.any()))
    return found


@pytest.mark.parametrize("name", [*EXACT, "coco polygon", "coco panoptic"])
@settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
@given(some=st.lists(cases(), min_size=1, max_size=3), shares=st.sampled_from([(), (0.5, 0.5)]))
def test_every_mask_comes_back(name: str, some: list[Case], shares: tuple[float, ...]) -> None:
    with TemporaryDirectory() as folder:
        pictures = {f"a b/{number}.x.png": one for number, one in enumerate(some)}
        before = dataset_of(Path(folder, "in"), pictures)
        writer, own = WITH_OPTIONS.get(name, (name, {}))
        output = Path(folder, "out")
        after = export(load_registry(), writer, before, output, split=shares, **own)
        assert masks(after) == masks(before)
        if own.get("panoptic"):
            assert masks(panoptic(output, after.ids)) == masks(before)
        for source, made in zip(before.samples, after.samples, strict=True):
            assert made.image.read_bytes() == source.image.read_bytes()


@st.composite
def hiding(draw: st.DrawFn) -> Instances:
    """Return instances of which a later one hides what it covers of those before."""
    height, width = draw(st.integers(1, 7)), draw(st.integers(1, 7))
    size, count = height * width, draw(st.integers(0, 4))
    labels = np.zeros(size, np.int32)
    covered = [draw(st.sets(st.integers(0, size - 1))) for _ in range(count)]
    for id_, pixels in enumerate(covered, 1):
        labels[sorted(pixels)] = id_
    hidden = {
        id_: np.array(sorted(pixel for pixel in pixels if labels[pixel] != id_), np.int64)
        for id_, pixels in enumerate(covered, 1)
    }
    table = {id_: Instance(id_, draw(st.sampled_from(NAMES))) for id_ in hidden}
    seen = {id_: pixels for id_, pixels in hidden.items() if len(pixels)}
    return Instances(labels.reshape(height, width), table, seen)


@pytest.mark.parametrize("name", ["coco", "hf"])
@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(found=hiding())
def test_hidden_pixels_come_back_too(name: str, found: Instances) -> None:
    with TemporaryDirectory() as folder:
        pictures = {"a.png": (np.zeros(found.size, np.int32), {})}
        picture = dataset_of(Path(folder, "in"), pictures)
        sample = replace(picture.samples[0], load_instances=lambda: found)
        before = replace(picture, samples=[sample])
        assert masks(export(load_registry(), name, before, Path(folder, "out"))) == masks(before)


@pytest.mark.parametrize("name", [*EXACT, "yolo", "coco panoptic"])
@pytest.mark.parametrize("shares", [(), (0.5, 0.5)])
def test_an_export_is_taken_for_what_it_is(
    registry: Registry, tmp_path: Path, name: str, shares: tuple[float, ...]
) -> None:
    labels = np.zeros((8, 9), np.int32)
    labels[2:5, 3:7], labels[6:, :4] = 3, 7
    pictures = {f"{n}.png": (labels, {3: "car", 7: "person"}) for n in range(6)}
    writer, own = WITH_OPTIONS.get(name, (name, {}))
    before = dataset_of(tmp_path / "in", pictures)
    export(registry, writer, before, tmp_path / "out", split=shares, **own)
    assert detect_loader(registry, tmp_path / "out") == writer


def panoptic(output: Path, ids: Sequence[str]) -> Dataset:
    """Return what the panoptic JSON of an export, one or several, say of its pictures."""
    files = sorted(path.relative_to(output).as_posix() for path in output.rglob("panoptic*.json"))
    options = CocoOptions(annotations=tuple(files), images=".")
    found = build_coco(options, Runtime(input=output))(output)
    places = {id_: place for place, id_ in enumerate(found.ids)}
    return replace(found, samples=[found.samples[places[id_]] for id_ in ids])


def test_polygons_run_along_the_edges_of_pixels_and_holes_stay_codes(
    registry: Registry, tmp_path: Path
) -> None:
    labels = np.zeros((6, 9), np.int32)
    labels[1:3, 1:4], labels[4, 1], labels[:5, 5:9] = 1, 1, 2
    labels[2, 6] = 0
    before = dataset_of(tmp_path / "in", {"a.png": (labels, {1: "car", 2: "car"})})
    export(registry, "coco", before, tmp_path / "out", masks="polygon")
    data = json.loads((tmp_path / "out/annotations.json").read_text())
    two, hole = (one["segmentation"] for one in data["annotations"])
    assert two == [[1, 1, 4, 1, 4, 3, 1, 3], [1, 4, 2, 4, 2, 5, 1, 5]]
    assert hole["size"] == [6, 9]


def test_the_tree_of_voc(registry: Registry, tmp_path: Path) -> None:
    labels = np.array([[0, 300], [7, 300]], np.int32)
    before = dataset_of(tmp_path / "in", {"x/a b.png": (labels, {300: "car", 7: "person"})})
    after = export(registry, "voc", before, tmp_path / "out")
    out = tmp_path / "out"
    assert list(after.ids) == ["JPEGImages/x_a_b.png"]
    objects = Image.open(out / "SegmentationObject/x_a_b.png")
    classes = Image.open(out / "SegmentationClass/x_a_b.png")
    assert (objects.mode, np.array(objects).tolist()) == ("P", [[0, 2], [1, 2]])
    assert np.array(classes).tolist() == [[0, 1], [5, 1]]
    assert objects.getpalette()[:9] == [0, 0, 0, 128, 0, 0, 0, 128, 0]
    assert (out / "ImageSets/Segmentation/train.txt").read_text() == "x_a_b\n"
    assert (out / "labelmap.txt").read_text().splitlines()[1:3] == [
        *("background:0,0,0::", "car:128,0,0::")
    ]
    text = (out / "Annotations/x_a_b.xml").read_text()
    assert "<name>car</name>" in text
    assert "<xmin>2</xmin>\n      <ymin>1</ymin>\n      <xmax>2</xmax>\n      <ymax>2" in text


def test_the_tree_of_cityscapes(registry: Registry, tmp_path: Path) -> None:
    labels = np.array([[0, 9], [7, 9]], np.int32)
    before = dataset_of(tmp_path / "in", {"x/y/a.png": (labels, {9: "car", 7: "coffee mug"})})
    after = export(registry, "cityscapes", before, tmp_path / "out")
    assert list(after.ids) == ["leftImg8bit/train/x-y/a_leftImg8bit.png"]
    ids = Image.open(tmp_path / "out/gtFine/train/x-y/a_gtFine_instanceIds.png")
    assert (ids.mode, np.array(ids).tolist()) == ("I;16", [[0, 26000], [34000, 26000]])
    classes = Image.open(tmp_path / "out/gtFine/train/x-y/a_gtFine_labelIds.png")
    assert (classes.mode, np.array(classes).tolist()) == ("L", [[0, 26], [34, 26]])
    assert after.categories == NAMES


def test_an_export_keeps_its_names_when_it_is_exported_again(
    registry: Registry, tmp_path: Path
) -> None:
    labels = np.array([[0, 9]], np.int32)
    before = dataset_of(tmp_path / "in", {"x/a.png": (labels, {9: "car"})})
    for name in ("cityscapes", "voc"):
        once = export(registry, name, before, tmp_path / name)
        again = export(registry, name, once, tmp_path / f"{name}-again")
        assert list(again.ids) == list(once.ids)
        assert masks(again) == masks(before)


def test_what_a_format_cannot_hold_is_refused(registry: Registry, tmp_path: Path) -> None:
    labels = np.arange(256, dtype=np.int32).reshape(16, 16)
    many = dataset_of(tmp_path / "in", {"a.png": (labels, dict.fromkeys(range(1, 256), "car"))})
    with pytest.raises(SampleError, match="SegmentationObject holds 254 instances of a picture, n"):
        export(registry, "voc", many, tmp_path / "voc")
    colon = Dataset(many.root, many.samples, many.ids, ("a:b",))
    with pytest.raises(ConfigError, match=r"labelmap\.txt cannot hold the category 'a:b'"):
        export(registry, "voc", colon, tmp_path / "voc")
    full = Dataset(many.root, many.samples, many.ids, tuple(map(str, range(65))))
    with pytest.raises(ConfigError, match="gtFine holds 64 categories, not 65"):
        export(registry, "cityscapes", full, tmp_path / "cityscapes")


def test_what_is_hidden_and_what_is_a_crowd_is_told(registry: Registry, tmp_path: Path) -> None:
    before = dataset_of(tmp_path / "in", {"a.png": (np.array([[3, 4]], np.int32), {})})
    table = {3: Instance(3, "car"), 4: Instance(4, "car", crowd=True)}
    found = Instances(np.array([[3, 4]], np.int32), table, {3: np.array([1])})
    sample = Sample("a.png", before.samples[0].image, lambda: found, (1, 2))
    dataset = Dataset(before.root, [sample], ["a.png"], NAMES)
    told = {"voc": {3: 0.5}, "cityscapes": {3: 0.5, 4: 0.0}}
    for name, shares in told.items():
        spec = registry.spec("writer", name)
        writer = spec.build(spec.options(), Runtime(output=tmp_path / name))
        tuple(writer.prepare(dataset))
        frame = read_frame(dataset, 0)
        assert writer.publish(sample, 0, None, frame).label_iou == shares
