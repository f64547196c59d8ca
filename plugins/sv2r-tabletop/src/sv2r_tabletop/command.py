"""`sv2r tabletop`: the world's own commands."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from sv2r import ConfigError
from sv2r_tabletop.recipe import train

if TYPE_CHECKING:
    from sv2r_tabletop.settings import Settings

_SIDE = click.IntRange(16, 2048)
# A line of progress this often where there is no terminal, in seconds.
_PAUSE = 20.0


class Size(click.ParamType[int | str]):
    """Pixels a side from 16 to 2048, or "mixed"."""

    name = "PIXELS|mixed"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> int | str:
        """Return the number or the word."""
        return "mixed" if value == "mixed" else _SIDE.convert(value, param, ctx)


@click.group()
def tabletop() -> None:
    """Make renders and photographs of table scenes whose truth is known, and learn from them."""


tabletop.add_command(train)


@tabletop.command()
@click.option(
    "--domain",
    type=click.Choice(["synthetic", "photo", "both"]),
    required=True,
    help="A quick engine's flat picture, a path-traced photograph, or both of each scene.",
)
@click.option("--count", type=click.IntRange(1, 1_000_000), required=True, help="How many scenes.")
@click.option(
    "--seed",
    type=click.IntRange(0, 1_999_999),
    required=True,
    help="Seed of the first scene; the others follow. Photos to learn from begin at 0, renders to "
    "translate at 200000, photos with labels at 300000, validation at 400000, test at 500000, "
    "bundled at 600000; edited scenes to learn from at 1000000, to choose settings with at "
    "1300000, to test with at 1400000.",
)
@click.option(
    "--output",
    type=click.Path(path_type=Path, file_okay=False),
    required=True,
    help="A new folder, or one that was begun with the same settings: it goes on where it was.",
)
@click.option("--workers", type=click.IntRange(1, 256), default=1, show_default=True)
@click.option(
    "--size",
    type=Size(),
    default="128",
    show_default=True,
    help="Pixels a side, or mixed: most of 112 to 192, some up to 768, by the seed.",
)
@click.option(
    "--spp",
    type=click.IntRange(1, 4096),
    default=32,
    show_default=True,
    help="Paths traced for each pixel of a photo; rounded up to a grid.",
)
@click.option(
    "--world",
    type=click.Choice(["tables", "clutter", "street"]),
    default="tables",
    show_default=True,
    help="What the scenes are of; street is to test with alone.",
)
@click.option(
    "--style",
    type=click.Choice(["flat", "toon", "game", "noisy"]),
    default="flat",
    show_default=True,
    help="What synthetic pictures look like.",
)
@click.option(
    "--edits",
    metavar="FILE|auto",
    help="Change each scene before it is photographed, as a file says or as is drawn. OUTPUT has "
    "a folder synthetic, the scenes before, and photo, with the labels of the scenes before and "
    "edits.json, which says what became of each.",
)
def render(
    domain: str,
    count: int,
    seed: int,
    output: Path,
    workers: int,
    size: int | str,
    spp: int,
    world: str,
    style: str,
    edits: str | None,
) -> None:
    """Render scenes as COCO datasets with exact masks and depth.

    Needs Mitsuba 3: pip install 'sv2r-tabletop[render]'. With --domain both or --edits, OUTPUT has
    a folder for each domain. The files are read by: sv2r convert --loader.depth
    '../depth/{stem}.png'
    """
    from sv2r_tabletop.dataset import finish, plan, render_all
    from sv2r_tabletop.describe import mitsuba
    from sv2r_tabletop.settings import Settings

    mitsuba()  # before anything is written
    _require_world(world, seed, count)
    settings = _settings(domain, Settings("", size, spp, seed, world=world, style=style), edits)
    tasks = plan(output, settings, count)
    _announce(seed, count, count - len(tasks))
    for _ in _shown(render_all(tasks, workers), len(tasks)):
        pass
    for path in finish(output, settings, count):
        click.echo(str(path))


def _settings(domain: str, shared: Settings, edits: str | None) -> list[Settings]:
    """Return the settings of each dataset that is asked for.

    Raises:
        ConfigError: the edits are wrong, or none can be done.
    """
    from sv2r_tabletop.edits import VERSION, read_edits
    from sv2r_tabletop.settings import AUTO

    synthetic = replace(shared, domain="synthetic", spp=0)
    photo = replace(shared, domain="photo", style="flat")
    if edits is None:
        return [one for one in (synthetic, photo) if domain in ("both", one.domain)]
    if domain == "synthetic":
        raise ConfigError("--edits: the scene after edits is photographed; give --domain photo")
    text = edits if edits == AUTO else read_edits(Path(edits))
    return [synthetic, replace(photo, edits=text, edits_version=VERSION)]


def _require_world(world: str, seed: int, count: int) -> None:
    """Raise ConfigError where scenes of a world that is only tested on would be learnt from."""
    from sv2r_tabletop.scene import SPLITS, split_of
    from sv2r_tabletop.worlds import WORLDS

    learnt = {split_of(one) for one in (seed, seed + count - 1)} - {"edits-test", "test", "none"}
    if WORLDS[world].tested_only and learnt:
        first = SPLITS["edits-test"].start
        raise ConfigError(
            f"--world {world}: is to test with alone, and seed {seed} is of the split "
            f"{min(learnt)}; give --seed {first} or one of that split"
        )


def _announce(seed: int, count: int, restored: int) -> None:
    from sv2r_tabletop.scene import split_of

    splits = " and ".join(dict.fromkeys(split_of(one) for one in (seed, seed + count - 1)))
    there = f" · {restored:,} there already" if restored else ""
    click.echo(f"scenes {seed:,} to {seed + count - 1:,} ({splits}){there}", err=True)


def _shown(seeds: Iterable[int], total: int) -> Iterator[int]:
    """Yield what is yielded, with a bar on a terminal and now and then a line elsewhere."""
    if sys.stderr.isatty():
        from rich.console import Console
        from rich.progress import track

        yield from track(seeds, "rendering", total, console=Console(stderr=True))
        return
    start = told = time.monotonic()
    for done, seed in enumerate(seeds, 1):
        yield seed
        now = time.monotonic()
        if now - told > _PAUSE or done == total:
            told, rate = now, done / max(now - start, 1e-9)
            left = time.strftime("%H:%M:%S", time.gmtime((total - done) / rate))
            line = f"rendering  {done:,}/{total:,}  {rate:.2g} pictures/s  {left} left"
            click.echo(line, err=True)
