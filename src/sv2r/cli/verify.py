"""`sv2r verify`: check a finished dataset again: labels, pictures, hashes, scores."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import click

from sv2r.cli.lines import plain
from sv2r.cli.options import OnceCommand
from sv2r.plugin.hookspecs import hookimpl

if TYPE_CHECKING:
    from sv2r.verify.dataset import Verification


@click.command(cls=OnceCommand, no_args_is_help=True)
@click.argument("output", type=click.Path(path_type=Path))
@click.option(
    "--sample",
    default="5%",
    show_default=True,
    metavar="SHARE|N",
    help="How many pictures the checks see again; 0 for none, 100% for all.",
)
@click.option(
    "--input",
    "source",
    type=click.Path(path_type=Path),
    help="Where the input lies now, if it was moved since.",
)
@click.option(
    "--fix",
    is_flag=True,
    help="Rebuild a damaged journal, and let the next run make again what is missing or changed.",
)
@click.option("--mend", is_flag=True, hidden=True)  # the older name of --fix
@click.option("--json", "as_json", is_flag=True, help="Print what was found as JSON.")
def verify(
    output: Path, sample: str, source: Path | None, fix: bool, mend: bool, as_json: bool
) -> int:
    r"""Check a finished dataset again, from the files in OUTPUT alone.

    Every label file is compared with the input's, byte for byte; every picture is decoded, and its
    size and hash compared with label and record; a sample of the pictures is checked against the
    labels again; missing and extra files are listed. Nothing is written without --fix.

    Exit code: 0 clean, 1 something is wrong, 2 OUTPUT cannot be read.
    """
    from sv2r.cli.progress import watching
    from sv2r.verify.dataset import verify as look
    from sv2r.verify.lines import verify_lines

    with watching("verifying") as watch:
        found = look(output, sample=sample, source=source, fix=fix or mend, watch=watch)
    if as_json:
        click.echo(json.dumps(_plain(found), ensure_ascii=False))
    else:
        for line in verify_lines(found):
            click.echo(plain(line))
    return found.exit_code


def _plain(found: Verification) -> dict[str, object]:
    findings = [asdict(finding) for finding in found.findings]
    return {
        **asdict(found),
        "output": str(found.output),
        "findings": findings,
        "retried": found.repaired.retried,
        "repaired": found.repaired.restored,
        "rendered": round(found.repaired.rendered, 6),
        "clean": not found.findings,
        "exit_code": found.exit_code,
    }


@hookimpl
def sv2r_commands() -> Iterable[click.Command]:
    """Return the command."""
    return [verify]
