"""`sv2r my-plugin OUT`: how many pictures of a run are done, rejected and failed."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

import click

from sv2r import ConfigError, hookimpl


@click.command("my-plugin")
@click.argument("output", type=click.Path(path_type=Path))
def my_plugin(output: Path) -> None:
    """Count the done, rejected and failed pictures of a run."""
    records = output / "sv2r" / "samples.jsonl"
    if not records.is_file():
        raise ConfigError(f"no {records}; give the output folder of a finished run")
    with records.open(encoding="utf-8") as lines:
        counts = Counter(json.loads(line)["status"] for line in lines)
    for status, count in sorted(counts.items()):
        click.echo(f"{count:>8,}  {status}")


@hookimpl
def sv2r_commands() -> Iterable[click.Command]:
    """Return the command."""
    return [my_plugin]
