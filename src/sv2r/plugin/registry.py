"""Finds plugins through entry points and keeps what they bring, whole or not at all."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from importlib.resources.abc import Traversable
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Literal

import pluggy
from pydantic.errors import PydanticUndefinedAnnotation, PydanticUserError

from sv2r.errors import ConfigError, PluginError, Sv2rError
from sv2r.plugin import hookspecs
from sv2r.plugin.discovery import GROUP, InstalledPlugin, Owner, Unwanted, find_plugins
from sv2r.plugin.guard import guard, one_line
from sv2r.plugin.guarded import guard_spec
from sv2r.plugin.options import Options, nearest
from sv2r.plugin.specs import (
    AnySpec,
    CheckSpec,
    ConditionerSpec,
    ExecutorSpec,
    LoaderSpec,
    TranslatorSpec,
    WriterSpec,
)

if TYPE_CHECKING:
    import click

NAME = re.compile(r"[a-z][a-z0-9-]*")

Kind = Literal["loader", "conditioner", "translator", "check", "writer", "executor"]
Stage = Literal["metadata", "import", "hooks", "call", "type", "name", "clash"]

SPECS: Mapping[str, tuple[Kind, type[AnySpec]]] = MappingProxyType(
    {
        "sv2r_loaders": ("loader", LoaderSpec),
        "sv2r_conditioners": ("conditioner", ConditionerSpec),
        "sv2r_translators": ("translator", TranslatorSpec),
        "sv2r_checks": ("check", CheckSpec),
        "sv2r_writers": ("writer", WriterSpec),
        "sv2r_executors": ("executor", ExecutorSpec),
    }
)


@dataclass(frozen=True)
class PluginFailure:
    """A plugin that was left out: at which stage, and the error in one line."""

    owner: Owner
    stage: Stage
    error: str

    def __str__(self) -> str:
        broke = f"{self.stage} failed" if self.stage in ("import", "call") else self.stage
        return f"plugin {self.owner} disabled: {broke}: {self.error}"


@dataclass(frozen=True)
class Entry:
    """Something that a plugin brought. value: a spec, a preset's file or a command."""

    kind: str
    name: str
    owner: Owner
    value: Any

    def __str__(self) -> str:
        return f"{self.kind} '{self.name}' of plugin {self.owner}"


@dataclass(frozen=True)
class Registry:
    """All that the working plugins brought, in a stable order, and the failures."""

    entries: tuple[Entry, ...]
    failures: tuple[PluginFailure, ...] = ()
    disabled: tuple[Owner, ...] = ()
    _by_name: Mapping[tuple[str, str], Entry] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        by_name = {(entry.kind, entry.name): entry for entry in self.entries}
        object.__setattr__(self, "_by_name", by_name)

    def of_kind(self, kind: str) -> list[Entry]:
        """Return the entries of a kind, by name."""
        found = [entry for entry in self.entries if entry.kind == kind]
        return sorted(found, key=lambda entry: entry.name)

    def entry(self, kind: str, name: str) -> Entry:
        """Return an entry.

        Raises:
            ConfigError: there is none; names the nearest, and the plugins that failed.
        """
        if found := self._by_name.get((kind, name)):
            return found
        names = [entry.name for entry in self.of_kind(kind)]
        near = nearest(name, names)
        hint = f"; did you mean {near}?" if near else f"; there are: {', '.join(names) or 'none'}"
        raise ConfigError(f"no {kind} '{name}'{hint}{self._perhaps_from_failed(name)}")

    def named(self, name: str) -> list[Entry]:
        """Return the entries of a name, whatever their kind; or all that a plugin brings.

        "writer:coco" asks for one kind.

        Raises:
            ConfigError: there is none; names the nearest, and the plugins that failed.
        """
        kind, _, bare = name.rpartition(":")
        fitting = [entry for entry in self.entries if not kind or entry.kind == kind]
        own = [entry for entry in fitting if entry.name == bare]
        if found := own or [entry for entry in fitting if entry.owner.plugin == bare]:
            return found
        near = nearest(bare, {entry.name for entry in fitting})
        hint = f"did you mean {near}?" if near else "`sv2r plugins` lists all"
        raise ConfigError(
            f"no {kind or 'component'} '{bare}'; {hint}{self._perhaps_from_failed(bare)}"
        )

    def spec(self, kind: Kind, name: str) -> Any:
        """Return the spec of a component; raises ConfigError as `entry` does."""
        return self.entry(kind, name).value

    @property
    def presets(self) -> dict[str, Traversable]:
        """Return the preset files by name."""
        return {entry.name: entry.value for entry in self.of_kind("preset")}

    @property
    def commands(self) -> dict[str, click.Command]:
        """Return the commands by name."""
        return {entry.name: entry.value for entry in self.of_kind("command")}

    def _perhaps_from_failed(self, name: str) -> str:
        stem = name.split("-", maxsplit=1)[0]
        for owner in self.disabled:
            if stem in owner.plugin:
                return f"; SV2R_DISABLE_PLUGINS turns {owner} off"
        suspects = [f for f in self.failures if stem in f"{f.owner.plugin} {f.owner.distribution}"]
        if suspects or len(self.failures) == 1:
            return "".join(f"; {failure}" for failure in suspects or self.failures)
        names = ", ".join(f"'{failure.owner.plugin}'" for failure in self.failures)
        return f"; perhaps one that failed has it: {names} (see `sv2r plugins`)" if names else ""


