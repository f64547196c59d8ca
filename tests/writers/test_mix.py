"""Source pictures that go along with translated ones."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

import sv2r
from sv2r.errors import ConfigError
from sv2r.loaders.hf import HfOptions
from sv2r.loaders.hf import load as load_hf
from sv2r.report.write import write_report
from sv2r.verify.dataset import verify
from tests.toys.datasets import make_coco

NAMES = tuple(f"{folder}/{number}.png" for folder in "ab" for number in range(6))


def config(source: Path, output: Path, writer: str, mix: float, **more: Any) -> dict[str, Any]:
    grade = {"name": "grade", "mean": [60, 10, 5], "std": [15, 5, 5]}
    return {
        "input": str(source),
        "output": str(output),
        "translator": grade,
        "checks": ["sanity"],
        "writer": {"name": writer, "mix": {"synthetic": mix}},
        **more,
    }


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_coco(tmp_path_factory.mktemp("in") / "renders", NAMES)


def synthetic(output: Path) -> list[str]:
    return sorted(path.name for path in output.rglob("*_synthetic.png") if "masks" not in str(path))


@pytest.mark.parametrize("writer", ["coco", "folder", "yolo", "voc", "cityscapes"])
def test_half_of_all_is_every_source_as_it_was(source: Path, tmp_path: Path, writer: str) -> None:
    output = tmp_path / "out"
    summary = sv2r.convert(config(source, output, writer, 0.5))
    assert (summary.inputs, summary.done, summary.faults, summary.exit_code) == (24, 24, (), 0)
    records = [json.loads(line) for line in (output / "sv2r/samples.jsonl").open()]
    kept = [one for one in records if one["variant"] == 10_000]
    assert [one["sample"] for one in kept] == sorted(NAMES)
    for one in kept:
        assert (output / one["output"]).read_bytes() == (source / one["sample"]).read_bytes()
    assert verify(output, sample="100%").findings == ()


def test_a_share_is_drawn_marked_and_resumed(source: Path, tmp_path: Path) -> None:
    output = tmp_path / "out"
    first = sv2r.convert(config(source, output, "coco", 0.25, limit=6))
    summary = sv2r.convert(config(source, output, "coco", 0.25))
    few = summary.done - 12
    assert 0 < few < 12
    assert summary.restored == first.done
    images = json.loads((output / "annotations.json").read_text())["images"]
    marked = [one for one in images if one.get("synthetic")]
    assert [Path(one["file_name"]).name for one in marked] == [
        f"{Path(one['group_id']).stem}_synthetic.png" for one in marked
    ]
    assert len(marked) == few == len(synthetic(output))
    other = sv2r.convert(config(source, tmp_path / "other", "coco", 0.25))
    assert other.done == summary.done
    write_report(output)


def test_shards_hold_them_beside_their_translations(source: Path, tmp_path: Path) -> None:
    output = tmp_path / "out"
    assert sv2r.convert(config(source, output, "hf", 0.5)).exit_code == 0
    found = load_hf(HfOptions(), output)
    assert [id_.partition("parquet/")[2] for id_ in found.ids[:4]] == [
        *("a/0.png", "a/0_synthetic.png", "a/1.png", "a/1_synthetic.png")
    ]
    assert sv2r.convert(config(source, tmp_path / "tars", "webdataset", 0.5)).exit_code == 0


def test_what_cannot_be_is_refused(source: Path, tmp_path: Path) -> None:
    output = tmp_path / "out"
    text = (
        "--writer.mix synthetic=0.5: with 2 pictures of each source they are a share of 0.3333 at "
        "most"
    )
    with pytest.raises(ConfigError, match=text):
        sv2r.convert(config(source, output, "coco", 0.5, variants=2))
    with pytest.raises(ConfigError, match="this one translates none; give it to sv2r convert"):
        sv2r.convert(config(source, output, "coco", 0.5, translator="keep"))
    with pytest.raises(ConfigError, match="must be synthetic=SHARE, not real="):
        sv2r.convert({**config(source, output, "coco", 0.5), "writer": _real()})
    assert not output.exists()


def _real() -> dict[str, Any]:
    return {"name": "coco", "mix": {"real": 0.5}}
