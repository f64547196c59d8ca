"""`sv2r verify`: a finished dataset, looked at again."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

import click

from sv2r.cli.progress import watching
from sv2r.verify.dataset import Verification
from sv2r.verify.dataset import verify as look

# How many findings are printed; --json lists all.
_SHOWN = 40


@click.command(no_args_is_help=True)
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
    "--mend",
    is_flag=True,
    help="Rebuild a damaged journal, and let the next run make again what is missing or changed.",
)
@click.option("--json", "as_json", is_flag=True, help="Print what was found as JSON.")
def verify(output: Path, sample: str, source: Path | None, mend: bool, as_json: bool) -> int:
    r"""Look at a finished dataset again, from the files in OUTPUT alone.

    Every label file is held against the input's, byte for byte; every picture is decoded, and its
    size and its hash held against label and record; a sample of them is checked against the labels
    again; what is missing and what is extra is listed. Nothing is written without --mend.

    Exit code: 0 clean, 1 something is wrong, 2 OUTPUT cannot be looked at.
    """
    with watching("verifying") as watch:
        found = look(output, sample=sample, source=source, mend=mend, watch=watch)
    if as_json:
        click.echo(json.dumps(_plain(found), ensure_ascii=False))
    else:
        for line in lines(found):
            click.echo(line)
    return found.exit_code


def lines(found: Verification) -> Iterator[str]:
    """Yield what was found, by path, and one line on the whole."""
    for finding in found.findings[:_SHOWN]:
        yield str(finding)
    if (more := len(found.findings) - _SHOWN) > 0:
        yield f"{'':<11} and {more:,} more; --json lists all"
    for note in found.notes:
        yield f"{'note':<11} {note}"
    if not found.mended and any(finding.kind != "extra" for finding in found.findings):
        yield f"{'mend':<11} sv2r verify {found.output} --mend, then the same sv2r convert again"
    for line in found.mended:
        yield f"{'mended':<11} {line}"
    seen = [
        f"{_count(found.pictures, 'picture')} looked at",
        f"{_count(found.labels, 'label file')} {found.labels_how}",
        f"{found.scored:,} scored again",
    ]
    if left := found.rejected + found.failed:
        seen.append(f"{left:,} rejected or failed, as recorded")
    verdict = "clean" if not found.findings else f"{_count(len(found.findings), 'thing')} wrong"
    yield f"{verdict}: {' · '.join(seen)}"


def _count(number: int, what: str) -> str:
    return f"{number:,} {what}{'' if number == 1 else 's'}"


def _plain(found: Verification) -> dict[str, object]:
    findings = [asdict(finding) for finding in found.findings]
    return {
        **asdict(found),
        "output": str(found.output),
        "findings": findings,
        "clean": not found.findings,
        "exit_code": found.exit_code,
    }