def load_registry(disable: str | None = None) -> Registry:
    """Return what all installed plugins bring.

    disable: comma-separated plugin (entry point) or distribution names to leave out, "*" for all
        that are not sv2r's own; by default what SV2R_DISABLE_PLUGINS says.
    """
    unwanted = Unwanted.read(disable)
    installed, damaged = find_plugins()
    entries: list[Entry] = []
    failures = [PluginFailure(one.owner, "metadata", one.reason) for one in damaged]
    disabled: list[Owner] = []
    for plugin in installed:
        if plugin.owner in unwanted:
            disabled.append(plugin.owner)
            continue
        try:
            brought = _collect(plugin)
            _refuse_clashes(brought, entries)
        except _Refused as refusal:
            failures.append(PluginFailure(plugin.owner, refusal.stage, refusal.error))
        else:
            entries.extend(brought)
    return Registry(tuple(entries), tuple(failures), tuple(disabled))


def load_plugin(plugin: InstalledPlugin) -> list[Entry] | PluginFailure:
    """Return what one plugin brings, or why it cannot; clashes with others are not looked for."""
    try:
        return _collect(plugin)
    except _Refused as refusal:
        return PluginFailure(plugin.owner, refusal.stage, refusal.error)


class _Refused(Exception):
    def __init__(self, stage: Stage, error: str) -> None:
        super().__init__(error)
        self.stage = stage
        self.error = error


def _collect(plugin: InstalledPlugin) -> list[Entry]:
    """Return all that one plugin brings, or raise _Refused; nothing of it is kept before that."""
    owner = plugin.owner
    try:
        with guard(owner, "import"):
            module = plugin.load()
    except Sv2rError as error:
        raise _Refused("import", _raised(error)) from error
    manager = _manager(module)
    return [entry for hook in _hook_names() for entry in _call(owner, manager, hook)]


