"""`sv2r compare`: finished runs of one dataset side by side, by score and by eye."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import click

from sv2r.cli.lines import plain
from sv2r.cli.options import OnceCommand
from sv2r.errors import ConfigError
from sv2r.plugin.hookspecs import hookimpl

_FOLDER = click.Path(path_type=Path)


@click.command(cls=OnceCommand, no_args_is_help=True)
@click.argument("outputs", metavar="OUTPUT OUTPUT …", type=_FOLDER, nargs=-1, required=True)
@click.option(
    "--pictures",
    metavar="INT",
    type=click.IntRange(1, 64),
    default=8,
    help="How many pictures the page shows.  [1 <= x <= 64; default: 8]",
)
@click.option(
    "--html",
    metavar="FILE",
    type=_FOLDER,
    default="compare.html",
    help="The page to write.  [default: compare.html]",
)
def compare(outputs: tuple[Path, ...], pictures: int, html: Path) -> int:
    """Show finished runs of one dataset side by side, by score and by eye.

    Counts what became of the pictures that are done in all runs, and writes a page with those in
    which the runs' scores differ most, a row for each run. Nothing else is written:

    \b
      sv2r compare real-040 real-055 real-070

    Exit code: 0 there is a page, 2 a folder is no finished run, or the runs share no picture.
    """  # noqa: D301
    from sv2r.cli.paths import typed_path
    from sv2r.plugin.registry import load_registry
    from sv2r.preview.compare import compare_runs
    from sv2r.preview.page import row_lines, write_page

    if len(outputs) < 2:
        raise ConfigError("sv2r compare needs two runs at least: sv2r compare OUTPUT OUTPUT")
    found = compare_runs([typed_path(one) for one in outputs], pictures, load_registry())
    rows = found.looks.rows
    click.echo(f"{found.shared:,} pictures are done in all {len(rows)} runs")
    for row in rows:
        click.echo(plain(f"{row.setting.title}: {' · '.join(row_lines(row))}"))
    for check, counts in found.better.items():
        told = ", ".join(
            f"{n:,} in {r.setting.values[0][1]}" for n, r in zip(counts, rows, strict=True)
        )
        click.echo(plain(f"highest {check}: {told}, {found.shared - sum(counts):,} alike"))
    about = "The pictures in which the lowest scores of the runs differ most."
    click.echo(f"{'look':<11} {write_page(found.looks, html, about)}")
    return 0


@hookimpl
def sv2r_commands() -> Iterable[click.Command]:
    """Return the command."""
    return [compare]
