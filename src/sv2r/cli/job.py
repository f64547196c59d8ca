"""What the commands that take a job's options share: `sv2r convert` and `sv2r config show`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from sv2r.cli.options import (
    CommandLine,
    ModelCommand,
    ModelOption,
    component_options,
    give_short_names,
    own_options,
)

if TYPE_CHECKING:
    from sv2r.config.layers import Layer
    from sv2r.config.resolve import Config, TypedOption
    from sv2r.plugin.registry import Registry

STAND_IN = "not given"
_FALLBACK_PRESET = "default"

# Options without a dot that stand for one inside a section.
_SHORT = {
    ("prompt", "template"): "--prompt",
    ("damage", "steps"): "--on-damage",
    ("damage", "max_restored"): "--max-restored",
}


@dataclass(frozen=True)
class Request:
    """What the command line asks for, not yet checked against the plugins."""

    registry: Registry
    layers: tuple[Layer, ...]
    texts: tuple[TypedOption, ...]

    def config(self, stand_in: Mapping[str, Any] | None = None) -> Config:
        """Return the resolved config; stand_in fills in for what may be missing."""
        from sv2r.config.layers import Layer
        from sv2r.config.resolve import resolve

        lowest = [Layer(STAND_IN, stand_in)] if stand_in else []
        return resolve(self.registry, [*lowest, *self.layers], self.texts)


class JobCommand(ModelCommand):
    """A command that takes a job's options and `--translator.strength`-like ones."""

    @cached_property
    def own_options(self) -> Sequence[click.Option]:
        """Return the job's options, those that choose components, and those of other sections."""
        from sv2r.config.sections import JobOptions

        job, sections = own_options(JobOptions), section_options()
        short = [option for option in sections if option.typed]
        ends = [option for option in job if option.path[0] in ("input", "output")]
        rest = [option for option in job if option not in ends]
        return [*ends, *_choosing(), *short, *rest, *(o for o in sections if not o.typed)]

    def plugin_options(self, asked: CommandLine) -> Iterable[ModelOption]:
        """Return the options of the components that the preset, the config and the options name.

        One whose last word no other has goes by that word as well: --model, --strength.
        """
        if asked.helping:
            asked.applied = self._applied(asked)
        options = list(self._of_components(asked))
        give_short_names(options, [*self.own_options, *self.params])
        return options

    def _of_components(self, asked: CommandLine) -> Iterable[ModelOption]:
        from sv2r.config.sections import ONE, SEVERAL

        choices = ("preset", "config_file", *ONE, *SEVERAL.values())
        if asked.helping and not any(asked.named.get(name) for name in choices):
            return
        merged = self.merged(asked)
        for kind in ONE:
            if name := merged.get(kind, {}).get("name"):
                yield from component_options(asked.registry, kind, name, (kind,))
        for section, kind in SEVERAL.items():
            for name in merged.get(section, {}):
                yield from component_options(asked.registry, kind, name, (kind, name))

    def _applied(self, asked: CommandLine) -> dict[tuple[str, ...], str]:
        """Return what the layers below the command line say, as help shows defaults."""
        from sv2r.config.layers import flatten, merge
        from sv2r.config.sections import SEVERAL
        from sv2r.plugin.options import default_text

        values = merge(self.layers(asked))[0]
        kinds = {section: str(kind) for section, kind in SEVERAL.items()}
        found: dict[tuple[str, ...], str] = {}
        for name, value in flatten(values).items():
            section, *rest = name.split(".")
            found[kinds.get(section, section), *rest] = default_text(value)
        for section, kind in kinds.items():
            if chosen := values.get(section):
                found[kind,] = ", ".join(chosen)
        return found

    def merged(self, asked: CommandLine) -> dict[str, Any]:
        """Return what preset, config file and command line choose, in one mapping."""
        from sv2r.config.layers import COMMAND_LINE, Layer, merge
        from sv2r.config.resolve import DEFAULTS, loader_for

        layers = [*self.layers(asked), Layer(COMMAND_LINE, _chosen(asked.named))]
        merged = merge(layers)[0]
        loaders = [word for word in asked.dotted if word.startswith("--loader.")]
        if loaders and "loader" not in merged:
            root = asked.named.get("input") or merged.get("input")
            merged["loader"] = {"name": loader_for(asked.registry, root, loaders[0])}
        if not asked.helping:
            for kind, name in DEFAULTS.items():
                merged.setdefault(kind, {}).setdefault("name", name)
        return merged

    def layers(self, asked: CommandLine) -> Sequence[Layer]:
        """Return the preset and the config files below the command line; files are read once."""
        from sv2r.config.layers import read_layers

        if asked.below is None:
            preset, file = asked.named.get("preset"), asked.named.get("config_file")
            if asked.helping and not _chosen(asked.named) and not (preset or file):
                asked.below = [_bundled_fallback()]
                return asked.below
            if not (preset or file) and _FALLBACK_PRESET in asked.registry.presets:
                preset = _FALLBACK_PRESET
            files = [Path(file)] if file else []
            given = bool(preset or file)
            asked.below = read_layers(asked.registry, preset=preset, files=files) if given else []
        return asked.below

    def unknown(self, ctx: click.Context, name: str) -> str:
        """Return what to say of an option that there is not: by its section, where it has one."""
        from sv2r.config.resolve import section_of
        from sv2r.config.sections import ONE, PLAIN, SEVERAL
        from sv2r.plugin.options import unknown_option

        kind, *inner = name.removeprefix("--").split(".")
        if not inner:
            return _told_short(ctx.obj, name) or super().unknown(ctx, name)
        sections = {str(kind): section for section, kind in SEVERAL.items()}
        if kind not in {*PLAIN, *ONE, *sections}:
            return super().unknown(ctx, name)
        path = (kind, *inner[:-1], inner[-1].replace("-", "_"))
        merged = self.merged(ctx.obj)
        options, _ = section_of(ctx.obj.registry, merged, path, sections.get(kind))
        chosen = path[1] if kind in sections else merged.get(kind, {}).get("name", "")
        owners = [one for of, one in _having(ctx.obj.registry, path[-1]) if of == kind]
        if chosen and kind in ONE and owners:
            return f"{name} is no option of {chosen}; choose --{kind} {owners[-1]} to use it"
        listing = f"sv2r plugins show {chosen}" if chosen else ""
        return unknown_option([path[-1]], options, f"--{'.'.join(path[:-1])}", listing)

    def request(
        self, ctx: click.Context, values: Mapping[str, Any], own: Mapping[str, Any] | None = None
    ) -> Request:
        """Return what the command line asks for, as layers and dotted options.

        own: what options of the command alone come to, as a config has it.
        """
        from sv2r.config.layers import COMMAND_LINE, Layer
        from sv2r.config.resolve import TypedOption

        asked: CommandLine = ctx.obj
        given: dict[str, Any] = dict(own or {})
        texts = []
        for option, words in asked.typed(values):
            if len(option.path) > 1:
                texts.append(TypedOption(option.path, words, option.typed))
            else:
                given[option.path[0]] = list(words) if option.multiple else words[0]
        top = Layer(COMMAND_LINE, {**given, **_chosen(values)})
        return Request(asked.registry, (*self.layers(asked), top), tuple(texts))