def _manager(module: Any) -> pluggy.PluginManager:
    """Return a plugin manager that knows this one plugin, every hook of which is one of ours."""
    manager = pluggy.PluginManager(GROUP)
    manager.add_hookspecs(hookspecs)
    try:
        manager.register(module)
    except Exception as error:
        raise _Refused("hooks", one_line(error)) from error
    hooks = manager.get_hookcallers(module)
    if not hooks:
        fix = f"put @hookimpl on a function named {', '.join(_hook_names())}"
        raise _Refused("hooks", f"it implements no hook; {fix}")
    for hook in hooks:
        # optionalhook=True is how a plugin also serves a newer sv2r that has more hooks.
        if not hook.has_spec() and not all(i.optionalhook for i in hook.get_hookimpls()):
            near = nearest(hook.name, _hook_names())
            hint = f"did you mean {near}?" if near else f"there are: {', '.join(_hook_names())}"
            raise _Refused("hooks", f"no hook {hook.name}; {hint}")
    return manager


def _hook_names() -> list[str]:
    return [*SPECS, "sv2r_presets", "sv2r_commands"]


def _call(owner: Owner, manager: pluggy.PluginManager, hook: str) -> Iterator[Entry]:
    for implementation in getattr(manager.hook, hook).get_hookimpls():
        try:
            with guard(owner, hook):
                returned = implementation.function()
                items = list(returned) if isinstance(returned, Iterable) else None
        except Sv2rError as error:
            raise _Refused("call", f"{hook}: {_raised(error)}") from error
        if items is None:
            raise _Refused("type", f"{hook} returned {type(returned).__name__}, not a list")
        for item in items:
            yield _entry(owner, hook, item)


def _entry(owner: Owner, hook: str, item: Any) -> Entry:
    if hook == "sv2r_presets":
        return _preset_entry(owner, item)
    if hook == "sv2r_commands":
        return _command_entry(owner, item)
    kind, spec_type = SPECS[hook]
    if not isinstance(item, spec_type):
        got = type(item).__name__
        raise _Refused("type", f"{hook} returned {got}, not {spec_type.__name__}")
    if not (inspect.isclass(item.options) and issubclass(item.options, Options)):
        raise _Refused("type", f"{kind} '{item.name}': options is not a subclass of Options")
    try:
        # Left alone, this would fail only when a job starts.
        item.options.model_rebuild()
        item.options.model_json_schema()
    except PydanticUndefinedAnnotation as error:
        what = f"{error.message}; import it outside of TYPE_CHECKING"
        raise _Refused("type", f"{kind} '{item.name}': options: {what}") from error
    except PydanticUserError as error:
        what = error.message.partition("\n")[0]
        raise _Refused("type", f"{kind} '{item.name}': options: {what}") from error
    entry = Entry(kind, _good_name(kind, item.name), owner, item)
    return replace(entry, value=guard_spec(entry, item))


def _preset_entry(owner: Owner, item: Any) -> Entry:
    if not isinstance(item, Traversable) or not item.name.endswith((".yaml", ".yml")):
        raise _Refused("type", f"sv2r_presets returned {item!r}, not a YAML file")
    return Entry("preset", _good_name("preset", item.name.rsplit(".", maxsplit=1)[0]), owner, item)


def _command_entry(owner: Owner, item: Any) -> Entry:
    import click

    if not isinstance(item, click.Command):
        raise _Refused("type", f"sv2r_commands returned {type(item).__name__}, not click.Command")
    return Entry("command", _good_name("command", item.name or ""), owner, item)


def _good_name(kind: str, name: str) -> str:
    if not isinstance(name, str) or not NAME.fullmatch(name):
        raise _Refused("name", f"{kind} name {name!r} does not match [a-z][a-z0-9-]*")
    return name


def _refuse_clashes(brought: Iterable[Entry], entries: Iterable[Entry]) -> None:
    taken = {(entry.kind, entry.name): entry.owner for entry in entries}
    for entry in brought:
        key = (entry.kind, entry.name)
        if key in taken:
            raise _Refused(
                "clash", f"{entry.kind} '{entry.name}' is already provided by {taken[key]}"
            )
        taken[key] = entry.owner


def _raised(error: Sv2rError) -> str:
    """Return what a plugin raised, without its name: the failure has it already."""
    return error.error if isinstance(error, PluginError) else one_line(error)
