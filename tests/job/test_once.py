"""What a conversion does once: open the dataset, draw a picture's labels, build the writer."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from functools import partial

import numpy as np
import pytest

import sv2r
from sv2r.job.kept_labels import KeptLabels
from sv2r.types import Instances, Sample
from tests.toys.datasets import make_coco
from tests.toys.registries import with_spec, with_translator


@pytest.fixture
def counts():
    return Counter()


@pytest.fixture
def registry(counts):
    """The installed plugins, with a translator that changes nothing; what is called is counted."""

    def load(counted, root):
        counts["dataset opened"] += 1
        dataset = counted(root)
        return replace(dataset, samples=[watched(sample) for sample in dataset.samples])

    def watched(sample: Sample) -> Sample:
        def load_instances():
            counts["labels drawn"] += 1
            return sample.load_instances()

        return replace(sample, load_instances=load_instances)

    def loader(spec):
        return replace(spec, build=lambda o, runtime: partial(load, spec.build(o, runtime)))

    def writer(spec):
        def build(options, runtime):
            counts["writer built"] += 1
            return spec.build(options, runtime)

        return replace(spec, build=build)

    def translator(spec):
        def preflight(options, sizes):
            counts["preflight run"] += 1

        return replace(spec, preflight=preflight)

    found = with_translator("keep", lambda batch: [frame.pixels for frame in batch.frames])
    found = with_spec(found, "translator", "keep", translator)
    found = with_spec(found, "writer", "mirror", writer)
    return with_spec(found, "loader", "coco", loader)


def test_a_conversion_with_its_sheet_and_report_does_each_once(registry, counts, tmp_path):
    root = make_coco(tmp_path / "renders", names=("a.png",))
    config = {"input": root, "output": tmp_path / "out", "loader": "coco", "translator": "keep"}
    summary = sv2r.convert({**config, "batch_size": 1}, registry=registry)
    assert summary.done == 1
    assert (tmp_path / "out/sv2r/contact-sheet.png").is_file()
    assert (tmp_path / "out/sv2r/report.html").is_file()
    assert counts == {
        "dataset opened": 1,
        "labels drawn": 1,
        "writer built": 1,
        "preflight run": 1,
    }


def test_labels_are_kept_up_to_a_number_of_pixels_the_oldest_forgotten(monkeypatch):
    monkeypatch.setattr("sv2r.job.kept_labels._MOST", 10)
    drawn = Counter()

    def sample(name: str) -> Sample:
        def load() -> Instances:
            drawn[name] += 1
            return Instances(np.zeros((2, 2), np.int32), {})

        return Sample(name, f"{name}.png", load)

    kept = KeptLabels([sample(name) for name in "abc"])
    for place in (0, 1, 0, 2, 0, 1):
        kept[place].load_instances()
    assert drawn == {"a": 1, "b": 2, "c": 1}
    assert [one.id for one in kept[1:]] == ["b", "c"]
