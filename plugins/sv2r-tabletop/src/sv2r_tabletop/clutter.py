"""A world of clutter: solids and extruded shapes of all sizes, strewn over busy ground.

| what | how |
| --- | --- |
| how many | 45 % few (5 to 14), 25 % many (15 to 32), 15 % tiny (12 to 30), 15 % a crowd of 84 |
| sizes | of few 4 to 20 cm; the others are scaled to 0.7, 0.16 to 0.3, and 0.3 |
| places | on a disc, no two discs around them overlapping; 4 of 10 tilted anyhow |
| around | busy ground and walls, flat things on the walls, boards behind |
| camera | from any side, 12 to 60 degrees above the ground, of a crowd 35 to 75 |
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType

import numpy as np

from sv2r_tabletop.layout import Placed
from sv2r_tabletop.looks import draw_look
from sv2r_tabletop.meshes import Floats
from sv2r_tabletop.objects import Thing
from sv2r_tabletop.scene import (
    Panel,
    Scene,
    about_z,
    draw_light,
    hang,
    put_wall,
    stream,
)
from sv2r_tabletop.shapes import Extruded, Linear, stretched
from sv2r_tabletop.solids import Block, Solid, Together, Tube, Turned
from sv2r_tabletop.view import View, best_view

Rng = np.random.Generator
CROWD = 84
_CAMERAS = 6


def draw_scene(seed: int) -> Scene:
    """Return the scene of a seed, always the same."""
    rng = stream(seed, "clutter")
    kind = str(rng.choice(["few", "many", "tiny", "crowd"], p=[0.45, 0.25, 0.15, 0.15]))
    objects = _strew(_draw_things(kind, rng), rng)
    above = (35.0, 75.0) if kind == "crowd" else (12.0, 60.0)
    view = best_view(objects, stream(seed, "view"), _CAMERAS, above)
    rng = stream(seed, "looks")
    looks = tuple(draw_look(placed.thing.category, rng) for placed in objects)
    panels = draw_panels(objects, view, stream(seed, "room"))
    light = draw_light(view, stream(seed, "light"))
    return Scene(seed, objects, looks, panels, view, light, "clutter")


def draw_panels(objects: Sequence[Placed], view: View, rng: Rng) -> tuple[Panel, ...]:
    """Return busy ground, then walls, what hangs on them, and boards behind the things."""
    spread = max(float(np.hypot(*placed.points[:, :2].T).max()) for placed in objects)
    ground = Panel(
        np.array([7.0, 7.0, 0.05]),
        about_z(rng.uniform(0, 2 * np.pi)),
        np.array([0, 0, -0.05]),
        draw_look("busy", rng),
    )
    distance, turn = spread + rng.uniform(0.25, 1.2), view.away + rng.uniform(-0.35, 0.35)
    walls = [put_wall(turn, distance, draw_look("busy", rng))]
    if rng.uniform() < 0.4:
        side = turn + rng.choice([-1.0, 1.0]) * np.pi / 2
        walls.append(put_wall(side, spread + rng.uniform(0.5, 1.2), draw_look("busy", rng)))
    hung = [hang(turn, distance, rng) for _ in range(int(rng.integers(2, 7)))]
    boards = [_board(turn, spread, distance, rng) for _ in range(int(rng.integers(0, 5)))]
    return (ground, *walls, *hung, *boards)


def _board(turn: float, spread: float, distance: float, rng: Rng) -> Panel:
    """Return something that stands between the things and the wall, and hides nothing of them."""
    half = np.array([rng.uniform(0.01, 0.05), rng.uniform(0.03, 0.2), rng.uniform(0.05, 0.3)])
    rotation = about_z(turn)
    away = rng.uniform(spread + 0.06, distance - 0.06)
    place = rotation @ np.array([away, rng.uniform(-0.6, 0.6), half[2]])
    return Panel(half, rotation, place, draw_look("clutter", rng))


def _draw_things(kind: str, rng: Rng) -> list[Thing]:
    """Return the things of a scene, scaled."""
    low, high = {"few": (5, 14), "many": (15, 32), "tiny": (12, 30)}.get(kind, (CROWD, CROWD))
    scale = {"few": 1.0, "many": 0.7, "tiny": rng.uniform(0.16, 0.3)}.get(kind, 0.3)
    names = rng.choice(list(CATEGORIES), int(rng.integers(low, high + 1)))
    things = [CATEGORIES[str(name)](rng) for name in names]
    spread = rng.uniform(0.75, 1.3, len(things))
    return [
        stretched(thing, scale * part * np.eye(3), np.zeros(3))
        for thing, part in zip(things, spread, strict=True)
    ]


def _strew(things: Sequence[Thing], rng: Rng) -> tuple[Placed, ...]:
    """Return things on a disc that just holds them, tilted or upright, none in another."""
    stood = [_stood(thing, rng) for thing in things]
    radii = [_radius(placed) for placed in stood]
    wide = rng.uniform(1.1, 1.9) * float(np.sqrt(np.sum(np.square(radii))))
    while True:
        places = _places(radii, wide, rng)
        if places is not None:
            return tuple(
                placed.moved(np.append(at, 0)) for placed, at in zip(stood, places, strict=True)
            )
        wide *= 1.12


def _radius(placed: Placed) -> float:
    return float(np.hypot(*(placed.points - placed.ball[0])[:, :2].T).max())


def _places(radii: Sequence[float], wide: float, rng: Rng) -> list[Floats] | None:
    """Return where discs go on a disc without overlap, or None where one found no place."""
    placed: list[Floats] = []
    for number, radius in enumerate(radii):
        for _ in range(40):
            angle, away = rng.uniform(0, 2 * np.pi), wide * np.sqrt(rng.uniform())
            at = away * np.array([np.cos(angle), np.sin(angle)])
            gaps = [np.hypot(*(at - p)) - radius - r for p, r in zip(placed, radii, strict=False)]
            if not gaps or min(gaps) > 0:
                placed.append(at)
                break
        if len(placed) <= number:
            return None
    return placed


def _stood(thing: Thing, rng: Rng) -> Placed:
    """Return a thing on the ground about the origin, upright or tilted anyhow."""
    turn = about_z(rng.uniform(0, 2 * np.pi))
    if thing.category in ("brick", "drum", "cone", "star", "ring") and rng.uniform() < 0.4:
        tilt, _ = np.linalg.qr(rng.normal(size=(3, 3)))
        turn = turn @ tilt * np.sign(np.linalg.det(tilt))
    placed = Placed(thing, turn, np.zeros(3))
    return placed.moved(-np.array([*placed.ball[0][:2], np.min(placed.points[:, 2])]))


def _thing(category: str, solid: Solid) -> Thing:
    return Thing(category, solid, float(np.max(solid.mesh().vertices[:, 2])))


def _raised(solid: Solid, height: float) -> Linear:
    return Linear(solid, np.eye(3), np.array([0, 0, height]))


def _brick(rng: Rng) -> Thing:
    """Return a block with sides of 3 to 15 cm."""
    half = np.exp(rng.uniform(np.log(0.015), np.log(0.075), 3))
    return _thing("brick", _raised(Block(half, 0.0015), half[2]))


def _drum(rng: Rng) -> Thing:
    """Return a cylinder 5 to 13 cm wide and 3 to 16 cm high."""
    r, h, b = rng.uniform(0.025, 0.065), rng.uniform(0.03, 0.16), 0.003
    profile = np.array([[0, 0], [r - b, 0], [r, b], [r, h - b], [r - b, h], [0, h]])
    return Thing("drum", Turned(profile), h, {"side": (0.0, 1.0)})


def _cone(rng: Rng) -> Thing:
    """Return a cone, sharp or cut off, 5 to 13 cm wide and 6 to 18 cm high."""
    r, h = rng.uniform(0.025, 0.065), rng.uniform(0.06, 0.18)
    top = r * rng.choice([0.06, 0.3, 0.55])
    profile = np.array([[0, 0], [r - 0.002, 0], [r, 0.002], [top, h - 0.002], [0, h]])
    return Thing("cone", Turned(profile), h, {"side": (0.0, 1.0)})


def _star(rng: Rng) -> Thing:
    """Return an extruded star or cross of 3 to 8 points, 6 to 16 cm wide."""
    points, r = int(rng.integers(3, 9)), rng.uniform(0.03, 0.08)
    angle = np.arange(2 * points) * np.pi / points
    reach = np.where(np.arange(2 * points) % 2, r * rng.uniform(0.35, 0.75), r)
    outline = reach[:, None] * np.stack([np.cos(angle), np.sin(angle)], axis=1)
    return _thing("star", Extruded(outline, rng.uniform(0.012, 0.06)))


def _ring(rng: Rng) -> Thing:
    """Return a ring that stands, 6 to 16 cm wide, of a rod 0.8 to 2.6 cm thick."""
    r, thick = rng.uniform(0.025, 0.067), rng.uniform(0.004, 0.013)
    angle = np.linspace(0, 2 * np.pi, 41)
    path = r * np.stack([np.cos(angle), np.sin(angle)], axis=1)
    return _thing("ring", _raised(Tube(path, thick), r + thick))


def _stool(rng: Rng) -> Thing:
    """Return a round seat on three or four thin legs, 7 to 17 cm high; the last leg comes off."""
    r, h, thick = rng.uniform(0.035, 0.06), rng.uniform(0.07, 0.17), rng.uniform(0.002, 0.005)
    seat = np.array([[0, 0], [r - 0.002, 0], [r, 0.002], [r, 0.01], [r - 0.002, 0.012], [0, 0.012]])
    count, splay = int(rng.integers(3, 5)), rng.uniform(1.0, 1.3)
    path = np.array([[0.8 * r, h], [0.8 * r * splay, thick]])
    legs = [
        Linear(Tube(path, thick), about_z(2 * np.pi * k / count), np.zeros(3)) for k in range(count)
    ]
    return _thing("stool", Together((_raised(Turned(seat), h), *legs)))


def _basket(rng: Rng) -> Thing:
    """Return a low box with a thin handle over it, 8 to 16 cm high; the handle comes off."""
    half = np.array([*rng.uniform(0.03, 0.06, 2), rng.uniform(0.015, 0.035)])
    high, thick = rng.uniform(0.05, 0.09), rng.uniform(0.002, 0.005)
    angle = np.linspace(0, np.pi, 21)
    x, z = half[0] * 0.9 * np.cos(angle), 1.8 * half[2] + high * np.sin(angle)
    handle = Tube(np.stack([x, z], axis=1), thick)
    return _thing("basket", Together((_raised(Block(half, 0.002), half[2]), handle)))


def _pin(rng: Rng) -> Thing:
    """Return a thin pole on a foot, 10 to 22 cm high; the pole comes off."""
    r, h, thick = rng.uniform(0.02, 0.035), rng.uniform(0.1, 0.22), rng.uniform(0.0018, 0.005)
    foot = np.array([[0, 0], [r - 0.002, 0], [r, 0.002], [r * 0.8, 0.012], [0, 0.014]])
    return _thing("pin", Together((Turned(foot), Tube(np.array([[0, 0.01], [0, h]]), thick))))


CATEGORIES: Mapping[str, Callable[[Rng], Thing]] = MappingProxyType(
    {
        "brick": _brick,
        "drum": _drum,
        "cone": _cone,
        "star": _star,
        "ring": _ring,
        "stool": _stool,
        "basket": _basket,
        "pin": _pin,
    }
)
