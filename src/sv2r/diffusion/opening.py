"""Opens a found model as an engine on a device."""

from __future__ import annotations

from typing import Any

from sv2r.diffusion.engine import LatentEngine
from sv2r.diffusion.families import Family
from sv2r.diffusion.options import DiffusionOptions
from sv2r.diffusion.preflight import fitting_of
from sv2r.diffusion.source import Source
from sv2r.plugin.specs import Runtime


def open_latents(
    options: DiffusionOptions, runtime: Runtime, source: Source, family: Family
) -> LatentEngine:
    """Return a translator around the family's image-to-image pipeline.

    Raises:
        ConfigError: the weights cannot be fetched or read.
    """
    import torch

    from sv2r.diffusion.latents import Latents
    from sv2r.diffusion.loading import fetch, load_pipeline, weights_sha256
    from sv2r.diffusion.prompts import Prompts

    source = fetch(source)
    dtype = getattr(torch, runtime.dtype)
    pipe = load_pipeline(source, family.image_to_image, options, dtype).to(runtime.device)
    scale = guidance_of(pipe, options)
    facts = {
        "path": "latents",
        "family": family.name,
        "pipeline": type(pipe).__name__,
        "model": options.model,
        "model_sha256": weights_sha256(source.weight_files(), source.folder),
        "strength": options.strength,
        "steps": options.steps,
        "guidance_scale": scale,
        "scheduler": type(pipe.scheduler).__name__,
        "dtype": runtime.dtype,
        "device": runtime.device,
    }
    return LatentEngine(
        pipe,
        family,
        fitting=fitting_of(options, source, family),
        prompts=Prompts(pipe, family, runtime.device, moves=runtime.device.startswith("cuda")),
        latents=Latents(pipe.vae, family, model_dtype=dtype, vae_dtype=options.vae_dtype),
        call={
            "strength": options.strength,
            "num_inference_steps": options.steps,
            "guidance_scale": scale,
        },
        facts=facts,
        device=runtime.device,
        checks_safety=options.safety_checker,
    )


def guidance_of(pipe: Any, options: DiffusionOptions) -> float:
    """Return the guidance scale that runs: as asked, or the pipeline's own default."""
    import inspect

    if options.guidance_scale is not None:
        return options.guidance_scale
    return float(inspect.signature(type(pipe).__call__).parameters["guidance_scale"].default)
