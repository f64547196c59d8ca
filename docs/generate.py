"""Writes the reference pages, docs/reference/, from the code: commands, plugins, hooks, config.

    uv run python docs/generate.py            # write the pages that changed
    uv run python docs/generate.py --check    # exit with 1 where a page is stale

Only what this checkout brings is on the pages: other plugins that are installed are left out.
"""

from __future__ import annotations

import argparse
import dataclasses
import inspect
import re
import sys
import tomllib
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import click

import sv2r
from sv2r.cli.main import cli
from sv2r.config.sections import ONE, PLAIN, SEVERAL, JobOptions
from sv2r.plugin import hookspecs, specs
from sv2r.plugin.options import OptionField, option_fields
from sv2r.plugin.registry import Entry, Registry, load_registry
from sv2r.types import Record

ROOT = Path(__file__).resolve().parents[1]
REFERENCE = ROOT / "docs" / "reference"
_NOTE = "<!-- Written by docs/generate.py from the code; edit the code, then run that. -->"
_KINDS = ("loader", "conditioner", "translator", "check", "writer", "executor", "trainer")


def main() -> int:
    """Write the pages, or say which are stale; return the exit code."""
    line = argparse.ArgumentParser(description="Write docs/reference/ from the code.")
    line.add_argument("--check", action="store_true", help="write nothing; exit 1 if stale")
    found = pages(load_registry())
    names = stale(found)
    if line.parse_args().check:
        if names:
            print(f"stale: {', '.join(names)}; run: uv run python docs/generate.py")
        return 1 if names else 0
    REFERENCE.mkdir(exist_ok=True)
    for name in names:
        (REFERENCE / name).write_text(found[name], encoding="utf-8")
        print(f"wrote docs/reference/{name}")
    return 0


def stale(found: Mapping[str, str]) -> list[str]:
    """Return the names of the pages that differ from what is on disk."""
    files = {name: REFERENCE / name for name in found}
    return [
        name
        for name, file in files.items()
        if not file.is_file() or file.read_text(encoding="utf-8") != found[name]
    ]


def pages(registry: Registry) -> dict[str, str]:
    """Return the text of every reference page by its file name."""
    ours = _our_distributions()
    entries = [entry for entry in registry.entries if entry.owner.distribution in ours]
    made = {
        "commands.md": ("Commands", _commands(registry, ours)),
        "plugins.md": ("Plugins and their options", _plugins(entries)),
        "hooks.md": ("Hooks and types", _hooks()),
        "config.md": ("The config file", _config()),
        "records.md": ("Fields of a record", _records()),
    }
    return {
        name: "\n".join([f"# {title}", "", _NOTE, "", *lines]).rstrip() + "\n"
        for name, (title, lines) in made.items()
    }


def _our_distributions() -> set[str]:
    files = [ROOT / "pyproject.toml", *sorted(ROOT.glob("plugins/*/pyproject.toml"))]
    return {tomllib.loads(file.read_text(encoding="utf-8"))["project"]["name"] for file in files}


def _commands(registry: Registry, ours: set[str]) -> Iterator[str]:
    yield "Every command takes `--help`. Exit codes are the same for all: see"
    yield "[a conversion](../convert.md#exit-codes)."
    owners = {e.name: e.owner.distribution for e in registry.entries if e.kind == "command"}
    context = click.Context(cli, info_name="sv2r")
    for name in cli.list_commands(context):
        owner = owners.get(name, "sv2r")
        command = cli.get_command(context, name)
        if owner in ours and command is not None:
            yield from _command(command, click.Context(command, context, name), owner, level=2)


def _command(
    command: click.Command, context: click.Context, owner: str, level: int
) -> Iterator[str]:
    source = "" if owner == "sv2r" else f" ({owner})"
    yield from ["", f"{'#' * level} {context.command_path}{source}", ""]
    yield from ["```text", " ".join(_usage(command, context)), "```", ""]
    yield from _prose(command.help or "")
    records = [
        record
        for parameter in command.get_params(context)
        if (record := parameter.get_help_record(context)) and "--help" not in record[0]
    ]
    yield from (_item(f"`{names}`", text) for names, text in records)
    if isinstance(command, click.Group):
        for name in command.list_commands(context):
            inner = command.get_command(context, name)
            if inner is not None:
                below = click.Context(inner, context, name)
                yield from _command(inner, below, "sv2r", min(level + 1, 4))


