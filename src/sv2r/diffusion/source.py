"""Where a model lies and what its configuration says, before any weight is read."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sv2r.errors import ConfigError
from sv2r.hub import fetch_files

PICKLES = frozenset({".bin", ".ckpt", ".pt", ".pth", ".pkl"})
_HUB_ID = re.compile(r"[\w-][\w.-]*(/[\w-][\w.-]*)?")


@dataclass(frozen=True)
class Source:
    """A model that has been found.

    asked: what the user wrote. option: where ("--translator.model").
    folder: has the configuration; of a repository only that, until its weights are fetched.
    file: the single .safetensors file with all weights, or None: they lie in the folder.
    index: what model_index.json (a pipeline) or config.json (a single network) says.
    configs: each component's config.json, by component.
    parts: the subfolders with weights; "" for a single network.
    remote: whether it is a repository.
    """

    asked: str
    option: str
    folder: Path
    file: Path | None
    index: Mapping[str, Any]
    configs: Mapping[str, Mapping[str, Any]]
    parts: tuple[str, ...]
    revision: str | None = None
    variant: str | None = None
    remote: bool = False

    @property
    def class_name(self) -> str:
        """Return the diffusers class that the model says it is.

        Raises:
            ConfigError: it names code of its own.
        """
        name = self.index.get("_class_name")
        if not isinstance(name, str):
            raise ConfigError(
                f"{self.option} {self.asked}: it asks for a pipeline class of its own code, which "
                f"is never run; choose a model of a class that diffusers has"
            )
        return name

    def weight_files(self) -> list[Path]:
        """Return the safetensors files of the chosen variant, sorted by path."""
        if self.file is not None:
            return [self.file]
        return sorted(p for part in self.parts for p in _chosen(self.folder / part, self.variant))


def find_pipeline(
    model: str | None,
    *,
    revision: str | None = None,
    variant: str | None = None,
    config: str | None = None,
    option: str = "--translator.model",
) -> Source:
    """Return a pipeline's source; of a repository only small configuration files are fetched.

    Raises:
        ConfigError: no model given, no such model, pickled weights, no weights.
    """
    if not model:
        raise ConfigError(
            f"no model given: {option} takes a folder with a model_index.json, a .safetensors file "
            f"or a Hugging Face repository id"
        )
    path = Path(model).expanduser()
    _refuse_pickle(path, model, option)
    if config and not path.is_file():
        raise ConfigError(f"{option} {model}: config belongs to a single .safetensors file only")
    if path.is_file():
        folder = _config_folder(path, config, option)
        return _pipeline(model, option, folder, path, None, None, remote=False)
    folder, remote = _folder(model, option, revision)
    source = _pipeline(model, option, folder, None, revision, variant, remote=remote)
    _require_weights(source)
    return source


def find_network(model: str, *, option: str, variant: str | None = None) -> Source:
    """Return a single network's source (a ControlNet), like `find_pipeline` a pipeline's.

    Raises:
        ConfigError: no such model, not a folder or repository with a config.json, no weights.
    """
    path = Path(model).expanduser()
    _refuse_pickle(path, model, option)
    if path.is_file():
        raise ConfigError(f"{option} {model}: give the folder that has its config.json as well")
    folder, remote = _folder(model, option, None)
    file = folder / "config.json"
    if not file.is_file():
        raise ConfigError(f"{option} {model}: there is no config.json in it")
    source = Source(
        model, option, folder, None, _read(file), {}, ("",), variant=variant, remote=remote
    )
    _require_weights(source)
    return source


def lora_file(path: str) -> Path | None:
    """Return the file that a LoRA given as a path is read from, or None for a repository id.

    Raises:
        ConfigError: a pickle, or a folder without safetensors.
    """
    here = Path(path).expanduser()
    _refuse_pickle(here, path, "--translator.lora")
    if here.is_dir():
        files = sorted(here.glob("*.safetensors"))
        if not files:
            raise ConfigError(f"--translator.lora {path}: there is no .safetensors file in it")
        return files[0]
    return here if here.is_file() else None


def _pipeline(
    model: str,
    option: str,
    folder: Path,
    file: Path | None,
    revision: str | None,
    variant: str | None,
    *,
    remote: bool,
) -> Source:
    index_file = folder / "model_index.json"
    if not index_file.is_file():
        raise ConfigError(f"{option} {model}: there is no model_index.json in {folder}")
    index = _read(index_file)
    configs = {
        name: _read(folder / name / "config.json")
        for name, value in index.items()
        if isinstance(value, list) and _is_network(value)
        if (folder / name / "config.json").is_file()
    }
    parts = tuple(name for name in configs if name != "safety_checker")
    return Source(model, option, folder, file, index, configs, parts, revision, variant, remote)


def _is_network(value: list[Any]) -> bool:
    name = value[1] if len(value) == 2 and isinstance(value[1], str) else ""
    return bool(name) and not name.endswith(("Tokenizer", "TokenizerFast", "Processor"))


def _folder(model: str, option: str, revision: str | None) -> tuple[Path, bool]:
    """Return the folder with a model's configuration, and whether it is a repository's."""
    path = Path(model).expanduser()
    if path.is_dir():
        if revision:
            raise ConfigError(f"{option} {model}: a folder has no revision; leave it out")
        return path, False
    if not _HUB_ID.fullmatch(model):
        raise ConfigError(f"{option} {model}: no such folder or file")
    return fetch_configs(model, revision, option), True


def fetch_configs(model: str, revision: str | None, option: str) -> Path:
    """Return the folder with a repository's JSON files, from the cache where it has them."""
    return fetch_files(model, revision, option, ["*.json", "*.txt"])


