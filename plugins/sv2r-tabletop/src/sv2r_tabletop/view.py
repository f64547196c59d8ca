"""Where the camera stands and what it sees: a pinhole for labels, a thin lens for photographs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from sv2r_tabletop.layout import Placed
from sv2r_tabletop.meshes import Floats, Ints

CAMERAS, ABOVE = 40, (10.0, 60.0)
LEAST_SHOWN = 0.3
# A thing takes at least this part of the picture.
SMALLEST = 0.004
_GRID = 72


@dataclass(frozen=True)
class View:
    """A camera. away: the direction it looks in, as an angle about z (radians).

    fov: vertical (and horizontal) angle of view in degrees. focus: distance of what is sharp.
    aperture: radius of the lens in metres.
    """

    origin: Floats
    target: Floats
    up: Floats
    fov: float
    focus: float
    aperture: float

    @property
    def away(self) -> float:
        """The direction of view about z."""
        x, y = (self.target - self.origin)[:2]
        return float(np.arctan2(y, x))

    @property
    def axes(self) -> Floats:
        """Rows: right, down, forward, in the world."""
        forward = (self.target - self.origin) / np.linalg.norm(self.target - self.origin)
        right = np.cross(forward, self.up)
        right /= np.linalg.norm(right)
        return np.stack([right, np.cross(forward, right), forward])

    def project(self, points: Floats) -> tuple[Floats, Floats]:
        """Return where points (N, 3) are in the picture, (N, 2) in [0, 1], and depths (N,)."""
        right, down, depth = ((points - self.origin) @ self.axes.T).T
        scale = 2 * np.tan(np.radians(self.fov) / 2) * depth
        return np.stack([right / scale, down / scale], axis=1) + 0.5, depth


def best_view(
    objects: Sequence[Placed],
    rng: np.random.Generator,
    cameras: int = CAMERAS,
    above: tuple[float, float] = ABOVE,
) -> View:
    """Return the first camera that shows all objects well, or the best of so many.

    above: degrees above the ground between which it stands.
    """
    best, best_score = None, -1.0
    for _ in range(cameras):
        view = _draw(objects, rng, above)
        score = _score(objects, view)
        if score >= 1:
            return view
        if best is None or score > best_score:
            best, best_score = view, score
    assert best is not None
    return best


def _draw(
    objects: Sequence[Placed], rng: np.random.Generator, above_ground: tuple[float, float]
) -> View:
    points = np.concatenate([placed.points for placed in objects])
    target = (points.min(0) + points.max(0)) / 2 + rng.normal(0, 0.02, 3)
    around, above = rng.uniform(0, 2 * np.pi), np.radians(rng.uniform(*above_ground))
    back = np.array([np.cos(around) * np.cos(above), np.sin(around) * np.cos(above), np.sin(above)])
    fov = float(rng.uniform(26, 46))
    radius = float(np.linalg.norm(points - target, axis=1).max())
    distance = radius / np.tan(np.radians(fov) / 2) * rng.uniform(0.8, 1.2)
    roll = np.radians(rng.normal(0, 2.5))
    side = np.array([-np.sin(around), np.cos(around), 0])
    up = np.array([0, 0, 1.0]) * np.cos(roll) + side * np.sin(roll)
    origin = target + distance * back
    chosen = objects[int(rng.integers(len(objects)))].ball[0]
    focus = float((chosen - origin) @ -back)
    return View(origin, target, up, fov, focus, float(rng.uniform(0.001, 0.006)))


def _score(objects: Sequence[Placed], view: View) -> float:
    """Return 1 or more where every object shows well, by points in a coarse z-buffer."""
    points = np.concatenate([placed.points for placed in objects])
    owner = np.repeat(np.arange(len(objects)), [len(placed.points) for placed in objects])
    place, depth = view.project(points)
    if (depth < 0.05).any():
        return 0.0
    within = ((place >= 0) & (place < 1)).all(1)
    cells = np.floor(place * _GRID).astype(np.int64)
    keys = (cells[:, 1] + 1000) * 10_000 + cells[:, 0] + 1000
    front = _front(keys, depth)
    scores = []
    for number in range(len(objects)):
        all_cells = len(np.unique(keys[owner == number]))
        shown = len(front[(owner[front] == number) & within[front]])
        scores.append(min(shown / all_cells / LEAST_SHOWN, shown / _GRID**2 / SMALLEST))
    return min(scores)


def _front(keys: Ints, depth: Floats) -> Ints:
    """Return which points are the nearest of their cell."""
    order = np.lexsort((depth, keys))
    nearest: Ints = order[np.unique(keys[order], return_index=True)[1]]
    return nearest
