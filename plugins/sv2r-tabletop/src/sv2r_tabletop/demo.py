"""`sv2r demo`: translate bundled renders into photographs by a bundled model."""

from __future__ import annotations

import io
import json
import os
import shlex
import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from sv2r import ConfigError, hookimpl
from sv2r_tabletop.bundled import MODEL, PHOTOS, RENDERS

if TYPE_CHECKING:
    from PIL import Image

SHEET = "demo.png"
_NEXT = """
{seconds:.0f} s. Look at:

  {sheet}  renders, what became of them, and path-traced photographs of other scenes
  {real}/sv2r/report.html  each picture before and after, with its scores
  {real}/images  the pictures; annotations.json beside it has not changed

With renders of your own (COCO, Cityscapes, or folders of pictures and masks):

  sv2r lint RENDERS      what the labels are like, and which options suit them
  sv2r convert --preset controlnet-canny --input RENDERS --output REAL \\
      --model MODEL --controlnet canny=CONTROLNET

MODEL is any Stable Diffusion checkpoint; sv2r train makes it yours, from real photos. The model of
this demo was made by sv2r train bridge, from renders and path-traced photographs."""
_COLUMNS, _STRIPS, _SIDE, _GAP, _MARGIN = 8, 3, 160, 6, 150


@click.command()
@click.option(
    "--output",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path("sv2r-demo"),
    show_default=True,
    help="A new folder, or that of an earlier demo.",
)
@click.option(
    "--device", default="auto", show_default=True, help="auto, cpu, cuda:0, … as in convert."
)
def demo(output: Path, device: str) -> int:
    """Translate bundled renders into photographs, and show what came out.

    24 renders of table scenes with instance masks, by a small diffusion model that comes along and
    takes one evaluation a picture; without network, on any machine, in a minute. Prints the command
    that it runs, and at the end one for renders of your own.

    Exit code: 0 all done or rejected by a check, 1 some failed, 2 nothing was begun, 130 Ctrl-C.
    """
    from sv2r.cli.main import cli
    from sv2r.output.finished import open_finished

    if not (MODEL / "model_index.json").is_file():
        raise ConfigError(f"{MODEL}: the bundled model is missing; install sv2r-tabletop again")
    real = output / "real"
    command = _command(real, device)
    click.echo(f"$ {_shown(['sv2r', *command])}\n")
    start = time.monotonic()
    code = int(cli.main(command, standalone_mode=False) or 0)
    if code not in (0, 1):
        return code
    sheet = write_sheet(real, output / SHEET)
    click.echo(_NEXT.format(seconds=time.monotonic() - start, sheet=sheet, real=real))
    # A picture that the checks refuse belongs to what is shown; one that failed does not.
    return int(code == 1 and any(one.status == "failed" for one in open_finished(real).records()))


def _command(output: Path, device: str) -> list[str]:
    words = ["convert", "--preset", "tabletop", "--input", str(RENDERS), "--output", str(output)]
    words += ["--translator.model", str(MODEL)]
    return [*words, *(("--device", device) if device != "auto" else ())]


def _shown(words: Sequence[str]) -> str:
    """Return a command for the eye: a line for each pair that makes it long, paths from here."""
    here = f"{Path.cwd()}{os.sep}"
    parts = shlex.join(word.replace(here, "") for word in words).split(" --")
    return " \\\n    --".join(parts)


def write_sheet(real: Path, path: Path) -> Path:
    """Return the path of a PNG: strips of renders over what they became, photographs last.

    real: the converted renders. A picture that was rejected stays empty.
    """
    from sv2r import write_atomically

    entries = json.loads((RENDERS / "annotations.json").read_bytes())["images"]
    names = [entry["file_name"] for entry in entries][: _COLUMNS * _STRIPS]
    photos = sorted((PHOTOS / "images").glob("*.jpg"))[:_COLUMNS]
    rows: list[tuple[str, list[Path]]] = []
    for first in range(0, len(names), _COLUMNS):
        some = names[first : first + _COLUMNS]
        rows.append(("render", [RENDERS / name for name in some]))
        rows.append(("sv2r", [real / name for name in some]))
    rows.append(("path-traced\nphotographs of\nother scenes", photos))
    sheet = _stack([_row(title, paths) for title, paths in rows])
    buffer = io.BytesIO()
    sheet.save(buffer, "PNG")
    write_atomically(path, buffer.getvalue())
    return path


def _row(title: str, paths: Iterable[Path]) -> Image.Image:
    """Return pictures side by side, their title before them."""
    from PIL import Image, ImageDraw, ImageFont

    row = Image.new("RGB", (_MARGIN + _COLUMNS * (_SIDE + _GAP), _SIDE + _GAP), "white")
    pen = ImageDraw.Draw(row)
    pen.text((10, _SIDE // 2 - 16), title, fill=(40, 40, 40), font=ImageFont.load_default(16))
    for place, path in enumerate(paths):
        if not path.is_file():
            continue
        with Image.open(path) as picture:
            small = picture.convert("RGB").resize((_SIDE, _SIDE), Image.Resampling.LANCZOS)
        row.paste(small, (_MARGIN + place * (_SIDE + _GAP), _GAP // 2))
    return row


def _stack(rows: Sequence[Image.Image]) -> Image.Image:
    from PIL import Image

    sheet = Image.new("RGB", (rows[0].width, sum(row.height for row in rows)), "white")
    top = 0
    for row in rows:
        sheet.paste(row, (0, top))
        top += row.height
    return sheet


@hookimpl
def sv2r_commands() -> Iterable[click.Command]:
    """Return `sv2r demo`."""
    return [demo]
