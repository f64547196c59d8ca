"""`sv2r train`: train a LoRA, a ControlNet, a small model or a bridge on real photos."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from sv2r.cli.options import CommandLine, ModelCommand, ModelOption, component_options, own_options
from sv2r.plugin.hookspecs import hookimpl

if TYPE_CHECKING:
    from sv2r.training.folder import NetworkKind
    from sv2r.training.options import TrainOptions
    from sv2r.training.run import Result


@click.group()
def train() -> None:
    """Train on a folder of real photos, for `sv2r convert` to use.

    The output folder is what --translator.model, .lora or .controlnet takes. The same command again
    continues where it was stopped or killed. On several GPUs: accelerate launch -m sv2r.cli.main
    train …
    """


class _TrainCommand(ModelCommand):
    """A command that takes the options of one conditioner besides its own."""

    @cached_property
    def own_options(self) -> Sequence[click.Option]:
        file = click.Option(
            ["--config", "config_file"],
            metavar="FILE",
            help="A train.yaml, which the options here go over.",
        )
        return [file, *(one for one in own_options(self.model) if not one.declared.mapping)]

    @property
    def model(self) -> type[TrainOptions]:
        """Return the model of the command's options."""
        from sv2r.training.options import (
            BaseOptions,
            BridgeOptions,
            ControlnetTraining,
            LoraOptions,
        )

        models: dict[str, type[TrainOptions]] = {
            "lora": LoraOptions,
            "controlnet": ControlnetTraining,
            "base": BaseOptions,
            "bridge": BridgeOptions,
        }
        return models[str(self.name)]

    def plugin_options(self, asked: CommandLine) -> Iterable[ModelOption]:
        if self.name != "controlnet":
            return ()
        name = _conditioner(asked)
        return component_options(asked.registry, "conditioner", name, ("conditioner", name))

    def unknown(self, ctx: click.Context, name: str) -> str:
        if "." in name:
            return f"no option {name}; sv2r train {self.name} --help lists all"
        return super().unknown(ctx, name)


def _conditioner(asked: CommandLine) -> str:
    """Return the conditioner that is named here, in the train.yaml, or by default."""
    from sv2r.training.folder import read_train_file
    from sv2r.training.options import ControlnetTraining

    name, file = asked.named.get("conditioner"), asked.named.get("config_file")
    if name is None and file:
        name = read_train_file("controlnet", Path(file)).get("conditioner")
    return str(name or ControlnetTraining.model_fields["conditioner"].get_default())


@train.command(cls=_TrainCommand, no_args_is_help=True)
@click.pass_context
def lora(ctx: click.Context, /, **values: Any) -> int:
    """Train a LoRA for the UNet or transformer of an existing model.

    Captions come from a template (--caption), from files (--caption-files true), or there are none.
    Exit code: 0 there is a result, 2 a mistake, 130 stopped by Ctrl-C.
    """
    from sv2r.cli.progress import TrainProgress
    from sv2r.training.run import train_lora

    options = _read("lora", ctx, values)
    with TrainProgress() as progress:
        return _told(train_lora(options, progress))


@train.command(cls=_TrainCommand, no_args_is_help=True)
@click.pass_context
def controlnet(ctx: click.Context, /, **values: Any) -> int:
    """Train a ControlNet from photos alone: a conditioner of sv2r's makes the control maps.

    Exit code: 0 there is a result, 2 a mistake, 130 stopped by Ctrl-C.
    """
    from sv2r.cli.progress import TrainProgress
    from sv2r.training.run import train_controlnet

    options = _read("controlnet", ctx, values)
    with TrainProgress() as progress:
        return _told(train_controlnet(options, ctx.obj.registry, progress))


@train.command(cls=_TrainCommand, no_args_is_help=True)
@click.pass_context
def base(ctx: click.Context, /, **values: Any) -> int:
    """Train a small latent diffusion model from scratch: its VAE first, then its UNet.

    The defaults are for 128-pixel photos on two CPU cores. The result is an ordinary diffusers
    folder. Exit code: 0 there is a result (or --max-time is up), 2 a mistake, 130 Ctrl-C.
    """
    from sv2r.cli.progress import TrainProgress
    from sv2r.training.run import train_base

    options = _read("base", ctx, values)
    with TrainProgress() as progress:
        return _told(train_base(options, progress))


@train.command(cls=_TrainCommand, no_args_is_help=True)
@click.pass_context
def bridge(ctx: click.Context, /, **values: Any) -> int:
    """Train a model that makes photos of renders in one evaluation of its denoiser.

    It learns from renders and from photos of other scenes, unpaired: judges tell its pictures from
    photos, and the renders' labels must still fit. The result is an ordinary diffusers folder.
    Exit code: 0 there is a result (or --max-time is up), 2 a mistake, 130 Ctrl-C.
    """
    from sv2r.cli.progress import TrainProgress
    from sv2r.training.train_bridge import train_bridge

    options = _read("bridge", ctx, values)
    with TrainProgress() as progress:
        return _told(train_bridge(options, ctx.obj.registry, progress))


def _read(kind: NetworkKind, ctx: click.Context, values: dict[str, Any]) -> Any:
    """Return the options: a train.yaml's, and those of the command line over them."""
    from sv2r.plugin.options import read_texts, validate_options
    from sv2r.training.folder import read_train_file

    command, asked = ctx.command, ctx.obj
    assert isinstance(command, _TrainCommand)
    file = values["config_file"]
    below = read_train_file(kind, Path(file)) if file else {}
    given: dict[str, Any] = {}
    inner: dict[str, Any] = {}
    for option, texts in asked.typed(values):
        if option.path[0] == "conditioner" and len(option.path) > 1:
            spec = asked.registry.spec("conditioner", option.path[1])
            where = f"--conditioner.{option.path[1]}"
            inner[option.path[2]] = read_texts(spec.options, option.path[2], texts, where=where)
        else:
            given[option.path[0]] = list(texts) if option.multiple else texts[0]
    together = {**below, **given}
    if given.get("conditioner") in (None, below.get("conditioner")):
        inner = {**(below.get("conditioner_options") or {}), **inner}
    if inner:
        together["conditioner_options"] = inner
    origins = {name: str(file) for name in below if name not in given}
    listing = f"sv2r train {kind} --help"
    return validate_options(command.model, together, where="--", listing=listing, origins=origins)


def _told(result: Result) -> int:
    """Return the exit code, with what came of it printed."""
    from sv2r.cli.progress import brief

    for name, ending in result.endings.items():
        rate = f" · {brief(ending.ran / ending.seconds)} steps/s" if ending.ran else ""
        held = f" · held out {ending.held_out[-1][1]:.4g}" if ending.held_out else ""
        loss = f" · loss {ending.losses[-1][1]:.4g}" if ending.losses else ""
        click.echo(f"{name:<11} {ending.step:,} of {ending.steps:,} steps{rate}{loss}{held}")
    if result.use:
        click.echo(f"result      {result.output}")
        click.echo(f"use         {result.use}")
    if not result.finished:
        click.echo("again       run the same command again to continue")
    return 130 if result.interrupted else 0


@hookimpl
def sv2r_commands() -> Iterable[click.Command]:
    """Return the command."""
    return [train]
