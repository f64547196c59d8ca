"""`sv2r train`: a LoRA, a ControlNet or a small model, from real photos."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterable
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

import click

from sv2r.cli.dotted import Asked, DottedCommand, help_text, metavar, plugin_section
from sv2r.errors import ConfigError
from sv2r.plugin.options import OptionField, option_fields, read_texts, validate_options
from sv2r.training.folder import Kind, read_config
from sv2r.training.options import BaseOptions, ControlnetOptions, LoraOptions, TrainOptions

if TYPE_CHECKING:
    from rich.progress import Progress as Bar
    from rich.progress import TaskID

    from sv2r.training.run import Result

# Seconds between two lines where there is no terminal to redraw.
_EVERY = 10.0


@click.group()
def train() -> None:
    """Train on a folder of real photos, for `sv2r convert` to use.

    The output folder is what --translator.model, .lora or .controlnet takes. The same command again
    goes on where it was stopped or killed. On several GPUs: accelerate launch -m sv2r.cli.main
    train …
    """


class _TrainCommand(DottedCommand):
    """A command that takes the options of one conditioner besides its own."""

    def sections(self, asked: Asked) -> Iterable[tuple[str, str, list[OptionField]]]:
        if self.name != "controlnet":
            return ()
        name = (
            asked.plain.get("conditioner")
            or ControlnetOptions.model_fields["conditioner"].get_default()
        )
        return plugin_section(asked.registry, "conditioner", name, f"--conditioner.{name}.")


@train.command(cls=_TrainCommand, no_args_is_help=True)
@click.pass_context
def lora(ctx: click.Context, /, **values: Any) -> int:
    """Train a LoRA on the UNet or transformer of somebody's model.

    Captions come from a template (--caption), from files (--caption-files true), or there are none.
    Exit code: 0 there is a result, 2 a mistake, 130 stopped by Ctrl-C.
    """
    from sv2r.training.run import train_lora

    options = _read("lora", LoraOptions, ctx.obj, values)
    with _Progress() as progress:
        return _told(train_lora(options, progress))


@train.command(cls=_TrainCommand, no_args_is_help=True)
@click.pass_context
def controlnet(ctx: click.Context, /, **values: Any) -> int:
    """Train a ControlNet from photos alone: a conditioner of sv2r's makes the control maps.

    Exit code: 0 there is a result, 2 a mistake, 130 stopped by Ctrl-C.
    """
    from sv2r.training.run import train_controlnet

    options = _read("controlnet", ControlnetOptions, ctx.obj, values)
    with _Progress() as progress:
        return _told(train_controlnet(options, ctx.obj.registry, progress))


@train.command(cls=_TrainCommand, no_args_is_help=True)
@click.pass_context
def base(ctx: click.Context, /, **values: Any) -> int:
    """Train a small latent diffusion model from scratch: its VAE first, then its UNet.

    The defaults are for 128-pixel photos on two CPU cores. The result is an ordinary diffusers
    folder. Exit code: 0 there is a result (or --max-time is up), 2 a mistake, 130 Ctrl-C.
    """
    from sv2r.training.run import train_base

    options = _read("base", BaseOptions, ctx.obj, values)
    with _Progress() as progress:
        return _told(train_base(options, progress))


def _add_options(command: click.Command, model: type[TrainOptions]) -> None:
    """Give a command an option for each field of its model."""
    command.params.append(
        click.Option(
            ["--config", "config_file"],
            metavar="FILE",
            help="A train.yaml, which the options here go over.",
        )
    )
    command.params += [
        click.Option(
            [f"--{field.name.replace('_', '-')}", field.name],
            metavar=metavar(field).strip(),
            multiple=field.repeatable,
            help=help_text(field),
        )
        for field in option_fields(model)
        if not field.mapping
    ]


for _command, _model in ((lora, LoraOptions), (controlnet, ControlnetOptions), (base, BaseOptions)):
    _add_options(_command, _model)


def _read(kind: Kind, model: type[Any], asked: Asked, values: dict[str, Any]) -> Any:
    """Return the options: a train.yaml's, and those of the command line over them."""
    file = values.pop("config_file")
    below = read_config(kind, Path(file)) if file else {}
    given = {name: value for name, value in values.items() if value not in (None, ())}
    together = {**below, **given}
    changed = given.get("conditioner") not in (None, below.get("conditioner"))
    inner = {} if changed else dict(below.get("conditioner_options") or {})
    inner |= _dotted(kind, asked, str(together.get("conditioner", "canny")))
    if inner:
        together["conditioner_options"] = inner
    origins = {name: str(file) for name in below if name not in given}
    listing = f"sv2r train {kind} --help"
    return validate_options(model, together, where="--", listing=listing, origins=origins)


