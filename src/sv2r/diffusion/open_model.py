"""Opens a found model as a translator on a device."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from sv2r.devices import has_bfloat16
from sv2r.diffusion.compiling import Compilation
from sv2r.diffusion.engine import LatentEngine
from sv2r.diffusion.families import Family, latent_factor
from sv2r.diffusion.memory import check_offload, choose_offload, place
from sv2r.diffusion.networks import (
    Once,
    Tiling,
    embed_condition_once,
    feed_embedded,
    scale_outside,
    skip_idle,
    take_latents,
)
from sv2r.diffusion.options import DiffusionOptions
from sv2r.diffusion.pipeline_engine import PipelineEngine
from sv2r.diffusion.preflight import PALETTE, fitting_of
from sv2r.diffusion.schedulers import find_scheduler
from sv2r.diffusion.source import FoundModel
from sv2r.diffusion.steps import show_steps
from sv2r.errors import ConfigError
from sv2r.images.palette import Palette
from sv2r.images.references import find_photos
from sv2r.plugin.specs import Runtime
from sv2r.storage.files import in_bytes
from sv2r.weights import weights_sha256


@dataclass(frozen=True)
class Control:
    """One ControlNet: the control map that feeds it, its weights, and when it has its say."""

    name: str
    source: FoundModel
    scale: float = 1.0
    start: float = 0.0
    end: float = 1.0


def open_latents(
    options: DiffusionOptions,
    runtime: Runtime,
    source: FoundModel,
    family: Family,
    controls: tuple[Control, ...] = (),
) -> LatentEngine:
    """Return a translator around the family's image-to-image pipeline.

    Raises:
        ConfigError: the weights cannot be fetched or read, offloading where there is no GPU.
    """
    import torch

    from sv2r.diffusion.latents import Latents
    from sv2r.diffusion.prompts import Prompts

    check_device(options, runtime)
    runtime = replace(runtime, dtype=dtype_for(runtime, family))
    palette = _palette(options)
    dtype = getattr(torch, runtime.dtype)
    source, pipe, facts = _load(options, runtime, source, family, controls)
    offload = choose_offload(options.offload, pipe, runtime.device)
    latents = Latents(
        pipe.vae,
        family,
        model_dtype=dtype,
        vae_dtype=options.vae_dtype,
        may_check=offload != "sequential",
    )
    compilation = Compilation()
    stores = _prepare(pipe, options, runtime, source, family, compilation)
    place(pipe, offload, runtime.device)
    scale = guidance_of(pipe, options)
    return LatentEngine(
        pipe,
        family,
        fitting=fitting_of(options, source, family),
        prompts=Prompts(
            pipe,
            family,
            runtime.device,
            moves=offload == "none" and runtime.device.startswith("cuda"),
        ),
        latents=latents,
        call={
            "strength": options.strength,
            "num_inference_steps": options.steps,
            "guidance_scale": scale,
            **_control_arguments(controls),
        },
        facts={
            **facts,
            "strength": options.strength,
            "steps": options.steps,
            "guidance_scale": scale,
            "offload": offload,
        },
        device=runtime.device,
        controls=tuple(control.name for control in controls),
        stores=stores,
        compilation=compilation,
        checks_safety=options.safety_checker,
        palette=palette,
    )


def dtype_for(runtime: Runtime, family: Family) -> str:
    """Return what a family's networks compute in: what was asked for, or what suits it best."""
    halves = runtime.auto_dtype and runtime.dtype != "float32"
    if not halves or (family.half == "bfloat16" and not has_bfloat16(runtime.device)):
        return runtime.dtype
    return family.half


