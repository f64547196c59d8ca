"""Edits drawn for a scene: four of ten pictures stay sound, in the others a third of all is named.

Of the damaging kinds each is as likely as another, where the scene allows it; one half of what is
moved, turned or scaled is so by little.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

import numpy as np

from sv2r_tabletop.editing import apply_one
from sv2r_tabletop.edits import KINDS, Edit, EditError
from sv2r_tabletop.outcome import names_of
from sv2r_tabletop.scene import Scene, stream
from sv2r_tabletop.shapes import without_part
from sv2r_tabletop.stage import Stage, cells, depths, is_clear, open_stage, over_the_gap

Rng = np.random.Generator
Values = Mapping[str, Any] | None

# Of pictures: without damage; of those without, and of damaged ones, with benign edits.
SOUND, SOUND_CHANGED, DAMAGED_CHANGED = 0.4, 0.75, 0.5
# The part of a damaged picture's instances that edits name.
AFFECTED = 0.35
# How far two things may enter each other where one is moved or grows (metres).
_ENTER = 0.004
# How much longer a thing may become where it grows into another.
_LONGEST = 1.9
_TRIES = 8


def draw_edits(scene: Scene, visible: list[int], side: int) -> list[Edit]:
    """Return the edits of a scene, always the same; all of them are possible, in this order.

    visible: numbers of the instances that show. side: of the picture, in pixels.
    """
    rng = stream(scene.seed, "edits")
    stage = open_stage(scene, side)
    edits: list[Edit] = []
    if rng.uniform() < SOUND:
        return _benign(stage, visible, edits, rng) if rng.uniform() < SOUND_CHANGED else []
    changed = bool(rng.uniform() < DAMAGED_CHANGED)
    goal = max(1, round(len(visible) * AFFECTED * rng.uniform(0.5, 1.5)))
    left = [int(number) for number in rng.permutation(visible)]
    for _ in range(4 * goal):
        touched = set().union(*(names_of(edit) for edit in edits)) if edits else set()
        left = [number for number in left if number not in touched]
        if len(touched) >= goal or not left:
            break
        stage = _damage(stage, left, edits, rng)
    return _benign(stage, visible, edits, rng) if changed else edits


def _damage(stage: Stage, left: list[int], edits: list[Edit], rng: Rng) -> Stage:
    """Append a damaging edit of a drawn kind, to the first that allows it; return the stage."""
    kinds = list(_DAMAGE)
    kind = kinds[int(rng.integers(len(kinds)))]
    for number in left:
        values = _DAMAGE[kind](stage, number, left, rng)
        after = None if values is None else _tried(stage, kind, values, edits)
        if after is not None:
            return after
    return stage


def _tried(stage: Stage, kind: str, values: Mapping[str, Any], edits: list[Edit]) -> Stage | None:
    """Append an edit and return the stage after it, or None where the scene does not allow it."""
    edit = KINDS[kind].model_validate({"kind": kind, **values})
    try:
        after = apply_one(stage, edit, len(edits) + 1)
    except EditError:
        return None
    edits.append(edit)
    return after


def _small(rng: Rng, low: float, high: float) -> float:
    return float(np.exp(rng.uniform(np.log(low), np.log(high))))


def _settled(stage: Stage, kind: str, number: int, values: dict[str, Any]) -> bool:
    """Return whether an edit is possible and lets the instance enter nothing."""
    edit = KINDS[kind].model_validate({"kind": kind, **values})
    try:
        after = apply_one(stage, edit, 1)
    except EditError:
        return False
    body = after.body(number)
    return body is not None and is_clear(after, body.placed, after.with_riders(number), _ENTER)


def _first(stage: Stage, kind: str, number: int, draw: Callable[[], dict[str, Any]]) -> Values:
    """Return the first of several drawn values that are possible, None where none is."""
    tried = (draw() for _ in range(_TRIES))
    return next((values for values in tried if _settled(stage, kind, number, values)), None)


def _move(stage: Stage, number: int, left: list[int], rng: Rng) -> Values:
    far = rng.uniform() < 0.5
    pixels = stage.side * _small(rng, 0.02, 0.15) if far else _small(rng, 1, 6)

    def draw() -> dict[str, Any]:
        direction = round(rng.uniform(0, 360), 1)
        return {"instance": number, "pixels": round(pixels, 2), "direction": direction}

    return _first(stage, "move", number, draw)


def _turn(stage: Stage, number: int, left: list[int], rng: Rng) -> Values:
    small, sign = rng.uniform() < 0.5, rng.choice([-1, 1])
    degrees = sign * (_small(rng, 3, 12) if small else rng.uniform(12, 90))
    axis = "view" if rng.uniform() < 0.6 else "table"
    return {"instance": number, "degrees": round(float(degrees), 1), "axis": axis}


def _scale(stage: Stage, number: int, left: list[int], rng: Rng) -> Values:
    def draw() -> dict[str, Any]:
        part = _small(rng, 0.02, 0.15) if rng.uniform() < 0.6 else rng.uniform(0.15, 0.5)
        factor = 1 + part if rng.uniform() < 0.5 else 1 / (1 + part)
        return {"instance": number, "factor": round(float(factor), 3)}

    return _first(stage, "scale", number, draw)


def _named(stage: Stage, number: int, left: list[int], rng: Rng) -> Values:
    return {"instance": number}


def _alone(stage: Stage, number: int, left: list[int], rng: Rng) -> Values:
    return {"instance": number} if len(stage.with_riders(number)) == 1 else None


def _add(stage: Stage, number: int, left: list[int], rng: Rng) -> Values:
    if rng.uniform() < 0.3:
        return {"instance": None}
    return {"instance": number, "beside": round(float(rng.uniform(-1.1, 1.1)), 2)}


def _merge(stage: Stage, number: int, left: list[int], rng: Rng) -> Values:
    """Return the nearest neighbour on the ground, across a gap that shows in the picture."""
    body = stage.body(number)
    if body is None or body.placed.on is not None:
        return None
    near = []
    for other in stage.others(number):
        reach = over_the_gap(body.placed, other.placed)
        if other.number == 0 or other.placed.on is not None or reach is None:
            continue
        middles = np.stack([body.placed.ball[0], other.placed.ball[0]])
        shown, _ = stage.view.project(middles)
        level = float(np.hypot(*(shown[1] - shown[0])))
        if 1.1 < reach[1] < _LONGEST and level > 0.07:
            near.append((reach[1], other.number))
    return {"instance": number, "into": min(near)[1]} if near else None


def _part(stage: Stage, number: int, left: list[int], rng: Rng) -> Values:
    body = stage.body(number)
    return {"instance": number} if body and without_part(body.placed.thing) else None


def _order(stage: Stage, number: int, left: list[int], rng: Rng) -> Values:
    """Return what hides at least a tenth of it, or is hidden by it by as much."""
    body = stage.body(number)
    if body is None:
        return None
    own = cells(stage.view, body.placed)
    nearest = depths(stage.view, body.placed)[0]
    for other in stage.others(number):
        shared = np.intersect1d(own, cells(stage.view, other.placed))
        hidden = depths(stage.view, other.placed)[0] < nearest
        if other.number and hidden and len(shared) > 0.1 * len(own):
            return {"instance": number, "before": other.number}
    return None


def _half(stage: Stage, number: int, left: list[int], rng: Rng) -> Values:
    share, direction = rng.uniform(0.2, 0.6), rng.uniform(0, 360)
    return {"instance": number, "share": round(share, 2), "direction": round(direction, 1)}


_DAMAGE: Mapping[str, Callable[[Stage, int, list[int], Rng], Values]] = MappingProxyType(
    {
        "move": _move,
        "turn": _turn,
        "scale": _scale,
        "remove": _alone,
        "add": _add,
        "swap": _alone,
        "merge": _merge,
        "duplicate": _named,
        "part": _part,
        "order": _order,
        "half": _half,
    }
)


def _benign(stage: Stage, visible: list[int], edits: list[Edit], rng: Rng) -> list[Edit]:
    """Return edits with one to three benign ones after them, of kinds that differ."""
    kinds = rng.permutation(list(_BENIGN))[: int(rng.integers(1, 4))]
    for kind in kinds:
        for values in _BENIGN[str(kind)](stage, visible, rng):
            after = _tried(stage, str(kind), values, edits)
            stage = after if after is not None else stage
    return edits


def _some(stage: Stage, visible: list[int], rng: Rng) -> list[dict[str, Any]]:
    """Return values for a part of the instances that are still there."""
    part = rng.uniform(0.2, 1)
    return [{"instance": n} for n in visible if stage.body(n) and rng.uniform() < part]


def _stops(stage: Stage, visible: list[int], rng: Rng) -> list[dict[str, Any]]:
    return [{"stops": round(float(rng.choice([-1, 1]) * rng.uniform(0.4, 1.3)), 2)}]


def _as_drawn(stage: Stage, visible: list[int], rng: Rng) -> list[dict[str, Any]]:
    return [{}]


def _how(stage: Stage, visible: list[int], rng: Rng) -> list[dict[str, Any]]:
    return [{"how": str(rng.choice(["gone", "new"]))}]


def _electrons(stage: Stage, visible: list[int], rng: Rng) -> list[dict[str, Any]]:
    return [{"electrons": round(_small(rng, 200, 1500))}]


def _aperture(stage: Stage, visible: list[int], rng: Rng) -> list[dict[str, Any]]:
    reach = float(np.linalg.norm(stage.view.target - stage.view.origin))
    aperture = round(reach * rng.uniform(0.008, 0.02), 4)
    return [{"aperture": min(aperture, 0.1), "instance": int(rng.choice(visible))}]


_BENIGN: Mapping[str, Callable[[Stage, list[int], Rng], list[dict[str, Any]]]] = MappingProxyType(
    {
        "texture": _some,
        "print": _some,
        "colour": _some,
        "light": _as_drawn,
        "exposure": _stops,
        "focus": _aperture,
        "shadow": _how,
        "grain": _electrons,
        "background": _as_drawn,
    }
)
