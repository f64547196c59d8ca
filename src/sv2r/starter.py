"""A first config for a dataset: what lint advises, with its reasons as comments."""

from __future__ import annotations

import json
import re
import shlex
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sv2r.diffusion.named import NamedModel, named_models
from sv2r.lint.report import Report
from sv2r.types import Dataset

_PROMPT = "a photo of {categories}, natural light, 35 mm photograph"
_PLAIN = "a photo, natural light"
# With more names a text encoder reads a list, and no scene.
_FEW = 8
_NO_WORD = re.compile(r"(obj(ect)?|class|category|label)?[_ ]?[0-9]*", re.IGNORECASE)
_STRENGTH = 0.55
_WIDTH = 96


@dataclass
class _Advised:
    """Options that lint advises, by section, each with its reason."""

    loader: dict[str, tuple[str, str]] = field(default_factory=dict)
    translator: dict[str, tuple[str, str]] = field(default_factory=dict)
    small: dict[str, tuple[str, str]] = field(default_factory=dict)
    conditioners: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Starter:
    """What a first config is made for.

    loader: the name of what reads the dataset. model: a short name, a repository or a path.
    prompt: its template. file: where the config will lie, for the commands in its first lines.
    """

    dataset: Dataset
    report: Report
    loader: str
    output: Path
    model: str
    prompt: str
    file: Path


def prompt_for(report: Report) -> tuple[str, str]:
    """Return a template for a prompt, and why it does not name what pictures show, or ""."""
    names = [category.name for category in report.categories]
    if len(names) > _FEW:
        return _PLAIN, f"{len(names)} categories make no prompt: say what the scene is."
    if wordless := [name for name in names if _NO_WORD.fullmatch(name)]:
        return _PLAIN, (
            f"The category {wordless[0]!r} is no word: say what the scene is, or name categories "
            f"with words: {{{wordless[0]}: WORD}} and write {{categories}}."
        )
    return _PROMPT, ""


def starter_config(start: Starter) -> str:
    """Return a config as YAML, with comments."""
    advised = _advised(start.report)
    named = next((one for one in named_models() if one.name == start.model), None)
    controls = _controls(advised, named)
    blocks = [
        list(_head(start)),
        [
            "extends: default",
            "",
            f"input: {_quoted(start.dataset.root)}",
            f"output: {_quoted(start.output)}",
        ],
        list(_loader(start, advised)),
        list(_conditioners(advised, controls)),
        list(_translator(start, advised, named, controls)),
        list(_prompt(start)),
        ["small:", *_options(advised.small)] if advised.small else [],
    ]
    return "\n\n".join("\n".join(block) for block in blocks if block) + "\n"


def _advised(report: Report) -> _Advised:
    found = _Advised()
    for one in report.advice:
        words = shlex.split(one.option)
        for name, value in zip(words[::2], words[1::2], strict=True):
            section, _, option = name.removeprefix("--").partition(".")
            if section == "conditioner":
                found.conditioners.setdefault(value, one.reason)
            else:
                getattr(found, section)[option] = (value, one.reason)
    return found


def _controls(advised: _Advised, named: NamedModel | None) -> dict[str, str]:
    """Return ControlNets for what is advised, by conditioner; {} where the model has none."""
    nets: Mapping[str, str] = named.controlnets if named else {}
    return {name: nets[name] for name in advised.conditioners if name in nets}


def _head(start: Starter) -> Iterator[str]:
    looked = f"{start.report.pictures:,} pictures of {start.dataset.root}"
    yield from _comments([f"Looked at: {looked}, {counts_of(start.report)}."])
    yield "#"
    yield f"#   sv2r preview --config {start.file} --output looks --vary strength=0.4,0.55,0.7"
    yield f"#   sv2r convert --config {start.file}"


def counts_of(report: Report) -> str:
    """Return how many instances and categories were found, in words."""
    instances, categories = report.instances, len(report.categories)
    of = f"{categories} categor{'y' if categories == 1 else 'ies'}"
    return f"{instances:,} instance{'' if instances == 1 else 's'} of {of}"


def _loader(start: Starter, advised: _Advised) -> Iterator[str]:
    yield from _comments(start.dataset.notes)
    yield from _comments([f"TO CHECK: {doubt}" for doubt in start.dataset.doubts])
    yield "loader:"
    yield f"  name: {start.loader}"
    yield from _options(advised.loader)


def _conditioners(advised: _Advised, controls: Mapping[str, str]) -> Iterator[str]:
    if not controls:
        return
    yield "# Maps of the render that keep objects where their labels are."
    yield "conditioners:"
    for name in controls:
        yield from (f"  {line}" for line in _comments([advised.conditioners[name]]))
        yield f"  {name}: {{}}"


def _translator(
    start: Starter, advised: _Advised, named: NamedModel | None, controls: Mapping[str, str]
) -> Iterator[str]:
    name = "controlnet" if controls else named.translator if named else "sdedit"
    yield "translator:"
    yield f"  name: {name}"
    if named:
        yield f"  # {named.id}, {named.gigabytes} GB; {named.licence}: read its licence first"
    yield f"  model: {_quoted(start.model)}"
    if name != "checkpoint":
        yield "  # 0 changes nothing, 1 keeps nothing of the render but what the control maps hold."
        yield f"  strength: {_STRENGTH if controls else 0.4}"
    if controls:
        yield "  controlnet:"
        yield from (f"    {name}: {_quoted(net)}" for name, net in controls.items())
    yield from _options(advised.translator)


def _prompt(start: Starter) -> Iterator[str]:
    template, why = prompt_for(start.report)
    yield "prompt:"
    if start.prompt == template:
        yield from (f"  {line}" for line in _comments([why] if why else []))
    yield f"  template: {_quoted(start.prompt)}"


def _options(advised: Mapping[str, tuple[str, str]]) -> Iterator[str]:
    for option, (value, reason) in advised.items():
        yield from (f"  {line}" for line in _comments([reason]))
        yield f"  {option}: {value if value.isalnum() else _quoted(value)}"


def _comments(texts: Sequence[str]) -> list[str]:
    """Return comment lines, long texts wrapped."""
    flat = (" ".join(text.split()) for text in texts)
    return [f"# {line}" for text in flat for line in textwrap.wrap(text, _WIDTH) or [""]]


def _quoted(value: Any) -> str:
    """Return a text as YAML takes it: JSON's strings are YAML's."""
    return json.dumps(str(value), ensure_ascii=False)
