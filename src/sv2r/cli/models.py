"""`sv2r models`: list the models that have a short name, and what of them is in the cache."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from sv2r.cli.options import OnceCommand
from sv2r.plugin.hookspecs import hookimpl

if TYPE_CHECKING:
    from sv2r.diffusion.named import NamedModel


@click.command(cls=OnceCommand)
@click.option("--json", "as_json", is_flag=True, help="Print the list as JSON.")
def models(as_json: bool) -> None:
    """List the models that have a short name, and what of them is in the cache.

    Any other model that diffusers can read goes as well: its id on the Hugging Face hub, a folder
    or a .safetensors file. Nothing is fetched.
    """
    from sv2r.diffusion.named import named_models

    found = named_models()
    if as_json:
        click.echo(json.dumps([_as_data(one) for one in found]))
        return
    for one in found:
        click.echo(f"{one.name:<12} {one.id}{_mark(one.id)}")
        told = f"{one.gigabytes:g} GB of weights · {one.licence} · --translator {one.translator}"
        click.echo(f"{'':<12} {told}")
        for conditioner, net in one.controlnets.items():
            click.echo(f"{'':<12} --controlnet {conditioner}={net}{_mark(net)}")
    click.echo("use one: sv2r convert --input RENDERS --output OUT --model NAME")


def cached(model: str) -> bool:
    """Return whether the hub's cache has weights of a repository; they may not be complete."""
    from huggingface_hub.constants import HF_HUB_CACHE

    folder = Path(HF_HUB_CACHE, f"models--{model.replace('/', '--')}", "snapshots")
    return next(folder.rglob("*.safetensors"), None) is not None


def _as_data(model: NamedModel) -> dict[str, Any]:
    ids = (model.id, *model.controlnets.values())
    return {**asdict(model), "cached": [id_ for id_ in ids if cached(id_)]}


def _mark(model: str) -> str:
    return "   (in the cache)" if cached(model) else ""


@hookimpl
def sv2r_commands() -> Iterable[click.Command]:
    """Return the command."""
    return [models]
