"""How a small VAE begins, and what its latents are like at the end."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from sv2r.training.autoencoder import make_vae, whiten
from sv2r.training.options import BaseOptions
from sv2r.training.photos import read_photos, split


@pytest.fixture(scope="module")
def options(tmp_path_factory: pytest.TempPathFactory) -> BaseOptions:
    photos = tmp_path_factory.mktemp("photos")
    random = np.random.default_rng(0)
    for number in range(12):
        coarse = random.integers(0, 256, (4, 4, 3), np.uint8)
        Image.fromarray(coarse).resize((64, 64), Image.Resampling.BICUBIC).save(
            photos / f"{number}.png"
        )
    return BaseOptions(
        photos=photos,
        output=Path("unused"),
        resolution=64,
        vae_channels=(16, 24, 32),
        latent_channels=4,
    )


def _pictures(options: BaseOptions) -> torch.Tensor:
    learnt, _ = split(read_photos(options), options)
    return torch.stack([learnt.picture(n) for n in range(len(learnt))]).float() / 127.5 - 1


def test_a_new_vae_gives_a_picture_back_in_its_own_colours(options: BaseOptions) -> None:
    pictures = _pictures(options)
    vae = make_vae(options)
    with torch.no_grad():
        made = vae.decode(vae.encode(pictures).latent_dist.mode()).sample
    hue = pictures - pictures.mean(1, keepdim=True)
    difference = (made - made.mean(1, keepdim=True)) - hue
    assert difference.square().mean() < 0.2 * hue.square().mean()


def test_whitened_latents_are_standard_and_pictures_come_out_as_before(
    options: BaseOptions,
) -> None:
    learnt, _ = split(read_photos(options), options)
    pictures = _pictures(options)
    vae = make_vae(options)
    with torch.no_grad():
        before = vae.decode(vae.encode(pictures).latent_dist.mode()).sample
        whiten(vae, learnt)
        posterior = vae.encode(pictures).latent_dist
        after = vae.decode(posterior.mode()).sample
    latents = posterior.mean.transpose(0, 1).flatten(1)
    torch.testing.assert_close(torch.cov(latents), torch.eye(4), atol=0.02, rtol=0)
    assert latents.mean(1).abs().max() < 0.02
    torch.testing.assert_close(after, before, atol=1e-3, rtol=0)
    assert vae.config.scaling_factor == 1.0
    assert posterior.var.max() < 1