def _usage(command: click.Command, context: click.Context) -> Iterator[str]:
    yield context.command_path
    yield from command.collect_usage_pieces(context)


def _prose(text: str) -> Iterator[str]:
    r"""Yield a docstring's paragraphs; what click shows line by line (\\b) becomes a code block."""
    for paragraph in inspect.cleandoc(text).split("\n\n"):
        if paragraph.startswith("\b\n"):
            yield from ["```text", inspect.cleandoc(paragraph.removeprefix("\b\n")), "```", ""]
        elif paragraph:
            yield from [_escaped(paragraph), ""]


def _plugins(entries: Sequence[Entry]) -> Iterator[str]:
    yield "As `sv2r plugins show NAME` prints them. In YAML an option stands in its component's"
    yield "section, with underscores: `translator: {name: sdedit, strength: 0.4}`."
    for kind in _KINDS:
        some = sorted((e for e in entries if e.kind == kind), key=lambda entry: entry.name)
        if some:
            yield from ["", f"## {kind.capitalize()}s"]
        for entry in some:
            yield from _component(entry)
    presets = sorted((e for e in entries if e.kind == "preset"), key=lambda entry: entry.name)
    yield from ["", "## Presets", "", "`sv2r config copy NAME` gives you one to change.", ""]
    for entry in presets:
        first = entry.value.read_text(encoding="utf-8").lstrip().partition("\n")[0]
        summary = first.removeprefix("#").strip() if first.startswith("#") else ""
        yield _item(f"`--preset {entry.name}`{_from(entry)}", summary)


def _component(entry: Entry) -> Iterator[str]:
    yield from ["", f"### {entry.kind} {entry.name}{_from(entry)}", ""]
    yield _escaped(entry.value.summary)
    if isinstance(entry.value, specs.ConditionerSpec):
        yield f"Makes the control map `{entry.value.produces}`."
    prefix = f"{entry.kind}.{entry.name}" if entry.kind in SEVERAL.values() else entry.kind
    fields = option_fields(entry.value.options)
    yield "" if fields else "It has no options."
    yield from (_option(f"--{prefix}.{field.name.replace('_', '-')}", field) for field in fields)


def _from(entry: Entry) -> str:
    return "" if entry.owner.distribution == "sv2r" else f" ({entry.owner.distribution})"


def _option(spelled: str, field: OptionField) -> str:
    facts = [field.type, field.bounds, field.repetition]
    facts.append(f"default {field.default}" if field.default != "required" else "required")
    told = " · ".join(fact for fact in facts if fact and fact != "default ")
    return _item(f"`{spelled}`: {_escaped(told)}", field.description)


def _hooks() -> Iterator[str]:
    yield "[Write a plugin](../plugins.md) has a whole example for each hook. All names but the"
    yield "optional protocols are imported from `sv2r`."
    yield from ["", "## Hooks", ""]
    for name, hook in vars(hookspecs).items():
        if name.startswith("sv2r_"):
            returns = inspect.signature(hook).return_annotation
            yield _item(f"`{name}() -> {returns}`", _first_line(hook))
    for title, names in _TYPES.items():
        yield from ["", f"## {title}"]
        for name in names:
            yield from _type(name, getattr(sv2r, name, None) or getattr(specs, name))


_TYPES: Mapping[str, Sequence[str]] = {
    "What a hook returns": (
        *("PluginSpec", "LoaderSpec", "ConditionerSpec", "TranslatorSpec", "CheckSpec"),
        *("WriterSpec", "ExecutorSpec", "TrainerSpec"),
    ),
    "What a component is": (
        *("Translator", "Writer", "Executor", "Work", "Worker", "Trainer", "Training"),
    ),
    "What a component may have as well": ("Describes", "Buckets", "Claims"),
    "What a component is built with": ("Runtime",),
    "What flows": (
        *("Dataset", "Sample", "Problem", "Match", "Instance", "Instances", "Frame"),
        *("ControlMap", "Batch", "Refusal", "CheckResult", "Published", "Task", "Record"),
    ),
}


