"""A scene that can be changed, and the geometry of changing it: in the world, by the picture."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace

import numpy as np

from sv2r_tabletop.camera import Finish
from sv2r_tabletop.layout import Placed, gap
from sv2r_tabletop.looks import Look
from sv2r_tabletop.meshes import Floats, Ints
from sv2r_tabletop.scene import Scene, about_z
from sv2r_tabletop.shapes import stretched
from sv2r_tabletop.view import View

# The grid on which silhouettes are compared.
_GRID = 128
# Points that are nearer to the camera than this are not in any picture (metres).
_NEAREST = 0.02


@dataclass(frozen=True)
class Body:
    """A thing as it stands and looks now. number: of its instance, 0 where it has no label."""

    number: int
    placed: Placed
    look: Look


@dataclass(frozen=True)
class Stage:
    """A scene after some edits. scene: its view, panels and light are in force; its objects not.

    side: of the picture, in pixels. finish: how the photograph is developed.
    """

    scene: Scene
    bodies: tuple[Body, ...]
    side: int
    finish: Finish = field(default_factory=Finish)

    @property
    def view(self) -> View:
        """The camera."""
        return self.scene.view

    def body(self, number: int) -> Body | None:
        """Return the body of an instance, None where it has gone."""
        return next((body for body in self.bodies if body.number == number), None)

    def others(self, number: int) -> tuple[Body, ...]:
        """Return all bodies but an instance's."""
        return tuple(body for body in self.bodies if body.number != number)

    def changed(self, number: int, placed: Placed, look: Look | None = None) -> Stage:
        """Return it with an instance in another place or shape, and perhaps of another look."""
        bodies = tuple(
            Body(number, placed, look or body.look) if body.number == number else body
            for body in self.bodies
        )
        return replace(self, bodies=bodies)

    def with_riders(self, number: int) -> set[int]:
        """Return an instance's number and those of all that rests on it, directly or not."""
        found = {number}
        while True:
            more = {
                body.number
                for body in self.bodies
                if body.placed.on is not None and body.placed.on + 1 in found
            }
            if more <= found:
                return found
            found |= more

    def carried(self, number: int, move: Callable[[Placed], Placed]) -> Stage:
        """Return it with an instance moved, and all that rests on it."""
        stage = self
        for one in self.with_riders(number):
            body = self.body(one)
            if body is not None:
                stage = stage.changed(one, move(body.placed))
        return stage

    def finished(self) -> tuple[Scene, tuple[int, ...]]:
        """Return the scene as it is now, and the instance's number of each of its objects."""
        scene = replace(
            self.scene,
            objects=tuple(body.placed for body in self.bodies),
            looks=tuple(body.look for body in self.bodies),
        )
        return scene, tuple(body.number for body in self.bodies)


def open_stage(scene: Scene, side: int) -> Stage:
    """Return a scene as nobody has changed it, for a picture of so many pixels a side."""
    pairs = zip(scene.objects, scene.looks, strict=True)
    bodies = tuple(Body(number, *pair) for number, pair in enumerate(pairs, 1))
    return Stage(scene, bodies, side)


def mapped(placed: Placed, matrix: Floats, about: Floats) -> Placed:
    """Return a thing under a linear map (3, 3) of the world that leaves a point (3,) in place."""
    inner = placed.rotation.T @ matrix @ placed.rotation
    thing = stretched(placed.thing, inner, np.zeros(3))
    offset = about + matrix @ (placed.offset - about)
    return replace(placed, thing=thing, offset=offset)


def turned(placed: Placed, rotation: Floats, about: Floats) -> Placed:
    """Return a thing turned by (3, 3) about a point (3,)."""
    offset = about + rotation @ (placed.offset - about)
    return replace(placed, rotation=rotation @ placed.rotation, offset=offset)


def foot(placed: Placed) -> Floats:
    """Return the point (3,) under a thing's middle at its lowest height."""
    return np.array([*placed.ball[0][:2], np.min(placed.points[:, 2])])


