"""`sv2r report`: write a page of a finished dataset: before and after, worst first."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import click

from sv2r.cli.lines import plain
from sv2r.cli.options import OnceCommand
from sv2r.plugin.hookspecs import hookimpl
from sv2r.report import EMBEDDED


@click.command(cls=OnceCommand, no_args_is_help=True)
@click.argument("output", type=click.Path(path_type=Path))
@click.option(
    "--embed",
    "embedded",
    type=click.IntRange(min=0),
    default=EMBEDDED,
    show_default=True,
    metavar="N",
    help="Pictures, the worst first, that the page holds itself, with the labels' contours; it "
    "shows the others from their files.",
)
@click.option(
    "--input",
    "source",
    type=click.Path(path_type=Path),
    help="Where the input lies now, if it was moved since.",
)
@click.option(
    "--controls",
    is_flag=True,
    help="Make the control maps of these pictures again and put them into the page.",
)
def report(output: Path, embedded: int, source: Path | None, *, controls: bool) -> None:
    """Write OUTPUT/sv2r/report.html: before and after, the worst first, with scores and reasons.

    One page that needs no network, only the pictures next to it. Open it in a browser.
    """
    from sv2r.cli.progress import watching
    from sv2r.report.write import write_report

    notes: list[str] = []
    with watching("reading labels") as watch:
        path = write_report(
            output,
            source=source,
            embedded=embedded,
            controls=controls,
            watch=watch,
            say=notes.append,
        )
    for note in notes:
        click.echo(plain(f"note        {note}"), err=True)
    size = path.stat().st_size / 1e6
    click.echo(f"{path}  ({size:.1f} MB)")


@hookimpl
def sv2r_commands() -> Iterable[click.Command]:
    """Return the command."""
    return [report]