def _type(name: str, kind: type) -> Iterator[str]:
    yield from ["", f"### {name}", ""]
    fields = dataclasses.fields(kind) if dataclasses.is_dataclass(kind) else ()
    told = described(kind, [field.name for field in fields])
    yield from [_escaped(told.pop("", "")), ""]
    if issubclass(kind, specs.PluginSpec) and kind is not specs.PluginSpec:
        fields = tuple(f for f in fields if f.name in kind.__annotations__)
        yield from [f"The fields of [PluginSpec](#pluginspec){', and' if fields else '.'}", ""]
    yield from (_field(field, told.get(field.name, "")) for field in fields)
    yield from _methods(kind, {field.name for field in fields})


def _field(field: dataclasses.Field[Any], text: str) -> str:
    default = ", required"
    if field.default_factory is not dataclasses.MISSING or field.default in ((), frozenset()):
        default = ", empty by default"
    elif callable(field.default):
        default = ""  # a function that says "nothing"
    elif field.default is not dataclasses.MISSING:
        default = f", default `{str(field.default) or 'empty'}`"
    return _item(f"`{field.name}: {field.type}`{default}", text)


def _methods(kind: type, known: set[str]) -> Iterator[str]:
    for name, member in vars(kind).items():
        shown: Callable[..., Any] | None = getattr(member, "fget", None) or (
            member if inspect.isfunction(member) else None
        )
        hidden = name.startswith("_") and name != "__call__"
        if shown is None or hidden or name in known:
            continue
        text = str(inspect.signature(shown)).replace("'", "").replace(", /", "")
        text = text.replace("(self, ", "(").replace("(self)", "()")
        call = f"{name}{text if shown is member else text.replace('() ->', ':')}"
        yield _item(f"`{call}`", inspect.getdoc(shown) or "")


def described(kind: type, names: Sequence[str]) -> dict[str, str]:
    """Return what a docstring says of each of these fields; under "", what it says of the type."""
    text = " ".join(inspect.cleandoc(kind.__doc__ or "").split())
    either = "|".join(names) or "(?!)"
    parts = re.split(rf"(?:(?<=^)|(?<=\. )|(?<=\.\) ))((?:(?:{either})(?:, )?)+): ", text)
    told = {"": parts[0].strip()}
    for heads, meaning in zip(parts[1::2], parts[2::2], strict=True):
        told |= dict.fromkeys(heads.split(", "), meaning.strip())
    return told


def _config() -> Iterator[str]:
    yield "Every key of a config file (`--config FILE`, `run.yaml`, a preset). `sv2r config schema`"
    yield "prints the same as a JSON schema for editors, with the options of all plugins."
    yield from [
        "",
        "## The job",
        "",
        _item("`extends`: text", "A preset's name, or another file."),
    ]
    yield from (_option(field.name, field) for field in option_fields(JobOptions))
    for section, model in PLAIN.items():
        yield from ["", f"## {section}", "", _escaped(_first_line(model)), ""]
        yield from (_option(f"{section}.{f.name}", f) for f in option_fields(model))
    yield from ["", "## Components", ""]
    for kind in ONE:
        yield f"- `{kind}`: a name, or `{{name: NAME, OPTION: VALUE}}`"
    for section, kind in SEVERAL.items():
        yield f"- `{section}`: a list of {kind}s' names, or `{{NAME: {{OPTION: VALUE}}}}`"
    yield from ["", "Their options: [plugins](plugins.md)."]


def _records() -> Iterator[str]:
    yield "Each line of `OUT/sv2r/samples.jsonl` is one JSON object with these fields; those that"
    yield "are empty may be left out."
    yield ""
    fields = dataclasses.fields(Record)
    told = described(Record, [field.name for field in fields])
    for field in fields:
        yield _item(f"`{field.name}`: `{field.type}`", told[field.name])


def _first_line(thing: Any) -> str:
    return (inspect.getdoc(thing) or "").partition("\n")[0]


def _item(head: str, text: str) -> str:
    """Return a list item, what it means on a line of its own."""
    meaning = _escaped(text)
    return f"- {head}" + (f"  \n  {meaning[0].upper()}{meaning[1:]}" if meaning else "")


def _escaped(text: str) -> str:
    """Return text as Markdown that shows it as it is, on one line per paragraph."""
    joined = re.sub(r"\s*\n\s*", " ", text.replace("``", "`").strip())
    outside = joined.split("`")
    outside[::2] = [re.sub(r"(\*|<(?=[a-z]))", r"\\\1", part) for part in outside[::2]]
    return "`".join(outside)


if __name__ == "__main__":
    sys.exit(main())
