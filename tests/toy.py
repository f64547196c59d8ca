"""Real diffusers and transformers checkpoints at toy size, for tests and CPU benchmarks.

Every class is the real one, every file the real layout; only the numbers of channels and layers are
small (some hundred KB in all). Weights are random from a fixed seed, except that the
VAE's last layers are fitted, so that it gives a blurred version of its input instead of noise.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence

    import torch

    from sv2r.types import Batch, Frame

CROSS_ATTENTION = {"sd15": 16, "sdxl": 32}


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

    StableDiffusionXLPipeline(**_sdxl_parts(factor, seed)).save_pretrained(folder)
    return Path(folder)


def save_sd3(folder: Path, *, factor: int = 2, seed: int = 0) -> Path:
    """Return the folder after writing Stable Diffusion 3 with all three text encoders."""
    from diffusers import StableDiffusion3Pipeline

    StableDiffusion3Pipeline(**_sd3_parts(factor, seed)).save_pretrained(folder)
    return Path(folder)


def save_flux(folder: Path, *, factor: int = 2, seed: int = 0) -> Path:
    """Return the folder after writing a Flux pipeline into it."""
    from diffusers import FluxPipeline

    FluxPipeline(**_flux_parts(factor, seed)).save_pretrained(folder)
    return Path(folder)


def save_pix2pix(folder: Path, *, factor: int = 2, seed: int = 0) -> Path:
    """Return the folder after writing an InstructPix2Pix pipeline: it takes no strength."""
    from diffusers import StableDiffusionInstructPix2PixPipeline

    parts = {**_sd15_parts(factor, seed), "unet": _unet("sd15", in_channels=8)}
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
        _unet(family), conditioning_embedding_out_channels=(4, 8) if factor == 2 else (4, 4, 8, 8)
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

    import toy_original
    from safetensors.torch import save_file

    parts = _sd15_parts(2, seed)
    state = {
        **toy_original.unet(parts["unet"].state_dict()),
        **toy_original.vae(parts["vae"].state_dict()),
        **toy_original.clip(parts["text_encoder"].state_dict()),
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

    unet = _unet(family)
    unet.add_adapter(LoraConfig(r=2, target_modules=["to_q", "to_k", "to_v", "to_out.0"]))
    torch.manual_seed(seed)
    layers = convert_state_dict_to_diffusers(get_peft_model_state_dict(unet))
    layers = {key: 0.5 * torch.randn_like(value) for key, value in sorted(layers.items())}
    pipeline = StableDiffusionXLPipeline if family == "sdxl" else StableDiffusionPipeline
    pipeline.save_lora_weights(folder, unet_lora_layers=layers)
    return Path(folder) / "pytorch_lora_weights.safetensors"


def picture(height: int, width: int, seed: int = 0) -> torch.Tensor:
    """Return a (3, H, W) float32 picture in [0, 1], whole multiples of 1/255: shapes on a slope."""
    import torch

    draw = torch.Generator().manual_seed(seed)
    rows = torch.linspace(0, 1, height)[:, None].expand(height, width)
    columns = torch.linspace(0, 1, width)[None, :].expand(height, width)
    image = torch.stack([rows, columns, (rows + columns) / 2])
    for _ in range(4):
        top, left = (torch.rand(2, generator=draw) * torch.tensor([height, width]) * 0.7).int()
        colour = torch.rand(3, 1, 1, generator=draw)
        image[:, top : top + max(height // 4, 1), left : left + max(width // 4, 1)] = colour
    return (image * 255).round() / 255


def frame(height: int, width: int, seed: int = 0) -> Frame:
    """Return a frame without instances that shows `picture`."""
    import numpy as np

    from sv2r.types import Frame, Instances, Sample

    nothing = Instances(np.zeros((height, width), np.int32), {})
    sample = Sample(f"{height}x{width}/{seed}", Path("none.png"), lambda: nothing)
    return Frame(sample, picture(height, width, seed), nothing)


def batch(
    sizes: Sequence[tuple[int, int]],
    *,
    prompts: Sequence[str] = ("a photo of a car",),
    negatives: Sequence[str] = ("",),
    controls: Sequence[str] = (),
) -> Batch:
    """Return a batch of frames of these sizes; prompts go round, seeds are 100, 101 ..."""
    from sv2r.types import Batch

    places = range(len(sizes))
    frames = tuple(frame(height, width, number) for number, (height, width) in enumerate(sizes))
    maps = {
        name: tuple(picture(*size, seed=50 + 10 * k + n) for n, size in enumerate(sizes))
        for k, name in enumerate(controls)
    }
    return Batch(
        frames,
        maps,
        tuple(prompts[n % len(prompts)] for n in places),
        tuple(negatives[n % len(negatives)] for n in places),
        tuple(100 + n for n in places),
    )


def alone(pipe: Any, batch: Batch, place: int, **call: Any) -> torch.Tensor:
    """Return one picture of a batch as diffusers makes it without sv2r: (3, H, W) uint8.

    pipe is called as its documentation shows it: prompt, picture, seed, and a Pillow image out.
    """
    import numpy as np
    import torch

    pipe.set_progress_bar_config(disable=True)
    made = pipe(
        prompt=batch.prompts[place],
        image=batch.frames[place].image[None],
        generator=torch.Generator().manual_seed(batch.seeds[place]),
        **(
            {"negative_prompt": batch.negative_prompts[place]}
            if batch.negative_prompts[place]
            else {}
        ),
        **call,
    )
    return torch.from_numpy(np.array(made.images[0])).permute(2, 0, 1)


def largest_difference(one: torch.Tensor, other: torch.Tensor) -> int:
    """Return the largest difference between two uint8 pictures of one size, in levels."""
    assert one.shape == other.shape, (one.shape, other.shape)
    return int((one.int() - other.int()).abs().max())


def sd15(*, factor: int = 2, seed: int = 0, safety_checker: bool = False) -> Any:
    """Return a toy StableDiffusionPipeline in memory."""
    from diffusers import StableDiffusionPipeline

    guard = (
        _safety_checker() if safety_checker else {"safety_checker": None, "feature_extractor": None}
    )
    return StableDiffusionPipeline(
        **_sd15_parts(factor, seed), **guard, requires_safety_checker=safety_checker
    )


def clip_tokenizer(limit: int = 77) -> Any:
    """Return a CLIPTokenizer that knows every byte and no word."""
    from transformers import CLIPTokenizer

    letters = _byte_letters()
    tokens = [
        *letters,
        *(f"{letter}</w>" for letter in letters),
        "<|startoftext|>",
        "<|endoftext|>",
    ]
    vocab = {token: number for number, token in enumerate(tokens)}
    return CLIPTokenizer(vocab=vocab, merges=[], model_max_length=limit)


def t5_tokenizer(limit: int = 32) -> Any:
    """Return a T5Tokenizer that knows printable ASCII letters and no word."""
    from transformers import T5Tokenizer

    special = [("<pad>", 0.0), ("</s>", 0.0), ("<unk>", 0.0), ("▁", -2.0)]
    letters = [(chr(code), -3.0) for code in range(33, 127)]
    return T5Tokenizer(vocab=special + letters, extra_ids=0, model_max_length=limit)


def _byte_letters() -> list[str]:
    """Return the 256 letters that byte-level BPE writes bytes with (GPT-2's table)."""
    plain = [*range(33, 127), *range(161, 173), *range(174, 256)]
    others = [byte for byte in range(256) if byte not in plain]
    names = {byte: chr(byte) for byte in plain} | {b: chr(256 + n) for n, b in enumerate(others)}
    return [names[byte] for byte in range(256)]


def _clip(hidden: int, seed: int, *, projection: int = 0) -> Any:
    import torch
    from transformers import CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection

    torch.manual_seed(seed)
    config = CLIPTextConfig(
        vocab_size=514,
        bos_token_id=512,
        eos_token_id=513,
        pad_token_id=513,
        hidden_size=hidden,
        intermediate_size=hidden,
        num_attention_heads=2,
        num_hidden_layers=2,
        projection_dim=projection or hidden,
    )
    return (CLIPTextModelWithProjection if projection else CLIPTextModel)(config).eval()


def _t5(seed: int) -> Any:
    import torch
    from transformers import T5Config, T5EncoderModel

    torch.manual_seed(seed)
    config = T5Config(vocab_size=98, d_model=32, d_kv=8, d_ff=32, num_layers=1, num_heads=2)
    return T5EncoderModel(config).eval()


def _unet(family: str, *, in_channels: int = 4) -> Any:
    import torch
    from diffusers import UNet2DConditionModel

    torch.manual_seed(0)
    extra: dict[str, Any] = {}
    if family == "sdxl":
        extra = {
            "use_linear_projection": True,
            "addition_embed_type": "text_time",
            "addition_time_embed_dim": 8,
            "transformer_layers_per_block": (1, 2),
            "projection_class_embeddings_input_dim": 6 * 8 + 16,
        }
    return UNet2DConditionModel(
        block_out_channels=(8, 16),
        layers_per_block=1,
        sample_size=16,
        norm_num_groups=4,
        in_channels=in_channels,
        out_channels=4,
        attention_head_dim=2,
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"),
        cross_attention_dim=CROSS_ATTENTION[family],
        **extra,
    ).eval()


def _vae(factor: int, seed: int, *, channels: int = 4, **config: Any) -> Any:
    import torch
    from diffusers import AutoencoderKL

    torch.manual_seed(seed)
    blocks = {1: (8,), 2: (8, 8), 8: (4, 4, 8, 8)}[factor]
    vae = AutoencoderKL(
        in_channels=3,
        out_channels=3,
        latent_channels=channels,
        block_out_channels=blocks,
        down_block_types=("DownEncoderBlock2D",) * len(blocks),
        up_block_types=("UpDecoderBlock2D",) * len(blocks),
        layers_per_block=1,
        norm_num_groups=4,
        sample_size=32,
        **config,
    ).eval()
    _fit(vae)
    return vae


def _fit(vae: Any) -> None:
    """Fit the encoder's last layer to coarse colours, and the decoder's to what went in."""
    import torch
    from torch.nn.functional import interpolate

    pictures = 2 * torch.stack([picture(32, 32, seed) for seed in range(8)]) - 1
    channels = vae.config.latent_channels
    factor = 2 ** (len(vae.config.block_out_channels) - 1)
    coarse = interpolate(pictures, scale_factor=1 / factor, mode="area")
    colours = coarse[:, [channel % 3 for channel in range(channels)]]
    wanted = torch.cat([2 / vae.config.scaling_factor * colours, torch.full_like(colours, -2)], 1)
    with torch.no_grad():
        if vae.quant_conv is not None:
            vae.quant_conv.weight.copy_(torch.eye(2 * channels)[:, :, None, None])
            vae.quant_conv.bias.zero_()
        _fit_layer(vae.encoder.conv_out, lambda: vae.encode(pictures), wanted)
        latents = vae.encode(pictures).latent_dist.mean
        _fit_layer(vae.decoder.conv_out, lambda: vae.decode(latents), pictures)


def _fit_layer(layer: Any, run: Any, wanted: torch.Tensor) -> None:
    """Set a 3x3 convolution by ridge regression from what it is fed to what it shall say."""
    import torch
    from torch.nn.functional import unfold

    fed: list[torch.Tensor] = []
    hook = layer.register_forward_pre_hook(lambda _, inputs: fed.append(inputs[0]))
    run()
    hook.remove()
    rows = unfold(fed[0], 3, padding=1).transpose(1, 2).flatten(0, 1)
    rows = torch.cat([rows, torch.ones(len(rows), 1)], 1)
    targets = wanted.flatten(2).transpose(1, 2).flatten(0, 1)
    ridge = rows.T @ rows + 1e-2 * torch.eye(rows.shape[1])
    fitted = torch.linalg.solve(ridge, rows.T @ targets)
    layer.weight.copy_(fitted[:-1].T.reshape(layer.weight.shape))
    layer.bias.copy_(fitted[-1])


def _sd15_parts(factor: int, seed: int) -> dict[str, Any]:
    from diffusers import DDIMScheduler

    return {
        "vae": _vae(factor, seed),
        "text_encoder": _clip(16, seed),
        "tokenizer": clip_tokenizer(),
        "unet": _unet("sd15"),
        "scheduler": DDIMScheduler(
            beta_start=0.00085,
            beta_end=0.012,
            beta_schedule="scaled_linear",
            clip_sample=False,
            set_alpha_to_one=False,
            steps_offset=1,
        ),
    }


def _sdxl_parts(factor: int, seed: int) -> dict[str, Any]:
    from diffusers import EulerDiscreteScheduler

    return {
        "vae": _vae(factor, seed, scaling_factor=0.13025, force_upcast=True),
        "text_encoder": _clip(16, seed),
        "text_encoder_2": _clip(16, seed + 1, projection=16),
        "tokenizer": clip_tokenizer(),
        "tokenizer_2": clip_tokenizer(),
        "unet": _unet("sdxl"),
        "scheduler": EulerDiscreteScheduler(
            beta_start=0.00085,
            beta_end=0.012,
            beta_schedule="scaled_linear",
            steps_offset=1,
            timestep_spacing="leading",
        ),
    }


def _sd3_parts(factor: int, seed: int) -> dict[str, Any]:
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
        "vae": _vae(
            factor=factor,
            seed=seed,
            channels=16,
            scaling_factor=1.5305,
            shift_factor=0.0609,
            use_quant_conv=False,
            use_post_quant_conv=False,
        ),
        "text_encoder": _clip(16, seed, projection=16),
        "tokenizer": clip_tokenizer(),
        "text_encoder_2": _clip(16, seed + 1, projection=16),
        "tokenizer_2": clip_tokenizer(),
        "text_encoder_3": _t5(seed),
        "tokenizer_3": t5_tokenizer(),
    }


