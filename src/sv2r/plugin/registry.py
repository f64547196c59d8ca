"""All that the installed plugins bring, and what became of those that failed."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from importlib.resources.abc import Traversable
from typing import TYPE_CHECKING, Any, Literal, overload

from sv2r.errors import ConfigError
from sv2r.plugin.collect import HOOKS, Refused, collect
from sv2r.plugin.discovery import InstalledPlugin, Owner, Unwanted, find_plugins
from sv2r.plugin.entries import Entry, Kind, PluginFailure
from sv2r.plugin.words import nearest

if TYPE_CHECKING:
    import click

    from sv2r.plugin.specs import (
        AnySpec,
        CheckSpec,
        ConditionerSpec,
        ExecutorSpec,
        LoaderSpec,
        TrainerSpec,
        TranslatorSpec,
        WriterSpec,
    )


__all__ = ["Entry", "Kind", "PluginFailure", "Registry", "load_plugin", "load_registry"]


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

    @overload
    def spec(self, kind: Literal["loader"], name: str) -> LoaderSpec[Any]: ...
    @overload
    def spec(self, kind: Literal["conditioner"], name: str) -> ConditionerSpec[Any]: ...
    @overload
    def spec(self, kind: Literal["translator"], name: str) -> TranslatorSpec[Any]: ...
    @overload
    def spec(self, kind: Literal["check"], name: str) -> CheckSpec[Any]: ...
    @overload
    def spec(self, kind: Literal["writer"], name: str) -> WriterSpec[Any]: ...
    @overload
    def spec(self, kind: Literal["executor"], name: str) -> ExecutorSpec[Any]: ...
    @overload
    def spec(self, kind: Literal["trainer"], name: str) -> TrainerSpec[Any]: ...
    @overload
    def spec(self, kind: Kind, name: str) -> AnySpec: ...

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


def load_registry(disable: str | None = None, *, hooks: Collection[str] = HOOKS) -> Registry:
    """Return what all installed plugins bring.

    disable: comma-separated plugin (entry point) or distribution names to leave out, "*" for all
        that are not sv2r's own; by default what SV2R_DISABLE_PLUGINS says.
    hooks: plugins whose text names none of these are not loaded, where a command needs no others.
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
        if hooks is not HOOKS and not plugin.may_implement(hooks):
            continue
        try:
            brought = collect(plugin)
            _refuse_clashes(brought, entries)
        except Refused as refusal:
            failures.append(PluginFailure(plugin.owner, refusal.stage, refusal.error))
        else:
            entries.extend(brought)
    return Registry(tuple(entries), tuple(failures), tuple(disabled))


def load_plugin(plugin: InstalledPlugin) -> list[Entry] | PluginFailure:
    """Return what one plugin brings, or why it cannot; clashes with others are not looked for."""
    try:
        return collect(plugin)
    except Refused as refusal:
        return PluginFailure(plugin.owner, refusal.stage, refusal.error)


def _refuse_clashes(brought: Iterable[Entry], entries: Iterable[Entry]) -> None:
    taken = {(entry.kind, entry.name): entry.owner for entry in entries}
    for entry in brought:
        key = (entry.kind, entry.name)
        if key in taken:
            raise Refused(
                "clash", f"{entry.kind} '{entry.name}' is already provided by {taken[key]}"
            )
        taken[key] = entry.owner
