"""The kinds of model whose pipelines take latents and hand latents back."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal


@dataclass(frozen=True)
class Family:
    """What differs between the model families on the path "latents".

    pipelines: the classes that a model_index.json of this family names.
    image_to_image, controlnet: the diffusers pipelines that make the pictures.
    core: the component that is run at every step.
    texts: the prompts that the pipeline's encode_prompt takes besides the first, left to None.
    embeds: what it returns, in order; "" is not kept.
    latents: how the VAE's become the model's: z * s, (z - mean) * s / std or (z - shift) * s.
    negatives: whether there are negative prompts. sized: whether height and width are passed.
    size_embedded: whether the network is told the picture's size.
    half: the half precision that costs its pictures least, or that it was trained in: float16
        rounds eight times finer than bfloat16 and overflows where activations are large.
    """

    name: str
    pipelines: frozenset[str]
    image_to_image: str
    controlnet: str | None
    core: Literal["unet", "transformer"]
    text_encoders: tuple[str, ...]
    texts: tuple[str, ...]
    embeds: tuple[str, ...]
    latents: Literal["scale", "mean-std", "shift"]
    negatives: bool = True
    sized: bool = False
    size_embedded: bool = False
    half: Literal["float16", "bfloat16"] = "bfloat16"

    def multiple(self, configs: Mapping[str, Mapping[str, Any]]) -> int:
        """Return what height and width must be multiples of, in pixels."""
        patch = largest(configs.get("transformer", {}).get("patch_size"), 1)
        return latent_factor(configs) * (2 if self.name == "flux" else patch)

    def trained_size(self, configs: Mapping[str, Mapping[str, Any]]) -> int:
        """Return the side, in pixels, of the pictures that the model was trained on."""
        sample = configs.get(self.core, {}).get("sample_size")
        return largest(sample, 128) * latent_factor(configs)

    def channels(self, latent_channels: int) -> int:
        """Return how many channels the core takes that is given nothing but latents."""
        return latent_channels * (4 if self.name == "flux" else 1)  # flux packs 2 x 2 of them


def largest(value: int | list[int] | None, default: int) -> int:
    """Return a config's number, the largest where it has one per axis; the default for none."""
    return max(value) if isinstance(value, list) else value or default


def latent_factor(configs: Mapping[str, Mapping[str, Any]]) -> int:
    """Return how many pixels one latent stands for, along each side."""
    vae = configs.get("vae", {})
    blocks = vae.get("block_out_channels") or vae.get("encoder_block_out_channels") or (0,) * 4
    return int(2 ** (len(blocks) - 1))


_CLIP_PAIR = ("prompt_embeds", "negative_prompt_embeds")
_POOLED = (*_CLIP_PAIR, "pooled_prompt_embeds", "negative_pooled_prompt_embeds")

FAMILIES = (
    Family(
        name="stable-diffusion",
        pipelines=frozenset(
            {
                "StableDiffusionPipeline",
                "StableDiffusionImg2ImgPipeline",
            }
        ),
        image_to_image="StableDiffusionImg2ImgPipeline",
        controlnet="StableDiffusionControlNetImg2ImgPipeline",
        core="unet",
        text_encoders=("text_encoder",),
        texts=(),
        embeds=_CLIP_PAIR,
        latents="scale",
        half="float16",
    ),
    Family(
        name="stable-diffusion-xl",
        pipelines=frozenset(
            {
                "StableDiffusionXLPipeline",
                "StableDiffusionXLImg2ImgPipeline",
            }
        ),
        image_to_image="StableDiffusionXLImg2ImgPipeline",
        controlnet="StableDiffusionXLControlNetImg2ImgPipeline",
        core="unet",
        text_encoders=("text_encoder", "text_encoder_2"),
        texts=("prompt_2",),
        embeds=_POOLED,
        latents="mean-std",
        size_embedded=True,
        half="float16",
    ),
    Family(
        name="stable-diffusion-3",
        pipelines=frozenset({"StableDiffusion3Pipeline", "StableDiffusion3Img2ImgPipeline"}),
        image_to_image="StableDiffusion3Img2ImgPipeline",
        controlnet=None,
        core="transformer",
        text_encoders=("text_encoder", "text_encoder_2", "text_encoder_3"),
        texts=("prompt_2", "prompt_3"),
        embeds=_POOLED,
        latents="shift",
        sized=True,
    ),
    Family(
        name="flux",
        pipelines=frozenset({"FluxPipeline", "FluxImg2ImgPipeline"}),
        image_to_image="FluxImg2ImgPipeline",
        controlnet=None,
        core="transformer",
        text_encoders=("text_encoder", "text_encoder_2"),
        texts=("prompt_2",),
        embeds=("prompt_embeds", "pooled_prompt_embeds", ""),
        latents="shift",
        negatives=False,
        sized=True,
    ),
)


def family_of(pipeline: str) -> Family | None:
    """Return the family that a pipeline class belongs to, or None: it goes the path "pipeline"."""
    return next((family for family in FAMILIES if pipeline in family.pipelines), None)
