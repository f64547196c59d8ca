"""The page and the sheet of a preview: a row for each setting, a column for each picture."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sv2r.errors import SampleError
from sv2r.images.decode import read_picture
from sv2r.images.png import encode_png
from sv2r.preview.run import Looks, SettingRow, damaged_in, lowest_in
from sv2r.report.pictures import contours, data_url
from sv2r.storage.files import write_atomically
from sv2r.storage.source import published_file
from sv2r.types import Record, Sample

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from PIL import Image

PAGE = "preview.html"
SHEET = "preview.png"
_HERE = Path(__file__).parent
# Of the sheet, in pixels.
_HEIGHT, _GAP, _LINE, _MARGIN = 224, 10, 20, 230
_PAPER, _INK, _SOFT = (255, 255, 255), (28, 34, 39), (95, 104, 112)


def write_page(looks: Looks, path: Path, about: str) -> Path:
    """Write the page, which holds all it shows, and return its path.

    about: what the pictures are, in a sentence.
    """
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    environment = Environment(
        loader=FileSystemLoader(_HERE), autoescape=True, undefined=StrictUndefined, trim_blocks=True
    )
    text = environment.get_template("preview.html.j2").render(
        heads=[_head(looks, sample) for sample in looks.samples],
        rows=[_row(looks, row, path.absolute().parent) for row in looks.rows],
        root=str(looks.dataset.root),
        about=about,
    )
    write_atomically(path, text.encode(errors="backslashreplace"))
    return path


def _head(looks: Looks, id_: str) -> dict[str, Any]:
    sample = _sample(looks, id_)
    pixels = read_picture(sample.image, id_).pixels
    labels = sample.load_instances().labels
    outlines = "".join(contours(labels).values())
    return {"id": id_, "url": data_url(pixels), "outlines": outlines, "size": labels.shape}


def _row(looks: Looks, row: SettingRow, here: Path) -> dict[str, Any]:
    return {
        "title": row.setting.title,
        "config": os.path.relpath(row.folder / "sv2r" / "run.yaml", here),
        "lines": list(row_lines(row)),
        "cells": [_cell(row, sample, here) for sample in looks.samples],
    }


def _cell(row: SettingRow, id_: str, here: Path) -> dict[str, Any]:
    record = row.records.get(id_)
    pixels = _made(row, record)
    return {
        "url": None if pixels is None else data_url(pixels),
        "file": "" if record is None else _link(row, record, here),
        "line": _line(record),
        "bad": record is not None and bool(damaged_in(record)),
    }


def _link(row: SettingRow, record: Record, here: Path) -> str:
    return os.path.relpath(row.folder / record.output, here) if record.output else ""


def row_lines(row: SettingRow) -> Iterator[str]:
    """Yield what there is to say of a setting, each in a few words."""
    made = sum(record.status == "done" for record in row.records.values())
    if made < len(row.records):
        yield f"{made} of {len(row.records)} pictures made"
    if not made:
        return
    yield f"{row.damaged} of {row.instances:,} instances damaged"
    yield from (f"lowest {check} {score:.2f}" for check, score in row.lowest.items())
    if row.seconds is not None:
        yield f"{row.seconds:.2g} s a picture"


def _line(record: Record | None) -> str:
    """Return what stands below a picture."""
    if record is None:
        return "not made"
    if record.status != "done":
        return str(record.error)
    scores = " · ".join(f"{check} {score:.2f}" for check, score in lowest_in(record).items())
    damaged = damaged_in(record)
    return f"{scores} · {damaged} damaged" if damaged else scores


def _sample(looks: Looks, id_: str) -> Sample:
    return looks.dataset.samples[list(looks.dataset.ids).index(id_)]


def _made(row: SettingRow, record: Record | None) -> NDArray[np.uint8] | None:
    """Return a picture that was made, or None."""
    if record is None or not record.output:
        return None
    try:
        return read_picture(published_file(row.folder, record.output), record.output).pixels
    except SampleError:
        return None


def write_sheet(looks: Looks) -> Path:
    """Write all pictures as one PNG, the renders in the first row, and return its path."""
    import numpy as np

    sources = [read_picture(_sample(looks, id_).image, id_).pixels for id_ in looks.samples]
    strips = [_strip("render", [], sources, list(looks.samples))]
    for row in looks.rows:
        records = [row.records.get(id_) for id_ in looks.samples]
        made = [_made(row, record) for record in records]
        lines = [_line(record) for record in records]
        strips.append(_strip(row.setting.title, list(row_lines(row)), made, lines, like=sources))
    path = looks.folder / SHEET
    write_atomically(path, encode_png(np.asarray(_stacked(strips))))
    return path


def _strip(
    title: str,
    notes: Sequence[str],
    pictures: Sequence[NDArray[np.uint8] | None],
    lines: Sequence[str],
    like: Sequence[NDArray[np.uint8]] = (),
) -> Image.Image:
    """Return a row of the sheet: words at its left, pictures of one height, a line below each."""
    from PIL import Image, ImageDraw, ImageFont

    font, small = ImageFont.load_default(15), ImageFont.load_default(12)
    shapes = [one.shape for one in (like or pictures) if one is not None]
    widths = [max(60, round(shape[1] * _HEIGHT / shape[0])) for shape in shapes]
    strip = Image.new(
        "RGB", (_MARGIN + sum(widths) + _GAP * len(widths), _HEIGHT + _LINE + _GAP), _PAPER
    )
    pen = ImageDraw.Draw(strip)
    words = [(text, font, _INK) for text in title.split(" · ")]
    words += [(text, small, _SOFT) for text in notes]
    for place, (text, face, ink) in enumerate(words):
        pen.text((_GAP, _GAP + 20 * place), text, fill=ink, font=face)
    left = _MARGIN
    for pixels, line, width in zip(pictures, lines, widths, strict=True):
        if pixels is not None:
            picture = Image.fromarray(pixels).resize((width, _HEIGHT), Image.Resampling.LANCZOS)
            strip.paste(picture, (left, 0))
        short = line
        while pen.textlength(short, font=small) > width and len(short) > 4:
            short = f"{short[:-2]}…"
        pen.text((left, _HEIGHT + 3), short, fill=_SOFT, font=small)
        left += width + _GAP
    return strip


def _stacked(strips: Sequence[Image.Image]) -> Image.Image:
    from PIL import Image

    width = max(strip.width for strip in strips)
    sheet = Image.new("RGB", (width, sum(strip.height for strip in strips) + _GAP), _PAPER)
    top = _GAP
    for strip in strips:
        sheet.paste(strip, (0, top))
        top += strip.height
    return sheet
