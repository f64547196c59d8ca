"""`sv2r config`: list, show and copy presets; show what a config comes to."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import click

from sv2r.cli.job import STAND_IN, JobCommand
from sv2r.cli.options import OnceCommand
from sv2r.errors import ConfigError
from sv2r.plugin.hookspecs import hookimpl

# A config can be shown before there is a dataset; these are left out of what is shown.
_STAND_INS = {"input": "INPUT", "output": "OUTPUT", "loader": "folder"}


@click.group(invoke_without_command=True)
@click.pass_context
def config(ctx: click.Context) -> None:
    """List, show and copy presets; show what a config comes to; print its JSON schema."""
    if ctx.invoked_subcommand is None:
        ctx.invoke(list_presets)


@config.command("list", cls=OnceCommand)
def list_presets() -> None:
    """List the presets, with what each is for."""
    from sv2r.plugin.registry import load_registry

    registry = load_registry(hooks=["sv2r_presets"])
    for entry in registry.of_kind("preset"):
        text = entry.value.read_text(encoding="utf-8")
        summary = next((line[1:].strip() for line in text.splitlines() if line.startswith("#")), "")
        owner = "" if entry.owner.distribution == "sv2r" else f"  ({entry.owner.distribution})"
        click.echo(f"{entry.name:<22} {summary}{owner}")


@click.command(cls=JobCommand)
@click.option("--origins/--no-origins", default=True, help="Say where each value came from.")
@click.pass_context
def show(ctx: click.Context, /, origins: bool, **values: Any) -> None:
    """Show what a config comes to, and where each value came from.

    Takes the options of sv2r convert; INPUT and OUTPUT may be left out.
    """
    resolved = show.request(ctx, values).config(_STAND_INS)
    missing = {key.partition(".")[0] for key, at in resolved.origins.items() if at == STAND_IN}
    data = {key: value for key, value in resolved.as_data().items() if key not in missing}
    for line in _yaml_with_origins(data, resolved.origins if origins else None):
        click.echo(line)


config.add_command(show)


@config.command(cls=OnceCommand)
@click.argument("name")
@click.argument("file", type=click.Path(path_type=Path), required=False)
def copy(name: str, file: Path | None) -> None:
    """Copy the preset NAME, with its comments, to FILE (default NAME.yaml) for your own changes."""
    from sv2r.plugin.registry import load_registry
    from sv2r.storage.strict_yaml import read_yaml

    registry = load_registry(hooks=["sv2r_presets"])
    text = registry.entry("preset", name).value.read_text(encoding="utf-8")
    target = file or Path(f"{name}.yaml")
    read_yaml(text, name)
    try:
        with target.open("x", encoding="utf-8") as stream:
            stream.write(text)
    except FileExistsError:
        raise ConfigError(f"{target}: already exists; give another FILE") from None
    except OSError as error:
        raise ConfigError(f"{target}: {str(error.strerror).lower()}") from None
    click.echo(f"{target}  (use it: sv2r convert --config {target})")


@config.command(cls=OnceCommand)
def schema() -> None:
    """Print the JSON schema of a config, with the options of every installed plugin.

    Save it and begin a YAML file with "# yaml-language-server: $schema=FILE" for completion.
    """
    from sv2r.config.schema import job_schema
    from sv2r.plugin.registry import load_registry

    click.echo(json.dumps(job_schema(load_registry()), indent=2))


def _yaml_with_origins(data: dict[str, Any], origins: Any) -> list[str]:
    """Return the config as YAML lines; behind each value, as a comment, where it came from."""
    from sv2r.config.layers import flatten
    from sv2r.storage.strict_yaml import write_yaml

    if origins is None:
        return write_yaml(data).splitlines()
    lines = []
    for key, value in flatten(data).items():
        text = write_yaml({key: value}).rstrip("\n")
        origin = _origin(key, origins)
        first, *rest = text.splitlines()
        lines += [f"{first:<56} # {origin}", *rest]
    return lines


def _origin(key: str, origins: Any) -> str:
    """Return a value's origin; a list or mapping written as one value has its own name's."""
    return str(origins.get(key, "default"))


@hookimpl
def sv2r_commands() -> Iterable[click.Command]:
    """Return the command."""
    return [config]
