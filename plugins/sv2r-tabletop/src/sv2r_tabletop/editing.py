"""Edits done to a scene: each a function from a stage and an edit to the stage after it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from types import MappingProxyType
from typing import Any

import numpy as np

from sv2r_tabletop import edits as of
from sv2r_tabletop import surroundings
from sv2r_tabletop.edits import Edit, EditError
from sv2r_tabletop.layout import Placed
from sv2r_tabletop.looks import draw_look
from sv2r_tabletop.meshes import Floats
from sv2r_tabletop.objects import Thing
from sv2r_tabletop.repaint import repaint
from sv2r_tabletop.scene import Scene, stream
from sv2r_tabletop.shapes import halved, without_part
from sv2r_tabletop.stage import (
    Body,
    Stage,
    cells,
    depths,
    foot,
    is_clear,
    mapped,
    open_stage,
    over_the_gap,
    overlap,
    places_in,
    rotation_about,
    slide,
    standing,
    turned,
)
from sv2r_tabletop.worlds import WORLDS

Rng = np.random.Generator
_UP = np.array([0, 0, 1.0])
# How much nearer than what it was behind a thing must come to be in front of it.
_IN_FRONT = 0.97
# How many places or things are tried before an edit is refused.
_TRIES = 40


def apply(scene: Scene, edits: Sequence[Edit], side: int) -> Stage:
    """Return a scene after edits, in their order; what they leave open is drawn from its seed.

    side: of the picture, in pixels.

    Raises:
        EditError: the scene does not allow one of them, in one line.
    """
    stage = open_stage(scene, side)
    for number, edit in enumerate(edits, 1):
        stage = apply_one(stage, edit, number)
    return stage


def apply_one(stage: Stage, edit: Edit, number: int) -> Stage:
    """Return a stage after one edit, the so-manieth of its scene.

    Raises:
        EditError: the scene does not allow it.
    """
    named = getattr(edit, "instance", None)
    where = f"scene {stage.scene.seed}: edit {number} ({edit.kind}"
    try:
        if named is not None:
            _require(stage, named)
        rng = stream(stage.scene.seed, f"edit {number}")
        return _APPLY[edit.kind](stage, edit, rng)
    except _ImpossibleError as error:
        of_it = "" if named is None else f" of instance {named}"
        raise EditError(f"{where}{of_it}): {error}") from None


class _ImpossibleError(Exception):
    """Why a scene does not allow an edit."""


def _require(stage: Stage, number: int) -> Body:
    body = stage.body(number)
    if body is None:
        count = len(stage.scene.objects)
        raise _ImpossibleError(
            "it is gone already; leave this edit out, or put it before the one that removes it"
            if number <= count
            else f"the scene has {count} instances; name one of them"
        )
    return body


def _move(stage: Stage, edit: of.Move, rng: Rng) -> Stage:
    angle = np.radians(edit.direction)
    by = edit.pixels / stage.side * np.array([np.cos(angle), np.sin(angle)])
    step = slide(stage.view, _require(stage, edit.instance).placed.ball[0], by)
    if step is None:
        raise _ImpossibleError("no place on the ground is there; try another direction")
    return stage.carried(edit.instance, lambda placed: placed.moved(step))


def _turn(stage: Stage, edit: of.Turn, rng: Rng) -> Stage:
    axis = _UP if edit.axis == "table" else stage.view.axes[2]
    about = _require(stage, edit.instance).placed.ball[0]
    rotation = rotation_about(axis, edit.degrees)
    return stage.carried(edit.instance, lambda placed: turned(placed, rotation, about))


def _scale(stage: Stage, edit: of.Scale, rng: Rng) -> Stage:
    placed = _require(stage, edit.instance).placed
    larger = mapped(placed, edit.factor * np.eye(3), foot(placed))
    lift = (np.max(larger.points[:, 2]) - np.max(placed.points[:, 2])) * _UP
    stage = stage.carried(edit.instance, lambda rider: rider.moved(lift))
    return stage.changed(edit.instance, larger)


def _remove(stage: Stage, edit: of.Remove, rng: Rng) -> Stage:
    gone = stage.with_riders(edit.instance)
    return replace(stage, bodies=tuple(one for one in stage.bodies if one.number not in gone))


def _add(stage: Stage, edit: of.Add, rng: Rng) -> Stage:
    thing = _thing(stage, edit.category, rng)
    stood = _scaled(stage, Placed(thing, np.eye(3), np.zeros(3)))
    look = draw_look(thing.category, rng)
    if edit.instance is None:
        placed = _somewhere(stage, stood, rng)
    else:
        placed = _in_front(stage, _require(stage, edit.instance).placed, stood, edit.beside, rng)
    return replace(stage, bodies=(*stage.bodies, Body(0, placed, look)))


def _scaled(stage: Stage, stood: Placed) -> Placed:
    """Return a thing as large as those around, in worlds whose things come in all sizes."""
    if not WORLDS[stage.scene.world].scaled or not stage.bodies:
        return stood
    usual = float(np.median([body.placed.ball[1] for body in stage.bodies]))
    return mapped(stood, usual / stood.ball[1] * np.eye(3), np.zeros(3))


def _in_front(stage: Stage, target: Placed, stood: Placed, beside: float, rng: Rng) -> Placed:
    """Return a thing on the ground between the camera and another."""
    right, _, forward = stage.view.axes
    towards = -forward * [1, 1, 0] / max(float(np.hypot(*forward[:2])), 1e-6)
    (_, wide), (_, own) = target.ball, stood.ball
    at = foot(target) * [1, 1, 0] + 0.8 * (wide + own) * towards + beside * wide * right * [1, 1, 0]
    return standing(stood, at, rng.uniform(0, 360))


def _somewhere(stage: Stage, stood: Placed, rng: Rng) -> Placed:
    for at in places_in(stage.view, rng, _TRIES):
        placed = standing(stood, at, rng.uniform(0, 360))
        if is_clear(stage, placed, set()):
            return placed
    raise _ImpossibleError("no place in the picture is free; remove something first")


def _thing(stage: Stage, category: str | None, rng: Rng) -> Thing:
    makers = WORLDS[stage.scene.world].categories
    chosen = category if category is not None else str(rng.choice(list(makers)))
    if chosen not in makers:
        raise _ImpossibleError(f"category {chosen} is not of this world: {', '.join(makers)}")
    return makers[chosen](rng)


def _swap(stage: Stage, edit: of.Swap, rng: Rng) -> Stage:
    """Put the thing there, of several, whose silhouette is most like the one that was."""
    before = _require(stage, edit.instance).placed
    category = before.thing.category
    if edit.category == category:
        raise _ImpossibleError(f"it is a {category} already; name another category")
    others = [name for name in WORLDS[stage.scene.world].categories if name != category]
    tried = [edit.category] * 3 if edit.category else [*others, *others]
    fitting = [_fitted(_thing(stage, name, rng), before) for name in tried]
    shape = cells(stage.view, before)
    best = max(fitting, key=lambda one: overlap(cells(stage.view, one), shape))
    return stage.changed(edit.instance, best, draw_look(best.thing.category, rng))


def _fitted(thing: Thing, before: Placed) -> Placed:
    """Return a thing that stands where another does and fills the same box."""
    turn = before.rotation if abs(before.rotation[2, 2]) > 0.99 else np.eye(3)
    local = before.points @ turn
    stood = Placed(thing, turn, np.zeros(3), before.on)
    own = stood.points @ turn
    sides = (np.ptp(local, axis=0) / np.ptp(own, axis=0)).clip(0.2, 5)
    placed = mapped(stood, turn @ np.diag(sides) @ turn.T, np.zeros(3))
    shift = (local.max(0) + local.min(0)) / 2 - sides * (own.max(0) + own.min(0)) / 2
    return placed.moved(turn @ shift)


def _merge(stage: Stage, edit: of.Merge, rng: Rng) -> Stage:
    """Stretch one over the gap to the other, its far side where it was, and paint both alike."""
    one, other = _require(stage, edit.instance), _require(stage, edit.into)
    if edit.instance == edit.into:
        raise _ImpossibleError("it cannot be merged with itself; give another number as into")
    reach = over_the_gap(one.placed, other.placed)
    if reach is None:
        raise _ImpossibleError(f"instance {edit.into} is above or below it; give one beside it")
    way, longer = reach
    far = one.placed.ball[0] + np.min((one.placed.points - one.placed.ball[0]) @ way) * way
    matrix = np.eye(3) + (longer - 1) * np.outer(way, way)
    return stage.changed(edit.instance, mapped(one.placed, matrix, far), other.look)


def _duplicate(stage: Stage, edit: of.Duplicate, rng: Rng) -> Stage:
    body = _require(stage, edit.instance)
    for _ in range(_TRIES):
        way = rng.uniform(0.08, 0.4) * np.array([*_heading(rng)])
        step = slide(stage.view, foot(body.placed), way)
        if step is None:
            continue
        copy = replace(body.placed.moved(step), on=None)
        copy = copy.moved(-foot(copy)[2] * _UP)
        middle = stage.view.project(copy.ball[0][None])[0][0]
        if (np.abs(middle - 0.5) < 0.46).all() and is_clear(stage, copy, set()):
            return replace(stage, bodies=(*stage.bodies, Body(0, copy, body.look)))
    raise _ImpossibleError("no place around it is free")


def _heading(rng: Rng) -> tuple[float, float]:
    angle = rng.uniform(0, 2 * np.pi)
    return float(np.cos(angle)), float(np.sin(angle))


def _part(stage: Stage, edit: of.Part, rng: Rng) -> Stage:
    placed = _require(stage, edit.instance).placed
    left = without_part(placed.thing)
    if left is None:
        raise _ImpossibleError(f"nothing comes off a {placed.thing.category}")
    return stage.changed(edit.instance, replace(placed, thing=left))


def _order(stage: Stage, edit: of.Order, rng: Rng) -> Stage:
    """Pull a thing towards the camera, smaller by as much: its outline stays to the last pixel."""
    rear, front = _require(stage, edit.instance).placed, _require(stage, edit.before).placed
    nearest, furthest = depths(stage.view, front)[0], depths(stage.view, rear)[1]
    part = _IN_FRONT * nearest / furthest
    behind = depths(stage.view, rear)[0] > nearest
    shared = np.intersect1d(cells(stage.view, rear), cells(stage.view, front))
    if edit.instance == edit.before or not behind or not len(shared):
        raise _ImpossibleError(f"instance {edit.before} hides no part of it")
    return stage.changed(edit.instance, mapped(rear, min(part, 1.0) * np.eye(3), stage.view.origin))


def _half(stage: Stage, edit: of.Half, rng: Rng) -> Stage:
    """Cut along a plane through the camera, so that the cut itself is never seen."""
    placed = _require(stage, edit.instance).placed
    place, _ = stage.view.project(placed.points)
    silhouette = np.unique(np.floor(place * 256), axis=0) / 256 - 0.5
    angle = np.radians(edit.direction)
    heading = np.array([np.cos(angle), np.sin(angle)])
    level = float(np.quantile(silhouette @ heading, 1 - edit.share))
    right, down, forward = stage.view.axes
    reach = 2 * np.tan(np.radians(stage.view.fov) / 2)
    normal: Floats = heading[0] * right + heading[1] * down - level * reach * forward
    offset = float(normal @ (stage.view.origin - placed.offset))
    cut = halved(placed.thing, placed.rotation.T @ normal, offset)
    return stage.changed(edit.instance, replace(placed, thing=cut))


def _look(stage: Stage, edit: of.OfInstance, rng: Rng) -> Stage:
    body = _require(stage, edit.instance)
    look = repaint(edit.kind, body.placed.thing.category, body.look, rng)
    return stage.changed(edit.instance, body.placed, look)


_APPLY: Mapping[str, Callable[[Stage, Any, Rng], Stage]] = MappingProxyType(
    {
        "move": _move,
        "turn": _turn,
        "scale": _scale,
        "remove": _remove,
        "add": _add,
        "swap": _swap,
        "merge": _merge,
        "duplicate": _duplicate,
        "part": _part,
        "order": _order,
        "half": _half,
        "texture": _look,
        "print": _look,
        "colour": _look,
        **surroundings.APPLY,
    }
)
