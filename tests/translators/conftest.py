"""Toy models for the translators, each made once."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch

from tests import toys

Models = Callable[[str], Path]


@pytest.fixture(scope="session", autouse=True)
def one_thread() -> Iterator[None]:
    """Run toy networks on one thread: they are too small for more, and cores may be shared."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="session")
def models(tmp_path_factory: pytest.TempPathFactory) -> Models:
    """Return a function from a toy model's name to its folder."""
    root = tmp_path_factory.mktemp("translators")
    makers: dict[str, Callable[[Path], Path]] = {
        "sd15": toys.save_sd15,
        "sd15-factor-8": lambda folder: toys.save_sd15(folder, factor=8),
        "sd15-safe": lambda folder: toys.save_sd15(folder, safety_checker=True),
        "sdxl": toys.save_sdxl,
        "sd3": toys.save_sd3,
        "flux": toys.save_flux,
        "pix2pix": toys.save_pix2pix,
        "canny": lambda folder: toys.save_controlnet(folder, seed=1),
        "depth": lambda folder: toys.save_controlnet(folder, seed=2),
        "canny-xl": lambda folder: toys.save_controlnet(folder, "sdxl", seed=1),
        "lora": toys.save_lora,
        "lora-2": lambda folder: toys.save_lora(folder, seed=4),
    }

    def model(name: str) -> Path:
        folder = root / name
        if not folder.exists():
            makers[name](folder)
        return folder

    return model
