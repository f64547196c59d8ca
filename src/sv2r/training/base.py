"""The parts of a small latent diffusion model, made from scratch."""

from __future__ import annotations

import json
import math
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from sv2r.diffusion.families import latent_factor
from sv2r.diffusion.loading import fetch, load_network
from sv2r.diffusion.source import find_network
from sv2r.errors import ConfigError
from sv2r.training.autoencoder import make_pixels, make_vae
from sv2r.training.options import BaseOptions
from sv2r.training.words import make_text_encoder, make_tokenizer


def check_base(options: BaseOptions) -> Mapping[str, Any]:
    """Return the configuration of the VAE to train or to take; no weight is read.

    Raises:
        ConfigError: --vae or --unet is not there, is something else, or has other sizes.
    """
    if options.pixels:
        return {"block_out_channels": (1,), "latent_channels": 4}
    if options.vae is None:
        return {
            "block_out_channels": options.vae_channels,
            "latent_channels": options.latent_channels,
        }
    found = find_network(options.vae, option="--vae")
    if found.class_name != "AutoencoderKL":
        raise ConfigError(f"--vae {found.asked} is a {found.class_name}, not an AutoencoderKL")
    try:
        options.check_factor(latent_factor({"vae": found.index}))
    except ValueError as error:
        raise ConfigError(f"{error}, as --vae {found.asked} needs it") from None
    if options.unet is not None:
        _check_unet(options, options.unet, found.index)
    return found.index


def _check_unet(options: BaseOptions, unet: str, vae: Mapping[str, Any]) -> None:
    """Raise ConfigError where a UNet does not fit, or differs from what other options say."""
    found = find_network(unet, option="--unet")
    if found.class_name != "UNet2DConditionModel":
        raise ConfigError(f"--unet {found.asked} is a {found.class_name}, not a UNet")
    for name, here, whose in (
        ("in_channels", vae.get("latent_channels", 4), "the VAE's latents have"),
        ("cross_attention_dim", options.text_width, "--text-width is"),
    ):
        if found.index.get(name) != here:
            raise ConfigError(
                f"--unet {found.asked} has {name} {found.index.get(name)}; {whose} {here}"
            )
    attends = sum("CrossAttn" in block for block in found.index.get("down_block_types", ()))
    for name, its in (
        ("unet_channels", tuple(found.index.get("block_out_channels", ()))),
        ("unet_layers", found.index.get("layers_per_block")),
        ("attention", attends),
        ("heads", found.index.get("attention_head_dim")),
    ):
        # A default asks for nothing.
        if getattr(options, name) not in (its, BaseOptions.model_fields[name].default):
            option = f"--{name.replace('_', '-')}"
            raise ConfigError(f"--unet {found.asked} has sizes of its own; leave {option} out")
    file = found.folder.parent / "scheduler" / "scheduler_config.json"
    if not found.remote and file.is_file():
        config = json.loads(file.read_text(encoding="utf-8"))
        if (predicts := config.get("prediction_type", "epsilon")) != options.prediction:
            raise ConfigError(
                f"--prediction {options.prediction}: the scheduler next to --unet {found.asked} "
                f"says {predicts}; give that"
            )


def open_vae(options: BaseOptions) -> Any:
    """Return the VAE to train, or the one that is taken as it is.

    Raises:
        ConfigError: that one cannot be read.
    """
    if options.pixels:
        return make_pixels()
    if options.vae is None:
        return make_vae(options)
    import torch

    found = find_network(options.vae, option="--vae")
    vae = load_network(fetch(found), "AutoencoderKL", torch.float32)
    return vae.requires_grad_(requires_grad=False)


def open_unet(options: BaseOptions, vae: Any) -> Any:
    """Return the UNet to train: a new one, or the one to go on from.

    Raises:
        ConfigError: that one cannot be read.
    """
    if options.unet is None:
        return make_unet(options, vae)
    import torch

    found = find_network(options.unet, option="--unet")
    unet = load_network(fetch(found), "UNet2DConditionModel", torch.float32)
    return unet.requires_grad_(requires_grad=True)


def make_unet(options: BaseOptions, vae: Any) -> Any:
    """Return a UNet for the VAE's latents with random weights, drawn by the seed."""
    import torch
    from diffusers import UNet2DConditionModel

    widths = options.unet_channels
    count = len(widths)
    attends = [place >= count - options.attention for place in range(count)]
    down = tuple("CrossAttnDownBlock2D" if a else "DownBlock2D" for a in attends)
    up = tuple("CrossAttnUpBlock2D" if a else "UpBlock2D" for a in reversed(attends))
    factor = 2 ** (len(vae.config.block_out_channels) - 1)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(options.seed)
        return UNet2DConditionModel(
            sample_size=options.resolution // factor,
            in_channels=vae.config.latent_channels,
            out_channels=vae.config.latent_channels,
            block_out_channels=widths,
            layers_per_block=options.unet_layers,
            down_block_types=down,
            up_block_types=up,
            cross_attention_dim=options.text_width,
            attention_head_dim=options.heads,
            norm_num_groups=math.gcd(32, *widths),
        )


def assemble(options: BaseOptions, vae: Any, unet: Any, captions: Sequence[str]) -> Any:
    """Return the image-to-image pipeline, with a text encoder for the captions."""
    from diffusers import DDIMScheduler, StableDiffusionImg2ImgPipeline

    with tempfile.TemporaryDirectory() as folder:
        tokenizer = make_tokenizer(captions, Path(folder))
    encoder = make_text_encoder(tokenizer, options.text_width, options.seed)
    pipe = StableDiffusionImg2ImgPipeline(
        vae=vae,
        text_encoder=encoder.requires_grad_(requires_grad=False),
        tokenizer=tokenizer,
        unet=unet,
        scheduler=DDIMScheduler(
            beta_start=0.00085,
            beta_end=0.012,
            beta_schedule="scaled_linear",
            prediction_type=options.prediction,
            clip_sample=False,
            set_alpha_to_one=False,
            steps_offset=1,
        ),
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )
    pipe.set_progress_bar_config(disable=True)
    return pipe
