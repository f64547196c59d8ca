"""Toy networks, each of the class that the real checkpoint has."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tests.toys.pictures import picture

if TYPE_CHECKING:
    import torch

CROSS_ATTENTION = {"sd15": 16, "sdxl": 32}


def clip(hidden: int, seed: int, *, projection: int = 0) -> Any:
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


def t5(seed: int) -> Any:
    import torch
    from transformers import T5Config, T5EncoderModel

    torch.manual_seed(seed)
    config = T5Config(vocab_size=98, d_model=32, d_kv=8, d_ff=32, num_layers=1, num_heads=2)
    return T5EncoderModel(config).eval()


def unet(family: str, *, in_channels: int = 4) -> Any:
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


def vae(factor: int, seed: int, *, channels: int = 4, **config: Any) -> Any:
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


def safety_checker() -> dict[str, Any]:
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
