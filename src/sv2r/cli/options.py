"""click options made from pydantic models, and commands that have those of the plugins they use.

One declaration, the model's field, gives an option its name, help with bounds and default, and the
words that a shell completes. What is typed is kept as text, and the model reads it: one place
decides what is right, and words the errors, for the command line as for YAML.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from sv2r.errors import ConfigError
from sv2r.plugin.words import nearest

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem

    from sv2r.config.layers import Layer
    from sv2r.plugin.options import OptionField
    from sv2r.plugin.registry import Registry

_NAMING = "sv2r.naming"  # set while it is found out which plugins are named
_TYPES = ("int", "number", "text", "path")
_SWITCH = ("true", "false", "yes", "no", "on", "off", "1", "0")


class Text(click.ParamType[str]):
    """What was typed, as it is; a shell completes the words that a field has."""

    def __init__(self, declared: OptionField) -> None:
        words = [word.strip() for word in declared.type.split("|")]
        self.name = declared.type
        self._words = [word for word in words if word not in _TYPES] if len(words) > 1 else []

    def shell_complete(
        self, ctx: click.Context, param: click.Parameter, incomplete: str
    ) -> list[CompletionItem]:
        """Return the words that begin so; where there are none, the shell completes files."""
        from click.shell_completion import CompletionItem

        if not self._words:
            return [CompletionItem(incomplete, type="file")]
        return [CompletionItem(word) for word in self._words if word.startswith(incomplete)]


class ModelOption(click.Option):
    """An option made from a model's field.

    path: its place among all options ("translator", "strength"). section: its heading in help.
    typed: how it is called on the command line, where that is not its path.
    """

    def __init__(
        self,
        path: tuple[str, ...],
        declared: OptionField,
        *,
        typed: str = "",
        section: str = "Options",
        hidden: bool = False,
    ) -> None:
        spelled = typed or f"--{'.'.join(path)}"
        super().__init__(
            [spelled, _normal(spelled.removeprefix("--")).replace(".", "__")],
            type=Text(declared),
            multiple=declared.repeatable,
            metavar=metavar(declared),
            help=help_text(declared),
            hidden=hidden,
        )
        self.path, self.declared, self.typed, self.section = path, declared, typed, section

    def get_help_record(self, ctx: click.Context) -> tuple[str, str] | None:
        """Return it as help shows it, with the default that a preset or config gives it."""
        record = super().get_help_record(ctx)
        applied = getattr(ctx.obj, "applied", {}).get(self.path)
        if record is None or applied is None:
            return record
        return record[0], help_text(self.declared, applied)

    @property
    def short(self) -> str:
        """Return the last word of its path, as an option."""
        return f"--{self.path[-1].replace('_', '-')}"


@dataclass
class CommandLine:
    """What a command line asks for, while it is read.

    named: the values of the command's own options, as texts. rest: the words that are none of
    these. helping: whether help is asked for, or a shell completes.
    options: those that are made from models: the command's own, and those of the plugins it uses.
    below: the layers that the command line goes over, once they have been read.
    applied: what these say, as texts, by the options' paths; for help alone.
    """

    named: Mapping[str, Any] = field(default_factory=dict)
    rest: Sequence[str] = ()
    helping: bool = False
    options: Sequence[click.Option] = ()
    below: Sequence[Layer] | None = None
    applied: Mapping[tuple[str, ...], str] = field(default_factory=dict)

    @property
    def dotted(self) -> list[str]:
        """Return the options that are no own ones, as they are typed."""
        return [word.partition("=")[0] for word in self.rest if word.startswith("--")]

    @cached_property
    def registry(self) -> Registry:
        """Return the installed plugins; they are imported when this is first asked for."""
        from sv2r.plugin.registry import load_registry

        return load_registry()

    def typed(self, values: Mapping[str, Any]) -> list[tuple[ModelOption, tuple[str, ...]]]:
        """Return what click read for the options that are made from models, and was given."""
        found = []
        for option in self.options:
            value = values.get(option.name or "")
            if isinstance(option, ModelOption) and value not in (None, ()):
                texts = tuple(value) if isinstance(value, (tuple, list)) else (str(value),)
                found.append((option, texts))
        return found


class OnceCommand(click.Command):
    """A command that refuses an option given twice where only the last would count.

    Hyphens and underscores in the names of options are one.
    """

    def make_context(
        self,
        info_name: str | None,
        args: list[str],
        parent: click.Context | None = None,
        **extra: Any,
    ) -> click.Context:
        """Return a context in which an option may be typed with - or _."""
        extra.setdefault("token_normalize_func", _normal)
        typed = list(args)
        try:
            return super().make_context(info_name, args, parent, **extra)
        except click.BadOptionUsage as error:
            name = _as_typed(error.option_name, typed)
            needs = "requires" in error.message
            fault = "needs a value; --help says which" if needs else "takes no value; leave it out"
            raise ConfigError(f"{name} {fault}") from None

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Refuse what is given twice, and let click do the rest."""
        if not ctx.resilient_parsing:
            self._refuse_repeated(ctx, args)
        return super().parse_args(ctx, args)

    def _refuse_repeated(self, ctx: click.Context, args: list[str]) -> None:
        try:
            _, _, order = self.make_parser(ctx).parse_args(list(args))
        except click.NoSuchOption as error:
            raise ConfigError(self.unknown(ctx, _as_typed(error.option_name, args))) from None
        seen: dict[object, str] = {}
        for param in order:
            if isinstance(param, click.Option) and not param.is_flag:
                place = param.path if isinstance(param, ModelOption) else param
                name = param.opts[0]
                if seen.get(place, name) != name:
                    raise ConfigError(f"{seen[place]} and {name} are one option; leave one out")
                if place in seen and not param.multiple:
                    raise ConfigError(f"{name} is given twice; leave one out")
                seen[place] = name

    def unknown(self, ctx: click.Context, name: str) -> str:
        """Return what to say of an option that there is not."""
        known = {
            opt for param in self.get_params(ctx) for opt in (*param.opts, *param.secondary_opts)
        }
        words = {opt.lstrip("-") for opt in known if opt.startswith("--")}
        near = nearest(name.replace("_", "-").lstrip("-"), words)
        return f"no option {name}; {f'did you mean --{near}?' if near else '--help lists all'}"


