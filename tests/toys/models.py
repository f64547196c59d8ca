"""Real diffusers and transformers checkpoints at toy size, for tests and CPU benchmarks.

Every class is the real one, every file the real layout; only the numbers of channels and layers are
small (some hundred KB in all). Weights are random from a fixed seed, except that the
VAE's last layers are fitted, so that it gives a blurred version of its input instead of noise.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tests.toys import families, networks, original


def save_sd15(
    folder: Path, *, factor: int = 2, seed: int = 0, safety_checker: bool = False
) -> Path:
    """Return the folder after writing a Stable Diffusion 1.5 pipeline into it.

    factor: pixels per latent, 2 (fast) or 8 (as the true model has it).
    safety_checker: whether it has one (which flags by its random weights).
    """
    sd15(factor=factor, seed=seed, safety_checker=safety_checker).save_pretrained(folder)
    return Path(folder)


def save_sdxl(folder: Path, *, factor: int = 2, seed: int = 0) -> Path:
    """Return the folder after writing a Stable Diffusion XL pipeline into it."""
    from diffusers import StableDiffusionXLPipeline

    StableDiffusionXLPipeline(**families.sdxl_parts(factor, seed)).save_pretrained(folder)
    return Path(folder)


def save_sd3(folder: Path, *, factor: int = 2, seed: int = 0) -> Path:
    """Return the folder after writing Stable Diffusion 3 with all three text encoders."""
    from diffusers import StableDiffusion3Pipeline

    StableDiffusion3Pipeline(**families.sd3_parts(factor, seed)).save_pretrained(folder)
    return Path(folder)


def save_flux(folder: Path, *, factor: int = 2, seed: int = 0) -> Path:
    """Return the folder after writing a Flux pipeline into it."""
    from diffusers import FluxPipeline

    FluxPipeline(**families.flux_parts(factor, seed)).save_pretrained(folder)
    return Path(folder)


def save_pix2pix(folder: Path, *, factor: int = 2, seed: int = 0) -> Path:
    """Return the folder after writing an InstructPix2Pix pipeline: it takes no strength."""
    from diffusers import StableDiffusionInstructPix2PixPipeline

    parts = {**families.sd15_parts(factor, seed), "unet": networks.unet("sd15", in_channels=8)}
    StableDiffusionInstructPix2PixPipeline(
        **parts, safety_checker=None, feature_extractor=None, requires_safety_checker=False
    ).save_pretrained(folder)
    return Path(folder)


def save_controlnet(folder: Path, family: str = "sd15", seed: int = 1, *, factor: int = 2) -> Path:
    """Return the folder after writing a ControlNet that fits `save_sd15` or `save_sdxl`."""
    import torch
    from diffusers import ControlNetModel

    torch.manual_seed(seed)
    net = ControlNetModel.from_unet(
        networks.unet(family),
        conditioning_embedding_out_channels=(4, 8) if factor == 2 else (4, 4, 8, 8),
    )
    torch.manual_seed(seed)
    with torch.no_grad():
        for parameter in net.parameters():  # its zero convolutions would have no effect
            if parameter.abs().max() == 0:
                parameter.copy_(0.3 * torch.randn_like(parameter))
    net.save_pretrained(folder)
    return Path(folder)


def save_depth(folder: Path, *, seed: int = 0) -> Path:
    """Return the folder after writing a DPT depth-estimation model and its image processor."""
    import torch
    from transformers import DPTConfig, DPTForDepthEstimation, DPTImageProcessor

    torch.manual_seed(seed)
    config = DPTConfig(
        hidden_size=16,
        num_hidden_layers=4,
        num_attention_heads=2,
        intermediate_size=16,
        image_size=32,
        patch_size=4,
        backbone_out_indices=[0, 1, 2, 3],
        is_hybrid=False,
        neck_hidden_sizes=[8, 8, 8, 8],
        fusion_hidden_size=8,
        reassemble_factors=[4, 2, 1, 0.5],
    )
    DPTForDepthEstimation(config).save_pretrained(folder)
    DPTImageProcessor(
        size={"height": 32, "width": 32}, ensure_multiple_of=4, keep_aspect_ratio=False
    ).save_pretrained(folder)
    return Path(folder)


def save_sd15_file(folder: Path, *, seed: int = 0) -> tuple[Path, Path]:
    """Return (one `.safetensors` file in the original layout, its config folder)."""
    import shutil

    from safetensors.torch import save_file

    parts = families.sd15_parts(2, seed)
    state = {
        **original.unet(parts["unet"].state_dict()),
        **original.vae(parts["vae"].state_dict()),
        **original.clip(parts["text_encoder"].state_dict()),
    }
    file = Path(folder) / "toy.safetensors"
    config = save_sd15(Path(folder) / "config", seed=seed)
    for weights in config.rglob("*.safetensors"):
        weights.unlink()
    shutil.rmtree(config / "feature_extractor", ignore_errors=True)
    save_file({key: value.contiguous().clone() for key, value in state.items()}, file)
    return file, config


def save_lora(folder: Path, *, seed: int = 3, family: str = "sd15") -> Path:
    """Return a `.safetensors` file with LoRA weights for the UNet of that family."""
    import torch
    from diffusers import StableDiffusionPipeline, StableDiffusionXLPipeline
    from diffusers.utils import convert_state_dict_to_diffusers
    from peft import LoraConfig
    from peft.utils import get_peft_model_state_dict

    unet = networks.unet(family)
    unet.add_adapter(LoraConfig(r=2, target_modules=["to_q", "to_k", "to_v", "to_out.0"]))
    torch.manual_seed(seed)
    layers = convert_state_dict_to_diffusers(get_peft_model_state_dict(unet))
    layers = {key: 0.5 * torch.randn_like(value) for key, value in sorted(layers.items())}
    pipeline = StableDiffusionXLPipeline if family == "sdxl" else StableDiffusionPipeline
    pipeline.save_lora_weights(folder, unet_lora_layers=layers)
    return Path(folder) / "pytorch_lora_weights.safetensors"


def sd15(*, factor: int = 2, seed: int = 0, safety_checker: bool = False) -> Any:
    """Return a toy StableDiffusionPipeline in memory."""
    from diffusers import StableDiffusionPipeline

    guard = (
        networks.safety_checker()
        if safety_checker
        else {"safety_checker": None, "feature_extractor": None}
    )
    return StableDiffusionPipeline(
        **families.sd15_parts(factor, seed), **guard, requires_safety_checker=safety_checker
    )
