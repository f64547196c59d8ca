"""BlenderProc's .hdf5 files, made with h5py as BlenderProc makes them."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import sv2r
from sv2r.conditioners.depth import DepthOptions, sv2r_conditioners
from sv2r.errors import ConfigError, SampleError
from sv2r.images.decode import read_picture
from sv2r.images.depth_map import read_depth
from sv2r.loaders.blenderproc import BlenderprocOptions, detect, load, sv2r_loaders
from sv2r.storage.source import as_source
from sv2r.testing import check_loader
from sv2r.types import Dataset
from sv2r.verify.dataset import verify
from tests.toys.archives import pack
from tests.toys.jobs import config_of, files_of

COLORS = np.arange(2 * 3 * 3, dtype=np.uint8).reshape(2, 3, 3)
IDS = [[0, 4, 4], [9, 9, 2]]
TABLE = [
    {"idx": 4, "category_id": 7, "name": "mug.001"},
    {"idx": 9, "category_id": 0, "name": "Plane"},
    {"idx": 2, "category_id": 7, "name": "mug.002"},
    {"idx": 5, "category_id": 3, "name": "unseen"},
]


def put(path: Path, **arrays: Any) -> Path:
    """Write a file with these arrays, as BlenderProc does: compressed, texts of fixed length."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with h5py.File(path, "w") as file:
        for key, value in arrays.items():
            text = isinstance(value, (list, dict)) and key.endswith("maps") and key != IDS_KEY
            if text:
                file.create_dataset(key, data=np.bytes_(json.dumps(value)))
            else:
                file.create_dataset(key, data=np.array(value), compression="gzip")
    return path


IDS_KEY = "instance_segmaps"


def frame(path: Path, **more: Any) -> Path:
    values = {"colors": COLORS, IDS_KEY: np.array(IDS), "instance_attribute_maps": TABLE, **more}
    return put(path, **{key: value for key, value in values.items() if value is not None})


def dataset(root: Path, **options: Any) -> Dataset:
    return load(BlenderprocOptions(**options), root)


def table(data: Dataset, index: int = 0) -> dict[int, str]:
    instances = data.samples[index].load_instances()
    return {id_: one.category for id_, one in instances.table.items()}


def test_a_frame_is_a_picture_with_the_instances_of_its_table(tmp_path: Path) -> None:
    file = frame(tmp_path / "run 1/0.hdf5", depth=np.full((2, 3), 2.5, np.float32))
    data = dataset(tmp_path, categories={"7": "mug"})
    (sample,) = data.samples
    assert list(data.ids) == [sample.id] == ["run 1/0.png"]
    assert data.categories == ("mug",)
    assert sample.annotation_files == (file,)
    assert not (tmp_path / "run 1/0.png").exists()
    assert sample.image.is_file()
    assert np.array_equal(read_picture(sample.image, sample.id).pixels, COLORS)
    instances = sample.load_instances()
    assert instances.labels.tolist() == [[0, 4, 4], [0, 0, 2]]
    assert table(data) == {4: "mug", 2: "mug"}
    assert instances.table[4].extra == {"name": "mug.001"}
    assert dict(sample.channels) == {"depth": file}
    depth = read_depth(file, "0.hdf5", sample.readings["depth"])
    assert depth.values.tolist() == [[2.5] * 3] * 2
    assert detect(tmp_path).confidence == 0.9
    assert detect(tmp_path).reason == "run 1/0.hdf5 has colors, instance_segmaps, depth"


def test_without_a_table_the_category_map_names_instances(tmp_path: Path) -> None:
    kinds = np.array([[0, 3, 3], [0, 0, 5]], np.int32)
    frame(tmp_path / "0.hdf5", instance_attribute_maps=None, category_id_segmaps=kinds)
    data = dataset(tmp_path)
    assert table(data) == {2: "5", 4: "3"}


def test_a_category_map_alone_makes_an_instance_of_each_category(tmp_path: Path) -> None:
    kinds = np.array([[0, 3, 3], [1, 0, 5]], np.int32)
    put(tmp_path / "0.hdf5", colors=COLORS, category_id_segmaps=kinds)
    data = dataset(tmp_path)
    assert table(data) == {1: "1", 3: "3", 5: "5"}
    assert data.notes == ("each category in category_id_segmaps is one; category 0 is background",)