def _bundled_fallback() -> Layer:
    """Return the preset that applies where none is named, without importing any plugin."""
    from sv2r.config.layers import Layer
    from sv2r.presets import sv2r_presets
    from sv2r.storage.strict_yaml import read_yaml

    (file,) = (one for one in sv2r_presets() if one.name == f"{_FALLBACK_PRESET}.yaml")
    return Layer(_FALLBACK_PRESET, read_yaml(file.read_text(encoding="utf-8"), file.name))


class ChoosingOption(click.Option):
    """An option that names components; help shows those that apply where it is not given."""

    def get_help_record(self, ctx: click.Context) -> tuple[str, str] | None:
        """Return it as help shows it."""
        record = super().get_help_record(ctx)
        applied = getattr(ctx.obj, "applied", {})
        path = (self.name or "",)
        chosen = applied.get(path) or applied.get((*path, "name"))
        if record is None or not chosen:
            return record
        return record[0], f"{record[1].partition('  [')[0]}  [default: {chosen}]"


def _told_short(asked: CommandLine, name: str) -> str:
    """Return what to say of a last word that several options end in, or none of a chosen plugin.

    "" where no plugin has such an option.
    """
    word = name.replace("_", "-")
    chosen = [
        f"--{'.'.join(option.path)}"
        for option in asked.options
        if isinstance(option, ModelOption) and len(option.path) > 1 and option.short == word
    ]
    if chosen:
        return f"{name} may be {' or '.join(chosen)}; give one of these"
    owners = list(_having(asked.registry, word.removeprefix("--").replace("-", "_")))
    if not owners:
        return ""
    kinds: dict[str, list[str]] = {}
    for kind, one in owners:
        kinds.setdefault(kind, []).append(one)
    told = [
        f"{k}s {', '.join(some)}" if some[1:] else f"{k} {some[0]}" for k, some in kinds.items()
    ]
    choose = "; choose one" if owners[1:] else ""
    fix = " or ".join(f"--{kind} {some[-1]}" for kind, some in kinds.items())
    return f"{name} is an option of the {', and of the '.join(told)}{choose}: add {fix}"


