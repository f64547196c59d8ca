from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import diffusers
import pytest
import torch
from safetensors.torch import load_file

from sv2r.diffusion import latents as latents_module
from sv2r.diffusion.families import family_of
from sv2r.diffusion.latents import Latents
from sv2r.diffusion.open_model import dtype_for
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
def test_a_wary_vae_takes_the_model_s_half_precision_where_that_is_near(
    vae: Any, dtype: torch.dtype
) -> None:
    latents = Latents(vae, XL, model_dtype=dtype)

    encoded = latents.encode(torch.stack([toys.picture(16, 24, n) for n in (0, 1)]), noises(2))

    assert encoded.dtype == dtype
    assert latents.dtype == str(dtype).removeprefix("torch.")
    assert vae.dtype == dtype
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
    assert (settings["dtype"], settings["vae_dtype"]) == (dtype, dtype)
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


class Overflowing:
    """Gives infinity in float16, as SDXL's true VAE does."""

    def __init__(self, decode: Any) -> None:
        self.decode = decode

    def __call__(self, codes: torch.Tensor, **kwargs: Any) -> Any:
        (made,) = self.decode(codes, **kwargs)
        return (made * float("inf") if codes.dtype == torch.float16 else made,)


@torch.no_grad()
def test_a_vae_that_overflows_in_float16_is_tried_in_bfloat16(vae: Any) -> None:
    weights = {name: value.clone() for name, value in vae.state_dict().items()}
    vae.decode = Overflowing(vae.decode)
    latents = Latents(vae, XL, model_dtype=torch.float16)
    latents.encode(toys.picture(16, 24)[None], noises(1))
    assert latents.dtype == "bfloat16"
    assert latents.difference is not None
    for name, value in vae.state_dict().items():
        assert torch.equal(value, weights[name].bfloat16())  # rounded once, not twice


@pytest.mark.parametrize("kind", ["sd15", "sdxl"])
def test_a_vae_in_float32_has_the_weights_of_its_file(root: Path, kind: str) -> None:
    """Cast to bfloat16 at loading and back, they would be rounded."""
    options = sdedit.SdeditOptions(model=str(root / kind), steps=4, vae_dtype="float32")
    engine = sdedit.build(options, Runtime(dtype="bfloat16"))
    file = load_file(root / kind / "vae" / "diffusion_pytorch_model.safetensors")
    loaded = engine._pipe.vae.state_dict()
    assert all(torch.equal(loaded[name], value) for name, value in file.items())
    assert engine._pipe.unet.dtype == torch.bfloat16


def test_a_single_file_s_vae_in_float32_has_the_weights_of_the_file(tmp_path: Path) -> None:
    file, config = toys.save_sd15_file(tmp_path)
    values = {"model": str(file), "config": str(config), "steps": 4, "vae_dtype": "float32"}
    options = sdedit.SdeditOptions(**values)
    exact = sdedit.build(options, Runtime())._pipe.vae.state_dict()
    loaded = sdedit.build(options, Runtime(dtype="bfloat16"))._pipe.vae.state_dict()
    assert all(torch.equal(loaded[name], value) for name, value in exact.items())


def mean_error(model: Path, dtype: str) -> float:
    """Return the mean difference from float32's pictures, in levels."""
    batch = toys.batch([(32, 48)] * 2)
    options = sdedit.SdeditOptions(model=str(model), steps=6, guidance_scale=2)
    whole = sdedit.build(options, Runtime())(batch)
    half = sdedit.build(options, Runtime(dtype=dtype))(batch)
    pairs = zip(whole, half, strict=True)
    return float(torch.stack([(a.float() - b.float()).abs().mean() for a, b in pairs]).mean())


@pytest.mark.parametrize("kind", ["sd15", "sdxl"])
def test_the_half_precision_of_a_family_is_the_one_that_costs_least(root: Path, kind: str) -> None:
    family = {"sd15": family_of("StableDiffusionPipeline"), "sdxl": XL}[kind]
    assert family is not None
    assert family.half == "float16"
    fine, coarse = (mean_error(root / kind, dtype) for dtype in ("float16", "bfloat16"))
    print(f"{kind}: float16 {fine:.3f}, bfloat16 {coarse:.3f} levels")
    assert fine < 0.1 < coarse


def test_auto_takes_a_family_s_own_half_precision() -> None:
    runtime = Runtime(device="cuda:0", dtype="bfloat16", auto_dtype=True)
    assert XL is not None
    assert dtype_for(runtime, XL) == "float16"
    assert dtype_for(replace(runtime, auto_dtype=False), XL) == "bfloat16"
    assert dtype_for(Runtime(auto_dtype=True), XL) == "float32"
