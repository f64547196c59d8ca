"""What edits did to each label, by the renderer: overlap, displacement of the outline, category.

Both scenes are rendered as label maps by the same pinhole, finer than the picture by an odd factor,
so that a small displacement is measured in parts of a pixel.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sv2r_tabletop.edits import Edit
from sv2r_tabletop.labels import annotation_id
from sv2r_tabletop.meshes import Floats
from sv2r_tabletop.scene import Scene
from sv2r_tabletop.stage import Body, Stage

Labels = NDArray[np.uint8]
Mask = NDArray[np.bool_]
# What the map after the edits says of a thing that has no label.
UNLABELLED = 255
# An outline point without an outline this near after the edits is lost (pixels of the picture).
LOST = 1.5
# Pictures above this side have label maps of their own size.
_FINE_UP_TO, _FINE = 128, 3
# Outlines of more points are thinned evenly.
_MOST_POINTS = 1500
# After these the middle of what is left says nothing of where the thing went.
_RESHAPED = ("swap", "half", "part", "merge")


def fineness(size: int) -> int:
    """Return how many times as large as the picture its label maps are: 3, or 1 for large ones."""
    return _FINE if size <= _FINE_UP_TO else 1


def numbered(labels: NDArray[np.int32], numbers: Sequence[int]) -> Labels:
    """Return a label map in which each object has its instance's number, or UNLABELLED."""
    table = [0, *(number or UNLABELLED for number in numbers)]
    return np.array(table, np.uint8)[labels]


def compare(
    before: Scene, stage: Stage, edits: Sequence[Edit], maps: tuple[Labels, Labels], scale: int
) -> dict[str, Any]:
    """Return the truth of one picture as `edits.json` has it: edits, instances, what was added.

    maps: label maps before and after, `scale` times as large as the picture.
    """
    return {
        "damaged": any(edit.damage for edit in edits),
        "edits": [_edit_entry(edit) for edit in edits],
        "instances": [
            _instance(before, stage, number, edits, maps, scale)
            for number in np.unique(_pixels(maps[0], scale)).tolist()
            if number
        ],
        "added": _added(stage, maps[1], scale),
    }


def _pixels(labels: Labels, scale: int) -> Labels:
    """Return the map at the middle of each pixel of the picture."""
    return labels[scale // 2 :: scale, scale // 2 :: scale]


def _edit_entry(edit: Edit) -> dict[str, Any]:
    return {"kind": edit.kind, "damage": edit.damage, **edit.model_dump(exclude={"kind"})}


def _instance(
    before: Scene,
    stage: Stage,
    number: int,
    edits: Sequence[Edit],
    maps: tuple[Labels, Labels],
    scale: int,
) -> dict[str, Any]:
    category = before.objects[number - 1].thing.category
    body = stage.body(number)
    was, is_now = (labels == number for labels in maps)
    named = [k for k, edit in enumerate(edits) if number in names_of(edit)]
    kinds = {edits[k].kind for k in named}
    after = body.placed.thing.category if body is not None and np.any(is_now) else None
    moved = None if body is None or kinds & set(_RESHAPED) else _shift(before, number, body)
    return {
        "annotation_id": annotation_id(before.seed, number),
        "number": number,
        "category": category,
        "category_after": after,
        "category_holds": after == category,
        "area": int((_pixels(maps[0], scale) == number).sum()),
        "iou": _rounded((was & is_now).sum() / (was | is_now).sum()),
        "area_ratio": _rounded(is_now.sum() / was.sum()),
        **measure_outlines(was, is_now, scale),
        "shift": None if moved is None else [_rounded(v * stage.side) for v in moved],
        "edits": named,
    }


def names_of(edit: Edit) -> set[int]:
    """Return the numbers of the instances that an edit names."""
    return {
        getattr(edit, name)
        for name in ("instance", "into", "before")
        if getattr(edit, name, None) is not None and edit.kind != "focus"
    }


def _shift(before: Scene, number: int, body: Body) -> Floats:
    """Return where an instance's middle went, (2,) in parts of the picture."""
    middles = np.stack([before.objects[number - 1].ball[0], body.placed.ball[0]])
    place, _ = before.view.project(middles)
    moved: Floats = place[1] - place[0]
    return moved


def measure_outlines(was: Mask, is_now: Mask, scale: int) -> Mapping[str, Any]:
    """Return `displacement` (mean and 95th percentile in pixels, or None) and `outline_lost`.

    Distances are those of each outline point to the nearest of the other outline, both ways.
    """
    one, other = outline(was), outline(is_now)
    if not len(one) or not len(other):
        return {"displacement": None, "outline_lost": 1.0 if len(one) else 0.0}
    there, back = _nearest(one, other) / scale, _nearest(other, one) / scale
    both = np.concatenate([there, back])
    found = {"mean": _rounded(both.mean()), "p95": _rounded(np.quantile(both, 0.95))}
    return {"displacement": found, "outline_lost": _rounded((there > LOST).mean())}


def outline(mask: Mask) -> Floats:
    """Return the points (N, 2) of a mask that border on what is not of it, within the picture."""
    padded = np.pad(mask, 1, mode="edge")
    inner = padded[:-2, 1:-1] & padded[2:, 1:-1] & padded[1:-1, :-2] & padded[1:-1, 2:]
    points = np.argwhere(mask & ~inner).astype(np.float64)
    return points[:: -(-len(points) // _MOST_POINTS)] if len(points) else points


def _nearest(points: Floats, others: Floats) -> Floats:
    """Return each point's distance to the nearest of others."""
    parts = np.array_split(points, max(1, len(points) * len(others) // 2_000_000))
    squares = [((part[:, None] - others) ** 2).sum(2).min(1) for part in parts]
    return np.sqrt(np.concatenate(squares))


def _added(stage: Stage, after: Labels, scale: int) -> list[dict[str, Any]]:
    """Return what has no label now, with the pixels that all of it takes together."""
    added = [body for body in stage.bodies if not body.number]
    area = int((_pixels(after, scale) == UNLABELLED).sum())
    return [{"category": body.placed.thing.category, "area": area} for body in added]


def _rounded(value: Any) -> float:
    return round(float(value), 4)
