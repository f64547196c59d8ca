"""Models with random weights, in their true architectures or at toy size: nothing is downloaded."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests import toys


@dataclass(frozen=True)
class Model:
    """A pipeline with one ControlNet, as folders.

    pipeline: the diffusers class that a user writes.
    """

    name: str
    folder: Path
    controlnet: Path
    pipeline: str


def build(name: str, folder: Path, device: str, dtype: str) -> Model:
    """Return a model of `MODELS` after writing it into the folder.

    device, dtype: what the random weights are made on and written as.
    """
    pipeline, make = MODELS[name]
    if not (folder / "model" / "model_index.json").exists():
        make(folder, device, dtype)
    return Model(name, folder / "model", folder / "controlnet", pipeline)


def _toy(folder: Path, device: str, dtype: str) -> None:
    toys.save_sd15(folder / "model", factor=8)
    toys.save_controlnet(folder / "controlnet", factor=8)


def _sd15(folder: Path, device: str, dtype: str) -> None:
    """Write Stable Diffusion 1.5: 860 M parameters, its ControlNet 361 M."""
    from diffusers import DDIMScheduler, StableDiffusionPipeline

    with _random(device, dtype):
        unet = _unet(cross_attention_dim=768, attention_head_dim=8, sample_size=64)
        StableDiffusionPipeline(
            vae=_vae(scaling_factor=0.18215, sample_size=512),
            text_encoder=_clip(768, 3072, 12, 12),
            tokenizer=toys.clip_tokenizer(),
            unet=unet,
            scheduler=DDIMScheduler(
                beta_start=0.00085,
                beta_end=0.012,
                beta_schedule="scaled_linear",
                clip_sample=False,
                set_alpha_to_one=False,
                steps_offset=1,
            ),
            safety_checker=None,
            feature_extractor=None,
            requires_safety_checker=False,
        ).save_pretrained(folder / "model")
        _save_controlnet(unet, folder)


def _sdxl(folder: Path, device: str, dtype: str) -> None:
    """Write Stable Diffusion XL: 2.6 B parameters, its ControlNet 1.3 B."""
    from diffusers import EulerDiscreteScheduler, StableDiffusionXLPipeline

    with _random(device, dtype):
        unet = _unet(
            block_out_channels=(320, 640, 1280),
            down_block_types=("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
            up_block_types=("CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"),
            cross_attention_dim=2048,
            attention_head_dim=(5, 10, 20),
            transformer_layers_per_block=(1, 2, 10),
            use_linear_projection=True,
            addition_embed_type="text_time",
            addition_time_embed_dim=256,
            projection_class_embeddings_input_dim=2816,
            sample_size=128,
        )
        StableDiffusionXLPipeline(
            vae=_vae(scaling_factor=0.13025, sample_size=1024, force_upcast=True),
            text_encoder=_clip(768, 3072, 12, 12),
            text_encoder_2=_clip(1280, 5120, 32, 20, projection=1280),
            tokenizer=toys.clip_tokenizer(),
            tokenizer_2=toys.clip_tokenizer(),
            unet=unet,
            scheduler=EulerDiscreteScheduler(
                beta_start=0.00085,
                beta_end=0.012,
                beta_schedule="scaled_linear",
                steps_offset=1,
                timestep_spacing="leading",
            ),
        ).save_pretrained(folder / "model")
        _save_controlnet(unet, folder)


MODELS: dict[str, tuple[str, Callable[[Path, str, str], None]]] = {
    "toy": ("StableDiffusionControlNetImg2ImgPipeline", _toy),
    "sd15": ("StableDiffusionControlNetImg2ImgPipeline", _sd15),
    "sdxl": ("StableDiffusionXLControlNetImg2ImgPipeline", _sdxl),
}


class _random:  # noqa: N801
    """Makes networks with random weights on a device, in a dtype, always the same."""

    def __init__(self, device: str, dtype: str) -> None:
        import torch

        self._device = torch.device(device)
        self._dtype: torch.dtype = getattr(torch, dtype)

    def __enter__(self) -> None:
        import torch

        torch.manual_seed(0)
        self._before = torch.get_default_dtype()
        torch.set_default_dtype(self._dtype)
        self._device.__enter__()

    def __exit__(self, *error: object) -> None:
        import torch

        self._device.__exit__(*error)
        torch.set_default_dtype(self._before)


def _unet(**config: Any) -> Any:
    from diffusers import UNet2DConditionModel

    return UNet2DConditionModel(**config).eval()


def _vae(**config: Any) -> Any:
    from diffusers import AutoencoderKL

    return AutoencoderKL(
        block_out_channels=(128, 256, 512, 512),
        down_block_types=("DownEncoderBlock2D",) * 4,
        up_block_types=("UpDecoderBlock2D",) * 4,
        layers_per_block=2,
        latent_channels=4,
        **config,
    ).eval()


def _clip(hidden: int, inner: int, layers: int, heads: int, projection: int = 0) -> Any:
    from transformers import CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection

    config = CLIPTextConfig(
        hidden_size=hidden,
        intermediate_size=inner,
        num_hidden_layers=layers,
        num_attention_heads=heads,
        projection_dim=projection or hidden,
        bos_token_id=512,
        eos_token_id=513,
        pad_token_id=513,
    )
    return (CLIPTextModelWithProjection if projection else CLIPTextModel)(config).eval()


def _save_controlnet(unet: Any, folder: Path) -> None:
    import torch
    from diffusers import ControlNetModel

    net = ControlNetModel.from_unet(unet)
    with torch.no_grad():
        for parameter in net.parameters():  # its zero convolutions would have no effect
            if parameter.abs().max() == 0:
                parameter.copy_(0.02 * torch.randn_like(parameter))
    net.to(next(unet.parameters()).dtype).save_pretrained(folder / "controlnet")
