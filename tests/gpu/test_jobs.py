"""Whole jobs on a GPU: checks during a busy denoiser, two workers, a kill and a resume."""

from __future__ import annotations

import hashlib
import multiprocessing
import os
import signal
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

import sv2r
from tests.toys.datasets import make_coco

Models = Callable[[str], Path]
NAMES = tuple(f"{number:02}.png" for number in range(24))


@pytest.fixture(scope="module")
def renders(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_coco(tmp_path_factory.mktemp("job") / "renders", NAMES, size=(128, 128))


def _job(renders: Path, output: Path, model: Path, devices: list[str]) -> dict[str, Any]:
    return {
        "input": str(renders),
        "output": str(output),
        "device": devices,
        "batch_size": 4,
        "seed": 7,
        "translator": {"name": "sdedit", "model": str(model), "steps": 10, "strength": 0.4},
    }


def _pictures(output: Path) -> Mapping[str, str]:
    """Return the SHA-256 of every picture, by name."""
    files = _published(output)
    assert files, f"no picture in {output}"
    return {file.name: hashlib.sha256(file.read_bytes()).hexdigest() for file in files}


def _published(output: Path) -> list[Path]:
    return [output / name for name in NAMES if (output / name).is_file()]


@pytest.fixture(scope="module")
def alone(
    renders: Path, models: Models, device: str, tmp_path_factory: pytest.TempPathFactory
) -> Mapping[str, str]:
    """Return the pictures of one worker that nothing disturbed."""
    output = tmp_path_factory.mktemp("alone") / "out"
    summary = sv2r.convert(_job(renders, output, models("sd15"), [device]))
    assert summary.failed == 0
    return _pictures(output)


def test_checks_beside_a_busy_denoiser_change_no_picture_and_no_score(
    renders: Path, models: Models, device: str, alone: Mapping[str, str], tmp_path: Path
) -> None:
    job = _job(renders, tmp_path / "out", models("sd15"), [device]) | {"writers": 8, "readers": 8}

    sv2r.convert(job)

    assert _pictures(tmp_path / "out") == alone


def test_two_workers_on_one_device_make_the_same_pictures(
    renders: Path, models: Models, device: str, alone: Mapping[str, str], tmp_path: Path
) -> None:
    sv2r.convert(_job(renders, tmp_path / "out", models("sd15"), [device, device]))

    assert _pictures(tmp_path / "out") == alone


def _convert(job: dict[str, Any]) -> None:
    sv2r.convert(job)


def test_a_killed_job_ends_with_the_same_pictures(
    renders: Path, models: Models, device: str, alone: Mapping[str, str], tmp_path: Path
) -> None:
    output = tmp_path / "out"
    job = _job(renders, output, models("sd15"), [device])
    process = multiprocessing.get_context("spawn").Process(target=_convert, args=(job,))
    process.start()
    deadline = time.monotonic() + 300
    while len(_published(output)) < 3:
        assert time.monotonic() < deadline, "no picture came to be"
        assert process.is_alive(), "the job ended too soon to be killed"
        time.sleep(0.02)
    assert process.pid is not None
    os.kill(process.pid, signal.SIGKILL)
    process.join()

    summary = sv2r.convert(job)

    assert summary.done == len(NAMES)
    assert _pictures(output) == alone
