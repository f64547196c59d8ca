"""Where a model lies and what its configuration says, before any weight is read."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sv2r.diffusion.configs import (
    Component,
    components_of,
    is_network,
    missing_part,
    read_config,
)
from sv2r.errors import ConfigError
from sv2r.hub import fetch_files, local_path
from sv2r.weights import (
    refuse_pickle,
    refuse_pickles_alone,
    require_plain_files,
    require_plain_shards,
    require_weights,
    weight_files,
)

_HUB_ID = re.compile(r"[\w-][\w.-]*(/[\w-][\w.-]*)?")


@dataclass(frozen=True)
class FoundModel:
    """A model that has been found.

    asked: what the user wrote. option: where ("--translator.model").
    folder: has the configuration; of a repository only that, until its weights are fetched.
    file: the single .safetensors file with all weights, or None: they lie in the folder.
    index: what model_index.json (a pipeline) or config.json (a single network) says.
    configs: each component's config.json, by component.
    parts: the subfolders with weights; "" for a single network.
    components: the library and class of each part that a pipeline names.
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
    components: Mapping[str, Component] = field(default_factory=dict)

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
        parts = self.parts if self.file is None else self.next_to_file()
        folders = [self.folder / part for part in parts]
        files = sorted(path for folder in folders for path in weight_files(folder, self.variant))
        return files if self.file is None else [self.file, *files]

    def next_to_file(self) -> tuple[str, ...]:
        """Return the parts that diffusers reads from the folder where the file lacks them."""
        return tuple(part for part in self.parts if self.components[part][0] == "transformers")


def find_pipeline(
    model: str | None,
    *,
    revision: str | None = None,
    variant: str | None = None,
    config: str | None = None,
    option: str = "--translator.model",
) -> FoundModel:
    """Return a pipeline's source; of a repository only small configuration files are fetched.

    Raises:
        ConfigError: no model given, no such model, pickled weights, no weights.
    """
    if not model:
        raise ConfigError(
            f"no model given: {option} takes a folder with a model_index.json, a .safetensors file "
            f"or a Hugging Face repository id"
        )
    path = local_path(model)
    refuse_pickle(path, f"{option} {model}")
    if config and not path.is_file():
        raise ConfigError(f"{option} {model}: config belongs to a single .safetensors file only")
    if path.is_file():
        folder = _config_folder(path, config, option)
        source = _pipeline(model, option, folder, path, None, None, remote=False)
    else:
        folder, remote = _folder(model, option, revision)
        source = _pipeline(model, option, folder, None, revision, variant, remote=remote)
    require_whole(source)
    return source


def find_network(model: str, *, option: str, variant: str | None = None) -> FoundModel:
    """Return a single network's source (a ControlNet), like `find_pipeline` a pipeline's.

    Raises:
        ConfigError: no such model, not a folder or repository with a config.json, no weights.
    """
    path = local_path(model)
    refuse_pickle(path, f"{option} {model}")
    if path.is_file():
        raise ConfigError(f"{option} {model}: give the folder that has its config.json as well")
    folder, remote = _folder(model, option, None)
    file = folder / "config.json"
    if not file.is_file():
        raise ConfigError(f"{option} {model}: there is no config.json in it")
    source = FoundModel(
        model, option, folder, None, read_config(file), {}, ("",), variant=variant, remote=remote
    )
    require_whole(source)
    return source


def _pipeline(
    model: str,
    option: str,
    folder: Path,
    file: Path | None,
    revision: str | None,
    variant: str | None,
    *,
    remote: bool,
) -> FoundModel:
    index_file = folder / "model_index.json"
    if not index_file.is_file():
        raise ConfigError(f"{option} {model}: there is no model_index.json in {folder}")
    index = read_config(index_file)
    components = components_of(index, index_file)
    configs = {
        name: read_config(folder / name / "config.json")
        for name, component in components.items()
        if is_network(component) and (folder / name / "config.json").is_file()
    }
    parts = tuple(name for name in configs if name != "safety_checker")
    return FoundModel(
        model, option, folder, file, index, configs, parts, revision, variant, remote, components
    )


def _folder(model: str, option: str, revision: str | None) -> tuple[Path, bool]:
    """Return the folder with a model's configuration, and whether it is a repository's."""
    path = local_path(model)
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


def require_whole(source: FoundModel) -> None:
    """Raise ConfigError where a model's folder lacks a part or has weights that are never read.

    Of a repository whose weights are yet to be fetched, its small files are looked at alone.
    """
    named = f"{source.option} {source.asked}"
    require_plain_files(source.folder, named)
    for part in source.parts:
        require_plain_shards(source.folder / part, named, f"{part}/" if part else "")
    if source.file is not None:
        for part in source.next_to_file():
            refuse_pickles_alone(source.folder / part, named, f"{part}/")
    if source.file is not None or source.remote:
        return
    for name, component in source.components.items():
        missing = missing_part(source.folder, name, component)
        if missing and name != "safety_checker":
            raise ConfigError(f"{named}: there is no {missing}; copy the model again")
    for part in source.parts:
        folder = source.folder / part
        require_weights(folder, source.variant, named, f"{part}/" if part else "")
    variant = source.variant
    if variant and not any(f".{variant}" in file.stem for file in source.weight_files()):
        raise ConfigError(
            f"{named}: it has no weights of the variant '{variant}'; leave --translator.variant out"
        )
