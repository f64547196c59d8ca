"""A world that no model learns: a toy street, one twentieth of life, for testing alone.

| what | how |
| --- | --- |
| things | 10 to 28: cars and vans in lanes and parked, people, posts, signs, trees, bins, crates |
| places | where they belong across the street, anywhere along it, none in another, in the picture |
| around | a road, house fronts on both sides, a sky |
| camera | over the road, 1.4 to 8 m above it (of life), looking along it |
| light | a sun 25 to 65 degrees high, in 4 of 10 behind clouds |
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType

import numpy as np

from sv2r_tabletop.layout import Placed
from sv2r_tabletop.looks import draw_look
from sv2r_tabletop.meshes import Floats
from sv2r_tabletop.objects import Thing
from sv2r_tabletop.scene import Light, Panel, Scene, about_z, stream
from sv2r_tabletop.shapes import Linear
from sv2r_tabletop.solids import Block, Solid, Together, Tube, Turned
from sv2r_tabletop.view import View

Rng = np.random.Generator
# How far from the middle houses begin, and how far things are apart at least (metres).
_HOUSES, _APART = 0.46, 0.01
# Where across the street things are: distances from its middle.
_ACROSS: Mapping[str, tuple[float, float]] = MappingProxyType(
    {
        "car": (0.06, 0.2),
        "van": (0.07, 0.2),
        "person": (0.0, 0.42),
        "post": (0.26, 0.3),
        "sign": (0.26, 0.32),
        "tree": (0.3, 0.4),
        "bin": (0.26, 0.42),
        "crate": (0.2, 0.42),
    }
)


def draw_scene(seed: int) -> Scene:
    """Return the scene of a seed, always the same."""
    view = _view(stream(seed, "view"))
    objects = _line_up(view, stream(seed, "street"))
    rng = stream(seed, "looks")
    looks = tuple(draw_look(placed.thing.category, rng) for placed in objects)
    panels = draw_panels(objects, view, stream(seed, "room"))
    return Scene(
        seed, objects, looks, panels, view, draw_light(view, stream(seed, "light")), "street"
    )


def draw_panels(objects: Sequence[Placed], view: View, rng: Rng) -> tuple[Panel, ...]:
    """Return the road, then houses along both sides and one across its end."""
    road = Panel(
        np.array([8.0, 8.0, 0.05]), np.eye(3), np.array([0, 0, -0.05]), draw_look("road", rng)
    )
    houses = []
    for side in (-1.0, 1.0):
        along = -1.6
        while along < 4.5:
            wide = rng.uniform(0.15, 0.4)
            depth, half = rng.uniform(0.0, 0.08), np.array([0.3, wide, rng.uniform(0.15, 0.6)])
            place = np.array([side * (_HOUSES + depth + half[0]), along + wide, half[2]])
            houses.append(Panel(half, np.eye(3), place, draw_look("house", rng)))
            along += 2 * wide + (rng.uniform(0.03, 0.2) if rng.uniform() < 0.3 else 0.0)
    end = np.array([1.5, 0.3, rng.uniform(0.2, 0.8)])
    across = Panel(end, np.eye(3), np.array([0, 5.0, end[2]]), draw_look("house", rng))
    return (road, *houses, across)


def draw_light(view: View, rng: Rng) -> Light:
    """Return a sun that is not in the picture, and a sky."""
    while True:
        around, above = rng.uniform(0, 2 * np.pi), np.radians(rng.uniform(25, 65))
        level = np.cos(above)
        way = np.array([np.cos(around) * level, np.sin(around) * level, np.sin(above)])
        place, depth = view.project(12.0 * way[None])
        if depth[0] < 0 or (np.abs(place[0] - 0.5) > 0.7).any():
            break
    cloudy = rng.uniform() < 0.4
    return Light(
        position=12.0 * way,
        size=float(rng.uniform(4, 8) if cloudy else rng.uniform(0.2, 0.8)),
        kelvin=float(rng.uniform(4200, 6800)),
        ambient=float(np.exp(rng.uniform(np.log(0.4), np.log(1.5)))),
        room=int(rng.integers(2**31)),
        sky=True,
    )


def _view(rng: Rng) -> View:
    origin = np.array([rng.uniform(-0.2, 0.2), rng.uniform(-1.2, -0.8), rng.uniform(0.07, 0.4)])
    target = np.array([rng.uniform(-0.12, 0.12), rng.uniform(0.2, 0.9), rng.uniform(0.0, 0.05)])
    roll = np.radians(rng.normal(0, 1.5))
    up = np.array([np.sin(roll), 0, np.cos(roll)])
    focus = float(np.linalg.norm(target - origin) * rng.uniform(0.5, 1.1))
    return View(
        origin, target, up, float(rng.uniform(34, 54)), focus, float(rng.uniform(2e-4, 1.5e-3))
    )


def _line_up(view: View, rng: Rng) -> tuple[Placed, ...]:
    """Return things in their places; what finds none in forty tries is left out."""
    placed: list[Placed] = []
    boxes: list[Floats] = []
    for name in rng.choice(list(CATEGORIES), int(rng.integers(12, 31))):
        thing = CATEGORIES[str(name)](rng)
        for _ in range(40):
            there = _stood(thing, rng)
            box = np.stack([there.points[:, :2].min(0), there.points[:, :2].max(0)])
            if _is_in_view(view, there) and not any(_meet(box, other) for other in boxes):
                placed.append(there)
                boxes.append(box)
                break
    return tuple(placed)


def _stood(thing: Thing, rng: Rng) -> Placed:
    """Return a thing where it belongs across the street, along it, near things more often."""
    low, high = _ACROSS[thing.category]
    x = rng.uniform(low, high) * rng.choice([-1, 1])
    y = -0.65 + 2.0 * rng.uniform() ** 1.6
    along = thing.category in ("car", "van")
    angle = rng.choice([0, np.pi]) + rng.normal(0, 0.04) if along else rng.uniform(0, 2 * np.pi)
    return Placed(thing, about_z(float(angle)), np.array([x, y, 0.0]))


def _is_in_view(view: View, placed: Placed) -> bool:
    place, depth = view.project(placed.points)
    inside = ((place > 0) & (place < 1)).all(1)
    return bool(np.min(depth) > 0.15 and inside.mean() > 0.6)


def _meet(one: Floats, other: Floats) -> bool:
    return bool(((one[0] < other[1] + _APART) & (other[0] < one[1] + _APART)).all())


def _at(solid: Solid, x: float, y: float, z: float) -> Linear:
    return Linear(solid, np.eye(3), np.array([x, y, z]))


def _box(half: Sequence[float], x: float, y: float, low: float) -> Linear:
    """Return a block that begins at a height."""
    return _at(Block(np.array(half), 0.002), x, y, low + half[2])


def _thing(category: str, solid: Solid) -> Thing:
    return Thing(category, solid, float(np.max(solid.mesh().vertices[:, 2])))


def _car(rng: Rng) -> Thing:
    """Return a body on four wheels under a cabin, 19 to 24 cm long; the cabin comes off."""
    long, wide = rng.uniform(0.095, 0.12), rng.uniform(0.041, 0.048)
    body = _box((wide, long, rng.uniform(0.014, 0.018)), 0, 0, 0.012)
    cabin = _box((wide * 0.88, long * 0.5, 0.014), 0, rng.uniform(-0.25, 0.05) * long, 0.04)
    return _thing("car", Together((body, *_wheels(long, wide), cabin)))


def _van(rng: Rng) -> Thing:
    """Return a high body on four wheels, 24 to 34 cm long, with a bonnet that comes off."""
    long, wide = rng.uniform(0.12, 0.17), rng.uniform(0.048, 0.056)
    body = _box((wide, long * 0.85, rng.uniform(0.04, 0.06)), 0, -0.15 * long, 0.014)
    bonnet = _box((wide * 0.95, long * 0.16, 0.02), 0, 0.85 * long, 0.014)
    return _thing("van", Together((body, *_wheels(long * 0.9, wide), bonnet)))


def _wheels(long: float, wide: float) -> list[Solid]:
    r = 0.0155
    rim = np.array([[0, 0], [r - 0.001, 0], [r, 0.001], [r, 0.009], [r - 0.001, 0.01], [0, 0.01]])
    aside = np.array([[0, 0, 1.0], [0, 1, 0], [-1, 0, 0]])  # its axis across the car
    places = [(x, y) for x in (-wide - 0.002, wide - 0.008) for y in (-0.62 * long, 0.62 * long)]
    return [Linear(Turned(rim), aside, np.array([x, y, r])) for x, y in places]


def _person(rng: Rng) -> Thing:
    """Return someone 7.5 to 9.5 cm high: a figure as of a board game, with a head."""
    h, r = rng.uniform(0.075, 0.095), rng.uniform(0.010, 0.014)
    radius = r * np.array([0, 0.75, 0.8, 0.75, 1.0, 1.05, 0.9, 0.35, 0.35, 0.6, 0.65, 0.4, 0])
    height = h * np.array([0, 0, 0.25, 0.45, 0.6, 0.75, 0.8, 0.83, 0.86, 0.89, 0.94, 0.985, 1])
    return Thing("person", Turned(np.stack([radius, height], axis=1)), h, {"side": (0.0, 1.0)})


def _post(rng: Rng) -> Thing:
    """Return a thin lamp post 20 to 32 cm high; its arm comes off."""
    h, r, reach = rng.uniform(0.2, 0.32), rng.uniform(0.002, 0.004), rng.uniform(0.04, 0.08)
    pole = Tube(np.array([[0, 0], [0, h]]), r)
    arm = Tube(np.array([[-r, h - 0.006], [0.6 * reach, h + 0.004], [reach, h]]), 1.2 * r)
    return _thing("post", Together((pole, arm)))


def _sign(rng: Rng) -> Thing:
    """Return a plate on a thin pole, 10 to 15 cm high; the plate comes off."""
    h, side = rng.uniform(0.1, 0.15), rng.uniform(0.014, 0.026)
    pole = Tube(np.array([[0, 0], [0, h]]), rng.uniform(0.0015, 0.0025))
    if rng.uniform() < 0.5:
        plate: Solid = _box((side, 0.0015, side * rng.uniform(0.6, 1.2)), 0, -0.004, h - side)
    else:
        disc = np.array([[0, 0], [side, 0], [side, 0.003], [0, 0.003]])
        faced = np.array([[1.0, 0, 0], [0, 0, -1], [0, 1, 0]])
        plate = Linear(Turned(disc), faced, np.array([0, -0.002, h]))
    return _thing("sign", Together((pole, plate)))


def _tree(rng: Rng) -> Thing:
    """Return a crown on a trunk, 17 to 30 cm high; the crown comes off."""
    h, r, trunk = rng.uniform(0.17, 0.3), rng.uniform(0.045, 0.08), rng.uniform(0.005, 0.009)
    angle = np.linspace(-np.pi / 2, np.pi / 2, 13)
    bumps = 1 + np.append(0, np.append(rng.uniform(-0.12, 0.12, 11), 0))
    crown = np.stack([r * bumps * np.cos(angle), h * (0.66 + 0.34 * np.sin(angle))], axis=1)
    crown[[0, -1], 0] = 0
    stem = np.array([[0, 0], [trunk, 0], [0.7 * trunk, 0.4 * h], [0, 0.4 * h]])
    return _thing("tree", Together((Turned(stem), Turned(crown))))


def _bin(rng: Rng) -> Thing:
    """Return a bin 4 to 6 cm high."""
    h, r = rng.uniform(0.04, 0.06), rng.uniform(0.012, 0.018)
    profile = np.array(
        [[0, 0], [0.8 * r, 0], [r, h - 0.006], [1.1 * r, h - 0.005], [1.1 * r, h], [0, h]]
    )
    return Thing("bin", Turned(profile), h, {"side": (0.0, 1.0)})


def _crate(rng: Rng) -> Thing:
    """Return a box with sides of 2.4 to 8 cm."""
    return _thing("crate", _box(tuple(rng.uniform(0.012, 0.04, 3)), 0, 0, 0.0))


CATEGORIES: Mapping[str, Callable[[Rng], Thing]] = MappingProxyType(
    {
        "car": _car,
        "van": _van,
        "person": _person,
        "post": _post,
        "sign": _sign,
        "tree": _tree,
        "bin": _bin,
        "crate": _crate,
    }
)
