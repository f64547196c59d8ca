"""Steps of training on a GPU, in both half precisions."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image

from tests import toys

Models = Callable[[str], Path]


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("photos")
    for number in range(12):
        pixels = (255 * toys.picture(64, 64, number)).byte().permute(1, 2, 0).numpy()
        Image.fromarray(pixels).save(folder / f"{number}.png")
    return folder


def _train(kind: str, photos: Path, output: Path, **more: Any) -> Any:
    from tests.toys import trainings

    asked = {"photos": photos, "output": output, "resolution": 64, "batch_size": 2, "held_out": 2}
    return trainings.train(kind, {**asked, "steps": 20, "warmup": 0, **more})


@pytest.mark.parametrize("precision", ["bfloat16", "float16"])
@pytest.mark.parametrize("kind", ["lora", "controlnet"])
def test_losses_are_numbers_and_the_weights_change(
    models: Models,
    device: str,
    cuda_only: None,
    photos: Path,
    tmp_path: Path,
    kind: str,
    precision: str,
) -> None:
    result = _train(kind, photos, tmp_path / "out", model=models("sd15"), precision=precision)

    ending = result.endings[kind]
    assert ending.finished
    assert all(torch.isfinite(torch.tensor(loss)) for _, loss in ending.losses)
    weights = next((tmp_path / "out").glob("*.safetensors"))
    assert weights.stat().st_size > 1000


def test_a_small_model_is_trained_and_its_pictures_come_from_the_device(
    models: Models, device: str, cuda_only: None, photos: Path, tmp_path: Path
) -> None:
    result = _train(
        "base",
        photos,
        tmp_path / "out",
        vae_steps=20,
        vae_channels=(8, 16),
        unet_channels=(16, 16),
        heads=2,
        precision="bfloat16",
    )

    assert result.finished
    assert (tmp_path / "out" / "model_index.json").is_file()


def test_a_run_that_was_stopped_goes_on_on_the_device(
    models: Models, device: str, cuda_only: None, photos: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    first = _train("lora", photos, out, model=models("sd15"), save_every=1, max_time=0.001)
    assert not first.finished

    second = _train("lora", photos, out, model=models("sd15"), save_every=1)

    assert second.finished
