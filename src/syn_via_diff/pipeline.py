"""The short command: a folder of pictures and a folder of masks in, the same two out.

    python -m syn_via_diff.pipeline --input-dir data/synthetic_dataset \
        --mask-dir data/synthetic_dataset/masks --output-dir data/realistic_dataset \
        --config configs/default.yaml

The engine, the config files and the dotted options are those of `sv2r convert`.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import click

from sv2r.cli.job import JobCommand, section_options
from sv2r.cli.main import run_command
from sv2r.cli.options import CommandLine
from sv2r.cli.progress import watcher
from sv2r.conversion import convert
from sv2r.errors import ConfigError


class _PipelineCommand(JobCommand):
    """A command with the options of the plugins that its config names, and of the two formats."""

    @cached_property
    def own_options(self) -> Sequence[click.Option]:
        return [option for option in section_options() if not option.typed]

    def merged(self, asked: CommandLine) -> dict[str, Any]:
        return {**super().merged(asked), "loader": {"name": "folder"}, "writer": {"name": "mirror"}}


@click.command(cls=_PipelineCommand, no_args_is_help=True)
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
    **values: Any,
) -> int:
    """Convert a folder of pictures with a folder of masks; labels stay as they are.

    Options of sv2r's plugins can be given too, such as --translator.strength 0.3.
    """
    for folder, what, option in (
        (input_dir, "pictures", "--input-dir"),
        (mask_dir, "masks", "--mask-dir"),
    ):
        if not folder.is_dir():
            raise ConfigError(f"{folder}: no such folder; give the {what}' folder with {option}")
    masks = mask_dir.absolute()
    own: dict[str, Any] = {
        "input": str(input_dir),
        "output": str(output_dir),
        "loader": {"name": "folder", "images": ".", "masks": str(masks)},
        "writer": {"name": "mirror", "relocate": {str(masks): "masks"}},
    }
    if model:
        own["translator"] = {"model": model}
    request = pipeline.request(ctx, values, own)
    with watcher() as watch:
        summary = convert(request.config(), registry=request.registry, watch=watch)
    watch.summarise(summary)
    return summary.exit_code


if __name__ == "__main__":
    sys.exit(run_command(pipeline))