def open_pipeline(
    options: DiffusionOptions,
    runtime: Runtime,
    source: FoundModel,
    class_name: str,
    more: Mapping[str, Any],
) -> PipelineEngine:
    """Return a translator that calls a pipeline as it is, picture by picture.

    more: arguments of the call besides the common ones.

    Raises:
        ConfigError: as `open_latents`.
    """
    import torch

    from sv2r.diffusion.loading import load_pipeline

    check_device(options, runtime)
    palette = _palette(options)
    source = _fetched(source, runtime)
    pipe = load_pipeline(source, class_name, options, getattr(torch, runtime.dtype))
    show_steps(pipe, runtime.show)
    offload = choose_offload(options.offload, pipe, runtime.device)
    core = getattr(pipe, "unet", None) or getattr(pipe, "transformer", None)
    compilation = Compilation()
    if options.compile and core is not None:
        compilation.add(core, regional=core is getattr(pipe, "transformer", None))
    place(pipe, offload, runtime.device)
    facts = {**pipeline_facts(pipe, options, runtime, source), "offload": offload}
    return PipelineEngine(
        pipe,
        fitting=fitting_of(options, source, None),
        call=_common_arguments(pipe, options) | dict(more),
        facts=facts,
        compilation=compilation,
        palette=palette,
    )


def _palette(options: DiffusionOptions) -> Palette | None:
    if options.palette is None:
        return None
    return Palette.open(find_photos(options.palette, PALETTE))


def check_device(options: DiffusionOptions, runtime: Runtime) -> None:
    """Raise ConfigError for options that the device cannot serve, before any weight is read."""
    check_offload(options.offload, runtime.device)
    if options.compile and options.offload == "sequential":
        raise ConfigError("compile does not go with offload sequential; choose one of them")


def pipeline_facts(
    pipe: Any, options: DiffusionOptions, runtime: Runtime, source: FoundModel
) -> dict[str, Any]:
    """Return what the record keeps of a loaded pipeline, as JSON values."""
    from importlib.metadata import version

    from sv2r.diffusion.lora import fetch_lora

    changed = find_scheduler(options.scheduler)[1] if options.scheduler else {}
    files = {path: fetch_lora(path) for path in options.lora}
    loras = [
        {"lora": path, "weight": weight, "sha256": weights_sha256([file], file.parent)}
        for (path, weight), file in zip(options.lora.items(), files.values(), strict=True)
    ]
    return {
        "pipeline": type(pipe).__name__,
        "model": source.asked,
        "model_sha256": weights_sha256(source.weight_files(), source.folder),
        **({"revision": source.revision} if source.revision else {}),
        **({"variant": source.variant} if source.variant else {}),
        **({"loras": loras} if loras else {}),
        "scheduler": type(getattr(pipe, "scheduler", None)).__name__,
        **({"scheduler_config": dict(changed)} if changed else {}),
        "fit": options.fit,
        **({"palette": str(options.palette)} if options.palette else {}),
        "dtype": runtime.dtype,
        "device": runtime.device,
        "compile": options.compile,
        **{name: version(name) for name in ("torch", "diffusers", "transformers")},
    }


def guidance_of(pipe: Any, options: DiffusionOptions) -> float:
    """Return the guidance scale that runs: as asked, or the pipeline's own default."""
    if options.guidance_scale is not None:
        return options.guidance_scale
    return float(inspect.signature(type(pipe).__call__).parameters["guidance_scale"].default)


