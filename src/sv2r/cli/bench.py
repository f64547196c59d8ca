"""`sv2r bench`: train one segmenter on several datasets in turn, and compare them on photos."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from sv2r.cli.lines import plain
from sv2r.cli.options import CommandLine, ModelCommand, ModelOption, component_options
from sv2r.cli.paths import typed_path
from sv2r.errors import ConfigError
from sv2r.plugin.hookspecs import hookimpl

if TYPE_CHECKING:
    from sv2r.plugin.options import Options

_TRAINER = "maskrcnn"
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*")
_UNITS = {"s": 1, "m": 60, "h": 3600}


class _BenchCommand(ModelCommand):
    """A command with the options of a trainer."""

    @cached_property
    def own_options(self) -> Sequence[click.Option]:
        return ()

    def plugin_options(self, asked: CommandLine) -> Iterable[ModelOption]:
        name = asked.named.get("trainer") or _TRAINER
        return component_options(asked.registry, "trainer", name, ("trainer",))


@click.command(cls=_BenchCommand, no_args_is_help=True)
@click.option(
    "--real",
    metavar="DATASET",
    type=click.Path(path_type=Path),
    required=True,
    help="Labelled photographs to be tried on, which no arm trains on.",
)
@click.option(
    "--arm",
    "arms",
    metavar="NAME=DATASET[+DATASET]",
    multiple=True,
    required=True,
    help="What to train on: datasets or finished runs, with + between. Others are compared with "
    "the first arm.  [may be repeated]",
)
@click.option(
    "--output",
    metavar="FOLDER",
    type=click.Path(path_type=Path),
    required=True,
    help="For all that is written.",
)
@click.option("--trainer", metavar="NAME", help=f"Who trains.  [default: {_TRAINER}]")
@click.option(
    "--seeds",
    metavar="INT",
    type=click.IntRange(1, 1000),
    default=5,
    help="Trainings of each arm; seeds are the same for all.  [default: 5]",
)
@click.option(
    "--categories",
    "categories_file",
    metavar="FILE",
    type=click.Path(path_type=Path),
    help="YAML: what a category of the arms is called in the real set, null to leave it out.",
)
@click.option(
    "--time",
    "longest",
    metavar="TIME",
    help="Begin no training after so long (45m, 2h); the same command goes on.",
)
@click.option(
    "--device",
    metavar="NAMES",
    default="auto",
    help="cpu, cuda:0 …; with commas between, one training at a time on each.  [default: auto]",
)
@click.option("--json", "as_json", is_flag=True, help="Print the result as JSON on stdout.")
@click.pass_context
def bench(
    ctx: click.Context,
    /,
    real: Path,
    arms: Sequence[str],
    output: Path,
    trainer: str | None,
    seeds: int,
    categories_file: Path | None,
    longest: str | None,
    device: str,
    as_json: bool,
    **values: Any,
) -> int:
    """Train one segmenter on each of several datasets, and compare them on real photographs.

    The same network, steps, batches and seeds for every arm; AP on labelled photographs that none
    of them has. The verdict claims no more than a bootstrap over photographs and seeds shows:

    \b
      sv2r bench --real photos --arm synthetic=renders --arm mixed=renders+real --output bench

    What is done is kept: the same command goes on. Name a trainer with --help to see its options.

    Exit code: 0 all is done, 1 trainings are left, 2 the sets cannot be compared.
    """  # noqa: D301
    from sv2r.bench.page import bench_data, bench_lines, write_bench
    from sv2r.bench.run import Comparison, run_bench
    from sv2r.storage.paths import url_of
    from sv2r.worker.work import find_devices

    name = trainer or _TRAINER
    asked = Comparison(
        typed_path(real),
        _arms(arms),
        _categories(categories_file),
        name,
        _options(ctx, name, values),
        seeds,
    )
    devices = find_devices(tuple(device.split(",")))
    folder = typed_path(output)
    if url := url_of(folder):
        raise ConfigError(f"--output {url}: must be a folder of this machine")
    found = run_bench(
        folder,
        asked,
        devices=devices,
        max_seconds=None if longest is None else _seconds(longest),
        registry=ctx.obj.registry,
        watch=_Lines(),
    )
    if as_json:
        click.echo(json.dumps(bench_data(found), ensure_ascii=False))
    else:
        for line in bench_lines(found):
            click.echo(plain(line))
    if found.arms[0].trained:
        click.echo(f"{'look':<11} {write_bench(found, folder / 'bench.html')}", err=as_json)
    return 1 if found.left else 0


class _Lines:
    """A watcher that prints."""

    def said(self, line: str) -> None:
        """Print a line."""
        click.echo(plain(line), err=True)

    def stepped(self, arm: str, seed: int, step: int, steps: int, loss: float) -> None:
        """Print how far a training is, ten times."""
        if step * 10 // steps > (step - 20) * 10 // steps:
            told = f"step {step:,} of {steps:,}, loss {loss:.3f}"
            self.said(f"{'training':<11} {arm}, seed {seed}: {told}")


def _options(ctx: click.Context, name: str, values: Mapping[str, Any]) -> Options:
    from sv2r.plugin.options import read_texts, validate_options

    model = ctx.obj.registry.spec("trainer", name).options
    given = {
        option.path[-1]: read_texts(model, option.path[-1], texts, where="--trainer")
        for option, texts in ctx.obj.typed(values)
    }
    listing = f"sv2r plugins show trainer:{name}"
    options: Options = validate_options(model, given, where="--trainer", listing=listing)
    return options


def _arms(texts: Sequence[str]) -> dict[str, tuple[Path, ...]]:
    found: dict[str, tuple[Path, ...]] = {}
    for text in texts:
        name, _, places = text.partition("=")
        parts = [part for part in places.split("+") if part]
        if places and Path(places).exists():  # a folder whose own name has a +
            parts = [places]
        if not _NAME.fullmatch(name) or not parts:
            raise ConfigError(f"--arm {text}: write NAME=DATASET, or NAME=DATASET+DATASET")
        if name in found:
            raise ConfigError(f"--arm {text}: there is an arm called {name}; give it another name")
        found[name] = tuple(typed_path(Path(part)) for part in parts)
    return found


def _categories(file: Path | None) -> dict[str, str | None]:
    from sv2r.storage.regular import read_text
    from sv2r.storage.strict_yaml import read_yaml

    if file is None:
        return {}
    try:
        found = read_yaml(read_text(typed_path(file)), str(file))
    except OSError as error:
        raise ConfigError(f"--categories {file}: {str(error.strerror).lower()}") from None
    if not isinstance(found, Mapping) or not all(
        isinstance(value, str) or value is None for value in found.values()
    ):
        raise ConfigError(f"--categories {file}: write NAME: NAME, or NAME: null, a line each")
    return {str(key): value for key, value in found.items()}


def _seconds(text: str) -> float:
    found = re.fullmatch(r"(\d+(?:\.\d+)?)([smh])", text)
    if found is None:
        raise ConfigError(f"--time {text}: write a time such as 90s, 45m or 2h")
    return float(found[1]) * _UNITS[found[2]]


@hookimpl
def sv2r_commands() -> Iterable[click.Command]:
    """Return the command."""
    return [bench]