def _flux_parts(factor: int, seed: int) -> dict[str, Any]:
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
        "vae": _vae(
            factor=factor,
            seed=seed,
            scaling_factor=0.3611,
            shift_factor=0.1159,
            use_quant_conv=False,
            use_post_quant_conv=False,
        ),
        "text_encoder": _clip(16, seed),
        "tokenizer": clip_tokenizer(),
        "text_encoder_2": _t5(seed),
        "tokenizer_2": t5_tokenizer(),
    }


def _safety_checker() -> dict[str, Any]:
    import torch
    from diffusers.pipelines.stable_diffusion.safety_checker import StableDiffusionSafetyChecker
    from transformers import CLIPConfig, CLIPImageProcessor

    torch.manual_seed(0)
    small = {
        "hidden_size": 16,
        "intermediate_size": 16,
        "num_attention_heads": 2,
        "num_hidden_layers": 1,
    }
    config = CLIPConfig(
        text_config=small,
        vision_config={**small, "image_size": 32, "patch_size": 8},
        projection_dim=16,
    )
    checker = StableDiffusionSafetyChecker(config).eval()
    processor = CLIPImageProcessor(
        size={"shortest_edge": 32}, crop_size={"height": 32, "width": 32}
    )
    return {"safety_checker": checker, "feature_extractor": processor}


def main() -> None:
    """Write one of each into the folder given as the only argument."""
    import sys

    root = Path(sys.argv[1])
    made = {
        "sd15": save_sd15(root / "sd15"),
        "sdxl": save_sdxl(root / "sdxl"),
        "sd3": save_sd3(root / "sd3"),
        "controlnet": save_controlnet(root / "controlnet"),
        "depth": save_depth(root / "depth"),
    }
    sys.stdout.write(json.dumps({name: str(path) for name, path in made.items()}) + "\n")


if __name__ == "__main__":
    main()