def test_two_cameras_are_two_pictures_of_one_file(tmp_path: Path) -> None:
    both = np.stack([COLORS, COLORS + 1])
    ids = np.array([IDS, np.array(IDS)[::-1]])
    file = frame(
        tmp_path / "0.hdf5", colors=both, instance_segmaps=ids, instance_attribute_maps=[TABLE] * 2
    )
    data = dataset(tmp_path)
    assert list(data.ids) == ["0_left.png", "0_right.png"]
    assert data.annotation_files == (file,)
    pictures = [read_picture(sample.image, sample.id).pixels for sample in data.samples]
    assert np.array_equal(np.stack(pictures), both)
    assert data.samples[1].load_instances().labels.tolist() == [[0, 0, 2], [0, 4, 4]]


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"colors": COLORS.astype(np.float32)}, "0.hdf5: its colors are float32 of the shape"),
        (
            {IDS_KEY: np.array([[0.5, 1, 2]])},
            "0.hdf5: instance_segmaps holds no whole numbers below 2**31",
        ),
        ({IDS_KEY: np.zeros(4)}, "0.hdf5: instance_segmaps has the shape (4,), not (height, wid"),
        ({"instance_attribute_maps": {"a": 1}}, "0.hdf5: instance_attribute_maps is no table"),
        (
            {"instance_attribute_maps": None, "class_segmaps": np.zeros((3, 3))},
            "0.hdf5: instance_segmaps and class_segmaps differ in size",
        ),
    ],
)
def test_what_is_wrong_in_a_file_is_one_line(
    tmp_path: Path, changed: dict[str, Any], message: str
) -> None:
    frame(tmp_path / "0.hdf5", **changed)
    (sample,) = dataset(tmp_path).samples
    with pytest.raises(SampleError) as told:  # noqa: PT012  # whichever comes first
        read_picture(sample.image, sample.id)
        sample.load_instances()
    assert str(told.value).startswith(message)
    assert "\n" not in str(told.value)


@pytest.mark.parametrize("kind", ["external", "soft", "virtual", "group"])
def test_arrays_of_other_files_are_not_followed(tmp_path: Path, kind: str) -> None:
    put(tmp_path / "secret.bin", instance_segmaps=np.array(IDS))
    put(tmp_path / "in/0.hdf5", colors=COLORS, other=np.array(IDS))
    with h5py.File(tmp_path / "in/0.hdf5", "a") as file:
        if kind == "external":
            file[IDS_KEY] = h5py.ExternalLink("../secret.bin", IDS_KEY)
        elif kind == "soft":
            file[IDS_KEY] = h5py.SoftLink("/other")
        elif kind == "group":
            file.create_group(IDS_KEY)
        else:
            layout = h5py.VirtualLayout((2, 3), np.int64)
            layout[...] = h5py.VirtualSource(tmp_path / "secret.bin", IDS_KEY, (2, 3))
            file.create_virtual_dataset(IDS_KEY, layout)
    with pytest.raises(SampleError) as told:
        dataset(tmp_path / "in").samples[0].load_instances()
    assert str(told.value) == (
        "0.hdf5: instance_segmaps is no array in this file itself; write it there"
    )


def test_an_array_that_would_fill_the_memory_is_refused(tmp_path: Path) -> None:
    put(tmp_path / "0.hdf5", colors=COLORS)
    with h5py.File(tmp_path / "0.hdf5", "a") as file:
        file.create_dataset(IDS_KEY, (1 << 20, 1 << 20), np.int64, chunks=(64, 64))
    with pytest.raises(SampleError, match=r"has the shape \(1048576, 1048576\); cut it"):
        dataset(tmp_path).samples[0].load_instances()


def test_files_without_labels_are_not_taken(tmp_path: Path) -> None:
    put(tmp_path / "0.hdf5", colors=COLORS)
    why = "0.hdf5: has colors, and no instance_segmaps or category_id_segmaps"
    assert (detect(tmp_path).confidence, detect(tmp_path).reason) == (0, why)
    with pytest.raises(ConfigError) as told:
        dataset(tmp_path)
    assert str(told.value) == why


