"""Small folders of photos, and trainings of toy models over them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image

from tests import toys


@pytest.fixture(scope="session", autouse=True)
def one_thread() -> Any:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="session")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Ten photos in two folders, one of them upright, with captions nearby."""
    folder = tmp_path_factory.mktemp("photos")
    for number in range(10):
        height, width = (48, 36) if number == 3 else (34, 40)
        pixels = (255 * toys.picture(height, width, number)).byte().permute(1, 2, 0).numpy()
        path = folder / ("kitchen" if number % 2 else "dining_room") / f"{number}.png"
        path.parent.mkdir(exist_ok=True)
        Image.fromarray(pixels).save(path)
        path.with_suffix(".txt").write_text(f"mug  {number}\n")
    return folder


@pytest.fixture(scope="session")
def toy_sdxl(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return toys.save_sdxl(tmp_path_factory.mktemp("models") / "sdxl")


@pytest.fixture
def train(photos: Path, tmp_path: Path) -> Callable[..., Any]:
    """Return a function that trains, by kind and options, into a new folder."""
    from tests.toys import trainings

    def run(kind: str, **options: Any) -> Any:
        return trainings.train(kind, {"photos": photos, "output": tmp_path / "out", **options})

    return run
