"""What cannot work is said before any weight is read."""

from __future__ import annotations

import os
import shlex
import shutil
import sys
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from sv2r.diffusion.families import Family, family_of, largest, latent_factor
from sv2r.diffusion.fitting import Fitting, Size
from sv2r.diffusion.lora import find_lora
from sv2r.diffusion.options import DiffusionOptions
from sv2r.diffusion.pipelines import call_parameters, image_to_image_class
from sv2r.diffusion.schedulers import find_scheduler, require_compatible
from sv2r.diffusion.source import FoundModel, find_pipeline
from sv2r.errors import ConfigError
from sv2r.images.references import find_photos

PALETTE = "--translator.palette"


def find_model(options: DiffusionOptions) -> FoundModel:
    """Return the source of the model that the options name.

    Raises:
        ConfigError: see `find_pipeline`.
    """
    return find_pipeline(
        options.model, revision=options.revision, variant=options.variant, config=options.config
    )


def fitting_of(options: DiffusionOptions, source: FoundModel, family: Family | None) -> Fitting:
    """Return how pictures meet the sizes that this model can take."""
    multiple = family.multiple(source.configs) if family else _cautious_multiple(source)
    trained = family.trained_size(source.configs) if family else 1024
    return Fitting(options.fit, multiple, options.resolution or trained)


def _cautious_multiple(source: FoundModel) -> int:
    """Return what sizes are multiples of, in pixels, where only the components are known."""
    transformer = source.configs.get("transformer")
    patch = 1 if transformer is None else max(largest(transformer.get("patch_size"), 2), 2)
    return latent_factor(source.configs) * patch


def check_diffusion_options(options: DiffusionOptions, *, takes_strength: bool = True) -> None:
    """Raise ConfigError for what cannot work with any model."""
    if takes_strength and int(options.steps * options.strength) < 1:
        raise ConfigError(
            f"steps {options.steps} x strength {options.strength} is less than one step; give more "
            f"of one of them"
        )
    if options.scheduler:
        find_scheduler(options.scheduler)
    for path in options.lora:
        find_lora(path)
    if options.palette:
        find_photos(options.palette, PALETTE)
    if options.compile:
        require_compiler()


def find_compiler() -> str | None:
    """Return the C++ compiler that torch.compile takes on this machine, or None."""
    return shutil.which(_compiler_asked_for())


def require_compiler() -> None:
    """Raise ConfigError where torch.compile would find no C++ compiler."""
    if find_compiler() is None:
        raise ConfigError(
            f"compile needs a C++ compiler and {_compiler_asked_for()} is not there; install g++, "
            f"set CXX to one that is, or leave --translator.compile out"
        )


def _compiler_asked_for() -> str:
    """Return the program that torch runs: that of CXX, and no other, where it is set."""
    default = "clang++" if sys.platform == "darwin" else "g++"
    words = shlex.split(os.environ.get("CXX", default))
    return words[0] if words else "CXX"


def check_model(
    options: DiffusionOptions,
    source: FoundModel,
    pipeline: str,
    sizes: Iterable[Size],
) -> None:
    """Raise ConfigError for what cannot work with this model and pictures of these sizes.

    pipeline: the class that is to run the model.
    """
    family = family_of(pipeline)
    if options.scheduler and "scheduler" in source.components:
        require_compatible(options.scheduler, source.components["scheduler"][1])
    if options.safety_checker:
        _require_safety_checker(source)
    require_core(source, pipeline)
    if family is None:
        return
    if options.fit == "tile" and family.name == "flux":
        raise ConfigError("a Flux model cannot be run in tiles; choose fit native or scale")
    fitting = fitting_of(options, source, family)
    for size in sizes:
        _require_size(fitting, source, size)


