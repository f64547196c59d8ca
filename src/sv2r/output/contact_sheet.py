"""A contact sheet: before, after, and the labels' outlines on the result."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from sv2r.errors import SampleError
from sv2r.images.decode import read_picture
from sv2r.images.outlines import draw_outlines
from sv2r.images.png import encode_png
from sv2r.storage.files import write_atomically
from sv2r.storage.source import published_file
from sv2r.types import Dataset, Record

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from PIL import Image, ImageDraw

CONTACT_SHEET = "contact-sheet.png"
SHEET_ROWS = 8
_HEIGHT = 256  # of a row, pixels
_GAP = 8
_CAPTION = 22
_COLUMNS = ("before", "after", "labels on the result")
_PAPER, _INK = (255, 255, 255), (40, 40, 40)


def write_contact_sheet(
    dataset: Dataset, records: Sequence[Record], output: Path, path: Path
) -> None:
    """Write a PNG with a row for each record whose pictures can be read; none gives no file.

    output: the folder that the records' paths are relative to.
    """
    import numpy as np

    places = {id_: index for index, id_ in enumerate(dataset.ids)} if records else {}
    rows = []
    for record in records:
        try:
            rows.append(_row(dataset, places[record.sample], record, output))
        except (SampleError, KeyError):
            continue  # verify and the next run name a picture that went missing
    if rows:
        write_atomically(path, encode_png(np.asarray(_stack(rows))))


def _row(dataset: Dataset, index: int, record: Record, output: Path) -> Image.Image:
    """Return one record's pictures side by side under a caption."""
    from PIL import Image, ImageDraw

    sample = dataset.samples[index]
    before = read_picture(sample.image, sample.id).pixels
    after = read_picture(published_file(output, str(record.output)), str(record.output)).pixels
    outlined = draw_outlines(after, sample.load_instances().labels)
    cells = [_scaled(pixels) for pixels in (before, after, outlined)]
    width = sum(cell.width for cell in cells) + _GAP * (len(cells) + 1)
    row = Image.new("RGB", (width, _HEIGHT + _CAPTION + _GAP), _PAPER)
    pen = ImageDraw.Draw(row)
    left = _GAP
    for cell, title in zip(cells, _COLUMNS, strict=True):
        row.paste(cell, (left, _CAPTION))
        text = f"{record.sample} · {title}" if title == _COLUMNS[0] else title
        pen.text((left, 5), _fitting(pen, text, cell.width), fill=_INK)
        left += cell.width + _GAP
    return row


def _scaled(pixels: NDArray[np.uint8]) -> Image.Image:
    from PIL import Image

    picture = Image.fromarray(pixels)
    width = max(1, round(picture.width * _HEIGHT / picture.height))
    return picture.resize((width, _HEIGHT), Image.Resampling.LANCZOS)


def _fitting(pen: ImageDraw.ImageDraw, text: str, width: int) -> str:
    """Return the text, its start cut away where it is wider than its picture."""
    short = text
    while pen.textlength(short) > width and len(short) > 4:
        short = "…" + short[2:]
    return short


def _stack(rows: Sequence[Image.Image]) -> Image.Image:
    from PIL import Image

    sheet = Image.new("RGB", (max(r.width for r in rows), sum(r.height for r in rows)), _PAPER)
    top = 0
    for row in rows:
        sheet.paste(row, (0, top))
        top += row.height
    return sheet