class ModelCommand(OnceCommand):
    """A command with options from models: its own, and those of the plugins that it uses."""

    names_options = False
    """Whether an option's value may name another option, so that all must be known."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Find out which plugins are named, then read their options with the others."""
        ctx.meta[_NAMING] = True
        parser = self.make_parser(ctx)
        del ctx.meta[_NAMING]
        parser.ignore_unknown_options = True
        named, rest, _ = parser.parse_args(self._with_switches(ctx, args))
        helping = ctx.resilient_parsing or bool(set(args) & set(ctx.help_option_names))
        ctx.obj = asked = CommandLine(named, rest, helping, self.own_options)
        if asked.dotted or helping or self.names_options:
            asked.options = [*self.own_options, *self._plugin_options(asked, ctx)]
        return super().parse_args(ctx, self._with_switches(ctx, args))

    def get_params(self, ctx: click.Context) -> list[click.Parameter]:
        """Return the command's options and arguments, with those of the plugins in use."""
        if isinstance(ctx.obj, CommandLine):
            return [*ctx.obj.options, *super().get_params(ctx)]
        params = [*self.own_options, *super().get_params(ctx)]
        # What is no option may as well be the value of one that is not known yet.
        options_alone = _NAMING in ctx.meta
        return [p for p in params if isinstance(p, click.Option)] if options_alone else params

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the options, each under the heading of what has it."""
        sections: dict[str, list[tuple[str, str]]] = {"Options": []}
        for param in self.get_params(ctx):
            if record := param.get_help_record(ctx):
                sections.setdefault(getattr(param, "section", "Options"), []).append(record)
        for title, records in sections.items():
            with formatter.section(title):
                formatter.write_dl(records)

    @cached_property
    def own_options(self) -> Sequence[click.Option]:
        """Return the options from models that the command has whatever plugins it uses."""
        return ()

    def plugin_options(self, asked: CommandLine) -> Iterable[ModelOption]:
        """Return the options of the plugins that a command line uses."""
        return ()

    def _plugin_options(self, asked: CommandLine, ctx: click.Context) -> list[ModelOption]:
        try:
            return list(self.plugin_options(asked))
        except ConfigError:
            if ctx.resilient_parsing:  # a shell that completes has nobody to tell it to
                return []
            raise

    def _with_switches(self, ctx: click.Context, args: Sequence[str]) -> list[str]:
        """Return the arguments with a value for each switch: --x alone is --x=true."""
        switches = {
            _normal(opt)
            for param in self.get_params(ctx)
            if isinstance(param, ModelOption) and param.declared.boolean
            for opt in param.opts
        }
        words, read = list(args), list[str]()
        while words:
            word = words.pop(0)
            if word == "--":
                return [*read, word, *words]
            if _normal(word) in switches:
                word += f"={words.pop(0) if words and words[0].lower() in _SWITCH else 'true'}"
            read.append(word)
        return read


def _normal(name: str) -> str:
    return name.replace("-", "_")


def _as_typed(name: str, args: Sequence[str]) -> str:
    """Return an option's name as it was typed: click normalizes it."""
    names = (arg.partition("=")[0] for arg in args)
    return next((word for word in names if _normal(word) == _normal(name)), name)


