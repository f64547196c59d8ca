"""The parts of a small latent diffusion model, made from scratch."""

from __future__ import annotations

import math
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from sv2r.diffusion.loading import fetch, load_network
from sv2r.diffusion.source import find_network
from sv2r.errors import ConfigError
from sv2r.training.autoencoder import make_vae
from sv2r.training.options import BaseOptions
from sv2r.training.words import make_text_encoder, make_tokenizer


def open_vae(options: BaseOptions) -> Any:
    """Return the VAE to train, or the one that is taken as it is.

    Raises:
        ConfigError: that one cannot be read, is no VAE, or has other sizes.
    """
    if options.vae is None:
        return make_vae(options)
    import torch

    found = find_network(options.vae, option="--vae")
    if found.class_name != "AutoencoderKL":
        raise ConfigError(f"--vae {found.asked} is a {found.class_name}, not an AutoencoderKL")
    vae = load_network(fetch(found), "AutoencoderKL", torch.float32)
    return vae.requires_grad_(requires_grad=False)


def open_unet(options: BaseOptions, vae: Any) -> Any:
    """Return the UNet to train: a new one, or the one to go on from.

    Raises:
        ConfigError: that one cannot be read, is no UNet, or does not fit VAE or text encoder.
    """
    if options.unet is None:
        return make_unet(options, vae)
    import torch

    found = find_network(options.unet, option="--unet")
    if found.class_name != "UNet2DConditionModel":
        raise ConfigError(f"--unet {found.asked} is a {found.class_name}, not a UNet")
    for name, here, whose in (
        ("in_channels", vae.config.latent_channels, "the VAE's latents have"),
        ("cross_attention_dim", options.text_width, "--text-width is"),
    ):
        if found.index.get(name) != here:
            raise ConfigError(
                f"--unet {found.asked} has {name} {found.index.get(name)}; {whose} {here}"
            )
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