def test_without_h5py_one_line_says_how_to_get_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    frame(tmp_path / "0.hdf5")
    monkeypatch.setitem(sys.modules, "h5py", None)
    line = "0.hdf5: reading HDF5 needs the h5py package; pip install sv2r[hdf5]"
    assert (detect(tmp_path).confidence, detect(tmp_path).reason) == (0.3, line)
    with pytest.raises(ConfigError) as told:
        dataset(tmp_path)
    assert str(told.value) == line


def scene(root: Path, frames: int = 2, size: int = 24) -> Path:
    """Write frames that are large enough to convert."""
    noise = np.random.default_rng(1)
    for number in range(frames):
        ids = np.zeros((size, size), np.int64)
        ids[4:16, 6:20] = 4
        frame(
            root / f"{number}.hdf5",
            colors=noise.integers(0, 256, (size, size, 3), np.uint8),
            instance_segmaps=ids,
            depth=np.full((size, size), 2.0, np.float32),
        )
    return root


@pytest.mark.parametrize("packed", [False, True])
def test_it_converts_and_its_files_go_along(tmp_path: Path, toy_sd15: Path, packed: bool) -> None:
    root = scene(tmp_path / "in")
    given = pack(root, tmp_path / "in.zip") if packed else root
    summary = sv2r.convert(config_of(given, tmp_path / "out", toy_sd15, loader="blenderproc"))
    assert (summary.done, summary.exit_code, summary.equal) == (2, 0, 2)
    made = {n for n in files_of(tmp_path / "out") if not n.startswith("sv2r/")}
    assert made == {"0.png", "0.hdf5", "1.png", "1.hdf5"}
    assert (tmp_path / "out/0.hdf5").read_bytes() == (root / "0.hdf5").read_bytes()
    assert read_picture(tmp_path / "out/0.png", "0").pixels.shape == (24, 24, 3)
    assert not list(verify(tmp_path / "out", sample="100%").findings)


def test_depth_is_a_control_without_a_model(tmp_path: Path) -> None:
    from sv2r.plugin.specs import Runtime
    from sv2r.worker.frames import read_sample

    root = scene(tmp_path, 1)
    data = dataset(root)
    sample, picture, instances = read_sample(data, 0)
    assert picture.pixels.shape == (24, 24, 3)
    assert instances.size == (24, 24)
    (spec,) = sv2r_conditioners()
    conditioner = spec.build(DepthOptions(), Runtime(input=root))
    assert conditioner is not None
    assert read_depth(sample.channels["depth"], "d", sample.readings["depth"]).values.max() == 2


def test_the_loader_keeps_the_contract(tmp_path: Path) -> None:
    (spec,) = sv2r_loaders()
    check_loader(spec, scene(tmp_path))


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(st.binary(min_size=1, max_size=64), st.integers(0, 4000))
def test_damage_is_one_line(tmp_path: Path, noise: bytes, at: int) -> None:
    data = bytearray(frame(tmp_path / "0.hdf5").read_bytes())
    at = min(at, len(data) - 1)
    data[at : at + len(noise)] = noise[: len(data) - at]
    (tmp_path / "0.hdf5").write_bytes(data)
    try:
        for sample in dataset(tmp_path).samples:
            sample.load_instances()
            read_picture(sample.image, sample.id)
    except (ConfigError, SampleError) as error:
        assert "\n" not in str(error)  # noqa: PT017  # nothing else may be raised


def test_it_opens_from_an_archive_as_from_its_folder(tmp_path: Path) -> None:
    scene(tmp_path / "in", 1)
    data = dataset(as_source(pack(tmp_path / "in", tmp_path / "x.tar")))
    (sample,) = data.samples
    assert table(data) == {4: "7"}
    assert np.array_equal(
        read_picture(sample.image, sample.id).pixels,
        read_picture(dataset(tmp_path / "in").samples[0].image, "0").pixels,
    )
