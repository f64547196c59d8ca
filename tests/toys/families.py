"""The parts of each toy pipeline: Stable Diffusion 1.5, XL and 3, and Flux."""

from __future__ import annotations

from typing import Any

from tests.toys import networks, tokenizers


def sd15_parts(factor: int, seed: int) -> dict[str, Any]:
    from diffusers import DDIMScheduler

    return {
        "vae": networks.vae(factor, seed),
        "text_encoder": networks.clip(16, seed),
        "tokenizer": tokenizers.clip_tokenizer(),
        "unet": networks.unet("sd15"),
        "scheduler": DDIMScheduler(
            beta_start=0.00085,
            beta_end=0.012,
            beta_schedule="scaled_linear",
            clip_sample=False,
            set_alpha_to_one=False,
            steps_offset=1,
        ),
    }


def sdxl_parts(factor: int, seed: int) -> dict[str, Any]:
    from diffusers import EulerDiscreteScheduler

    return {
        "vae": networks.vae(factor, seed, scaling_factor=0.13025, force_upcast=True),
        "text_encoder": networks.clip(16, seed),
        "text_encoder_2": networks.clip(16, seed + 1, projection=16),
        "tokenizer": tokenizers.clip_tokenizer(),
        "tokenizer_2": tokenizers.clip_tokenizer(),
        "unet": networks.unet("sdxl"),
        "scheduler": EulerDiscreteScheduler(
            beta_start=0.00085,
            beta_end=0.012,
            beta_schedule="scaled_linear",
            steps_offset=1,
            timestep_spacing="leading",
        ),
    }


def sd3_parts(factor: int, seed: int) -> dict[str, Any]:
    import torch
    from diffusers import FlowMatchEulerDiscreteScheduler, SD3Transformer2DModel

    torch.manual_seed(seed)
    transformer = SD3Transformer2DModel(
        sample_size=32,
        patch_size=2,
        in_channels=16,
        out_channels=16,
        num_layers=2,
        attention_head_dim=8,
        num_attention_heads=4,
        caption_projection_dim=32,
        joint_attention_dim=32,
        pooled_projection_dim=32,
        pos_embed_max_size=48,
    ).eval()
    return {
        "transformer": transformer,
        "scheduler": FlowMatchEulerDiscreteScheduler(shift=3.0),
        "vae": networks.vae(
            factor=factor,
            seed=seed,
            channels=16,
            scaling_factor=1.5305,
            shift_factor=0.0609,
            use_quant_conv=False,
            use_post_quant_conv=False,
        ),
        "text_encoder": networks.clip(16, seed, projection=16),
        "tokenizer": tokenizers.clip_tokenizer(),
        "text_encoder_2": networks.clip(16, seed + 1, projection=16),
        "tokenizer_2": tokenizers.clip_tokenizer(),
        "text_encoder_3": networks.t5(seed),
        "tokenizer_3": tokenizers.t5_tokenizer(),
    }


def flux_parts(factor: int, seed: int) -> dict[str, Any]:
    import torch
    from diffusers import FlowMatchEulerDiscreteScheduler, FluxTransformer2DModel

    torch.manual_seed(seed)
    transformer = FluxTransformer2DModel(
        patch_size=1,
        in_channels=16,
        num_layers=1,
        num_single_layers=1,
        attention_head_dim=16,
        num_attention_heads=2,
        joint_attention_dim=32,
        pooled_projection_dim=16,
        axes_dims_rope=[4, 4, 8],
        guidance_embeds=True,
    ).eval()
    return {
        "transformer": transformer,
        "scheduler": FlowMatchEulerDiscreteScheduler(use_dynamic_shifting=True),
        "vae": networks.vae(
            factor=factor,
            seed=seed,
            scaling_factor=0.3611,
            shift_factor=0.1159,
            use_quant_conv=False,
            use_post_quant_conv=False,
        ),
        "text_encoder": networks.clip(16, seed),
        "tokenizer": tokenizers.clip_tokenizer(),
        "text_encoder_2": networks.t5(seed),
        "tokenizer_2": tokenizers.t5_tokenizer(),
    }
