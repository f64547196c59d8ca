"""A finished run, opened from Python: pictures, labels, scores, tensors and a table."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import sv2r
from sv2r.errors import ConfigError
from tests.toys import jobs
from tests.toys.datasets import make_coco

Run = tuple[Path, Path, sv2r.Summary]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory, toy_sd15: Path) -> Run:
    """Return renders, the output of a job over three of them, and how it ended."""
    folder = tmp_path_factory.mktemp("run")
    renders, output = make_coco(folder / "renders"), folder / "real"
    config = jobs.config_of(renders, output, toy_sd15, limit=3, checks={"sanity": {}})
    return renders, output, sv2r.convert(config)


def test_pictures_come_with_their_render_and_labels(
    run: Run,
) -> None:
    renders, output, summary = run
    results = sv2r.open(str(output))
    assert len(results) == summary.done == 3
    first = results[0]
    assert first.record.sample == "a/0.png"
    assert np.array_equal(first.pixels, np.asarray(Image.open(output / "a/0.png")))
    assert np.array_equal(first.source, np.asarray(Image.open(renders / "a/0.png")))
    assert np.array_equal(np.unique(first.instances.labels), [0, 1, 2])
    assert [one.record.sample for one in results[1:]] == ["a/1.png", "b/0.png"]


def test_tensors_are_what_a_detector_takes(run: Run) -> None:
    dataset = sv2r.open(run[1]).tensors()
    loader = torch.utils.data.DataLoader(dataset, batch_size=1, collate_fn=lambda batch: batch[0])
    pictures, targets = zip(*loader, strict=True)
    assert [tuple(picture.shape) for picture in pictures] == [(3, 27, 43), (3, 32, 40), (3, 32, 40)]
    target = targets[1]
    assert target["boxes"].tolist() == [[3, 6, 15, 20], [18, 6, 30, 20]]
    assert target["labels"].tolist() == [1, 2]
    assert target["masks"].sum((1, 2)).tolist() == [168, 168]
    assert target["masks"].dtype is torch.bool
    assert target["iscrowd"].tolist() == [0, 0]
    assert [one["image_id"] for one in targets] == [0, 1, 2]


def test_an_input_that_moved_is_asked_for(run: Run, tmp_path: Path) -> None:
    elsewhere = make_coco(tmp_path / "elsewhere")
    assert sv2r.open(run[1], source=str(elsewhere))[0].sample.image == elsewhere / "a/0.png"
    other = make_coco(tmp_path / "other", ("z.png",))
    with pytest.raises(ConfigError, match=r"other: has no a/0\.png any more; .* with source="):
        sv2r.open(run[1], source=other)[0]
    with pytest.raises(ConfigError, match="no such folder; give the folder that --output named"):
        sv2r.open(tmp_path / "nothing")


def test_records_are_a_table_where_pandas_is(run: Run) -> None:
    results = sv2r.open(run[1])
    assert [record.status for record in results.records()] == ["done"] * 3
    pandas = pytest.importorskip("pandas")
    table = results.frame()
    assert isinstance(table, pandas.DataFrame)
    assert table["sample"].tolist() == ["a/0.png", "a/1.png", "b/0.png"]
    assert table["instances"].tolist() == [2, 2, 2]


def test_a_summary_is_a_table_in_a_notebook(run: Run) -> None:
    _, output, summary = run
    report = output / "sv2r/report.html"
    link = f'<a href="{report}">{report}</a>'
    assert summary._repr_html_() == f"<table><tr><th>done</th><td>3</td></tr></table>{link}"


def test_public_names_are_listed_and_importing_them_costs_nothing() -> None:
    assert {"convert", "open", "hookimpl", "Sample", "__version__"} <= set(dir(sv2r))
    assert "annotations" not in dir(sv2r)


def test_the_module_is_the_command() -> None:
    words = [sys.executable, "-m", "sv2r", "--version"]
    told = subprocess.run(words, capture_output=True, text=True, check=True)
    assert told.stdout.endswith(f"version {sv2r.__version__}\n")
