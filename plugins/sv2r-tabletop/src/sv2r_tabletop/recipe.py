"""The recipe of the bundled model: `sv2r train base`, then `sv2r train bridge`.

The base learns from photographs alone; the bridge from renders with their labels and photographs of
other scenes, whose labels nothing here sees.
"""

from __future__ import annotations

import shlex
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import click

from sv2r import ConfigError, write_atomically

# What a training leaves behind that is needed to go on, not to use its result.
_NOT_SHIPPED = ("training", "train.yaml", "README.md")

Options = Mapping[str, object]


@dataclass(frozen=True)
class Recipe:
    """Options of the two trainings, named as on the command line."""

    base: Options
    bridge: Options


_SHARED = {"resolution": 128}
# Little noise: it is what the one evaluation has to invent texture from, and what stays of it is
# grain. A calm judge let grain pass; photos lit by another light taught it little.
_BRIDGE = {**_SHARED, "start": 0.003, "realism": 2, "judge-smoothness": 0, "augment": 0.1}
_PIXELS = {**_SHARED, "pixels": True, "prediction": "sample", "held-out": 16}
RECIPES: Mapping[str, Recipe] = {
    # Two hours of one core, from 372 photographs and 500 renders of 128 pixels.
    "small": Recipe(
        base={
            **_PIXELS,
            "unet-channels": (16, 32, 80, 144),
            "steps": 150,
            "batch-size": 4,
            "ema": 0.98,
            "save-every": 50,
            "validate-every": 150,
        },
        bridge={
            **_BRIDGE,
            "labels": 0.25,
            "steps": 3_000,
            "ema": 0.998,
            "held-out": 24,
            "save-every": 100,
            "validate-every": 250,
        },
    ),
    # For a GPU, and ten thousand photographs. Nobody has run it yet.
    "large": Recipe(
        base={
            **_PIXELS,
            "unet-channels": (64, 128, 192, 256),
            "unet-layers": 2,
            "heads": 8,
            "steps": 20_000,
            "batch-size": 32,
        },
        bridge={**_BRIDGE, "labels": 0.25, "steps": 60_000, "batch-size": 16, "held-out": 64},
    ),
}


@click.command()
@click.option(
    "--photos",
    type=click.Path(path_type=Path, file_okay=False, exists=True),
    required=True,
    help="A folder with photographs alone: the images folder of what `sv2r tabletop render` wrote.",
)
@click.option(
    "--renders",
    type=click.Path(path_type=Path, file_okay=False, exists=True),
    required=True,
    help="A dataset with renders of other scenes, as `sv2r tabletop render` wrote it.",
)
@click.option(
    "--output",
    type=click.Path(path_type=Path, file_okay=False),
    required=True,
    help="The model's new folder; the trainings keep their state in OUTPUT-training.",
)
@click.option(
    "--size",
    type=click.Choice(list(RECIPES)),
    default="small",
    show_default=True,
    help="small: the bundled model's, for a CPU. large: for a GPU, not run yet.",
)
@click.option(
    "--seed",
    type=click.IntRange(0),
    default=0,
    show_default=True,
    help="Of weights, batches and noise; the same seed gives the same model.",
)
def train(photos: Path, renders: Path, output: Path, size: str, seed: int) -> int:
    """Train a model of the world as the bundled one was.

    Runs `sv2r train base` and `sv2r train bridge` with a recipe, printing both commands, and copies
    the result. Stopped or killed, the same command goes on.
    """
    from sv2r.cli.main import cli

    if output.name in ("", ".."):
        raise ConfigError(f"--output {output}: has no name; give a new folder's, such as model")
    recipe, work = RECIPES[size], output.with_name(f"{output.name}-training")
    shared = {"photos": photos, "seed": seed, "weights": "float16", "license": "Apache-2.0"}
    base, bridge = work / "base", work / "bridge"
    _require_own(bridge, output)  # before hours are spent
    for words in (
        _words("base", {**shared, "output": base}, recipe.base),
        _words(
            "bridge", {**shared, "model": base, "renders": renders, "output": bridge}, recipe.bridge
        ),
    ):
        click.echo(f"$ sv2r {shlex.join(words)}", err=True)
        code = int(cli.main(words, standalone_mode=False) or 0)
        if code:
            return code
    assemble(base, bridge, output)
    click.echo(str(output))
    return 0


def _words(kind: str, *options: Options) -> list[str]:
    """Return a training's command line."""
    words = ["train", kind]
    for name, value in {k: v for some in options for k, v in some.items()}.items():
        values = value if isinstance(value, tuple) else (value,)
        for one in values:
            words += [f"--{name}", str(one)]
    return words


def _require_own(result: Path, output: Path) -> None:
    """Raise ConfigError where a folder holds what `assemble` did not take from the training."""
    for path in sorted(output.rglob("*")):
        within = path.relative_to(output)
        if not (result / within).exists():
            raise ConfigError(
                f"--output {output}: holds {within}, which this command did not make; give another"
            )


def assemble(base: Path, bridge: Path, output: Path) -> None:
    """Copy what the second training made, and write a card with the figures of both.

    Raises:
        ConfigError: one of them has no result yet.
    """
    for folder in (base, bridge):
        if not (folder / "model_index.json").is_file():
            raise ConfigError(f"{folder}: has no model_index.json; the training has not ended")
    kept = shutil.ignore_patterns(*_NOT_SHIPPED)
    shutil.copytree(bridge, output, ignore=kept, dirs_exist_ok=True)
    tables = (_table(folder / "README.md") for folder in (base, bridge))
    write_atomically(output / "README.md", _CARD.format(*tables).encode())


def _table(card: Path) -> str:
    """Return the table of figures in a training's model card."""
    lines = card.read_text(encoding="utf-8").splitlines()
    return "\n".join(line for line in lines if line.startswith("| "))


_CARD = """---
library_name: diffusers
license: Apache-2.0
tags:
- sv2r
- image-to-image
---

# Photographs of rendered tables, in one evaluation

A small model that makes photographs of renders of the world `tables`, 128 pixels large, in one
evaluation of its denoiser. Its latents are the pixels. It takes no prompt.

```bash
sv2r convert --preset bridge --input RENDERS --output OUTPUT --model MODEL
```

It has learnt from renders with their labels, and from path-traced photographs of other scenes
without labels (`sv2r tabletop render`). `sv2r tabletop train` makes it again.

## Base

{}

## Bridge

{}
"""