def slide(view: View, point: Floats, by: Floats) -> Floats | None:
    """Return the level step (3,) that moves a point by (2,) in the picture, whose side is 1.

    Newton's method on the projection; None where no step does it.
    """
    goal = view.project(point[None])[0][0] + by
    step = np.zeros(3)
    for _ in range(12):
        at = point + step
        places, depths = view.project(at + 1e-4 * np.array([[0, 0, 0], [1, 0, 0], [0, 1, 0]]))
        if (depths < _NEAREST).any():
            return None
        slope = (places[1:] - places[0]).T / 1e-4
        if abs(np.linalg.det(slope)) < 1e-9:
            return None
        change = np.linalg.solve(slope, goal - places[0])
        step[:2] += change * min(1.0, 0.5 / max(float(np.hypot(*change)), 1e-9))
    place = view.project((point + step)[None])[0][0]
    return step if np.hypot(*(place - goal)) < 1e-5 else None


def rotation_about(axis: Floats, degrees: float) -> Floats:
    """Return the turn (3, 3) about a unit vector (3,) (Rodrigues)."""
    angle = np.radians(degrees)
    x, y, z = axis
    across = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0.0]])
    turn: Floats = np.eye(3) + np.sin(angle) * across + (1 - np.cos(angle)) * across @ across
    return turn


def cells(view: View, placed: Placed) -> Ints:
    """Return the cells of a grid over the picture that a thing's silhouette has, sorted."""
    place, depth = view.project(placed.points)
    cell = np.floor(place[depth > _NEAREST] * _GRID).astype(np.int64)
    inside = ((cell >= 0) & (cell < _GRID)).all(1)
    found: Ints = np.unique(cell[inside, 1] * _GRID + cell[inside, 0])
    return found


def overlap(one: Ints, other: Ints) -> float:
    """Return intersection over union of two sorted sets of cells."""
    both = len(np.intersect1d(one, other, assume_unique=True))
    return both / max(len(one) + len(other) - both, 1)


def depths(view: View, placed: Placed) -> tuple[float, float]:
    """Return how near and how far a thing's points are, along the view."""
    _, depth = view.project(placed.points)
    return float(np.min(depth)), float(np.max(depth))


def is_clear(stage: Stage, placed: Placed, but: set[int], within: float = 0.0) -> bool:
    """Return whether a thing enters no other by more than so many metres, and stands on the ground.

    but: numbers of instances that do not count.
    """
    middle, radius = placed.ball
    for body in stage.bodies:
        if body.number in but:
            continue
        other, reach = body.placed.ball
        if np.linalg.norm(middle - other) < radius + reach and gap(placed, body.placed) < -within:
            return False
    ground = stage.scene.panels[0]
    local = (foot(placed) - ground.offset) @ ground.rotation
    return bool((np.abs(local[:2]) < ground.half[:2]).all())


def places_in(view: View, rng: np.random.Generator, count: int) -> Iterator[Floats]:
    """Yield points (3,) of the ground z = 0 that are drawn uniformly in the picture."""
    right, down, forward = view.axes
    reach = np.tan(np.radians(view.fov) / 2)
    for x, y in rng.uniform(-0.8, 0.8, (count, 2)):
        ray = forward + reach * (x * right + y * down)
        if ray[2] < -1e-3:
            yield view.origin - ray * (view.origin[2] / ray[2])


def standing(placed: Placed, at: Floats, degrees: float) -> Placed:
    """Return a thing turned about the vertical, its foot at a point (3,) of the ground."""
    there = turned(placed, about_z(np.radians(degrees)), foot(placed))
    return replace(there, offset=there.offset + at - foot(there), on=None)


def over_the_gap(one: Placed, other: Placed) -> tuple[Floats, float] | None:
    """Return the level way (3,) from a thing to another, and how much longer it is to reach it.

    None where one is above the other. It reaches a third into the other.
    """
    way = (other.ball[0] - one.ball[0]) * [1, 1, 0]
    away = float(np.hypot(*way[:2]))
    if away < 1e-4:
        return None
    way = way / away
    own, its = one.points @ way, other.points @ way
    goal = np.min(its) + 0.3 * np.ptp(its)
    return way, max(float((goal - np.min(own)) / np.ptp(own)), 1.0)
