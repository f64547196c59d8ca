"""Reads a found model into a diffusers pipeline: safetensors only, no remote code, no bars."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from sv2r.diffusion.options import DiffusionOptions
from sv2r.diffusion.pipelines import pipeline_class
from sv2r.diffusion.schedulers import make_scheduler
from sv2r.diffusion.source import Source
from sv2r.errors import ConfigError
from sv2r.hub import hub_errors, quiet, relative_name


def fetch(source: Source) -> Source:
    """Return the source with its weights on this machine.

    Raises:
        ConfigError: the repository cannot be reached or has no safetensors.
    """
    if not source.remote:
        return source
    with hub_errors(source.asked, source.option), quiet():
        folder = _download(source)
    found = replace(source, folder=Path(folder), remote=False)
    if not found.weight_files():
        raise ConfigError(f"{source.option} {source.asked}: no safetensors weights in its cache")
    return found


def _download(source: Source) -> str:
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
    source: Source, class_name: str, options: DiffusionOptions, dtype: Any, **components: Any
) -> Any:
    """Return the diffusers pipeline of that class on the CPU, scheduler and LoRAs as asked.

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
    with quiet():
        pipe = _read_weights(source, found, dtype, extra)
        pipe.set_progress_bar_config(disable=True)
        if options.scheduler:
            pipe.scheduler = make_scheduler(options.scheduler, pipe.scheduler)
        _add_loras(pipe, options.lora)
    return pipe


def _require_readable(source: Source) -> None:
    """Raise ConfigError where a file of weights is damaged; looks at its header and its length."""
    from safetensors import SafetensorError, safe_open

    for file in source.weight_files():
        try:
            with safe_open(file, "pt"):
                pass
        except (SafetensorError, OSError) as error:
            name = relative_name(file, source.folder)
            raise ConfigError(
                f"{source.option} {source.asked}: {name} is damaged ({error}); copy it again"
            ) from None


def _read_weights(source: Source, pipeline: Any, dtype: Any, extra: dict[str, Any]) -> Any:
    _require_readable(source)
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
    except (OSError, ValueError, TypeError, KeyError, AttributeError, RuntimeError) as error:
        raise ConfigError(_unreadable(source, pipeline.__name__, error)) from error


def load_network(source: Source, class_name: str, dtype: Any) -> Any:
    """Return the single network (a ControlNet) on the CPU.

    Raises:
        ConfigError: the files do not make up such a network.
    """
    import diffusers

    _require_readable(source)
    try:
        with quiet():
            return getattr(diffusers, class_name).from_pretrained(
                source.folder,
                variant=source.variant if _has_variant(source) else None,
                use_safetensors=True,
                local_files_only=True,
                torch_dtype=dtype,
            )
    except (OSError, ValueError, TypeError, KeyError, RuntimeError) as error:
        raise ConfigError(_unreadable(source, class_name, error)) from error


def _has_variant(source: Source) -> bool:
    return any(f".{source.variant}" in file.stem for file in source.weight_files())


def _unreadable(source: Source, class_name: str, error: Exception) -> str:
    what = " ".join(str(error).split())[:300]
    return f"{source.option} {source.asked} cannot be read as a {class_name}: {what}"


def _add_loras(pipe: Any, loras: Mapping[str, float]) -> None:
    """Add LoRA weights into the networks' own, so that a step costs no more than without them."""
    if not loras:
        return
    if not hasattr(pipe, "load_lora_weights"):
        raise ConfigError(f"--translator.lora: {type(pipe).__name__} takes no LoRA weights")
    names = [f"lora{number}" for number in range(len(loras))]
    for name, path in zip(names, loras, strict=True):
        _read_lora(pipe, path, name)
    pipe.set_adapters(names, [*loras.values()])
    pipe.fuse_lora(adapter_names=names)
    pipe.unload_lora_weights()


def _read_lora(pipe: Any, path: str, name: str) -> None:
    file = Path(path).expanduser()
    place: dict[str, Any] = {"pretrained_model_name_or_path_or_dict": str(path)}
    if file.is_file():
        place = {"pretrained_model_name_or_path_or_dict": file.parent, "weight_name": file.name}
    try:
        with hub_errors(path, "--translator.lora"):
            pipe.load_lora_weights(**place, adapter_name=name, use_safetensors=True)
    except (ValueError, KeyError, RuntimeError) as error:
        what = " ".join(str(error).split())[:300]
        raise ConfigError(f"--translator.lora {path} does not fit the model: {what}") from error
