"""A command whose options come from models: the job's own, and those of the plugins it uses."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

from sv2r.config.layers import COMMAND_LINE, Layer, merge, read_layers
from sv2r.config.resolve import Config, Texts, resolve
from sv2r.config.sections import CHECKS, ONE, PLAIN, SEVERAL, JobOptions
from sv2r.errors import ConfigError
from sv2r.plugin.options import OptionField, nearest, option_fields
from sv2r.plugin.registry import Registry, load_registry

_KINDS = {*PLAIN, *ONE, *SEVERAL.values()}
_FALLBACK_PRESET = "default"
STAND_IN = "not given"

# Options without a dot that stand for one inside a section.
_SHORT = {"prompt": ("prompt", "template"), "on_damage": ("damage", "steps")}


@dataclass(frozen=True)
class Request:
    """What the command line asks for, not yet held against the plugins."""

    registry: Registry
    layers: tuple[Layer, ...]
    texts: tuple[Texts, ...]

    def config(self, stand_in: Mapping[str, Any] | None = None) -> Config:
        """Return the resolved config; stand_in fills in for what may be missing."""
        lowest = [Layer(STAND_IN, stand_in)] if stand_in else []
        return resolve(self.registry, [*lowest, *self.layers], self.texts)


@dataclass(frozen=True)
class Asked:
    """A command line taken apart. plain: the options without dots, as texts."""

    registry: Registry
    texts: tuple[Texts, ...]
    plain: Mapping[str, Any]


class DottedCommand(click.Command):
    """A command that takes the job's options and `--translator.strength`-like ones.

    The dotted ones are taken out before click looks, since only the chosen plugins say which
    there are; `--help` shows those of the plugins named beside it.
    """

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Take the dotted options out, refuse unknown ones by name, and let click do the rest."""
        texts, rest = split_dotted(args)
        self._refuse_unknown(rest)
        plain, _, _ = self.make_parser(ctx).parse_args(list(rest))
        ctx.obj = Asked(load_registry(), texts, plain)
        return super().parse_args(ctx, rest)

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the command's options, then those of the plugins that are named beside --help."""
        super().format_options(ctx, formatter)
        for title, prefix, fields in self.sections(ctx.obj):
            with formatter.section(title):
                formatter.write_dl(
                    [(f"{prefix}{f.name}{metavar(f)}", help_text(f)) for f in fields]
                )

    def sections(self, asked: Asked) -> Iterable[tuple[str, str, list[OptionField]]]:
        """Yield title, prefix and options of each group of dotted options to show in help."""
        return _sections(asked.registry, asked.plain)

    def _refuse_unknown(self, args: Sequence[str]) -> None:
        known = {name for param in self.params for name in (*param.opts, *param.secondary_opts)}
        for arg in args:
            name = arg.partition("=")[0].replace("_", "-")
            if arg.startswith("--") and name not in {*known, "--help", "--"}:
                near = nearest(name, known)
                hint = f"did you mean {near}?" if near else "--help lists all"
                raise ConfigError(f"no option {name}; {hint}")


def split_dotted(args: Sequence[str]) -> tuple[tuple[Texts, ...], list[str]]:
    """Return the dotted options with all that was given for each, and the other arguments."""
    found: dict[tuple[str, ...], list[str]] = {}
    rest: list[str] = []
    words = list(args)
    while words:
        word = words.pop(0)
        name, equals, value = word.partition("=")
        path = _path(name)
        if not path:
            rest.append(_hyphened(name) + equals + value)
            continue
        if not equals:
            # An option without a value is a switch that is turned on.
            value = words.pop(0) if words and not words[0].startswith("--") else "true"
        found.setdefault(path, []).append(value)
    return tuple(Texts(path, tuple(values)) for path, values in found.items()), rest


def _path(name: str) -> tuple[str, ...]:
    """Return the parts of a dotted option, () for any other word."""
    kind, *inner = name.removeprefix("--").split(".")
    if not name.startswith("--") or not inner or kind not in _KINDS:
        return ()
    return (kind, *inner[:-1], inner[-1].replace("-", "_"))


def _hyphened(name: str) -> str:
    return name.replace("_", "-") if name.startswith("--") else name


def job_options(command: click.Command) -> click.Command:
    """Add an option for each field of the job, and those that choose components, to a command."""
    choosing = [
        click.Option(
            ["--preset"], metavar="NAME", help="Start from a preset; sv2r config lists them."
        ),
        click.Option(
            ["--config", "config_file"], metavar="FILE", help="A YAML config over the preset."
        ),
        click.Option(
            ["--loader"], metavar="NAME", help="The dataset's format; found out if left out."
        ),
        click.Option(
            ["--conditioner"],
            metavar="NAME",
            multiple=True,
            help="A control map to make; may be repeated.",
        ),
        click.Option(["--translator"], metavar="NAME", help="What makes the pictures."),
        _short_option("prompt"),
        click.Option(
            ["--check"],
            metavar="NAME",
            multiple=True,
            help=f"A check of each picture; may be repeated.  [default: {', '.join(CHECKS)}]",
        ),
        _short_option("on_damage"),
        click.Option(
            ["--writer"], metavar="NAME", help="How the result is laid out.  [default: mirror]"
        ),
        click.Option(["--executor"], metavar="NAME", help="Where workers run.  [default: local]"),
    ]
    own = [_job_option(field) for field in option_fields(JobOptions)]
    command.params = [*own[:2], *choosing, *own[2:], *command.params]
    return command


