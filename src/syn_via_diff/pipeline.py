"""The short command: a folder of pictures and a folder of masks in, the same two out.

    python -m syn_via_diff.pipeline --input-dir data/synthetic_dataset \
        --mask-dir data/synthetic_dataset/masks --output-dir data/realistic_dataset \
        --config configs/default.yaml

The engine, the config files and the dotted options are those of `sv2r convert`.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import click

from sv2r.cli.dotted import Asked, DottedCommand
from sv2r.cli.main import run_command
from sv2r.cli.progress import watcher
from sv2r.config.layers import COMMAND_LINE, Layer, read_layers
from sv2r.config.resolve import resolve
from sv2r.conversion import convert
from sv2r.errors import ConfigError


@click.command(cls=DottedCommand, no_args_is_help=True)
@click.option("--input-dir", required=True, type=click.Path(path_type=Path), help="The pictures.")
@click.option(
    "--mask-dir", required=True, type=click.Path(path_type=Path), help="The masks, same stems."
)
@click.option(
    "--output-dir",
    required=True,
    type=click.Path(path_type=Path),
    help="Pictures go here under their own relative paths, masks to its masks/.",
)
@click.option(
    "--config",
    "config_file",
    required=True,
    type=click.Path(path_type=Path),
    help="A YAML config, such as configs/default.yaml.",
)
@click.option("--model", help="A diffusers checkpoint: folder, hub id or .safetensors file.")
@click.pass_context
def pipeline(
    ctx: click.Context,
    /,
    input_dir: Path,
    mask_dir: Path,
    output_dir: Path,
    config_file: Path,
    model: str | None,
) -> int:
    """Convert a folder of pictures with a folder of masks; labels stay as they are.

    Options of sv2r's plugins can be given too, such as --translator.strength 0.3.
    """
    asked: Asked = ctx.obj
    for folder, what, option in (
        (input_dir, "pictures", "--input-dir"),
        (mask_dir, "masks", "--mask-dir"),
    ):
        if not folder.is_dir():
            raise ConfigError(f"{folder}: no such folder; give the {what}' folder with {option}")
    masks = mask_dir.absolute()
    values: dict[str, Any] = {
        "input": str(input_dir),
        "output": str(output_dir),
        "loader": {"name": "folder", "images": ".", "masks": str(masks)},
        "writer": {"name": "mirror", "relocate": {str(masks): "masks"}},
    }
    layers = [*read_layers(asked.registry, files=[config_file]), Layer(COMMAND_LINE, values)]
    if model:
        layers.append(Layer(COMMAND_LINE, {"translator": {"model": model}}))
    config = resolve(asked.registry, layers, asked.texts)
    with watcher() as watch:
        summary = convert(config, registry=asked.registry, watch=watch)
    watch.summarise(summary)
    return summary.exit_code


if __name__ == "__main__":
    sys.exit(run_command(pipeline))
