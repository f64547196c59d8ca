"""Where things rest: pushed against each other, freely beside, or on top; nothing enters another.

Contacts are found by conservative advancement (Mirtich 1996, "Impulse-based dynamic simulation"):
a thing may be moved by the distance to its nearest neighbour without touching it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from sv2r_tabletop.meshes import Floats, Mesh
from sv2r_tabletop.objects import CATEGORIES, Thing, draw_thing

FEWEST, MOST = 3, 9
# Two things touch when they are this near (metres).
TOUCHING = 0.0003
# How far from the middle of the table things may stand, and how high a pile may be.
RANGE, HIGHEST = 0.26, 0.32


@dataclass(frozen=True)
class Placed:
    """A thing in its place: turned by rotation (3, 3), then moved by offset (3,)."""

    thing: Thing
    rotation: Floats
    offset: Floats
    on: int | None = None
    lying: bool = False

    @cached_property
    def points(self) -> Floats:
        """Points (N, 3) all over its surface, in the world."""
        return self.thing.points @ self.rotation.T + self.offset

    @cached_property
    def ball(self) -> tuple[Floats, float]:
        """Middle and radius of a ball around it."""
        middle = (self.points.min(0) + self.points.max(0)) / 2
        return middle, float(np.max(np.linalg.norm(self.points - middle, axis=1)))

    @cached_property
    def mesh(self) -> Mesh:
        """Its surface in the world."""
        return self.thing.mesh.moved(self.rotation, self.offset)

    def distance(self, points: Floats) -> Floats:
        """Return the signed distance (N,) of points (N, 3) in the world to its surface."""
        return self.thing.solid.distance((points - self.offset) @ self.rotation)

    def moved(self, by: Floats) -> Placed:
        """Return it moved by a (3,) step."""
        return Placed(self.thing, self.rotation, self.offset + by, self.on, self.lying)


def gap(one: Placed, other: Placed) -> float:
    """Return how far two things are apart in metres, or less; negative where one enters the other.

    It is exact (up to the spacing of their points) below 2 cm.
    """
    return min(_gap(one, other), _gap(other, one))


def _gap(one: Placed, other: Placed) -> float:
    middle, radius = one.ball
    bounds = np.linalg.norm(other.points - middle, axis=1) - radius
    near = bounds < 0.02
    return float(np.min(one.distance(other.points[near]) if near.any() else bounds))


def arrange(rng: np.random.Generator) -> tuple[Placed, ...]:
    """Return 3 to 9 things that rest on the plane z = 0 or on each other."""
    count = int(rng.integers(FEWEST, MOST + 1))
    placed: list[Placed] = []
    while len(placed) < count:
        thing = draw_thing(str(rng.choice(list(CATEGORIES))), rng)
        found = _place(thing, placed, rng)
        if found is not None:
            placed.append(found)
    return tuple(placed)


def _place(thing: Thing, placed: Sequence[Placed], rng: np.random.Generator) -> Placed | None:
    """Return a place for a thing, or None where the one that was drawn is taken."""
    way = str(rng.choice(["touch", "free", "top"], p=[0.55, 0.2, 0.25]))
    if not placed:
        return _upright(thing, rng, rng.uniform(-0.05, 0.05, 2))
    if way == "top" and (on_top := _on_top(thing, placed, rng)):
        return on_top
    if way == "free":
        there = _upright(thing, rng, rng.normal(0, 0.13, 2))
        return there if _fits(there, placed) else None
    return _pushed(_upright(thing, rng, np.zeros(2)), placed, rng)


def _upright(thing: Thing, rng: np.random.Generator, at: Floats) -> Placed:
    """Return a thing that stands at (x, y), or lies there where it can roll and the dice say so."""
    turn = _turn(rng.uniform(0, 2 * np.pi))
    if thing.category == "ball":  # any side up
        turn = turn @ _tip(rng.uniform(0, np.pi))
        lifted = turn @ np.array([0, 0, -thing.height / 2]) + [0, 0, thing.height / 2]
        return Placed(thing, turn, lifted + np.append(at, 0))
    if thing.category in ("can", "bottle") and rng.uniform() < 0.18:
        turn = turn @ _tip(np.pi / 2)
        lowest = float(np.min((thing.points @ turn.T)[:, 2]))
        middle = turn @ np.array([0, 0, thing.height / 2])
        return Placed(
            thing, turn, np.array([at[0], at[1], -lowest]) - middle * [1, 1, 0], lying=True
        )
    return Placed(thing, turn, np.array([*at, 0.0]))


def _turn(angle: float) -> Floats:
    c, s = np.cos(angle), np.sin(angle)
    return np.array([[c, -s, 0], [s, c, 0], [0, 0, 1.0]])


def _tip(angle: float) -> Floats:
    c, s = np.cos(angle), np.sin(angle)
    return np.array([[c, 0, s], [0, 1.0, 0], [-s, 0, c]])


def _pushed(thing: Placed, placed: Sequence[Placed], rng: np.random.Generator) -> Placed | None:
    """Return a thing that was pushed over the table towards another until it touched one."""
    standing = [one for one in placed if one.on is None]
    target = standing[int(rng.integers(len(standing)))]
    angle = rng.uniform(0, 2 * np.pi)
    direction = np.array([np.cos(angle), np.sin(angle), 0])
    start = thing.moved(target.ball[0] * [1, 1, 0] - 0.6 * direction)
    there = _advanced(start, direction, placed, 0.6)
    return there if there is not None and np.hypot(*there.ball[0][:2]) < RANGE else None


def _advanced(
    thing: Placed, direction: Floats, placed: Sequence[Placed], furthest: float
) -> Placed | None:
    """Return a thing that went along a direction until it touched, or None if it never did."""
    gone = 0.0
    for _ in range(60):
        near = min(gap(thing, one) for one in placed)
        if near < TOUCHING:
            return thing if near > 0 else None
        step = max(near - TOUCHING / 2, TOUCHING / 4)
        gone += step
        if gone > furthest:
            return None
        thing = thing.moved(step * direction)
    return None


def _on_top(thing: Thing, placed: Sequence[Placed], rng: np.random.Generator) -> Placed | None:
    """Return a thing on or in one that stands on the table and bears nothing, or None."""
    taken = {one.on for one in placed}
    free = [n for n, one in enumerate(placed) if n not in taken and one.on is None]
    fitting = [n for n in free if not placed[n].lying and _bears(placed[n].thing, thing)]
    if not fitting:
        return None
    number = fitting[int(rng.integers(len(fitting)))]
    below = placed[number]
    at = below.offset[:2].copy()
    if thing.category != "ball" and below.thing.top and thing.bottom:
        slack = 0.7 * np.array(below.thing.top) - 0.3 * min(thing.bottom)
        local = np.append(rng.uniform(-1, 1, 2) * slack.clip(0), 0)
        at += (below.rotation @ local)[:2]
    above = _upright(thing, rng, at)
    if above.lying:
        return None
    above = Placed(thing, above.rotation, above.offset, on=number)
    start = above.moved(np.array([0, 0, below.thing.height + 0.1]))
    there = _advanced(start, np.array([0, 0, -1.0]), placed, 0.3)
    if there is None or np.max(there.points[:, 2]) > HIGHEST or not _rests_on(there, below, placed):
        return None
    return there


def _bears(below: Thing, above: Thing) -> bool:
    """Return whether a thing can rest on another: flat on flat, or a ball in a round opening."""
    if above.category == "ball":
        return below.hollow > 0.6 * above.height / 2
    if below.top is None or above.bottom is None:
        return False
    return min(above.bottom) < 1.3 * min(below.top) and above.height < 0.16


def _rests_on(thing: Placed, below: Placed, placed: Sequence[Placed]) -> bool:
    others = [one for one in placed if one is not below]
    return gap(thing, below) < TOUCHING and all(gap(thing, one) > TOUCHING for one in others)


def _fits(thing: Placed, placed: Sequence[Placed]) -> bool:
    inside = np.hypot(*thing.ball[0][:2]) < RANGE
    return bool(inside) and all(gap(thing, one) > TOUCHING for one in placed)
