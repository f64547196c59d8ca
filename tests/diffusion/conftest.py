"""Toy networks on one thread."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from tests import toys


@pytest.fixture(scope="session", autouse=True)
def one_thread() -> Iterator[None]:
    """Run toy networks on one thread: they are too small for more, and cores may be shared."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="session")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with toy models: sd15, sdxl, canny."""
    folder = tmp_path_factory.mktemp("diffusion")
    toys.save_sd15(folder / "sd15")
    toys.save_sdxl(folder / "sdxl")
    toys.save_sd3(folder / "sd3")
    toys.save_controlnet(folder / "canny")
    toys.save_controlnet(folder / "canny-xl", "sdxl")
    return folder
