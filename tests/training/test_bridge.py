"""Toy models learn to make photos of renders in one evaluation, and jobs and diffusers use them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

import sv2r
from sv2r.errors import ConfigError
from sv2r.training.autoencoder import make_pixels
from sv2r.training.nearness import Nearness
from sv2r.training.outlines import outline_loss, survived
from sv2r.training.renders import cut_labels
from sv2r.training.photos import SquarePlace, cut_square
from tests import toys
from tests.toys import models, processes, trainings
from tests.toys.datasets import make_coco

PIXELS = {
    "resolution": 32,
    "pixels": True,
    "prediction": "sample",
    "unet_channels": (8, 16),
    "heads": 2,
    "text_width": 16,
    "steps": 2,
    "batch_size": 2,
    "device": "cpu",
    "held_out": 2,
}
STEPS = {"resolution": 32, "steps": 4, "device": "cpu", "save_every": 2, "warmup": 0, "seed": 5}


@pytest.fixture(scope="module")
def bright(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twenty photos, lighter than any render."""
    folder = tmp_path_factory.mktemp("bright")
    for number in range(20):
        pixels = 255 * (0.7 + 0.3 * toys.picture(36, 40, 100 + number))
        Image.fromarray(pixels.byte().permute(1, 2, 0).numpy()).save(folder / f"{number}.png")
    return folder


@pytest.fixture(scope="module")
def renders(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_coco(tmp_path_factory.mktemp("renders"), count=12)


@pytest.fixture(scope="module")
def base(bright: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    output = tmp_path_factory.mktemp("base") / "out"
    trainings.train("base", {**PIXELS, "photos": bright, "output": output})
    return output


@pytest.fixture
def bridge(bright: Path, renders: Path, base: Path, tmp_path: Path) -> Callable[..., Any]:
    def run(**options: Any) -> Any:
        values = {"photos": bright, "renders": renders, "model": str(base), **STEPS}
        return trainings.train("bridge", {**values, "output": tmp_path / "out", **options})

    return run


def test_latents_of_pixels_are_the_pixels() -> None:
    vae = make_pixels()
    pictures = torch.stack([2 * toys.picture(20, 28, seed) - 1 for seed in range(2)])
    posterior = vae.encode(pictures).latent_dist
    assert torch.allclose(posterior.sample()[:, :3], pictures, atol=1e-3)
    noise = torch.randn(2, 1, 20, 28)  # what a denoiser puts into the fourth counts for nothing
    again = vae.decode(torch.cat([posterior.mode()[:, :3], noise], 1)).sample
    assert torch.allclose(again, pictures, atol=2e-3)


def test_a_killed_bridge_ends_with_the_same_bytes(
    bridge: Callable[..., Any], bright: Path, renders: Path, base: Path, tmp_path: Path
) -> None:
    bridge(output=tmp_path / "never", validate_every=1)
    values = {"photos": bright, "renders": renders, "model": str(base), **STEPS}
    values |= {"output": tmp_path / "killed", "validate_every": 1}
    assert processes.run(trainings.train_and_die, "bridge", values, 4) == -9
    assert trainings.train("bridge", values).endings["bridge"].ran == 2
    assert trainings.weights(tmp_path / "killed") == trainings.weights(tmp_path / "never") != {}


@pytest.mark.parametrize("evaluations", [1, 2])
def test_diffusers_alone_makes_the_picture_of_a_job(
    evaluations: int, bridge: Callable[..., Any], renders: Path, tmp_path: Path
) -> None:
    from diffusers import StableDiffusionImg2ImgPipeline

    model = bridge(evaluations=evaluations, start=0.2).output
    layers = {
        "input": str(renders),
        "output": str(tmp_path / "real"),
        "limit": 1,
        "checks": {},
        "translator": {
            "name": "sdedit",
            "model": str(model),
            "strength": 1.0,
            "steps": evaluations,
            "guidance_scale": 1.0,
        },
        "prompt": {"template": ""},
    }
    summary = sv2r.convert(layers)
    assert summary.done == 1
    record = next(iter(sv2r.output.finished.open_finished(tmp_path / "real").records()))
    made = np.asarray(Image.open(tmp_path / "real" / record.output), int)
    pipe = StableDiffusionImg2ImgPipeline.from_pretrained(model)
    render = Image.open(renders / record.output).convert("RGB")
    generator = torch.Generator().manual_seed(record.seed)
    alone = pipe(
        prompt="",
        image=render,
        strength=1.0,
        num_inference_steps=evaluations,
        guidance_scale=1.0,
        generator=generator,
    ).images[0]
    assert np.abs(np.asarray(alone, int) - made).max() <= 1
    assert pipe.scheduler.config.num_train_timesteps == 200