def check_image_to_image(
    options: DiffusionOptions, sizes: Sequence[Size]
) -> tuple[FoundModel, str]:
    """Return a model that makes pictures from pictures at a strength, and the pipeline for it.

    Raises:
        ConfigError: the options, the model or the pictures' sizes cannot work.
    """
    check_diffusion_options(options)
    source = find_model(options)
    pipeline = image_to_image_class(source.class_name)
    if family_of(pipeline) is None:
        refuse_unused(options, pipeline, call_parameters(pipeline))
    check_model(options, source, pipeline, sizes)
    return source, pipeline


def refuse_unused(
    options: DiffusionOptions,
    pipeline: str,
    takes: Mapping[str, Any],
    more: Sequence[str] = (),
    *,
    tiles: bool = False,
) -> None:
    """Raise ConfigError for an option that was given and that a pipeline's call does not take.

    more: options besides the common ones that are handed to the call by their own name.
    tiles: whether fit tile can be had.
    """
    for name, parameter in (
        *(("strength", "strength"), ("steps", "num_inference_steps")),
        *(("guidance_scale", "guidance_scale"), *((each, each) for each in more)),
    ):
        given = name in options.model_fields_set and getattr(options, name) is not None
        if given and parameter not in takes:
            raise ConfigError(f"{pipeline} takes no {name}; leave --translator.{name} out")
    if options.fit == "tile" and not tiles:
        raise ConfigError(f"{pipeline} cannot be run in tiles; choose fit native or scale")


def _require_safety_checker(source: FoundModel) -> None:
    entry = source.index.get("safety_checker")
    if source.file is not None or not entry or entry[0] is None:
        raise ConfigError(
            f"--translator.model {source.asked} has no safety checker; leave "
            f"--translator.safety_checker out"
        )


def require_core(source: FoundModel, pipeline: str) -> None:
    """Raise ConfigError where a model's networks are for another call than that pipeline's.

    A class in model_index.json is only a name: a UNet for inpainting, a picture next to the latents
    or depth takes more channels, whatever the class is called.
    """
    latents = source.configs.get("vae", {}).get("latent_channels")
    family = family_of(pipeline)
    core = family.core if family else "unet"
    channels = source.configs.get(core, {}).get("in_channels")
    wanted = _channels_of(pipeline, family, latents) if latents else None
    if wanted and channels and channels != wanted:
        raise ConfigError(
            f"{source.option} {source.asked}: its {_CORES[core]} takes {channels} channels, not "
            f"{wanted}, which is for inpainting, depth or another picture next to the latents; "
            f"choose a plain model of that kind"
        )
    if family is not None and family.name == "stable-diffusion":
        _require_own_texts(source)


_CORES = {"unet": "UNet", "transformer": "transformer"}


def _channels_of(pipeline: str, family: Family | None, latents: int) -> int | None:
    """Return how many channels the core of a pipeline takes, or None where that is not known."""
    if family is not None:
        return family.channels(latents)
    if not pipeline.startswith(("StableDiffusion", "LatentConsistency")):
        return None
    if "InstructPix2Pix" in pipeline:
        return 2 * latents
    return latents + 1 if "Depth2Img" in pipeline else latents


def _require_own_texts(source: FoundModel) -> None:
    texts = source.configs.get("text_encoder", {}).get("hidden_size")
    takes = source.configs.get("unet", {}).get("cross_attention_dim")
    if texts and isinstance(takes, int) and texts != takes:
        raise ConfigError(
            f"{source.option} {source.asked}: its text encoder gives {texts} numbers a word and "
            f"its UNet takes {takes}; they are of different models"
        )


def _require_size(fitting: Fitting, source: FoundModel, size: Size) -> None:
    patches = source.configs.get("transformer", {}).get("pos_embed_max_size")
    if not patches:
        return
    outer = fitting.outer(size)
    largest = patches * fitting.multiple
    if max(fitting.tile(outer) or outer) > largest:
        raise ConfigError(
            f"pictures of {size[1]} x {size[0]} are larger than {source.asked} can take ({largest} "
            f"pixels a side) with fit {fitting.mode}; choose fit scale or tile and a resolution"
        )
