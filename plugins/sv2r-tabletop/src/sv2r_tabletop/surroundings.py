"""Edits of what is around the things: light, camera, background. None of them moves a label."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from types import MappingProxyType
from typing import Any

import numpy as np

from sv2r_tabletop import edits as of
from sv2r_tabletop.looks import draw_look
from sv2r_tabletop.meshes import Floats
from sv2r_tabletop.scene import Panel
from sv2r_tabletop.stage import Stage
from sv2r_tabletop.worlds import WORLDS

Rng = np.random.Generator
# A lamp larger than this casts no shadow that anybody sees (metres of 1.5 m away).
_SMALL_LAMP = 0.2
_TRIES = 60


def _light(stage: Stage, edit: of.Lighting, rng: Rng) -> Stage:
    light = WORLDS[stage.scene.world].draw_light(stage.view, rng)
    return replace(stage, scene=replace(stage.scene, light=light))


def _exposure(stage: Stage, edit: of.Exposure, rng: Rng) -> Stage:
    return replace(stage, finish=replace(stage.finish, stops=edit.stops))


def _grain(stage: Stage, edit: of.Grain, rng: Rng) -> Stage:
    return replace(stage, finish=replace(stage.finish, electrons=edit.electrons))


def _focus(stage: Stage, edit: of.Focus, rng: Rng) -> Stage:
    view = replace(stage.view, aperture=edit.aperture)
    body = None if edit.instance is None else stage.body(edit.instance)
    if body is not None:
        depth = float((body.placed.ball[0] - view.origin) @ view.axes[2])
        view = replace(view, focus=max(depth, 0.05))
    return replace(stage, scene=replace(stage.scene, view=view))


def _shadow(stage: Stage, edit: of.Shadow, rng: Rng) -> Stage:
    """Put the lamp out, or something opaque between it and the things, out of the picture."""
    scene = stage.scene
    if edit.how == "gone":
        light = replace(scene.light, lit=False)
        return replace(stage, scene=replace(scene, light=light))
    size = scene.light.size
    light = replace(scene.light, size=min(size, _SMALL_LAMP * np.linalg.norm(scene.light.position)))
    for _ in range(_TRIES):
        screen = _screen(light.position, rng)
        if not _is_seen(stage, screen):
            panels = (*scene.panels, screen)
            return replace(stage, scene=replace(scene, light=light, panels=panels))
    return replace(stage, scene=replace(scene, light=light))


def _screen(lamp: Floats, rng: Rng) -> Panel:
    """Return a flat thing whose shadow falls on the things or next to them."""
    goal = np.array([*rng.normal(0, 0.12, 2), 0.03])
    middle = goal + rng.uniform(0.25, 0.75) * (lamp - goal)
    part = float(np.linalg.norm(middle - goal) / np.linalg.norm(lamp - goal))
    half = np.array([0.005, *(rng.uniform(0.05, 0.2, 2) * (1 - part))])
    return Panel(half, _facing(lamp - goal), middle, draw_look("clutter", rng))


def _facing(way: Floats) -> Floats:
    """Return a rotation whose x axis goes a way."""
    x = way / np.linalg.norm(way)
    y = np.cross([0, 0, 1.0], x)
    y /= np.linalg.norm(y)
    return np.stack([x, y, np.cross(x, y)], axis=1)


def _is_seen(stage: Stage, panel: Panel) -> bool:
    """Return whether a panel may be in the picture: whether its ball reaches into the view."""
    view = stage.view
    right, down, forward = view.axes
    reach = np.tan(np.radians(view.fov) / 2)
    away = panel.offset - view.origin
    radius = float(np.linalg.norm(panel.half))
    edges = (reach * forward - s * axis for axis in (right, down) for s in (-1, 1))
    margins = [float(away @ edge / np.linalg.norm(edge)) for edge in edges]
    return min(margins) > -radius and float(away @ forward) > -radius


def _background(stage: Stage, edit: of.Background, rng: Rng) -> Stage:
    """Exchange all that is around; what the things stand on keeps its shape alone."""
    scene = stage.scene
    world = WORLDS[scene.world]
    ground = replace(scene.panels[0], look=draw_look(world.ground, rng))
    around = world.draw_panels(scene.objects, scene.view, rng)[1:]
    light = replace(scene.light, room=int(rng.integers(2**31)))
    return replace(stage, scene=replace(scene, panels=(ground, *around), light=light))


APPLY: Mapping[str, Callable[[Stage, Any, Rng], Stage]] = MappingProxyType(
    {
        "light": _light,
        "exposure": _exposure,
        "grain": _grain,
        "focus": _focus,
        "shadow": _shadow,
        "background": _background,
    }
)
