"""`sv2r convert`: convert a labelled dataset: realistic pictures, labels untouched."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
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
    from sv2r.preview.forecast import Forecast


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
@click.option(
    "--try",
    "tried",
    metavar="N",
    type=click.IntRange(1, 1000),
    is_flag=False,
    flag_value=8,
    help="With --dry-run: make N pictures, 8 if no number is given, in a temporary folder, and say "
    "what time, memory and disk the whole job will take.",
)
@click.option("--overwrite", is_flag=True, help="Forget an earlier run into the same folder.")
@click.option("--fail-fast", is_flag=True, help="Stop after the first failed sample.")
@click.option("--json", "as_json", is_flag=True, help="Print the summary as JSON on stdout.")
@click.pass_context
def convert(
    ctx: click.Context,
    /,
    dry_run: bool,
    tried: int | None,
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
    if tried is not None and not dry_run:
        raise click.UsageError("--try goes with --dry-run")
    if dry_run:
        return run_dry(config, request.registry, as_json=as_json, tried=tried)
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


def run_dry(config: Config, registry: Registry, *, as_json: bool, tried: int | None = None) -> int:
    """Print what a run would do; nothing is written.

    tried: pictures to make in a temporary folder, for a forecast; None: no model is loaded.
    """
    from sv2r.job.dry_run import dry_run

    found, measured = dry_run(config, registry), None
    if not as_json:
        click.echo("\n".join(map(plain, found.lines)))
    if tried is not None:
        from sv2r.cli.progress import watcher
        from sv2r.preview.forecast import forecast

        with watcher() as watch:
            measured = forecast(config, registry, tried, watch)
    if as_json:
        extra = {} if measured is None else {"forecast": asdict(measured)}
        click.echo(json.dumps({**asdict(found), **extra}, default=str))
        return 1 if found.problems else 0
    if measured is not None:
        click.echo("\n".join(map(plain, forecast_lines(measured, found.pictures, found.free))))
    click.echo("dry run: nothing was written")
    return 1 if found.problems or (measured is not None and measured.failed) else 0


def forecast_lines(found: Forecast, pictures: int, free: int) -> Iterator[str]:
    """Yield what a job will take, from what some of its pictures took."""
    from sv2r.job.describe import duration
    from sv2r.job.dry_run import disk_lines
    from sv2r.storage.files import in_bytes

    counts = f"done {found.done} · rejected {found.rejected} · failed {found.failed}"
    begun = f"begun after {duration(found.starting)}, then {found.seconds:.3g} s a picture"
    yield f"{'tried':<11} {counts} · {begun}"
    where = f"{found.devices} devices" if found.devices > 1 else found.device
    took = duration(found.total_seconds(pictures))
    yield f"{'time':<11} about {took} for {pictures:,} pictures on {where}"
    if found.memory:
        of = in_bytes(found.memory_of)
        yield f"{'memory':<11} {in_bytes(found.memory)} of the {of} that {found.device} has"
    yield from disk_lines(round(found.size * pictures), free, "by the size of those")


@hookimpl
def sv2r_commands() -> Iterable[click.Command]:
    """Return the command."""
    return [convert]
