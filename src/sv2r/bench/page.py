"""A comparison as lines for a terminal, and as a page that opens from a file."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from sv2r.bench.precision import AREAS
from sv2r.bench.run import RESULT, RUNS, ArmResult, Benched
from sv2r.images.decode import read_picture
from sv2r.report.pictures import contours, data_url
from sv2r.storage.files import write_atomically

_SHOWN = 4  # photographs with what each arm's first training found in them
_LEAST_SCORE = 0.5
_WIDTH, _HEIGHT = 320, 120


def bench_lines(found: Benched) -> Iterator[str]:
    """Yield the table and the verdicts."""
    keys = ["mask AP", "mask AP50", *(f"mask AP {area}" for area in AREAS), "box AP"]
    shown = [key for key in keys if any(key in arm.figures for arm in found.arms)]
    width = max(11, *(len(arm.name) for arm in found.arms))
    if not found.arms[0].trained:
        yield f"no seed is done for every arm; {found.left} trainings are left"
        return
    yield " ".join([f"{'':<{width}}", *(f"{key.removeprefix('mask '):>10}" for key in shown)])
    for arm in found.arms:
        cells = [_cell(arm.figures.get(key)) for key in shown]
        yield " ".join([f"{arm.name:<{width}}", *cells])
    yield f"{'':<{width}} means over {found.arms[0].trained} seeds, in points of 100"
    for one in found.differences:
        yield f"{'verdict':<11} {one.words}"
    if found.left:
        yield f"{'left':<11} {found.left} trainings; the same command goes on"


def _cell(value: float | None) -> str:
    return f"{'–':>10}" if value is None else f"{100 * value:>10.1f}"


def bench_data(found: Benched) -> dict[str, Any]:
    """Return a comparison as JSON values."""
    return {
        "photographs": found.truth.pictures,
        "left": found.left,
        "arms": [
            {
                "name": arm.name,
                "pictures": arm.data.pictures,
                "instances": dict(arm.data.counts),
                "seeds": arm.trained,
                "figures": dict(arm.figures),
            }
            for arm in found.arms
        ],
        "differences": [
            {
                "arm": one.arm,
                "first": one.first,
                "points": one.points,
                "low": one.low,
                "high": one.high,
                "decided": one.decided,
                "seeds": one.seeds,
                "photos": one.photos,
                "words": one.words,
            }
            for one in found.differences
        ],
    }


def write_bench(found: Benched, path: Path) -> Path:
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
    keys = list(dict.fromkeys(key for arm in found.arms for key in arm.figures))
    text = environment.get_template("bench.html.j2").render(
        found=found,
        rows=[(key, [arm.figures.get(key) for arm in found.arms]) for key in keys],
        curves=[_curve(arm) for arm in found.arms],
        width=_WIDTH,
        height=_HEIGHT,
        examples=list(_examples(found)),
    )
    write_atomically(path, text.encode(errors="backslashreplace"))
    return path


def _curve(arm: ArmResult) -> dict[str, Any]:
    """Return the losses of an arm's trainings as SVG points."""
    most = max((loss for run in arm.losses for _, loss in run), default=1.0) or 1.0
    last = max((step for run in arm.losses for step, _ in run), default=1)
    lines = [
        " ".join(
            f"{_WIDTH * step / last:.1f},{_HEIGHT * (1 - loss / most):.1f}" for step, loss in run
        )
        for run in arm.losses
    ]
    return {"name": arm.name, "lines": lines, "most": most, "last": last}


def _examples(found: Benched) -> Iterator[dict[str, Any]]:
    """Yield some photographs, each with the truth's outlines and those that each arm found."""
    truth = json.loads(found.truth.annotations.read_text(encoding="utf-8"))
    images = truth["images"]
    step = max(1, len(images) // _SHOWN)
    results = [
        json.loads((found.folder / RUNS / f"{arm.name}-0" / RESULT).read_text())["detections"]
        for arm in found.arms
        if arm.trained
    ]
    for image in images[::step][:_SHOWN]:
        pixels = read_picture(found.truth.folder / image["file_name"], image["file_name"]).pixels
        own = [one for one in truth["annotations"] if one["image_id"] == image["id"]]
        layers = [("labels", _paths(own, image))]
        for arm, detections in zip(found.arms, results, strict=False):
            mine = [
                one
                for one in detections
                if one["image_id"] == image["id"] and one["score"] >= _LEAST_SCORE
            ]
            layers.append((arm.name, _paths(mine, image)))
        size = (image["width"], image["height"])
        yield {"url": data_url(pixels), "size": size, "layers": layers}


def _paths(entries: Sequence[Mapping[str, Any]], image: Mapping[str, Any]) -> list[str]:
    """Return SVG path data around the masks of COCO entries."""
    import numpy as np
    from pycocotools import mask as rle

    found: list[str] = []
    for entry in entries:
        mask = rle.decode(entry["segmentation"]).astype(np.int32)
        found.extend(contours(mask).values())
    return found
