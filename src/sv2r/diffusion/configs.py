"""What a model's JSON files say, checked before anything leans on it."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from sv2r.errors import ConfigError

# (library, class) of a pipeline's part, as model_index.json names it.
Component = tuple[str, str]

_PART = re.compile(
    r"(scheduler|tokenizer|unet|transformer|vae|vqvae|movq|text_encoder|image_encoder|controlnet"
    r"|adapter|safety_checker|feature_extractor)(_\d)?"
)
_VOCABULARIES = frozenset({"tokenizer.json", "vocab.json", "vocab.txt"})
_Number = Annotated[int, Field(gt=0, le=1 << 20)]
_Numbers = Annotated[list[_Number], Field(min_length=1, max_length=16)]


class _Known(BaseModel):
    """The values that sv2r computes with, where a config has them."""

    model_config = ConfigDict(extra="ignore", strict=True, protected_namespaces=())

    in_channels: _Number | None = None
    latent_channels: _Number | None = None
    block_out_channels: _Numbers | None = None
    encoder_block_out_channels: _Numbers | None = None
    conditioning_embedding_out_channels: _Numbers | None = None
    cross_attention_dim: _Number | _Numbers | None = None
    hidden_size: _Number | None = None
    patch_size: _Number | _Numbers | None = None
    sample_size: _Number | _Numbers | None = None
    pos_embed_max_size: _Number | None = None


def read_config(file: Path) -> Mapping[str, Any]:
    """Return a JSON file's mapping; the values that sv2r computes with are of their kind.

    Raises:
        ConfigError: it cannot be read, is not a mapping, or such a value is none.
    """
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise ConfigError(f"{file}: not readable as JSON: {error}") from None
    if not isinstance(content, dict):
        raise ConfigError(f"{file}: a mapping is expected")
    try:
        _Known.model_validate(content)
    except ValidationError as error:
        name = error.errors()[0]["loc"][0]
        value = json.dumps(content.get(str(name)))[:80]
        raise ConfigError(f"{file}: {name} cannot be {value}; copy the model again") from None
    return content


def components_of(index: Mapping[str, Any], file: Path) -> dict[str, Component]:
    """Return the parts that a model_index.json names, those it leaves out left out.

    Raises:
        ConfigError: a part is not a pair of a library and a class, is of a library that is neither
            diffusers nor transformers, or its name is not a folder's.
    """
    found = {}
    for name, value in index.items():
        if name.startswith("_"):
            continue  # of the pipeline itself
        if isinstance(value, list) and len(value) == 2 and _are(str, value):
            if not re.fullmatch(r"\w+", name):
                raise ConfigError(f"{file}: {name!r} cannot be the name of a model's part")
            if not _is_known(value[0]):
                known = "a model's parts are of diffusers or transformers alone"
                raise ConfigError(f"{file}: {name} is of {value[0]!a}, and {known}")
            found[name] = (value[0], value[1])
        elif _PART.fullmatch(name) and value is not None and value != [None, None]:
            raise ConfigError(
                f"{file}: {name} must be a pair of a library and a class, not "
                f"{json.dumps(value)[:80]}; copy the model again"
            )
    return found


@lru_cache(maxsize=64)
def _is_known(library: str) -> bool:
    """Return whether a part's library is one of models, or a pipeline's own module in diffusers.

    Any other would be imported by the name that somebody's file gives.
    """
    if library in ("diffusers", "transformers"):
        return True
    found = find_spec("diffusers")
    homes = (found.submodule_search_locations if found else None) or []
    own = any((Path(home) / "pipelines" / library).is_dir() for home in homes)
    return library.isidentifier() and own


def _are(kind: type, values: list[Any]) -> bool:
    return all(isinstance(value, kind) for value in values)


def is_network(component: Component) -> bool:
    """Return whether a pipeline's part is a network, with weights of its own."""
    others = ("Tokenizer", "TokenizerFast", "Processor", "FeatureExtractor", "Scheduler")
    return not component[1].endswith(others)


def missing_part(folder: Path, name: str, component: Component) -> str | None:
    """Return what a model's folder lacks of a part, or None."""
    here = folder / name
    if component[1].endswith("Scheduler"):
        return _missing(here / "scheduler_config.json")
    if component[1].endswith(("Tokenizer", "TokenizerFast")):
        files = [path for path in here.glob("*") if path.is_file()]
        good = any(p.name in _VOCABULARIES or p.suffix in (".model", ".tiktoken") for p in files)
        return None if good else f"{name}/ with the tokenizer's vocabulary"
    return _missing(here / "config.json") if is_network(component) else None


def _missing(file: Path) -> str | None:
    return None if file.is_file() else f"{file.parent.name}/{file.name}"