def _config_folder(file: Path, config: str | None, option: str) -> Path:
    """Return the folder whose configuration belongs to a single file of weights."""
    if config:
        return _folder(config, option.replace(".model", ".config"), None)[0]
    repository = _guess_repository(file, option)
    option = f"{option} {file}: its configuration is {repository}'s; --translator.config"
    return fetch_configs(repository, None, option)


def _guess_repository(file: Path, option: str) -> str:
    """Return the repository that diffusers knows for a file with tensors of these names."""
    import torch
    from diffusers.loaders.single_file_utils import fetch_diffusers_config
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(file, "pt") as tensors:
            shapes = {key: tensors.get_slice(key).get_shape() for key in tensors.keys()}  # noqa: SIM118
    except SafetensorError as error:
        raise ConfigError(f"{option} {file}: not a safetensors file: {error}") from None
    found = fetch_diffusers_config({k: torch.empty(s, device="meta") for k, s in shapes.items()})
    return str(found["pretrained_model_name_or_path"])


def _refuse_pickle(path: Path, model: str, option: str) -> None:
    if path.suffix.lower() in PICKLES and not path.is_dir():
        raise ConfigError(
            f"{option} {model}: a {path.suffix} file is a pickle, which can run code when it is "
            f"read; convert it to safetensors"
        )
    if path.is_file() and path.suffix.lower() != ".safetensors":
        raise ConfigError(f"{option} {model}: not a .safetensors file")


def _require_weights(source: Source) -> None:
    """Raise ConfigError where weights here are missing, pickled, or of another variant."""
    if source.file is not None or source.remote:
        return
    for part in source.parts:
        _require_safetensors(source, source.folder / part)
    variant = source.variant
    if variant and not any(f".{variant}" in file.stem for file in source.weight_files()):
        raise ConfigError(
            f"{source.option} {source.asked}: it has no weights of the variant '{variant}'; leave "
            f"--translator.variant out"
        )


def _require_safetensors(source: Source, folder: Path) -> None:
    if _chosen(folder, source.variant):
        return
    named = f"{source.option} {source.asked}"
    part = f"{folder.name}/" if folder != source.folder else ""
    for file in sorted(folder.glob("*.safetensors")):
        variant = file.stem.partition(".")[2].partition("-")[0]
        raise ConfigError(f"{named}: its weights are {part}{file.name}; say variant {variant}")
    for file in sorted(folder.glob("*")):
        if file.suffix.lower() in PICKLES:
            raise ConfigError(
                f"{named}: {part}{file.name} is a pickle, which can run code when it is read; "
                f"convert it to safetensors"
            )
    raise ConfigError(f"{named}: there are no safetensors weights in {folder}")


def _chosen(folder: Path, variant: str | None) -> list[Path]:
    """Return a network's files: of the variant where it has it, else the plain ones."""
    files = sorted(folder.glob("*.safetensors"))
    plain = [path for path in files if "." not in path.stem]
    if variant is None:
        return plain
    return [path for path in files if f".{variant}" in path.stem] or plain


def _read(file: Path) -> Mapping[str, Any]:
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ConfigError(f"{file}: not readable as JSON: {error}") from None
    if not isinstance(content, dict):
        raise ConfigError(f"{file}: a mapping is expected")
    return content
