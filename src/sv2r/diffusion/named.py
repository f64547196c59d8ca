"""Short names for models on the Hugging Face hub."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator

from sv2r.hub import whole_path
from sv2r.plugin.words import nearest
from sv2r.storage.paths import from_home


@dataclass(frozen=True)
class NamedModel:
    """A model that has a short name.

    id: its repository on the hub. translator: what runs it without a control.
    gigabytes: of the weights that a job loads, in half precision. controlnets: repositories of
    ControlNets for it, by the conditioner whose map they take.
    """

    name: str
    id: str
    translator: str
    licence: str
    gigabytes: float
    controlnets: Mapping[str, str]


def named_models() -> list[NamedModel]:
    """Return the models that have a short name, in the order of the table."""
    from sv2r.storage.strict_yaml import read_yaml

    name = "models.yaml"
    text = (files("sv2r.diffusion") / name).read_text(encoding="utf-8")
    return [NamedModel(name=key, **values) for key, values in read_yaml(text, name).items()]


def id_of(model: str) -> str:
    """Return the repository that a short name stands for; else what `whole_path` returns.

    A file or folder of that name comes first.

    Raises:
        ValueError: it is none of these, and much like a short name.
    """
    if "/" in model or from_home(Path(model)).exists():
        return whole_path(model)
    known = {one.name: one.id for one in named_models()}
    if model not in known and (near := nearest(model, known)):
        raise ValueError(f"no such folder or file, and no model of that name; did you mean {near}?")
    return known.get(model) or whole_path(model)


# A pipeline, as the type of an option.
Model = Annotated[str, AfterValidator(id_of)]
