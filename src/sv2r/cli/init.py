"""`sv2r init`: write a first config for a folder of renders."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

import click

from sv2r.cli.lines import plain
from sv2r.cli.options import OnceCommand
from sv2r.errors import ConfigError
from sv2r.plugin.hookspecs import hookimpl

if TYPE_CHECKING:
    from sv2r.lint.report import Report
    from sv2r.types import Dataset

# Pictures that are looked at: enough to tell sizes, categories and controls.
_LOOKED_AT = 200


@click.command(cls=OnceCommand, no_args_is_help=True)
@click.argument("renders", metavar="RENDERS", type=click.Path(path_type=Path))
@click.option(
    "--write",
    "file",
    metavar="FILE",
    default="sv2r.yaml",
    type=click.Path(path_type=Path),
    help="The config to write.  [default: sv2r.yaml]",
)
@click.option(
    "--model", metavar="MODEL", help="A folder, a repository or a short name (sv2r models)."
)
@click.option(
    "--output", metavar="FOLDER", type=click.Path(path_type=Path), help="Where results go."
)
@click.option(
    "--prompt", metavar="TEXT", help="What a photograph of this looks like, with {categories}."
)
@click.option("--loader", metavar="NAME", help="The dataset's format; detected by default.")
@click.option("--yes", is_flag=True, help="Ask nothing: take the defaults.")
@click.option("--overwrite", is_flag=True, help="Replace FILE where it is there.")
def init(
    renders: Path,
    file: Path,
    model: str | None,
    output: Path | None,
    prompt: str | None,
    loader: str | None,
    yes: bool,
    overwrite: bool,
) -> int:
    """Write a first config for a folder of renders, with what sv2r lint advises.

    Looks at up to 200 pictures, and on a terminal asks for the model, the output and the prompt.
    Each option in the config has its reason as a comment. Nothing else is written:

    \b
      sv2r init renders
      sv2r preview --config sv2r.yaml --output looks --vary strength=0.4,0.55,0.7
      sv2r convert --config sv2r.yaml

    Exit code: 0 the config is written, 2 RENDERS cannot be read or FILE is there.
    """  # noqa: D301
    from sv2r.cli.paths import typed_path
    from sv2r.starter import Starter, prompt_for, starter_config
    from sv2r.storage.files import write_atomically
    from sv2r.storage.source import as_source

    if file.exists() and not overwrite:
        raise ConfigError(f"{file}: is there; give another --write, or --overwrite")
    name, dataset, report = _looked_at(renders, loader)
    for line in _found(name, dataset, report):
        click.echo(plain(line))
    asks = sys.stdin is not None and sys.stdin.isatty() and not yes
    root = as_source(typed_path(renders))
    start = Starter(
        dataset,
        report,
        name,
        _spelled(_answer("Results go to", output, f"{root}-real", asks)),
        _answer("Model (folder, repository, or a name of sv2r models)", model, "sd15", asks),
        _answer("Prompt", prompt, prompt_for(report)[0], asks),
        file,
    )
    write_atomically(file, starter_config(start).encode())
    click.echo(f"{'wrote':<11} {file}")
    click.echo(f"{'look':<11} sv2r preview --config {file} --output looks --vary strength=0.4,0.7")
    click.echo(f"{'run':<11} sv2r convert --config {file}")
    return 0


def _spelled(text: str) -> Path:
    """Return a folder by its whole path, or a URL as it is spelled."""
    from sv2r.cli.paths import typed_path
    from sv2r.storage.paths import url_of
    from sv2r.storage.source import RemotePath

    url = url_of(text)
    return RemotePath(url) if url else typed_path(Path(text))


def _answer(question: str, given: object, default: str, asks: bool) -> str:
    if given is not None:
        return str(given)
    return str(click.prompt(question, default=default, err=True)) if asks else default


def _looked_at(renders: Path, loader: str | None) -> tuple[str, Dataset, Report]:
    """Return the loader's name, the dataset, and what lint finds in some of its pictures."""
    from sv2r.cli.lint import open_for_lint
    from sv2r.cli.progress import watching
    from sv2r.lint.findings import LintOptions
    from sv2r.lint.report import EXAMPLES
    from sv2r.lint.report import lint as look
    from sv2r.plugin.options import validate_options
    from sv2r.plugin.registry import load_registry

    name, dataset = open_for_lint(load_registry(), renders, loader, {})
    options = validate_options(LintOptions, {}, where="--")
    with watching("looking") as watch:
        report = look(dataset, options, limit=_LOOKED_AT, examples=EXAMPLES, watch=watch)
    return name, dataset, report


def _found(name: str, dataset: Dataset, report: Report) -> Iterable[str]:
    """Yield what was found, and what should be looked at before a job."""
    from sv2r.starter import counts_of

    looked = f"{report.pictures:,} of {len(dataset.ids):,} pictures looked at"
    yield f"{'found':<11} {name} · {looked} · {counts_of(report)}"
    yield from (f"{'warning':<11} {doubt}" for doubt in dataset.doubts)
    if report.errors:
        errors = f"{report.errors:,} error{'' if report.errors == 1 else 's'}"
        yield f"{'warning':<11} {errors} in labels: sv2r lint says which"


@hookimpl
def sv2r_commands() -> Iterable[click.Command]:
    """Return the command."""
    return [init]
