"""`sv2r tabletop`: the world's own commands."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterable, Iterator
from pathlib import Path

import click

from sv2r_tabletop.recipe import train

# A line of progress this often where there is no terminal, in seconds.
_PAUSE = 20.0


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
    type=click.IntRange(0, 999_999),
    required=True,
    help="Seed of the first scene; the others follow. Photos to learn from begin at 0, renders to "
    "translate at 200000, photos with labels at 300000, validation at 400000, test at 500000, "
    "bundled at 600000.",
)
@click.option(
    "--output",
    type=click.Path(path_type=Path, file_okay=False),
    required=True,
    help="A new folder, or one that was begun with the same settings: it goes on where it was.",
)
@click.option("--workers", type=click.IntRange(1, 256), default=1, show_default=True)
@click.option(
    "--size", type=click.IntRange(16, 2048), default=128, show_default=True, help="Pixels a side."
)
@click.option(
    "--spp",
    type=click.IntRange(1, 4096),
    default=32,
    show_default=True,
    help="Paths traced for each pixel of a photo; rounded up to a grid.",
)
def render(
    domain: str, count: int, seed: int, output: Path, workers: int, size: int, spp: int
) -> None:
    """Render scenes as COCO datasets with exact masks and depth.

    Needs Mitsuba 3: pip install 'sv2r-tabletop[render]'. With --domain both, OUTPUT has a folder
    for each domain. The files are read by: sv2r convert --loader.depth '../depth/{stem}.png'
    """
    from sv2r_tabletop.dataset import DOMAINS, Settings, finish, plan, render_all
    from sv2r_tabletop.render import mitsuba

    mitsuba()  # before anything is written
    domains = DOMAINS if domain == "both" else (domain,)
    settings = [Settings(one, size, spp if one == "photo" else 0, seed) for one in domains]
    tasks = plan(output, settings, count)
    _announce(seed, count, count - len(tasks))
    for _ in _shown(render_all(tasks, workers), len(tasks)):
        pass
    for path in finish(output, settings, count):
        click.echo(str(path))


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