def _load(
    options: DiffusionOptions,
    runtime: Runtime,
    source: FoundModel,
    family: Family,
    controls: tuple[Control, ...],
) -> tuple[FoundModel, Any, dict[str, Any]]:
    """Return the source with its weights here, the pipeline on the CPU, and the record's facts."""
    import torch

    from sv2r.diffusion.latents import may_be_float32
    from sv2r.diffusion.loading import load_network, load_pipeline

    dtype = getattr(torch, runtime.dtype)
    nets = [_fetched(control.source, runtime) for control in controls]
    source = _fetched(source, runtime)
    loaded = [load_network(net, "ControlNetModel", dtype) for net in nets]
    class_name = family.image_to_image
    extra = {}
    if family.controlnet and loaded:
        class_name = family.controlnet
        extra["controlnet"] = loaded[0] if len(loaded) == 1 else loaded
    exact = may_be_float32(family, options.vae_dtype, runtime.dtype)
    pipe = load_pipeline(source, class_name, options, dtype, exact_vae=exact, **extra)
    show_steps(pipe, runtime.show)
    core = getattr(pipe, family.core)
    processors = [*getattr(core, "attn_processors", {}).values()]
    controlnets = {
        control.name: {
            "model": control.source.asked,
            "sha256": weights_sha256(net.weight_files(), net.folder),
            "scale": control.scale,
            "start": control.start,
            "end": control.end,
        }
        for control, net in zip(controls, nets, strict=True)
    }
    return (
        source,
        pipe,
        {
            "path": "latents",
            "family": family.name,
            **pipeline_facts(pipe, options, runtime, source),
            **({"attention": type(processors[0]).__name__} if processors else {}),
            **({"controlnets": controlnets} if controlnets else {}),
        },
    )


def _fetched(source: FoundModel, runtime: Runtime) -> FoundModel:
    """Return a source with its weights here, and show what is loaded."""
    from sv2r.diffusion.loading import fetch

    if source.remote:
        runtime.show("loading", f"fetching {source.asked}")
    source = fetch(source)
    size = sum(file.stat().st_size for file in source.weight_files())
    runtime.show("loading", f"{source.asked}, {in_bytes(size)}")
    return source


def _prepare(
    pipe: Any,
    options: DiffusionOptions,
    runtime: Runtime,
    source: FoundModel,
    family: Family,
    compilation: Compilation,
) -> list[Once]:
    """Lay out, compile and tile the networks; return what they keep during a batch."""
    import torch

    core = getattr(pipe, family.core)
    if family.core == "unet":
        take_latents(pipe)
    controlnet = getattr(pipe, "controlnet", None)
    nets = [] if controlnet is None else list(getattr(controlnet, "nets", [controlnet]))
    if runtime.device.startswith("cuda"):
        for network in (pipe.vae, *nets, *((core,) if family.core == "unet" else ())):
            network.to(memory_format=torch.channels_last)
    stores = [embed_condition_once(net, runtime.device) for net in nets]
    if options.compile:
        compilation.add(core, regional=family.core == "transformer")
        for net in nets:
            compilation.add(net)
            scale_outside(net)
    for net, store in zip(nets, stores, strict=True):
        feed_embedded(net, store)
    if controlnet is not None:
        skip_idle(controlnet)
    if options.fit == "tile":
        tiling = tiling_of(options, source, family)
        tiling.run_core(core)
        if controlnet is not None:
            stores.append(tiling.run_controlnet(controlnet))
    return stores


def tiling_of(options: DiffusionOptions, source: FoundModel, family: Family) -> Tiling:
    """Return the tiles over this model's latents."""
    fitting = fitting_of(options, source, family)
    factor = latent_factor(source.configs)
    step = fitting.multiple // factor
    side = -(-fitting.resolution // fitting.multiple) * step
    return Tiling(side, round(options.tile_overlap * side), factor, step)


def _control_arguments(controls: tuple[Control, ...]) -> dict[str, Any]:
    if not controls:
        return {}
    arguments = {
        "controlnet_conditioning_scale": [control.scale for control in controls],
        "control_guidance_start": [control.start for control in controls],
        "control_guidance_end": [control.end for control in controls],
    }
    if len(controls) == 1:
        return {name: values[0] for name, values in arguments.items()}
    return arguments


def _common_arguments(pipe: Any, options: DiffusionOptions) -> dict[str, Any]:
    """Return the common options that a pipeline's call takes, by its own names for them."""
    takes = inspect.signature(type(pipe).__call__).parameters
    named = {
        "strength": options.strength,
        "num_inference_steps": options.steps,
        "guidance_scale": options.guidance_scale,
    }
    return {name: value for name, value in named.items() if name in takes and value is not None}
