"""Tests that only a GPU can pass: `uv run pytest tests/gpu`, about ten minutes on one device.

Without CUDA they are skipped. SV2R_GPU_TESTS_ON=cpu runs those that a CPU can, to check the tests
themselves.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from tests import toys

HERE = Path(__file__).parent
_INSTEAD = "SV2R_GPU_TESTS_ON"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skip the tests of this folder where there is no GPU, and say why."""
    import torch

    there, instead = torch.cuda.is_available(), os.environ.get(_INSTEAD)
    for item in items:
        if HERE not in item.path.parents or there:
            continue
        if instead is None:
            item.add_marker(pytest.mark.skip(reason="no CUDA device: torch sees none"))
        elif "cuda_only" in item.fixturenames:
            item.add_marker(pytest.mark.skip(reason=f"{instead} has no such thing"))


@pytest.fixture(scope="session")
def device() -> str:
    """Return the device under test."""
    return os.environ.get(_INSTEAD, "cuda:0")


@pytest.fixture
def cuda_only() -> None:
    """Mark a test of something that only CUDA has."""


@pytest.fixture(scope="session")
def models(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """Return a function from a toy model's name to its folder, written once."""
    folder = tmp_path_factory.mktemp("models")
    makers: dict[str, Callable[[Path], object]] = {
        "sd15": lambda path: toys.save_sd15(path, factor=8),
        "sdxl": lambda path: toys.save_sdxl(path, factor=8),
        "sd3": lambda path: toys.save_sd3(path, factor=8),
        "flux": lambda path: toys.save_flux(path, factor=8),
        "controlnet-sd15": lambda path: toys.save_controlnet(path, factor=8),
        "controlnet-sdxl": lambda path: toys.save_controlnet(path, "sdxl", factor=8),
        "depth": toys.save_depth,
    }

    def model(name: str) -> Path:
        path = folder / name
        if not path.exists():
            makers[name](path)
        return path

    return model
