"""Reads a found model into a diffusers pipeline: safetensors only, no remote code, no bars."""

from __future__ import annotations

import hashlib
import inspect
import os
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from sv2r.diffusion.options import DiffusionOptions
from sv2r.diffusion.schedulers import make_scheduler
from sv2r.diffusion.source import Source, hub_errors, no_bars
from sv2r.errors import ConfigError


@contextmanager
def quiet() -> Iterator[None]:
    """Keep diffusers' and transformers' bars and warnings to themselves while this lasts."""
    from diffusers.utils import logging as diffusers_logging
    from transformers.utils import logging as transformers_logging

    before = diffusers_logging.get_verbosity(), transformers_logging.get_verbosity()
    bars = transformers_logging.is_progress_bar_enabled()
    diffusers_logging.set_verbosity_error()
    transformers_logging.set_verbosity_error()
    diffusers_logging.disable_progress_bar()
    transformers_logging.disable_progress_bar()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        diffusers_logging.set_verbosity(before[0])
        transformers_logging.set_verbosity(before[1])
        diffusers_logging.enable_progress_bar()
        if bars:
            transformers_logging.enable_progress_bar()


def fetch(source: Source) -> Source:
    """Return the source with its weights on this machine.

    Raises:
        ConfigError: the repository cannot be reached or has no safetensors.
    """
    if not source.remote:
        return source
    with hub_errors(source.asked, source.option), quiet(), no_bars():
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
    import diffusers

    pipeline_class = getattr(diffusers, class_name)
    parameters = inspect.signature(pipeline_class.__init__).parameters
    extra = dict(components)
    if "safety_checker" in parameters and not options.safety_checker:
        extra |= {"safety_checker": None, "requires_safety_checker": False}
        extra |= {"feature_extractor": None} if "feature_extractor" in parameters else {}
    if "add_watermarker" in parameters:
        extra["add_watermarker"] = False
    with quiet():
        pipe = _read_weights(source, pipeline_class, dtype, extra)
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
            name = _relative(file, source.folder)
            raise ConfigError(
                f"{source.option} {source.asked}: {name} is damaged ({error}); copy it again"
            ) from None


def _read_weights(source: Source, pipeline_class: Any, dtype: Any, extra: dict[str, Any]) -> Any:
    _require_readable(source)
    try:
        if source.file is not None:
            return pipeline_class.from_single_file(
                str(source.file),
                config=str(source.folder),
                local_files_only=True,
                torch_dtype=dtype,
                **extra,
            )
        return pipeline_class.from_pretrained(
            source.folder,
            variant=source.variant,
            use_safetensors=True,
            local_files_only=True,
            torch_dtype=dtype,
            **extra,
        )
    except (OSError, ValueError, TypeError, KeyError, AttributeError, RuntimeError) as error:
        raise ConfigError(_unreadable(source, pipeline_class.__name__, error)) from error


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


def weights_sha256(files: Sequence[Path], root: Path) -> str:
    """Return the SHA-256 of a file's bytes; of several, that of their list as sha256sum prints it.

    The list has a line ``digest  path`` per file, the paths relative to root and sorted. A file in
    the Hugging Face cache has its digest for a name, which is taken instead of reading it.
    """
    digests = [(path, _sha256(path)) for path in sorted(files)]
    if len(digests) == 1:
        return digests[0][1]
    lines = [f"{digest}  {_relative(path, root)}\n" for path, digest in digests]
    return hashlib.sha256("".join(lines).encode()).hexdigest()


def _relative(path: Path, root: Path) -> str:
    return path.relative_to(root).as_posix() if path.is_relative_to(root) else path.name


def _sha256(path: Path) -> str:
    blob = Path(os.path.realpath(path)).name
    if path.is_symlink() and len(blob) == 64 and all(c in "0123456789abcdef" for c in blob):
        return blob
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
