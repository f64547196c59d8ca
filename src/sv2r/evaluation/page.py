"""An evaluation as a page that opens from a file, without a network."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from sv2r.errors import SampleError
from sv2r.evaluation.run import Evaluated, Evaluation, least_real, most_real
from sv2r.evaluation.table import FIGURES, spelled
from sv2r.images.decode import read_picture
from sv2r.report.pictures import data_url
from sv2r.storage.files import write_atomically

_SHOWN = 4


def write_evaluation(found: Evaluation, path: Path) -> Path:
    """Write the page and return its path.

    Raises:
        StorageError: it cannot be written.
    """
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    text = environment.get_template("evaluation.html.j2").render(
        found=found,
        rows=[_row(found, key) for key in found.sets[0].measures.figures],
        galleries=[_gallery(one) for one in found.sets],
    )
    write_atomically(path, text.encode(errors="backslashreplace"))
    return path


def _row(found: Evaluation, key: str) -> dict[str, Any]:
    cells = []
    for place, one in enumerate(found.sets):
        closed = found.closed(key, place) if key != "diversity" else None
        cells.append({"text": spelled(one.measures.figures[key]), "closed": closed})
    name, about = FIGURES[key]
    return {"name": name, "about": about, "cells": cells}


def _gallery(one: Evaluated) -> dict[str, Any]:
    return {
        "name": one.pictures.name,
        "kept": one.kept,
        "rows": [
            ("most like photographs", [_shown(path) for path in most_real(one, _SHOWN)]),
            ("least", [_shown(path) for path in least_real(one, _SHOWN)]),
        ],
    }


def _shown(path: Path) -> dict[str, str]:
    try:
        return {"url": data_url(read_picture(path, path.name).pixels), "name": path.name}
    except SampleError:
        return {"url": "", "name": path.name}
