"""LoRA weights: found, read into a pipeline, and how much of them fits."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sv2r.errors import ConfigError
from sv2r.hub import fetch_files, hub_errors, local_path
from sv2r.weights import refuse_pickle

_OPTION = "--translator.lora"
_USUAL = "pytorch_lora_weights.safetensors"
# The first of a layer's two matrices, as peft, diffusers and kohya name it.
_LAYER = re.compile(r"(lora_A(\.\w+)?|[._]down)\.weight$")
_LOG = logging.getLogger("sv2r.diffusion")


def find_lora(path: str, option: str = _OPTION) -> Path | None:
    """Return the file that a LoRA given as a path is read from, or None for a repository id.

    Raises:
        ConfigError: a pickle, or a folder without one .safetensors file to choose.
    """
    here = local_path(path)
    refuse_pickle(here, f"{option} {path}")
    if here.is_dir():
        return _only_file(here, f"{option} {path}")
    return here if here.is_file() else None


def _only_file(folder: Path, named: str) -> Path:
    files = sorted(file for file in folder.glob("*.safetensors") if file.is_file())
    usual = [file for file in files if file.name == _USUAL]
    if not files:
        raise ConfigError(f"{named}: there is no .safetensors file in it")
    if len(files) > 1 and not usual:
        names = ", ".join(file.name for file in files[:4])
        raise ConfigError(f"{named}: it has several .safetensors files ({names}); name one of them")
    return (usual or files)[0]


def fetch_lora(path: str) -> Path:
    """Return the file that a LoRA is read from, a repository's fetched where it is not here.

    Raises:
        ConfigError: as `find_lora`, or the repository cannot be reached.
    """
    found = find_lora(path)
    if found is not None:
        return found
    folder = fetch_files(path, None, _OPTION, ["*.safetensors"])
    return _only_file(folder, f"{_OPTION} {path}")


def add_loras(pipe: Any, loras: Mapping[str, float]) -> None:
    """Add LoRA weights into the networks' own, so that a step costs no more than without them.

    What of a file does not fit the model is told as a warning.

    Raises:
        ConfigError: nothing of a file fits, or what fits has another size.
    """
    if not loras:
        return
    if not hasattr(pipe, "load_lora_weights"):
        raise ConfigError(f"{_OPTION}: {type(pipe).__name__} takes no LoRA weights")
    names = [f"lora{number}" for number in range(len(loras))]
    for name, path in zip(names, loras, strict=True):
        _read_lora(pipe, path, name)
    pipe.set_adapters(names, [*loras.values()])
    pipe.fuse_lora(adapter_names=names)
    pipe.unload_lora_weights()


def _read_lora(pipe: Any, path: str, name: str) -> None:
    file = fetch_lora(path)
    layers = layers_in(file, f"{_OPTION} {path}")
    try:
        with hub_errors(path, _OPTION), _silent():
            pipe.load_lora_weights(
                file.parent,
                weight_name=file.name,
                adapter_name=name,
                use_safetensors=True,
                local_files_only=True,
            )
    except (ValueError, KeyError, RuntimeError, AttributeError, IndexError) as error:
        raise ConfigError(f"{_OPTION} {path} does not fit the model: {_misfit(error)}") from error
    fitting = _layers_with_effect(pipe, name)
    if not fitting:
        raise ConfigError(
            f"{_OPTION} {path}: none of the {len(layers)} layers in {file.name} fits the model; "
            f"the first is {layers[0]}"
        )
    if fitting < len(layers):
        _LOG.warning(
            "%s %s: only %d of %d layers in %s fit the model, the others have no effect",
            *(_OPTION, path, fitting, len(layers), file.name),
        )


@contextmanager
def _silent() -> Iterator[None]:
    """Keep diffusers from logging an error that is raised and told as well."""
    from diffusers.utils import logging as diffusers_logging

    before = diffusers_logging.get_verbosity()
    diffusers_logging.set_verbosity(logging.CRITICAL)
    try:
        yield
    finally:
        diffusers_logging.set_verbosity(before)


# torch's words about a weight of another size: its name, and both sizes.
_MISMATCH = re.compile(
    r"size mismatch for (\S+):.*?Size\((\[.*?\])\).*?Size\((\[.*?\])\)", re.DOTALL
)


def _misfit(error: Exception) -> str:
    """Return in a few words why a LoRA cannot be read into a model."""
    wrong = _MISMATCH.findall(str(error))
    if not wrong:
        return " ".join(str(error).split())[:300]
    layer, mine, wanted = wrong[0]
    return (
        f"it was made for another one; {len(wrong)} of its weights have another size, such as "
        f"{layer} ({mine}, not {wanted})"
    )


def layers_in(file: Path, named: str) -> list[str]:
    """Return the names of the LoRA layers in a file, at least one, sorted.

    Raises:
        ConfigError: it is no safetensors file, or has no such layer.
    """
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(file, "pt") as tensors:
            keys = sorted(tensors.keys())
    except (SafetensorError, OSError) as error:
        raise ConfigError(f"{named}: {file.name} is damaged ({error}); copy it again") from None
    layers = [key for key in keys if _LAYER.search(key)]
    if not layers:
        first = f"; the first tensor is {keys[0]}" if keys else ""
        raise ConfigError(f"{named}: there are no LoRA layers in {file.name}{first}")
    return layers


def _layers_with_effect(pipe: Any, name: str) -> int:
    """Return how many layers of the networks that adapter changes.

    peft begins each layer's second matrix with zeros, so one that nothing was read for is told by
    them.
    """
    networks = [part for part in pipe.components.values() if hasattr(part, "named_parameters")]
    second = f"lora_B.{name}.weight"
    return sum(
        bool(parameter.any())
        for network in networks
        for key, parameter in network.named_parameters()
        if key.endswith(second)
    )