def _dotted(kind: Kind, asked: Asked, conditioner: str) -> dict[str, Any]:
    """Return the conditioner's options that the command line gives."""
    found: dict[str, Any] = {}
    for item in asked.texts:
        dotted = f"--{'.'.join(item.path)}"
        if kind != "controlnet" or item.path[:-1] != ("conditioner", conditioner):
            raise ConfigError(f"no option {dotted}; sv2r train {kind} --help lists all")
        spec = asked.registry.spec("conditioner", conditioner)
        where = f"--conditioner.{conditioner}"
        found[item.path[-1]] = read_texts(spec.options, item.path[-1], item.texts, where=where)
    return found


def _told(result: Result) -> int:
    """Return the exit code, with what came of it printed."""
    for name, ending in result.endings.items():
        rate = f" · {ending.ran / ending.seconds:.3g} steps/s" if ending.ran else ""
        held = f" · held out {ending.held_out[-1][1]:.4g}" if ending.held_out else ""
        loss = f" · loss {ending.losses[-1][1]:.4g}" if ending.losses else ""
        click.echo(f"{name:<11} {ending.step:,} of {ending.steps:,} steps{rate}{loss}{held}")
    if result.use:
        click.echo(f"result      {result.output}")
        click.echo(f"use         {result.use}")
    if not result.finished:
        click.echo("again       the same command goes on where it stopped")
    return 130 if result.interrupted else 0


class _Progress:
    """Shows a training on stderr: a bar on a terminal, a line now and then elsewhere."""

    def __init__(self) -> None:
        self._bar: Bar | None = None
        self._tasks: dict[str, TaskID] = {}
        self._silent = os.environ.get("RANK", "0") != "0"
        self._when = time.monotonic()

    def __enter__(self) -> _Progress:
        if sys.stderr.isatty() and not self._silent:
            from rich.console import Console
            from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
            from rich.progress import Progress as Bar

            self._bar = Bar(
                TextColumn("{task.description:<11}"),
                BarColumn(),
                MofNCompleteColumn(),
                TextColumn("{task.fields[notes]}"),
                TimeRemainingColumn(),
                console=Console(stderr=True),
            )
            self._bar.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._bar is not None:
            self._bar.stop()

    def said(self, line: str) -> None:
        """Print a line."""
        if self._bar is not None:
            self._bar.console.print(line, markup=False, highlight=False)
        elif not self._silent:
            click.echo(line, err=True)

    def counted(self, what: str, done: int, total: int) -> None:
        """Show how far something is that comes before the first step."""
        self._shown(what, done, total, "")

    def stepped(self, name: str, step: int, steps: int, loss: float, rate: float) -> None:
        """Show how far the steps are."""
        self._shown(name, step, steps, f"loss {loss:.4g} · {rate:.3g} pictures/s")

    def _shown(self, what: str, done: int, total: int, notes: str) -> None:
        if self._bar is not None:
            if what not in self._tasks:
                self._tasks[what] = self._bar.add_task(what, total=total, notes=notes)
            self._bar.update(self._tasks[what], completed=done, notes=notes)
        elif time.monotonic() - self._when >= _EVERY:
            self._when = time.monotonic()
            self.said(f"{what:<11} {done:,}/{total:,}{f'  {notes}' if notes else ''}")
