"""What one plugin brings, whole or not at all."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from importlib.resources.abc import Traversable
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from sv2r.errors import PluginError, Sv2rError
from sv2r.plugin.discovery import GROUP, InstalledPlugin, Owner
from sv2r.plugin.entries import Entry, Kind, Stage
from sv2r.plugin.guard import guard, one_line
from sv2r.plugin.words import nearest

if TYPE_CHECKING:
    from sv2r.plugin.options import Options

NAME = re.compile(r"[a-z][a-z0-9-]*")

HOOK_KINDS: Mapping[str, Kind] = MappingProxyType(
    {
        "sv2r_loaders": "loader",
        "sv2r_conditioners": "conditioner",
        "sv2r_translators": "translator",
        "sv2r_checks": "check",
        "sv2r_writers": "writer",
        "sv2r_executors": "executor",
        "sv2r_trainers": "trainer",
    }
)
HOOKS = (*HOOK_KINDS, "sv2r_presets", "sv2r_commands")


class Refused(Exception):
    """A plugin that is left out as a whole."""

    def __init__(self, stage: Stage, error: str) -> None:
        super().__init__(error)
        self.stage = stage
        self.error = error


def collect(plugin: InstalledPlugin) -> list[Entry]:
    """Return all that one plugin brings, or raise Refused; nothing of it is kept before that."""
    owner = plugin.owner
    try:
        with guard(owner, "import"):
            module = plugin.load()
    except Sv2rError as error:
        raise Refused("import", _raised(error)) from error
    return [entry for hook, call in _hooks(module) for entry in _call(owner, hook, call)]


def _hooks(module: Any) -> list[tuple[str, Callable[[], Any]]]:
    """Return name and function of each hook that a module implements, all of them ours."""
    import pluggy

    manager = pluggy.PluginManager(GROUP)
    marks = {name: manager.parse_hookimpl_opts(module, name) for name in dir(module)}
    found = {(mark["specname"] or name, name): mark for name, mark in marks.items() if mark}
    if not found:
        fix = f"put @hookimpl on a function named {', '.join(HOOKS)}"
        raise Refused("hooks", f"it implements no hook; {fix}")
    for (hook, _), mark in found.items():
        # optionalhook=True is how a plugin also serves a newer sv2r that has more hooks.
        if hook not in HOOKS and not mark["optionalhook"]:
            near = nearest(hook, HOOKS)
            hint = f"did you mean {near}?" if near else f"there are: {', '.join(HOOKS)}"
            raise Refused("hooks", f"no hook {hook}; {hint}")
    ours = sorted((one for one in found if one[0] in HOOKS), key=lambda one: HOOKS.index(one[0]))
    return [(hook, getattr(module, name)) for hook, name in ours]


def _call(owner: Owner, hook: str, implementation: Callable[[], Any]) -> Iterator[Entry]:
    try:
        with guard(owner, hook):
            returned = implementation()
            items = list(returned) if isinstance(returned, Iterable) else None
    except Sv2rError as error:
        raise Refused("call", f"{hook}: {_raised(error)}") from error
    if items is None:
        raise Refused("type", f"{hook} returned {type(returned).__name__}, not a list")
    for item in items:
        yield _entry(owner, hook, item)


def _entry(owner: Owner, hook: str, item: Any) -> Entry:
    if hook == "sv2r_presets":
        return _preset_entry(owner, item)
    if hook == "sv2r_commands":
        return _command_entry(owner, item)
    return _component_entry(owner, hook, item)


def _component_entry(owner: Owner, hook: str, item: Any) -> Entry:
    from sv2r.plugin import specs
    from sv2r.plugin.guarded import guard_spec
    from sv2r.plugin.options import Options

    kind = HOOK_KINDS[hook]
    wanted = getattr(specs, f"{kind.capitalize()}Spec")
    if not isinstance(item, wanted):
        raise Refused("type", f"{hook} returned {type(item).__name__}, not {wanted.__name__}")
    if not (inspect.isclass(item.options) and issubclass(item.options, Options)):
        raise Refused("type", f"{kind} '{item.name}': options is not a subclass of Options")
    if "name" in item.options.model_fields:
        what = "an option cannot be called name: a config calls the component itself so"
        raise Refused("type", f"{kind} '{item.name}': {what}")
    if owner.distribution != GROUP:  # of sv2r's own, tests say that they are whole
        _require_schema(f"{kind} '{item.name}'", item.options)
    entry = Entry(kind, _good_name(kind, item.name), owner, item)
    return replace(entry, value=guard_spec(entry, item))


def _require_schema(who: str, options: type[Options]) -> None:
    """Refuse options that cannot be read: left alone, they would fail when a job starts."""
    from pydantic.errors import PydanticUndefinedAnnotation, PydanticUserError

    try:
        options.model_rebuild()
        options.model_json_schema()
    except PydanticUndefinedAnnotation as error:
        what = f"{error.message}; import it outside of TYPE_CHECKING"
        raise Refused("type", f"{who}: options: {what}") from error
    except PydanticUserError as error:
        what = error.message.partition("\n")[0]
        raise Refused("type", f"{who}: options: {what}") from error


def _preset_entry(owner: Owner, item: Any) -> Entry:
    if not isinstance(item, Traversable) or not item.name.endswith((".yaml", ".yml")):
        raise Refused("type", f"sv2r_presets returned {item!r}, not a YAML file")
    return Entry("preset", _good_name("preset", item.name.rsplit(".", maxsplit=1)[0]), owner, item)


def _command_entry(owner: Owner, item: Any) -> Entry:
    import click

    if not isinstance(item, click.Command):
        raise Refused("type", f"sv2r_commands returned {type(item).__name__}, not click.Command")
    return Entry("command", _good_name("command", item.name or ""), owner, item)


def _good_name(kind: str, name: str) -> str:
    if not isinstance(name, str) or not NAME.fullmatch(name):
        raise Refused("name", f"{kind} name {name!r} does not match [a-z][a-z0-9-]*")
    return name


def _raised(error: Sv2rError) -> str:
    """Return what a plugin raised, without its name: the failure has it already."""
    return error.error if isinstance(error, PluginError) else one_line(error)
