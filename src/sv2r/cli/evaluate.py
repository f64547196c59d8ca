"""`sv2r evaluate`: how near pictures are to your photographs, and what became of their objects."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from sv2r.cli.lines import plain
from sv2r.cli.options import OnceCommand
from sv2r.cli.paths import typed_path
from sv2r.errors import ConfigError
from sv2r.plugin.hookspecs import hookimpl

if TYPE_CHECKING:
    from sv2r.evaluation.sets import PictureSet
    from sv2r.plugin.registry import Registry

_FOLDER = click.Path(path_type=Path)


@click.command(cls=OnceCommand, no_args_is_help=True)
@click.option(
    "--source", metavar="FOLDER", type=_FOLDER, required=True, help="The renders: a dataset."
)
@click.option(
    "--translated",
    metavar="[NAME=]FOLDER",
    multiple=True,
    help="What became of them: a finished run, or a dataset.  [may be repeated]",
)
@click.option(
    "--photos",
    metavar="FOLDER",
    type=_FOLDER,
    required=True,
    help="Real photographs, at least 16, with or without labels.",
)
@click.option(
    "--features",
    metavar="MODEL",
    default="small",
    help="What describes pictures: small, or a vision model that transformers reads (a folder or "
    "repository, such as facebook/dinov2-small).  [default: small]",
)
@click.option(
    "--limit",
    metavar="INT",
    type=click.IntRange(8),
    default=200,
    help="Pictures of each set, evenly spread.  [default: 200]",
)
@click.option(
    "--size",
    metavar="INT",
    type=click.IntRange(64, 1024),
    default=256,
    help="Pixels: the side of the squares that are compared.  [64 <= x <= 1024; default: 256]",
)
@click.option("--device", metavar="NAME", default="auto", help="Where MODEL runs.  [default: auto]")
@click.option("--seed", metavar="INT", type=int, default=0, help="Of all draws.  [default: 0]")
@click.option("--html", metavar="FILE", type=_FOLDER, help="Write a page with pictures, too.")
@click.option("--json", "as_json", is_flag=True, help="Print the result as JSON on stdout.")
def evaluate(
    source: Path,
    translated: Sequence[str],
    photos: Path,
    features: str,
    limit: int,
    size: int,
    device: str,
    seed: int,
    html: Path | None,
    as_json: bool,
) -> int:
    """Measure how near pictures are to your photographs, and what became of their objects.

    One table with a column for each set. Its two ends are the renders, and a half of the
    photographs that was held out: nothing gets nearer to photographs than photographs. A figure
    stands with what chance alone does to it, and with how much of the gap it closes:

    \b
      sv2r evaluate --source renders --translated real --photos photos

    No figure says whether a segmenter trained on the pictures gets better; pictures that look
    painted can come near by texture and colour. Nothing is written but FILE.

    Exit code: 0 there is a table, 2 a set cannot be read.
    """  # noqa: D301
    from sv2r.cli.progress import watching
    from sv2r.evaluation.features import find_features
    from sv2r.evaluation.page import write_evaluation
    from sv2r.evaluation.run import evaluation_data, run_evaluation
    from sv2r.evaluation.sets import photos_in
    from sv2r.evaluation.table import table_lines
    from sv2r.plugin.registry import load_registry
    from sv2r.worker.work import find_devices

    renders, *others = _sets(source, translated, load_registry())
    found_photos = photos_in(typed_path(photos))
    network = find_features(features, find_devices((device,))[0])
    with watching("looking") as watch:
        found = run_evaluation(
            renders,
            others,
            found_photos,
            network,
            side=size,
            limit=limit,
            seed=seed,
            watch=watch,
        )
    if as_json:
        click.echo(json.dumps(evaluation_data(found), ensure_ascii=False))
    else:
        for line in table_lines(found):
            click.echo(plain(line))
    if html is not None:
        click.echo(f"{'look':<11} {write_evaluation(found, html)}", err=as_json)
    return 0


def _sets(source: Path, translated: Sequence[str], registry: Registry) -> list[PictureSet]:
    """Return the renders and what became of them, each under a name of its own."""
    from sv2r.evaluation.run import HELD_OUT, RENDERS
    from sv2r.evaluation.sets import pictures_of

    named: dict[str, Path] = {RENDERS: source}
    for text in translated:
        name, _, folder = text.rpartition("=") if not Path(text).exists() else ("", "", text)
        name = name or Path(folder).name
        if name in (*named, HELD_OUT):
            raise ConfigError(
                f"--translated {text}: there is a set called {name}; give NAME=FOLDER"
            )
        named[name] = Path(folder)
    return [pictures_of(name, typed_path(folder), registry) for name, folder in named.items()]


@hookimpl
def sv2r_commands() -> Iterable[click.Command]:
    """Return the command."""
    return [evaluate]
