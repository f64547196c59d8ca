"""`sv2r convert`: convert a labelled dataset: realistic pictures, labels untouched."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import asdict, fields
from typing import TYPE_CHECKING, Any

import click

from sv2r.cli.job import JobCommand
from sv2r.cli.lines import plain
from sv2r.plugin.hookspecs import hookimpl

if TYPE_CHECKING:
    from sv2r.config.resolve import Config
    from sv2r.job.summary import Summary
    from sv2r.plugin.registry import Registry


_BEGIN = """\
sv2r convert needs a labelled dataset, a new folder and a model:
  sv2r convert --input RENDERS --output REAL --translator sdedit --model MODEL
sv2r convert --help lists all options; sv2r demo shows it without anything of yours."""


class ConvertCommand(JobCommand):
    """`sv2r convert`; without a word it says how to begin."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Say what is missing where nothing is given."""
        if not args and not ctx.resilient_parsing:
            click.echo(_BEGIN, err=True)
            ctx.exit(2)
        return super().parse_args(ctx, args)


@click.command(cls=ConvertCommand)
@click.option("--dry-run", is_flag=True, help="Check everything, print the plan, make nothing.")
@click.option("--overwrite", is_flag=True, help="Forget an earlier run into the same folder.")
@click.option("--fail-fast", is_flag=True, help="Stop after the first failed sample.")
@click.option("--json", "as_json", is_flag=True, help="Print the summary as JSON on stdout.")
@click.pass_context
def convert(
    ctx: click.Context,
    /,
    dry_run: bool,
    overwrite: bool,
    fail_fast: bool,
    as_json: bool,
    **values: Any,
) -> int:
    """Convert a labelled dataset: realistic pictures out, labels untouched.

    Only INPUT is read and only OUTPUT is written. The same command again continues a run that was
    stopped. Plugins' options have a dot in them, such as --translator.strength; --strength means
    the same where no other plugin in use has one. With --help, name plugins to see their options:

    \b
      sv2r convert --translator controlnet --conditioner canny --help

    Exit code: 0 all done, 1 some samples rejected or failed, 2 nothing started, 130 interrupted.
    """  # noqa: D301
    from sv2r.cli.progress import watcher
    from sv2r.conversion import convert as run

    request = convert.request(ctx, values)
    config = request.config()
    if dry_run:
        return run_dry(config, request.registry, as_json=as_json)
    with watcher() as watch:
        summary = run(
            config, overwrite=overwrite, fail_fast=fail_fast, registry=request.registry, watch=watch
        )
    if as_json:
        click.echo(json.dumps(summary_as_data(summary), default=str))
    else:
        watch.summarise(summary)
    return summary.exit_code


def summary_as_data(summary: Summary) -> dict[str, Any]:
    """Return a summary and its exit code as JSON takes them."""
    from sv2r.output.records import line_of

    troubles = [json.loads(line_of(record)) for record in summary.troubles]
    own = {f.name: getattr(summary, f.name) for f in fields(summary)}
    return {**own, "troubles": troubles, "exit_code": summary.exit_code}


def run_dry(config: Config, registry: Registry, *, as_json: bool) -> int:
    """Print what a run would do; no model is loaded and nothing is written."""
    from sv2r.job.dry_run import dry_run

    found = dry_run(config, registry)
    if as_json:
        click.echo(json.dumps(asdict(found), default=str))
    else:
        click.echo("\n".join(map(plain, found.lines)))
    return 1 if found.problems else 0


@hookimpl
def sv2r_commands() -> Iterable[click.Command]:
    """Return the command."""
    return [convert]
