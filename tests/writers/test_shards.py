"""Exports in shards: whole or not there, the same bytes however often the job was stopped."""

from __future__ import annotations

import io
import json
import tarfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import sv2r
from sv2r.errors import ConfigError
from sv2r.loaders import hf as hf_loader
from sv2r.loaders.webdataset import WebdatasetOptions, detect, load
from sv2r.output.journal import Journal
from sv2r.plugin.registry import Registry
from sv2r.storage.source import as_source, names_in
from sv2r.testing import check_loader
from sv2r.verify.dataset import verify
from sv2r.writers.shards import _files_in
from tests.toys import processes
from tests.toys.datasets import make_coco
from tests.toys.jobs import files_of, records_of

NAMES = tuple(f"{folder}/{number}.png" for folder in "ab" for number in range(3))


def config(source: Path, output: Path, **writer: Any) -> dict[str, Any]:
    """Return an export's config, as `sv2r export` makes it."""
    return {
        "input": str(source),
        "output": str(output),
        "device": ["cpu"],
        "translator": "keep",
        "checks": [],
        "writer": {"per_shard": 2, "name": "webdataset", **writer},
    }


def without_run(files: dict[str, bytes]) -> dict[str, bytes]:
    return {name: data for name, data in files.items() if not name.endswith(("yaml", "html"))}


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_coco(tmp_path_factory.mktemp("in") / "renders", NAMES)


