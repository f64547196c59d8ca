"""`sv2r preview`: look at a few pictures under several settings before you run a job."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import click

from sv2r.cli.job import JobCommand
from sv2r.cli.options import ModelOption
from sv2r.plugin.hookspecs import hookimpl

if TYPE_CHECKING:
    from sv2r.cli.job import Request
    from sv2r.preview.settings import Setting


class PreviewCommand(JobCommand):
    """A command with a job's options, of which `--vary` names some."""

    names_options = True


@click.command(cls=PreviewCommand, no_args_is_help=True)
@click.option(
    "--pictures",
    metavar="INT",
    type=click.IntRange(1, 64),
    default=6,
    help="How many pictures to choose.  [1 <= x <= 64; default: 6]",
)
@click.option(
    "--vary",
    metavar="OPTION=VALUE,VALUE",
    multiple=True,
    help="An option and the values to try: strength=0.3,0.5,0.7; a row each. Of several, every "
    "combination.  [may be repeated]",
)
@click.pass_context
def preview(ctx: click.Context, /, pictures: int, vary: tuple[str, ...], **values: Any) -> int:
    """Look at a few pictures under several settings before you run a job.

    Chooses pictures that differ in categories, sizes and small objects, makes them under each
    setting as a job would, with the same seeds, and writes OUTPUT/preview.html and
    OUTPUT/preview.png. Damaged pictures are shown too: --on-damage is keep unless you give it. The
    same command again makes only what is missing. All options of sv2r convert work here:

    \b
      sv2r preview --input RENDERS --output looks --model MODEL --vary strength=0.3,0.5,0.7

    Exit code: 0 there is a page, 1 no picture of it could be made, 2 nothing started,
    130 interrupted.
    """  # noqa: D301
    from sv2r.cli.progress import watcher
    from sv2r.preview.page import PAGE, row_lines, write_page, write_sheet
    from sv2r.preview.run import run_preview

    request = preview.request(ctx, values, _own(ctx, values))
    configs = [(one, with_setting(ctx, request, one).config()) for one in _settings(vary)]
    with watcher() as watch:
        looks = run_preview(
            configs[0][1].job.output,
            configs,
            pictures=pictures,
            registry=request.registry,
            watch=watch,
        )
    for row in looks.rows:
        click.echo(f"{row.setting.title}: {' · '.join(row_lines(row))}")
    about = (
        "Pictures as the model makes them, damaged or not; those of a column share their seed, "
        "unless it is varied."
    )
    click.echo(f"{'look':<11} {write_page(looks, looks.folder / PAGE, about)}")
    click.echo(f"{'':<11} {write_sheet(looks)}")
    return 0 if any(one.output for row in looks.rows for one in row.records.values()) else 1


def _settings(vary: Sequence[str]) -> list[Setting]:
    from sv2r.preview.settings import read_vary, settings_of

    return settings_of(read_vary(vary))


def _own(ctx: click.Context, values: Mapping[str, Any]) -> dict[str, Any]:
    """Return what a preview has of its own, where it is not given.

    Each setting's output holds its few pictures and their masks: the mirror of a whole dataset
    would copy all of its label files for each.
    """
    given = {option.path[0] for option, _ in ctx.obj.typed(values)}
    own = {} if "damage" in given else {"damage": {"steps": ["keep"]}}
    return own if values.get("writer") else {**own, "writer": "folder"}


def with_setting(ctx: click.Context, request: Request, setting: Setting) -> Request:
    """Return a request with a setting's values in place of what was asked for.

    Raises:
        ConfigError: there is no such option, or it is given besides.
    """
    from dataclasses import replace

    from sv2r.config.layers import COMMAND_LINE, Layer
    from sv2r.config.resolve import TypedOption

    layers, texts = list(request.layers), list(request.texts)
    for name, value in setting.values:
        option, key = _find(ctx, name)
        word = f"{key}={value}" if key else value
        if len(option.path) > 1:
            texts.append(TypedOption(option.path, (word,), f"--{name}"))
        else:
            layers.append(Layer(COMMAND_LINE, {option.path[0]: word}))
    return replace(request, layers=tuple(layers), texts=tuple(texts))


def _find(ctx: click.Context, name: str) -> tuple[ModelOption, str]:
    """Return the option that a name means, and the key in it of "option.key", or ""."""
    from sv2r.errors import ConfigError

    command: Any = ctx.command
    options = [one for one in command.get_params(ctx) if isinstance(one, ModelOption)]
    head, _, key = name.rpartition(".")
    for wanted, rest in ((name, ""), (head, key)):
        plain = wanted.replace("-", "_")
        for option in options:
            names = {opt.removeprefix("--").replace("-", "_") for opt in option.opts}
            if plain and plain in {*names, ".".join(option.path)}:
                return option, rest
    raise ConfigError(f"--vary: {command.unknown(ctx, f'--{name}')}")


@hookimpl
def sv2r_commands() -> Iterable[click.Command]:
    """Return the command."""
    return [preview]