def own_options(model: Any, *, path: tuple[str, ...] = ()) -> list[ModelOption]:
    """Return an option for each field of a model, called --like-this."""
    from sv2r.plugin.options import option_fields

    return [
        ModelOption((*path, one.name), one, typed=f"--{one.name.replace('_', '-')}")
        for one in option_fields(model)
    ]


def component_options(
    registry: Registry, kind: Any, name: str, path: tuple[str, ...]
) -> list[ModelOption]:
    """Return the options of a plugin's component."""
    from sv2r.plugin.options import option_fields

    fields = option_fields(registry.spec(kind, name).options)
    section = f"Options of the {name} {kind}"
    return [ModelOption((*path, one.name), one, section=section) for one in fields]


def give_short_names(options: Sequence[ModelOption], taken: Iterable[click.Parameter]) -> None:
    """Let options of plugins be called by their last word alone, where only one is called so.

    taken: the command's own options, whose names count first.
    """
    names = [*(_normal(opt) for param in taken for opt in param.opts)]
    names += [_normal(option.short) for option in options]
    for option in options:
        if names.count(_normal(option.short)) == 1:
            option.opts.append(option.short)


def folder_in(words: Sequence[str]) -> Path | None:
    """Return the word that is the dataset, among options that may take values."""
    from sv2r.cli.paths import typed_path
    from sv2r.storage.source import as_source

    values = {i + 1 for i, word in enumerate(words) if word.startswith("--") and "=" not in word}
    plain = [word for i, word in enumerate(words) if i not in values and not word.startswith("--")]
    # The word behind a switch looks like its value.
    folders = plain or [word for word in words if Path(word).exists()]
    return as_source(typed_path(Path(folders[-1]))) if folders else None


def metavar(declared: OptionField) -> str:
    """Return what stands behind an option's name in help."""
    if declared.boolean:
        return "[true|false]"
    words = declared.type.replace(" ", "").split("|")
    # What is to be typed as it stands is written so; the name of a type is not.
    return "|".join(w.upper() if w in _TYPES or len(words) == 1 else w for w in words)


def help_text(declared: OptionField, applied: str | None = None) -> str:
    """Return an option's description with its bounds and default, as click writes them.

    applied: the default that counts in the place of the declared one.
    """
    default = declared.default if applied is None else applied
    notes = [declared.bounds, "required" if default == "required" else ""]
    shown = default not in ("", "required")
    notes += [f"default: {default}" if shown else "", declared.repetition]
    told = "; ".join(note for note in notes if note)
    return f"{declared.description}{f'  [{told}]' if told else ''}"
