"""Running out of a GPU's memory on purpose: nothing is lost, and the message names the way out."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import torch

import sv2r
from sv2r.errors import ConfigError
from tests import toys
from tests.toys.datasets import make_coco

Models = Callable[[str], Path]


@contextmanager
def _room(device: str, megabytes: int) -> Iterator[None]:
    """Leave a device about so much memory, and all of it afterwards."""
    torch.cuda.empty_cache()
    total = torch.cuda.get_device_properties(device).total_memory
    taken = torch.cuda.memory_reserved(device)
    torch.cuda.set_per_process_memory_fraction((taken + megabytes * 2**20) / total, device)
    try:
        yield
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0, device)
        torch.cuda.empty_cache()


def _job(renders: Path, output: Path, model: Path, device: str, **more: Any) -> dict[str, Any]:
    return {
        "input": str(renders),
        "output": str(output),
        "device": device,
        "dtype": "float32",
        "translator": {"name": "sdedit", "model": str(model), "steps": 4, "strength": 0.5},
        **more,
    }


def test_a_batch_that_does_not_fit_is_halved_and_nothing_is_lost(
    models: Models, device: str, cuda_only: None, tmp_path: Path
) -> None:
    names = tuple(f"{number:02}.png" for number in range(16))
    renders = make_coco(tmp_path / "renders", names, size=(256, 256))
    job = _job(renders, tmp_path / "out", models("sd15"), device, batch_size=16)

    with _room(device, 400):
        summary = sv2r.convert(job)

    assert (summary.done, summary.failed) == (16, 0)
    assert any("out of memory" in note for note in summary.notes)


def test_a_picture_that_cannot_fit_ends_the_job_with_advice(
    models: Models, device: str, cuda_only: None, tmp_path: Path
) -> None:
    renders = make_coco(tmp_path / "renders", ("a.png",), size=(1024, 1024))
    job = _job(renders, tmp_path / "out", models("sd15"), device, batch_size=1)

    with _room(device, 40), pytest.raises(ConfigError, match=r"not even one picture .* tile"):
        sv2r.convert(job)


def test_checks_and_depth_share_what_is_left_beside_the_model(
    models: Models, device: str, cuda_only: None, tmp_path: Path
) -> None:
    renders = make_coco(tmp_path / "renders", ("a.png", "b.png"), size=(512, 512))
    job = _job(
        renders,
        tmp_path / "out",
        models("sd15"),
        device,
        batch_size=2,
        conditioners={"depth": {"model": str(models("depth"))}},
    )

    with _room(device, 300):
        summary = sv2r.convert(job)

    assert summary.failed == 0, summary


def test_memory_is_free_again_after_an_error(models: Models, device: str, cuda_only: None) -> None:
    from sv2r.plugin.specs import Runtime
    from sv2r.translators import sdedit

    options = sdedit.SdeditOptions(model=str(models("sd15")), strength=0.5, steps=4)
    translate = sdedit.build(options, Runtime(device=device))
    small, large = toys.batch([(64, 64)]), toys.batch([(2048, 2048)])
    translate(small)
    before = torch.cuda.memory_allocated(device)

    with _room(device, 64), pytest.raises(torch.OutOfMemoryError):
        translate(large)

    translate(small)
    assert torch.cuda.memory_allocated(device) <= before + 2**20