def _having(registry: Registry, option: str) -> Iterable[tuple[str, str]]:
    """Yield kind and name of each installed component that has an option of that name."""
    from sv2r.config.sections import ONE, SEVERAL
    from sv2r.plugin.options import option_fields

    # A translator's is what is meant most often.
    for kind in dict.fromkeys(("translator", *ONE, *SEVERAL.values())):
        for entry in registry.of_kind(kind):
            fields = option_fields(registry.spec(kind, entry.name).options)
            if any(one.name == option for one in fields):
                yield str(kind), entry.name


def _choosing() -> list[click.Option]:
    """Return the options that choose presets, files and components."""
    from sv2r.config.sections import CHECKS

    one = {
        "preset": "Start from a preset; sv2r config lists them.",
        "loader": "The dataset's format; detected by default.",
        "conditioner": "A control map to make; may be repeated.",
        "translator": "What makes the pictures.",
        "check": f"A check of each picture; may be repeated.  [default: {', '.join(CHECKS)}]",
        "writer": "How the result is laid out.  [default: mirror]",
        "executor": "Where workers run.  [default: local]",
    }
    several = ("conditioner", "check")
    made = [
        ChoosingOption([f"--{name}"], metavar="NAME", multiple=name in several, help=text)
        for name, text in one.items()
    ]
    text = "A YAML config, applied over the preset."
    file = click.Option(["--config", "config_file"], metavar="FILE", type=click.Path(), help=text)
    return [made[0], file, *made[1:]]


def section_options() -> list[ModelOption]:
    """Return the options of the sections that are no component, and the short names of some."""
    from sv2r.config.sections import PLAIN
    from sv2r.plugin.options import option_fields

    found = []
    for section, model in PLAIN.items():
        for one in option_fields(model):
            path = (section, one.name)
            short = _SHORT.get(path, "")
            if short:
                found.append(ModelOption(path, one, typed=short))
            found.append(
                ModelOption(path, one, section=f"Options of {section}", hidden=bool(short))
            )
    return found


def _chosen(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return the components that a command line names, as a layer has them."""
    from sv2r.config.sections import ONE, SEVERAL

    one = {str(kind): values[kind] for kind in ONE if values.get(kind)}
    several = {s: list(values[kind]) for s, kind in SEVERAL.items() if values.get(kind)}
    return {**one, **several}
