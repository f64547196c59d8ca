from __future__ import annotations

from pathlib import Path
from typing import Any

import diffusers
import pytest
import torch

from sv2r.diffusion import latents as latents_module
from sv2r.diffusion.families import family_of
from sv2r.diffusion.latents import Latents
from sv2r.plugin.specs import Runtime
from sv2r.translators import sdedit
from tests import toys

XL = family_of("StableDiffusionXLPipeline")


@pytest.fixture
def vae(root: Path) -> Any:
    return diffusers.AutoencoderKL.from_pretrained(root / "sdxl", subfolder="vae")


def noises(count: int) -> list[torch.Generator]:
    return [torch.Generator().manual_seed(seed) for seed in range(count)]


@torch.no_grad()
def test_a_mean_and_a_standard_deviation_in_the_config_are_taken(vae: Any) -> None:
    pixels = toys.picture(16, 16)[None]
    plain = Latents(vae, XL, model_dtype=torch.float32).encode(pixels, noises(1))
    vae.register_to_config(latents_mean=[1.0, 2.0, 3.0, 4.0], latents_std=[1.0, 2.0, 4.0, 8.0])
    scaled = Latents(vae, XL, model_dtype=torch.float32)
    latents = scaled.encode(pixels, noises(1))

    mean, std = (torch.tensor(v).view(1, 4, 1, 1) for v in ([1.0, 2, 3, 4], [1.0, 2, 4, 8]))
    factor = vae.config.scaling_factor
    assert torch.allclose(latents, (plain / factor - mean) * factor / std, atol=1e-6)
    drawn = vae.encode(2 * pixels - 1).latent_dist.sample(noises(1)[0])
    whole = (vae.decode(drawn).sample / 2 + 0.5).clamp(0, 1)
    assert torch.allclose(scaled.decode(latents), whole, atol=1e-5)


@torch.no_grad()
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_a_wary_vae_stays_in_bfloat16_where_that_is_near(vae: Any, dtype: torch.dtype) -> None:
    latents = Latents(vae, XL, model_dtype=dtype)

    encoded = latents.encode(torch.stack([toys.picture(16, 24, n) for n in (0, 1)]), noises(2))

    assert encoded.dtype == dtype
    assert latents.dtype == "bfloat16"
    assert latents.difference is not None
    assert 0 < latents.difference[1] < latents.difference[0] < 16


@torch.no_grad()
def test_a_wary_vae_goes_back_to_float32_where_bfloat16_is_far(
    vae: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(latents_module, "LARGEST_DIFFERENCE", 0.01)
    latents = Latents(vae, XL, model_dtype=torch.bfloat16)
    pixels = toys.picture(16, 24)[None]

    encoded = latents.encode(pixels, noises(1))

    assert latents.dtype == "float32"
    assert vae.dtype == torch.float32
    assert latents.decode(encoded).dtype == torch.float32
    wanted = vae.encode(2 * pixels - 1).latent_dist.sample(noises(1)[0])
    wanted = wanted.bfloat16() * vae.config.scaling_factor
    assert torch.equal(encoded, wanted)


@torch.no_grad()
def test_a_wary_vae_that_cannot_be_checked_is_float32(vae: Any) -> None:
    latents = Latents(vae, XL, model_dtype=torch.bfloat16, may_check=False)
    latents.encode(toys.picture(16, 24)[None], noises(1))
    assert latents.dtype == "float32"
    assert latents.difference is None


@torch.no_grad()
def test_a_dtype_that_is_asked_for_is_not_checked(vae: Any) -> None:
    latents = Latents(vae, XL, model_dtype=torch.float32, vae_dtype="bfloat16")
    assert latents.encode(toys.picture(16, 24)[None], noises(1)).dtype == torch.float32
    assert latents.dtype == "bfloat16"
    assert latents.difference is None


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_half_precision_makes_pictures_near_float32_s(root: Path, dtype: str) -> None:
    batch = toys.batch([(32, 48)] * 2)
    options = sdedit.SdeditOptions(model=str(root / "sdxl"), steps=6, guidance_scale=2)

    whole = sdedit.build(options, Runtime())(batch)
    translate = sdedit.build(options, Runtime(dtype=dtype))
    half = translate(batch)

    settings = translate.settings()
    assert (settings["dtype"], settings["vae_dtype"]) == (dtype, "bfloat16")
    assert settings["vae_difference"][0] <= 16
    for one, other in zip(whole, half, strict=True):
        assert (one.float() - other.float()).abs().mean() < 12


class Short:
    """Fails for want of memory above some number of pictures, as a GPU does."""

    def __init__(self, limit: int, run: Any) -> None:
        self.limit, self.run, self.sizes = limit, run, []

    def __call__(self, batch: torch.Tensor, *args: Any, **kwargs: Any) -> Any:
        self.sizes.append(len(batch))
        if len(batch) > self.limit:
            raise torch.OutOfMemoryError("out of memory")
        return self.run(batch, *args, **kwargs)


@torch.no_grad()
def test_short_memory_slices_the_batch_and_remembers_it(vae: Any) -> None:
    codes = torch.randn(3, 4, 8, 12)
    latents = Latents(vae, XL, model_dtype=torch.float32)
    whole = latents.decode(codes)
    vae.decode = Short(1, vae.decode)

    assert latents.split is None
    sliced = latents.decode(codes)
    again = latents.decode(codes)

    assert latents.split == "sliced"
    assert vae.decode.sizes == [3, 1, 1, 1, 1, 1, 1]
    vae.decode.limit = 2
    latents.decode(codes[:2])
    assert vae.decode.sizes[7:] == [2]  # fewer than what did not fit
    assert torch.allclose(sliced, whole, atol=1e-5)
    assert torch.equal(sliced, again)


@torch.no_grad()
def test_no_memory_at_all_is_said(vae: Any) -> None:
    latents = Latents(vae, XL, model_dtype=torch.float32)
    vae.decode = Short(0, vae.decode)
    with pytest.raises(torch.OutOfMemoryError):
        latents.decode(torch.randn(2, 4, 8, 12))
    assert vae.use_tiling
    assert latents.split == "tiled"
