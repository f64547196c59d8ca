"""Reads a found model into a diffusers pipeline: safetensors only, no remote code, no bars."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from sv2r.diffusion.lora import add_loras
from sv2r.diffusion.options import DiffusionOptions
from sv2r.diffusion.pipelines import pipeline_class
from sv2r.diffusion.schedulers import make_scheduler
from sv2r.diffusion.source import FoundModel, require_whole
from sv2r.errors import ConfigError
from sv2r.hub import hub_errors, quiet
from sv2r.weights import name_in_model, weight_files

# What diffusers and transformers raise over files that are not what they say they are.
_UNREADABLE = (
    *(OSError, ValueError, TypeError, LookupError, AttributeError, RuntimeError, ImportError),
    *(AssertionError, ArithmeticError),
)


def fetch(source: FoundModel) -> FoundModel:
    """Return the source with its weights on this machine.

    Raises:
        ConfigError: the repository cannot be reached or has no safetensors.
    """
    if not source.remote:
        return source
    with hub_errors(source.asked, source.option), quiet():
        folder = _download(source)
    found = replace(source, folder=Path(folder), remote=False)
    require_whole(found)
    return found


def _download(source: FoundModel) -> str:
    if source.parts != ("",):
        from diffusers import DiffusionPipeline

        return str(
            DiffusionPipeline.download(
                source.asked,
                revision=source.revision,
                variant=source.variant,
                use_safetensors=True,
                **({} if "safety_checker" in source.parts else {"safety_checker": None}),
            )
        )
    from huggingface_hub import snapshot_download

    return snapshot_download(
        source.asked, revision=source.revision, allow_patterns=["*.json", "*.safetensors"]
    )


def load_pipeline(
    source: FoundModel,
    class_name: str,
    options: DiffusionOptions,
    dtype: Any,
    *,
    exact_vae: bool = False,
    **components: Any,
) -> Any:
    """Return the diffusers pipeline of that class on the CPU, scheduler and LoRAs as asked.

    exact_vae: whether the VAE is read in float32: rounded weights do not come back by a wider type.
    components: what it gets instead of its own (controlnet).

    Raises:
        ConfigError: the files do not make up such a pipeline; a LoRA does not fit.
    """
    found = pipeline_class(class_name)
    parameters = inspect.signature(found.__init__).parameters
    extra = dict(components)
    if "safety_checker" in parameters and not options.safety_checker:
        extra |= {"safety_checker": None, "requires_safety_checker": False}
        extra |= {"feature_extractor": None} if "feature_extractor" in parameters else {}
    if "add_watermarker" in parameters:
        extra["add_watermarker"] = False
    _require_readable(source)
    with quiet():
        if exact_vae:
            extra["vae"] = _read_vae(source)
        pipe = _read_weights(source, found, dtype, extra)
        _require_complete(source, pipe.components)
        pipe.set_progress_bar_config(disable=True)
        if options.scheduler:
            pipe.scheduler = make_scheduler(options.scheduler, pipe.scheduler)
        add_loras(pipe, options.lora)
    return pipe


def _require_readable(source: FoundModel) -> None:
    """Raise ConfigError where a file of weights is damaged; looks at its header and its length."""
    from safetensors import SafetensorError, safe_open

    for file in source.weight_files():
        try:
            with safe_open(file, "pt"):
                pass
        except (SafetensorError, OSError) as error:
            name = name_in_model(file, source.folder)
            raise ConfigError(
                f"{source.option} {source.asked}: {name} is damaged ({error}); copy it again"
            ) from None


def _require_complete(source: FoundModel, parts: Mapping[str, Any]) -> None:
    """Raise ConfigError where a network got no weights for some of its tensors."""
    from torch import nn

    for part, network in parts.items():
        if not isinstance(network, nn.Module):
            continue
        tensors = dict(network.named_parameters())
        lacking = [name for name, tensor in tensors.items() if tensor.is_meta]
        if lacking:
            what = f"{part} lacks {len(lacking):,} of its {len(tensors):,} tensors"
            raise ConfigError(
                f"{source.option} {source.asked}: {what}, such as {lacking[0]}; copy it again"
            )


def _read_weights(source: FoundModel, pipeline: Any, dtype: Any, extra: dict[str, Any]) -> Any:
    try:
        if source.file is not None:
            return pipeline.from_single_file(
                str(source.file),
                config=str(source.folder),
                local_files_only=True,
                torch_dtype=dtype,
                **extra,
            )
        return pipeline.from_pretrained(
            source.folder,
            variant=source.variant,
            use_safetensors=True,
            local_files_only=True,
            torch_dtype=dtype,
            **extra,
        )
    except _UNREADABLE as error:
        raise ConfigError(_unreadable(source, pipeline.__name__, error)) from error


def _read_vae(source: FoundModel) -> Any:
    """Return a pipeline's VAE in float32."""
    import diffusers
    import torch

    class_name = source.components["vae"][1]
    whole = {"local_files_only": True, "torch_dtype": torch.float32}
    try:
        found = getattr(diffusers, class_name)
        if source.file is not None:
            return found.from_single_file(
                str(source.file), config=str(source.folder), subfolder="vae", **whole
            )
        return found.from_pretrained(
            source.folder / "vae",
            variant=source.variant if _has_variant(source.folder / "vae", source.variant) else None,
            use_safetensors=True,
            **whole,
        )
    except _UNREADABLE as error:
        raise ConfigError(_unreadable(source, class_name, error)) from error


def load_network(source: FoundModel, class_name: str, dtype: Any) -> Any:
    """Return the single network (a ControlNet) on the CPU.

    Raises:
        ConfigError: the files do not make up such a network.
    """
    import diffusers

    _require_readable(source)
    try:
        with quiet():
            network = getattr(diffusers, class_name).from_pretrained(
                source.folder,
                variant=source.variant if _has_variant(source.folder, source.variant) else None,
                use_safetensors=True,
                local_files_only=True,
                torch_dtype=dtype,
            )
    except _UNREADABLE as error:
        raise ConfigError(_unreadable(source, class_name, error)) from error
    _require_complete(source, {class_name: network})
    return network


def _has_variant(folder: Path, variant: str | None) -> bool:
    return any(f".{variant}" in file.stem for file in weight_files(folder, variant))


def _unreadable(source: FoundModel, class_name: str, error: Exception) -> str:
    what = " ".join(str(error).split())[:300]
    return f"{source.option} {source.asked} cannot be read as a {class_name}: {what}"
