"""`sv2r export`: write a labelled dataset in another layout; its pictures stay as they are."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from sv2r.cli.convert import run_dry, summary_as_data
from sv2r.cli.job import JobCommand
from sv2r.cli.options import CommandLine, ModelOption, folder_in, own_options
from sv2r.plugin.hookspecs import hookimpl

if TYPE_CHECKING:
    from sv2r.config.layers import Layer
    from sv2r.config.resolve import Config
    from sv2r.output.finished import Finished
    from sv2r.plugin.registry import Registry

# What stands below all that is asked for. A job of these settings copies files: see `Copier`.
_BASE = {"translator": "keep", "checks": [], "device": ["cpu"]}
# The options of a job that say something of an export.
_JOBS_OWN = ("output", "only", "limit", "allow_unlabelled", "readers", "writers")


class ExportCommand(JobCommand):
    """A command with the options of loaders and writers, and those of a job that it needs."""

    @cached_property
    def own_options(self) -> Sequence[click.Option]:
        """Return some of the job's options."""
        from sv2r.config.sections import JobOptions

        return [option for option in own_options(JobOptions) if option.path[0] in _JOBS_OWN]

    def plugin_options(self, asked: CommandLine) -> Iterable[ModelOption]:
        """Return the options of the loader and the writer that are named, or found."""
        asked.named = {**asked.named, "input": folder_in(asked.rest)}
        options = super().plugin_options(asked)
        return [one for one in options if one.path[0] in ("loader", "writer")]

    def layers(self, asked: CommandLine) -> Sequence[Layer]:
        """Return what makes a job an export, and what a finished run says of its own labels."""
        from sv2r.config.layers import Layer
        from sv2r.output.finished import reader_of

        below = [Layer("sv2r export", _BASE)]
        if run := _finished(asked.named.get("input")):
            name, options = reader_of(run, asked.registry)
            own = {"loader": {"name": name, **options}}
            below.append(Layer(f"{run.folder}", own))
        return below


def _finished(dataset: object) -> Finished | None:
    """Return the finished run that a dataset is, if it is one that tells how."""
    from sv2r.output.finished import RUN_FILE, open_finished
    from sv2r.output.journal import FOLDER

    folder = dataset if isinstance(dataset, Path) else Path(str(dataset))
    return open_finished(folder) if (folder / FOLDER / RUN_FILE).is_file() else None


@click.command(cls=ExportCommand, no_args_is_help=True)
@click.argument("dataset", metavar="DATASET", type=click.Path(path_type=Path))
@click.option("--writer", metavar="NAME", required=True, help="The layout to write.")
@click.option("--loader", metavar="NAME", help="DATASET's format; detected by default.")
@click.option("--dry-run", is_flag=True, help="Check everything, print the plan, write nothing.")
@click.option("--overwrite", is_flag=True, help="Forget an earlier run into the same folder.")
@click.option("--fail-fast", is_flag=True, help="Stop after the first failed sample.")
@click.option("--json", "as_json", is_flag=True, help="Print the summary as JSON on stdout.")
@click.pass_context
def export(
    ctx: click.Context,
    /,
    dataset: Path,
    dry_run: bool,
    overwrite: bool,
    fail_fast: bool,
    as_json: bool,
    **values: Any,
) -> int:
    """Write a labelled dataset in another layout, for a trainer; its pictures stay as they are.

    DATASET is a folder or an archive in any format that a loader reads (sv2r plugins lists them),
    or a finished run: its pictures that are done, with their labels. Files of pictures are copied,
    not encoded anew, unless --writer.format asks for another format. The same command again
    continues an export that was stopped. Name the writer with --help to see its options:

    \b
      sv2r export --writer yolo --help

    Exit code: 0 all done, 1 some samples failed, 2 nothing started, 130 interrupted.
    """  # noqa: D301
    from sv2r.cli.progress import watcher
    from sv2r.conversion import convert

    registry: Registry = ctx.obj.registry
    config = _config(ctx, dataset, values)
    if dry_run:
        return run_dry(config, registry, as_json=as_json)
    with watcher("exporting") as watch:
        summary = convert(
            config,
            overwrite=overwrite,
            fail_fast=fail_fast,
            report=False,
            registry=registry,
            watch=watch,
        )
    if as_json:
        click.echo(json.dumps(summary_as_data(summary), default=str))
    else:
        watch.summarise(summary)
    return summary.exit_code


def _config(ctx: click.Context, dataset: Path, values: Mapping[str, Any]) -> Config:
    """Return the config of the job; of a finished run, the pictures that are done alone."""
    from dataclasses import replace

    from sv2r.cli.paths import typed_path

    asked: CommandLine = ctx.obj
    asked.named = {**asked.named, "input": typed_path(dataset)}
    config = export.request(ctx, values, {"input": str(dataset)}).config()
    run = _finished(config.job.input)
    if run is None or (names := _left_over(run, config.job.only)) is None:
        return config
    return replace(config, job=config.job.model_copy(update={"only": names}))


def _left_over(run: Finished, only: Sequence[str]) -> tuple[str, ...] | None:
    """Return patterns of the pictures that are done, of those asked for; None where all are.

    Raises:
        ConfigError: none of them is done.
    """
    import glob

    from sv2r.config.selection import wanted_by
    from sv2r.errors import ConfigError

    records = list(run.records())
    done = [str(record.output) for record in records if record.status == "done"]
    if len(done) == len(records):
        return None
    wanted = tuple(glob.escape(name) for name in filter(wanted_by(only), done))
    if not wanted:
        raise ConfigError(f"{run.output}: no picture of this run is done; sv2r report says why")
    return wanted


@hookimpl
def sv2r_commands() -> Iterable[click.Command]:
    """Return the command."""
    return [export]
