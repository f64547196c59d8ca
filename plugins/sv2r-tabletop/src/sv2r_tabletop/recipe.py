"""A recipe for a model like the bundled one: `sv2r train base`, then `sv2r train controlnet`.

The bundled model itself was made in several trainings of about these steps, as its card says; the
recipe has been run whole at toy size alone. Both trainings learn from photographs alone: nothing
here sees a synthetic render, or a label of a photo.
"""

from __future__ import annotations

import shlex
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import click

from sv2r import ConfigError, write_atomically

CONTROLNET = "controlnet-flat"
# What a training leaves behind that is needed to go on, not to use its result.
_NOT_SHIPPED = ("training", "train.yaml", "README.md")

Options = Mapping[str, object]

# A photograph without texture, grain and cast is much like a render: the ControlNet learns to put
# them back. The noise hides what is left of texture, as the preset's does.
_FLAT = {"conditioner": "flat", "conditioner.flat.noise": 0.07}


@dataclass(frozen=True)
class Recipe:
    """Options of the two trainings, named as on the command line."""

    base: Options
    controlnet: Options


RECIPES: Mapping[str, Recipe] = {
    # Five hours of one core, from 1,280 photographs of 128 pixels.
    "small": Recipe(
        base={
            "resolution": 128,
            "vae-steps": 1_500,
            "sharpen-steps": 2_800,
            "sharpen-learning-rate": 4e-4,
            "latent-noise": 0.1,
            "steps": 7_000,
            "ema": 0.999,
            "precision": "bfloat16",
            "held-out": 16,
        },
        controlnet={
            "resolution": 128,
            "batch-size": 8,
            "steps": 11_000,
            "learning-rate": 5e-4,
            "schedule": "cosine",
            "caption-dropout": 0,
            "precision": "bfloat16",
            "held-out": 16,
        },
    ),
    # For a GPU, and ten thousand photographs. Nobody has run it yet.
    "large": Recipe(
        base={
            "resolution": 128,
            "latent-channels": 8,
            "vae-channels": (64, 128, 192),
            "vae-layers": 2,
            "vae-steps": 60_000,
            "vae-batch-size": 16,
            "vae-crop": 128,
            "sharpen-steps": 20_000,
            "latent-noise": 0.1,
            "unet-channels": (192, 320, 448),
            "unet-layers": 2,
            "attention": 2,
            "heads": 8,
            "steps": 120_000,
            "batch-size": 64,
        },
        controlnet={
            "resolution": 128,
            "batch-size": 64,
            "steps": 20_000,
            "learning-rate": 1e-4,
            "schedule": "cosine",
        },
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
    help="small: about the steps of the bundled model, for a CPU. large: for a GPU, not run yet.",
)
@click.option(
    "--seed",
    type=click.IntRange(0),
    default=0,
    show_default=True,
    help="Of weights, batches and noise; the same seed gives the same model.",
)
def train(photos: Path, output: Path, size: str, seed: int) -> int:
    """Train a model of the world from photographs, much as the bundled one was.

    Runs `sv2r train base` and `sv2r train controlnet` with a recipe, printing both commands, and
    puts what they made into one folder. Stopped or killed, the same command goes on. The bundled
    model took several trainings of about these steps; the recipe has been run whole at toy size
    alone.
    """
    from sv2r.cli.main import cli

    if output.name in ("", ".."):
        raise ConfigError(f"--output {output}: has no name; give a new folder's, such as model")
    recipe, work = RECIPES[size], output.with_name(f"{output.name}-training")
    shared = {"photos": photos, "seed": seed, "weights": "float16", "license": "Apache-2.0"}
    base, net = work / "base", work / CONTROLNET
    _require_own(base, net, output)  # before hours are spent
    for words in (
        _words("base", {**shared, "output": base}, recipe.base),
        _words("controlnet", {**shared, **_FLAT, "model": base, "output": net}, recipe.controlnet),
    ):
        click.echo(f"$ sv2r {shlex.join(words)}", err=True)
        code = int(cli.main(words, standalone_mode=False) or 0)
        if code:
            return code
    assemble(base, net, output)
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


def _require_own(base: Path, net: Path, output: Path) -> None:
    """Raise ConfigError where a folder holds what `assemble` did not take from these trainings."""
    for path in sorted(output.rglob("*")):
        within = path.relative_to(output)
        of_net = within.parts[0] == CONTROLNET
        source = net / within.relative_to(CONTROLNET) if of_net else base / within
        if not source.exists():
            raise ConfigError(
                f"--output {output}: holds {within}, which this command did not make; give another"
            )


def assemble(base: Path, net: Path, output: Path) -> None:
    """Write one model folder out of two trainings' results, and a model card out of theirs.

    Raises:
        ConfigError: one of them has no result yet.
    """
    for folder, file in ((base, "model_index.json"), (net, "config.json")):
        if not (folder / file).is_file():
            raise ConfigError(f"{folder}: has no {file}; the training there has not ended")
    kept = shutil.ignore_patterns(*_NOT_SHIPPED)
    shutil.copytree(base, output, ignore=kept, dirs_exist_ok=True)
    shutil.copytree(net, output / CONTROLNET, ignore=kept, dirs_exist_ok=True)
    tables = (_table(folder / "README.md") for folder in (base, net))
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

# A small model of photographed tables

A latent diffusion model for 128-pixel photographs of tables with mugs, bowls, bottles, boxes,
balls and cans, with a ControlNet on flattened pictures (the conditioner `flat`). It has no
captions.

```bash
sv2r convert --preset tabletop --input RENDERS --output OUTPUT \\
    --translator.model MODEL --translator.controlnet flat=MODEL/controlnet-flat
```

It has learnt from path-traced photographs alone (`sv2r tabletop render --domain photo`) and what
`flat` makes of them: no synthetic render, no label. `sv2r tabletop train` makes it again.

## VAE and UNet

{}

## ControlNet

{}
"""