@pytest.fixture(scope="module")
def whole(source: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return an export that was never stopped."""
    output = tmp_path_factory.mktemp("whole") / "out"
    summary = sv2r.convert(config(source, output))
    assert (summary.done, summary.faults, summary.exit_code) == (6, (), 0)
    return output


@pytest.fixture(scope="module")
def hf(source: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return an export in Parquet."""
    output = tmp_path_factory.mktemp("hf") / "out"
    summary = sv2r.convert(config(source, output, name="hf"))
    assert (summary.done, summary.faults, summary.exit_code) == (6, (), 0)
    return output


def test_a_key_is_a_picture_a_mask_and_what_it_says(source: Path, whole: Path) -> None:
    with tarfile.open(whole / "train-000001.tar") as tar:
        found = {member.name: tar.extractfile(member).read() for member in tar}  # type: ignore[union-attr]
    assert list(found) == [
        *("a/2.png", "a/2.mask.png", "a/2.json", "b/0.png", "b/0.mask.png", "b/0.json")
    ]
    assert found["b/0.png"] == (source / "b/0.png").read_bytes()
    told = json.loads(found["b/0.json"])
    assert (told["group_id"], told["variant"], told["split"]) == ("b/0.png", 0, "train")
    rows = {row["value"]: row["category"] for row in told["instances"]}
    assert rows == {31: "coffee_mug", 32: "bowl"}
    mask = np.array(Image.open(io.BytesIO(found["b/0.mask.png"])))
    assert {int(value): int((mask == value).sum()) for value in np.unique(mask)} == {
        0: 27 * 43 - 336,
        31: 168,
        32: 168,
    }
    assert sorted(path.name for path in whole.iterdir()) == [
        *("dataset.json", "sv2r", "train-000000.tar", "train-000001.tar", "train-000002.tar")
    ]


def test_the_webdataset_library_opens_it(whole: Path, source: Path) -> None:
    webdataset = pytest.importorskip("webdataset")
    shards = f"file:{whole}/train-{{000000..000002}}.tar"
    found = list(webdataset.WebDataset(shards, shardshuffle=False).decode("pil"))
    assert [one["__key__"] for one in found] == [name.removesuffix(".png") for name in NAMES]
    first = np.array(Image.open(source / "a/0.png").convert("RGB"))
    assert np.array_equal(np.array(found[0]["png"]), first)
    assert [row["category"] for row in found[0]["json"]["instances"]] == ["coffee_mug", "bowl"]


def test_verify_finds_a_shard_that_was_changed_and_makes_it_anew(
    source: Path, whole: Path, tmp_path: Path
) -> None:
    output = tmp_path / "out"
    sv2r.convert(config(source, output))
    assert verify(output).findings == ()
    (output / "train-000001.tar").unlink()
    found = verify(output, fix=True)
    assert [finding.kind for finding in found.findings] == ["missing"] * len(found.findings)
    assert sv2r.convert(config(source, output)).exit_code == 0
    assert without_run(files_of(output)) == without_run(files_of(whole))


@pytest.mark.parametrize(
    ("name", "step"),
    [
        *(("webdataset", step) for step in (2, 7, 23, 42, 44, 46, 48, 50, 52)),
        *(("hf", step) for step in (20, 30, 32, 34, 36)),
    ],
)
def test_killed_anywhere_and_resumed_ends_with_the_same_bytes(
    source: Path, whole: Path, hf: Path, tmp_path: Path, name: str, step: int
) -> None:
    output = tmp_path / "out"
    settings = config(source, output, name=name)
    assert processes.run(processes.convert_and_die, settings, output, step) == -9
    for path in (*output.glob("train*.tar"), *output.glob("data/train*.parquet")):
        assert len(_files_in(path)) == (6 if name == "webdataset" else 4)
    assert processes.run(processes.convert, settings) == 0
    before = {"webdataset": whole, "hf": hf}[name]
    assert without_run(files_of(output)) == without_run(files_of(before))


def test_more_of_a_dataset_goes_into_the_same_shards(
    source: Path, whole: Path, tmp_path: Path
) -> None:
    output = tmp_path / "out"
    sv2r.convert({**config(source, output), "limit": 3})
    assert not (output / "train-000002.tar").exists()
    before = (output / "train-000000.tar").stat().st_mtime_ns
    sv2r.convert(config(source, output))
    assert (output / "train-000000.tar").stat().st_mtime_ns == before
    assert without_run(files_of(output)) == without_run(files_of(whole))


def test_overwriting_leaves_nothing_of_a_run_that_was_killed(source: Path, tmp_path: Path) -> None:
    output = tmp_path / "out"
    settings = config(source, output)
    assert processes.run(processes.convert_and_die, settings, output, 20) == -9
    assert (output / "sv2r/parts").is_dir()
    other = {**settings, "writer": {"name": "coco"}}
    assert sv2r.convert(other, overwrite=True).exit_code == 0
    assert not (output / "sv2r/parts").exists()
    assert verify(output).findings == ()


def test_dots_in_keys_are_escaped_and_doubtful_instances_are_crowds(
    registry: Registry, tmp_path: Path
) -> None:
    from sv2r.plugin.specs import Runtime
    from sv2r.types import Record
    from sv2r.worker.frames import read_frame
    from tests.writers.test_round_trips import dataset_of

    labels = np.array([[0, 70_000], [3, 0]], np.int32)
    kinds = {70_000: "car", 3: "person"}
    dataset = dataset_of(tmp_path / "in", {"v1.5/a.b%.PNG": (labels, kinds)})
    spec = registry.spec("writer", "webdataset")
    output = tmp_path / "out"
    writer = spec.build(spec.options(doubtful=0.5), Runtime(output=output))
    tuple(writer.prepare(dataset))
    frame = read_frame(dataset, 0)
    made = writer.publish(frame.sample, 1, None, frame)
    assert made.path == "train-000000.tar/v1%2E5/a%2Eb%25_v1.png"
    scores = {"survival": {"instances": {"70000": {"survival": 0.2}}}}
    done = Record(dataset.ids[0], 1, "done", output=made.path, scores=scores)
    writer.finish(dataset, [done])
    found = load(WebdatasetOptions(), output)
    table = found.samples[0].load_instances().table
    assert {one.category: one.crowd for one in table.values()} == {"car": True, "person": False}
    assert {one.category: one.source_id for one in table.values()} == {
        "car": "70000",
        "person": "3",
    }


def test_the_loader_keeps_its_contract_and_names_what_is_missing(
    registry: Registry, whole: Path, tmp_path: Path
) -> None:
    check_loader(registry.spec("loader", "webdataset"), whole)
    with tarfile.open(tmp_path / "dataset-0.tar", "w") as tar:
        for name in ("a.jpg", "a.cls"):
            tar.addfile(tarfile.TarInfo(name), io.BytesIO())
    match = detect(tmp_path)
    assert (match.confidence, match.reason) == (0.0, "dataset-0.tar: pictures, but no .mask.png")
    (problem,) = load(WebdatasetOptions(), tmp_path).problems
    fix = "has no .mask.png of its key; pack it with its labels"
    assert problem.message == f"dataset-0.tar/a.jpg: {fix}"


def test_what_a_run_publishes_in_shards_is_there_from_python(source: Path, whole: Path) -> None:
    run = sv2r.open(whole)
    assert [one.record.sample for one in run] == sorted(NAMES)
    assert np.array_equal(run[0].pixels, run[0].source)
    assert records_of(whole)["a/0.png"]["output"] == "train-000000.tar/a/0.png"


def test_the_datasets_library_opens_the_folder(hf: Path, source: Path, tmp_path: Path) -> None:
    datasets = pytest.importorskip("datasets")
    mask = pytest.importorskip("pycocotools.mask")
    found = datasets.load_dataset(str(hf), cache_dir=str(tmp_path))
    assert {name: len(split) for name, split in found.items()} == {"train": 6}
    row = found["train"][3]
    assert (row["image_id"], row["group_id"], row["variant"]) == ("b/0.png", "b/0.png", 0)
    pixels = np.array(Image.open(source / "b/0.png").convert("RGB"))
    assert np.array_equal(np.array(row["image"].convert("RGB")), pixels)
    names = found["train"].features["objects"]["category"].feature.names
    assert [names[number] for number in row["objects"]["category"]] == ["coffee_mug", "bowl"]
    assert row["objects"]["bbox"] == [[3.0, 6.0, 12.0, 14.0], [18.0, 6.0, 12.0, 14.0]]
    size = [row["height"], row["width"]]
    drawn = mask.decode({"size": size, "counts": row["objects"]["rle"][0]})
    assert (int(drawn.sum()), drawn[6:20, 3:15].all()) == (168, True)


def test_the_card_counts_what_there_is(hf: Path) -> None:
    text = (hf / "README.md").read_text()
    assert text.startswith("---\ntask_categories:\n- image-segmentation\n")
    assert "  - split: train\n    path: data/train-*.parquet\n" in text
    assert "| train | 6 |" in text
    assert "| bowl | 6 |\n| coffee_mug | 6 |" in text


@pytest.mark.parametrize("name", ["webdataset", "hf"])
def test_shards_are_an_input_for_every_writer_but_mirror(
    whole: Path, hf: Path, tmp_path: Path, name: str
) -> None:
    folder = {"webdataset": whole, "hf": hf}[name]
    shard = {"webdataset": "train-000000.tar", "hf": "data/train-00000.parquet"}[name]
    text = f"{shard}: pictures lie in it, and mirror makes no shards; choose --writer webdataset"
    with pytest.raises(ConfigError, match=text):
        sv2r.convert(config(folder, tmp_path / "out", name="mirror") | {"writer": "mirror"})
    job = config(folder, tmp_path / "out") | {"writer": "coco"}
    assert sv2r.convert(job).exit_code == 0
    assert (tmp_path / "out/images/b/0.png").is_file()


def test_what_an_unfinished_job_has_packed_is_no_stranger(source: Path, tmp_path: Path) -> None:
    output = tmp_path / "out"
    sv2r.convert(config(source, output))
    with Journal(output) as journal:
        journal.keep("complete", value=False)
        journal.keep("verified", {})
    assert {finding.kind for finding in verify(output).findings} == {"record"}


def test_a_parquet_file_is_an_archive_of_its_pictures(
    registry: Registry, hf: Path, source: Path
) -> None:
    path = as_source(hf / "data/train-00001.parquet")
    assert sorted(names_in(path / "b")) == ["0.json", "0.png"]
    assert (path / "b/0.png").read_bytes() == (source / "b/0.png").read_bytes()
    assert json.loads((path / "b/0.json").read_text())["width"] == 43
    check_loader(registry.spec("loader", "hf"), hf)


def test_damaged_parquet_is_one_line(hf: Path, tmp_path: Path) -> None:
    data = (hf / "data/train-00000.parquet").read_bytes()
    for number, some in enumerate((data[:100], b"PAR1" + bytes(100), b"", data[:-9] + bytes(9))):
        root = tmp_path / str(number)
        root.mkdir()
        (root / "x.parquet").write_bytes(some)
        match = hf_loader.detect(root)
        assert (match.confidence, match.reason.startswith("x.parquet: cannot be read")) == (0, True)
        with pytest.raises(ConfigError, match=r"x\.parquet: cannot be read as Parquet"):
            hf_loader.load(hf_loader.HfOptions(), root)


def test_a_key_with_damaged_labels_fails_alone(whole: Path, tmp_path: Path) -> None:
    odd = {
        "a/0.json": b"{",
        "a/1.json": b'{"instances": [{"value": 0, "category": "x"}]}',
        "a/2.json": b'{"instances": [{"value": 21, "category": "x"}]}',
    }
    root = tmp_path / "in"
    root.mkdir()
    with tarfile.open(root / "train-0.tar", "w") as made:
        for path in sorted(whole.glob("*.tar")):
            with tarfile.open(path) as tar:
                for member in tar:
                    data = odd.get(member.name, tar.extractfile(member).read())  # type: ignore[union-attr]
                    member.size = len(data)
                    made.addfile(member, io.BytesIO(data))
    job = config(root, tmp_path / "out") | {"writer": "coco"}
    summary = sv2r.convert(job)
    assert (summary.done, summary.failed) == (3, 3)
    told = [str(record.error) for record in summary.troubles]
    assert "train-0.tar/a/0.json: is not what it should be" in told[0]
    assert "has a value twice, or one that is none" in told[1]
    assert "train-0.tar/a/2.json does not name its value 22" in told[2]


def test_names_in_parquet_that_climb_out_are_refused(tmp_path: Path) -> None:
    parquet = pytest.importorskip("pyarrow.parquet")
    pa = pytest.importorskip("pyarrow")
    picture = pa.struct({"bytes": pa.binary(), "path": pa.string()})
    for name, told in (("../x.png", "climbs out"), ("/x.png", "absolute"), ("a.png", "twice")):
        rows = [{"image": {"bytes": b"1", "path": name}}] * 2
        path = tmp_path / "x.parquet"
        parquet.write_table(pa.Table.from_pylist(rows, pa.schema({"image": picture})), path)
        with pytest.raises(ConfigError, match=told):
            as_source(path)
        path.unlink()