def read_request(ctx: click.Context, values: Mapping[str, Any]) -> Request:
    """Return what the command line asks for, as layers and dotted options."""
    registry, texts = ctx.obj.registry, ctx.obj.texts
    preset, file = values.get("preset"), values.get("config_file")
    if preset is None and file is None:
        preset = _FALLBACK_PRESET if _FALLBACK_PRESET in registry.presets else None
    layers = read_layers(registry, preset=preset, files=[Path(file)] if file else [])
    given = {k: v for k, v in values.items() if v not in (None, ()) and k in _layer_keys()}
    named = {section: list(given.pop(kind)) for section, kind in SEVERAL.items() if kind in given}
    short = [
        Texts(path, (values[name],), f"--{name.replace('_', '-')}")
        for name, path in _SHORT.items()
        if values.get(name) is not None
    ]
    texts = (*short, *texts)
    return Request(registry, (*layers, Layer(COMMAND_LINE, {**given, **named})), texts)


def _layer_keys() -> set[str]:
    return {*JobOptions.model_fields, *ONE, *SEVERAL.values()}


def _short_option(name: str) -> click.Option:
    section, field_name = _SHORT[name]
    fields = {field.name: field for field in option_fields(PLAIN[section])}
    text = help_text(fields[field_name]).replace("; may be repeated", "")
    return click.Option([f"--{name.replace('_', '-')}", name], metavar="TEXT", help=text)


def _job_option(field: OptionField) -> click.Option:
    name = f"--{field.name.replace('_', '-')}"
    if field.boolean:
        return click.Option([name, field.name], is_flag=True, default=None, help=field.description)
    return click.Option(
        [name, field.name],
        metavar=metavar(field).strip(),
        multiple=field.repeatable,
        help=help_text(field),
    )


_TYPES = ("int", "number", "text", "path")


def metavar(field: OptionField) -> str:
    """Return what stands behind an option's name in help, with a space before it."""
    if field.boolean:
        return " [true|false]"
    words = field.type.replace(" ", "").split("|")
    # What is to be typed as it stands is written so; the name of a type is not.
    return f" {'|'.join(w.upper() if w in _TYPES or len(words) == 1 else w for w in words)}"


def help_text(field: OptionField) -> str:
    """Return an option's description with its bounds and default, as click writes them."""
    notes = [field.bounds, "required" if field.default == "required" else ""]
    notes += [f"default: {field.default}" if field.default not in ("", "required") else ""]
    notes += [field.repetition]
    told = "; ".join(note for note in notes if note)
    return f"{field.description}{f'  [{told}]' if told else ''}"


def _sections(
    registry: Registry, params: Mapping[str, Any]
) -> Iterable[tuple[str, str, list[OptionField]]]:
    """Yield title, prefix and options of the prompt and of each plugin that help was asked with."""
    for section, model in PLAIN.items():
        fields = [f for f in option_fields(model) if (section, f.name) not in _SHORT.values()]
        yield f"Options of {section}", f"--{section}.", fields
    merged = _merged(registry, params)
    for kind in ONE:
        name = merged.get(kind, {}).get("name")
        if name:
            yield from plugin_section(registry, kind, name, f"--{kind}.")
    for section, kind in SEVERAL.items():
        for name in merged.get(section, {}):
            yield from plugin_section(registry, kind, name, f"--{kind}.{name}.")


def plugin_section(
    registry: Registry, kind: str, name: str, prefix: str
) -> Iterable[tuple[str, str, list[OptionField]]]:
    """Yield title, prefix and options of a plugin, where it has any."""
    entry = registry.entry(kind, name)
    if fields := option_fields(entry.value.options):
        yield f"Options of the {name} {kind}", prefix, fields


def _merged(registry: Registry, params: Mapping[str, Any]) -> dict[str, Any]:
    preset, file = params.get("preset"), params.get("config_file")
    layers = read_layers(registry, preset=preset, files=[Path(file)] if file else [])
    given: dict[str, Any] = {kind: params[kind] for kind in ONE if params.get(kind)}
    named = {s: list(params[k]) for s, k in SEVERAL.items() if params.get(k)}
    return merge([*layers, Layer(COMMAND_LINE, {**given, **named})])[0]
