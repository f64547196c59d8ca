"""What is done about pictures that do not fit their labels any more."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import make_coco
from PIL import Image

import sv2r
from sv2r.errors import ConfigError
from sv2r.images.restore import move_back, restore_instances
from sv2r.job.damage import DamageOptions
from sv2r.plugin.options import Options
from sv2r.plugin.registry import Entry, Owner, Registry
from sv2r.plugin.specs import TranslatorSpec
from sv2r.testing import make_frame
from sv2r.types import Batch, Instances


def _registry_with(registry: Registry, damage) -> Registry:
    """Return the registry with a translator `damaging` that gives back damage(frame, batch)."""

    def build(options, runtime):
        return lambda batch: [damage(frame, batch) for frame in batch.frames]

    spec = TranslatorSpec(name="damaging", summary="For tests.", options=Options, build=build)
    entry = Entry("translator", "damaging", Owner("test", "test", "0"), spec)
    return replace(registry, entries=(*registry.entries, entry))


def _levels(frame) -> torch.Tensor:
    return (frame.image * 255).round().to(torch.uint8)


def _erased(frame) -> torch.Tensor:
    """Return the frame's picture with its first instance painted over as the background is made."""
    picture = _levels(frame)
    rows, columns = torch.meshgrid(torch.arange(64), torch.arange(72), indexing="ij")
    behind = torch.stack([40 + 2 * columns, 60 + 2 * rows, 90 + columns + rows]).to(torch.uint8)
    inside = torch.from_numpy(frame.instances.labels.copy()) == min(frame.instances.table)
    picture[:, inside] = behind[:, inside]
    return picture


def _run(tmp_path: Path, registry: Registry, translate, **more):
    source = make_coco(tmp_path / "in", ("a.png", "b.png", "c.png", "d.png"), size=(64, 72))
    config = {
        "input": str(source),
        "output": str(tmp_path / "out"),
        "translator": "damaging",
        "checks": ["survival"],
        "batch_size": 2,
        **more,
    }
    summary = sv2r.convert(config, registry=_registry_with(registry, translate))
    return summary, _records(tmp_path / "out")


def _records(output: Path):
    import json

    lines = (output / "sv2r" / "samples.jsonl").read_text().splitlines()
    return {record["sample"]: record for record in map(json.loads, lines)}


def _is_b(frame) -> bool:
    return frame.sample.id == "b.png"


def test_the_damaged_picture_alone_is_restored_and_says_so(tmp_path, registry):
    def damage(frame, batch: Batch):
        return _erased(frame) if _is_b(frame) else _levels(frame)

    summary, records = _run(tmp_path, registry, damage, damage=["restore", "reject"])
    assert summary.done == 4
    assert {name: len(r.get("repairs", ())) for name, r in records.items()} == {
        "a.png": 0,
        "b.png": 1,
        "c.png": 0,
        "d.png": 0,
    }
    assert records["b.png"]["repairs"][0].startswith("restore: instance ")
    red = np.asarray(Image.open(tmp_path / "out" / "b.png"))[10:16, 6:12]
    assert red[..., 0].mean() > red[..., 2].mean() + 80


def test_a_retry_gets_another_seed_and_more_care_and_is_published(tmp_path, registry):
    seen = []

    def damage(frame, batch: Batch):
        if _is_b(frame):
            seen.append((batch.seeds[batch.frames.index(frame)], batch.strength_factor))
            return _levels(frame) if batch.strength_factor < 1 else _erased(frame)
        return _levels(frame)

    summary, records = _run(tmp_path, registry, damage, damage=["retry", "reject"])
    assert summary.done == 4
    factors = list(dict.fromkeys(factor for _, factor in seen))
    assert factors == [1.0, 0.8]
    assert len({seed for seed, _ in seen}) == 3
    assert records["b.png"]["repairs"] == ["retry: made 3 times"]
    assert records["b.png"]["seed"] == seen[-1][0]


def test_what_cannot_be_mended_is_rejected_with_its_reason(tmp_path, registry):
    def damage(frame, batch: Batch):
        return _erased(frame) if _is_b(frame) else _levels(frame)

    summary, records = _run(tmp_path, registry, damage, damage="retry,reject")
    assert (summary.done, summary.rejected, summary.exit_code) == (3, 1, 1)
    assert "survival: 1 instance has lost the boundary" in records["b.png"]["error"]
    assert not (tmp_path / "out" / "b.png").exists()


def test_keep_publishes_with_the_scores(tmp_path, registry):
    def damage(frame, batch: Batch):
        return _erased(frame) if _is_b(frame) else _levels(frame)

    summary, records = _run(tmp_path, registry, damage, damage="keep")
    assert summary.done == 4
    assert records["b.png"]["scores"]["survival"]["picture"]["damaged"] == 1


def test_restoring_changes_no_other_instance_and_no_distant_pixel():
    frame = make_frame(60, 80, instances=3)
    picture = torch.full((3, 60, 80), 90, dtype=torch.uint8)
    ids = sorted(frame.instances.table)
    mended = restore_instances(picture, frame, ids[1:2], feather=3)
    labels = torch.from_numpy(frame.instances.labels.copy())
    changed = (mended != picture).any(0)
    assert changed[labels == ids[1]].any()
    assert not changed[(labels == ids[0]) | (labels == ids[2])].any()
    assert isinstance(frame.instances, Instances)


def test_a_whole_pixel_shift_is_undone_exactly_inside():
    picture = _levels(make_frame(40, 50))
    moved = torch.roll(picture, (2, -3), (1, 2))
    back = move_back(moved, 2.0, -3.0)
    inner = (slice(None), slice(4, -4), slice(5, -5))
    assert torch.equal(back[inner], picture[inner])


@pytest.mark.parametrize("steps", ["keep,retry", "", "mend"])
def test_steps_that_make_no_sense_are_refused(steps, registry, tmp_path):
    with pytest.raises((ConfigError, ValueError)):
        DamageOptions(steps=steps)
