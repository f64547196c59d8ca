"""`sv2r plugins`: list what is installed and what failed; show a plugin's options."""

from __future__ import annotations

import json
import shutil
import sys
import textwrap
from collections.abc import Iterable
from typing import Any

import click

from sv2r.cli.new_plugin import new
from sv2r.cli.options import OnceCommand
from sv2r.plugin.hookspecs import hookimpl
from sv2r.plugin.options import OptionField, option_fields
from sv2r.plugin.registry import Entry, PluginFailure, Registry, load_registry
from sv2r.plugin.specs import ConditionerSpec, PluginSpec

# Components that a job has several of are told apart by name on the command line.
_SEVERAL = ("conditioner", "check")


class _ListByDefault(click.Group):
    """A group that runs `list` where no subcommand is named."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        names_none = not args or args[0].startswith("-")
        asks_for_help = bool(args) and args[0] in ctx.help_option_names
        prefix = ["list"] if names_none and not asks_for_help else []
        return super().parse_args(ctx, [*prefix, *args])


_as_json = click.option("--json", "as_json", is_flag=True, help="Print JSON, option schemas too.")
_strict = click.option("--strict", is_flag=True, help="Exit with 1 when any plugin failed.")


@click.group(cls=_ListByDefault)
def plugins() -> None:
    """List plugins and explain their options.

    Without a subcommand this is `sv2r plugins list`.
    """


plugins.add_command(new)


@plugins.command("list", cls=OnceCommand)
@_as_json
@_strict
def list_plugins(as_json: bool, strict: bool) -> None:
    """List what is installed, and what failed or is disabled.

    SV2R_DISABLE_PLUGINS leaves plugins out: names separated by commas, or * for all but sv2r's own.
    """
    registry = load_registry()
    entries = sorted(registry.entries, key=lambda entry: (_order(entry), entry.name))
    if as_json:
        _print_json(registry, entries)
    else:
        _print_table(entries)
        _print_left_out(registry)
    _exit_when_failed(registry, strict)


@plugins.command("show", cls=OnceCommand)
@click.argument("name")
@_as_json
@_strict
def show_component(name: str, as_json: bool, strict: bool) -> None:
    """Explain NAME: where it comes from, and each option as it is spelled.

    Every kind of component that has the name is shown; writer:coco shows the writer alone. The
    name of a plugin shows all that it brings.
    """
    registry = load_registry()
    entries = sorted(registry.named(name), key=_order)
    if as_json:
        _print_json(registry, entries)
    else:
        click.echo("\n\n".join(_page(entry) for entry in entries))
    _exit_when_failed(registry, strict)


def _order(entry: Entry) -> int:
    kinds = (
        "loader",
        "conditioner",
        "translator",
        "check",
        "writer",
        "executor",
        "trainer",
        "preset",
    )
    return kinds.index(entry.kind) if entry.kind in kinds else len(kinds)


def _exit_when_failed(registry: Registry, strict: bool) -> None:
    if strict and registry.failures:
        click.get_current_context().exit(1)


def _print_table(entries: Iterable[Entry]) -> None:
    rows = [(entry.kind, entry.name, _source(entry), _summary(entry)) for entry in entries]
    rows.insert(0, ("kind", "name", "from", "summary"))
    widths = [max(map(len, column)) for column in list(zip(*rows, strict=True))[:3]]
    # A pipe gets every line whole, a terminal what fits.
    room = shutil.get_terminal_size().columns if sys.stdout.isatty() else None
    for row in rows:
        cells = [cell.ljust(width) for cell, width in zip(row, widths, strict=False)]
        line = "  ".join([*cells, row[3]])
        click.echo(line if room is None or len(line) <= room else f"{line[: room - 1]}…")


def _print_left_out(registry: Registry) -> None:
    if registry.failures or registry.disabled:
        click.echo()
    for failure in registry.failures:
        click.echo(str(failure))
    for owner in registry.disabled:
        click.echo(f"plugin {owner} left out by SV2R_DISABLE_PLUGINS")


def _page(entry: Entry) -> str:
    """Return all there is to say of one component."""
    head = f"{entry.kind} {entry.name} · from plugin {entry.owner}\n{_summary(entry)}"
    if entry.kind == "preset":
        text = entry.value.read_text(encoding="utf-8").rstrip()
        return f"{head}\n\n  --preset {entry.name}\n\n{text}"
    if entry.kind == "command":
        return f"{head}\n\n  sv2r {entry.name} --help"
    if isinstance(entry.value, ConditionerSpec):
        head += f"\nMakes the control map '{entry.value.produces}'."
    fields = option_fields(entry.value.options)
    options = "".join(f"\n\n{_option(entry, field)}" for field in fields)
    return f"{head}\n\n  {_use(entry)}{options or ' (it has no options)'}"


def _option(entry: Entry, field: OptionField) -> str:
    facts = [field.type, field.bounds, field.repetition]
    if field.default:
        facts.append("required" if field.default == "required" else f"default {field.default}")
    head = f"  {_spelled(entry, field.name)}  {' · '.join(fact for fact in facts if fact)}"
    text = textwrap.fill(field.description, 88, initial_indent=" " * 6, subsequent_indent=" " * 6)
    return f"{head}\n{text}"


def _use(entry: Entry) -> str:
    return f"--{entry.kind} {entry.name}"


def _spelled(entry: Entry, option: str) -> str:
    prefix = f"{entry.kind}.{entry.name}" if entry.kind in _SEVERAL else entry.kind
    return f"--{prefix}.{option}"


def _source(entry: Entry) -> str:
    return f"{entry.owner.distribution} {entry.owner.version}"


def _summary(entry: Entry) -> str:
    if isinstance(entry.value, PluginSpec):
        return entry.value.summary
    if isinstance(entry.value, click.Command):
        return entry.value.get_short_help_str(limit=80)
    first = str(entry.value.read_text(encoding="utf-8")).lstrip().partition("\n")[0]
    return first.removeprefix("#").strip() if first.startswith("#") else ""


def _print_json(registry: Registry, entries: Iterable[Entry]) -> None:
    data = {
        "components": [_as_data(entry) for entry in entries],
        "failures": [_failure_as_data(failure) for failure in registry.failures],
        "disabled": [vars(owner) for owner in registry.disabled],
    }
    click.echo(json.dumps(data, indent=2, ensure_ascii=False))


def _as_data(entry: Entry) -> dict[str, Any]:
    data = {
        "kind": entry.kind,
        "name": entry.name,
        "summary": _summary(entry),
        **vars(entry.owner),
    }
    if not isinstance(entry.value, PluginSpec):
        return data
    fields = option_fields(entry.value.options)
    options = [
        {
            "name": f.name,
            "spelled": _spelled(entry, f.name),
            "type": f.type,
            "bounds": f.bounds,
            "default": f.default,
            "repeatable": f.repeatable,
            "description": f.description,
        }
        for f in fields
    ]
    return {**data, "options": options, "schema": entry.value.options.model_json_schema()}


def _failure_as_data(failure: PluginFailure) -> dict[str, str]:
    return {**vars(failure.owner), "stage": failure.stage, "error": failure.error}


@hookimpl
def sv2r_commands() -> Iterable[click.Command]:
    """Return the command."""
    return [plugins]
