"""The six categories: how large they are and what shapes they take. Metres, standing on z = 0."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from types import MappingProxyType

import numpy as np

from sv2r_tabletop.meshes import Floats, Mesh, cloud
from sv2r_tabletop.solids import Block, Solid, Together, Tube, Turned

# How far apart the points are that stand for a thing when it is pushed against another.
SPACING = 0.004


@dataclass(frozen=True)
class Thing:
    """One object about its own axis, its lowest point at z = 0.

    bands: parts of the surface by name, as ranges of the texture's v (turned shapes only).
    top: half sides of the flat place on top at `height`, on which others can stand, or None.
    bottom: half sides of the place it stands on; None for what cannot stand on others.
    hollow: radius of a round opening at the top, 0 without one.
    filling: the profile of what is inside of it, seen only where the thing is of glass.
    """

    category: str
    solid: Solid
    height: float
    bands: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    top: tuple[float, float] | None = None
    bottom: tuple[float, float] | None = None
    hollow: float = 0.0
    filling: Floats | None = None

    @cached_property
    def mesh(self) -> Mesh:
        """The surface."""
        return self.solid.mesh()

    @cached_property
    def points(self) -> Floats:
        """Points (N, 3) all over the surface."""
        return cloud(self.mesh, SPACING)


def draw_thing(category: str, rng: np.random.Generator) -> Thing:
    """Return an object of a category; its sizes are uniform in the ranges that stand below."""
    return CATEGORIES[category](rng)


def _mug(rng: np.random.Generator) -> Thing:
    """Return a mug 7 to 9.4 cm wide and 8 to 11 cm high, straight or with a waist, with handle."""
    radius, height = rng.uniform(0.035, 0.047), rng.uniform(0.08, 0.11)
    foot, wall = rng.uniform(0.7, 1.0) * radius, rng.uniform(0.003, 0.005)
    belly = rng.uniform(-0.06, 0.08) * radius
    t = np.linspace(0, 1, 9)
    outer_r = foot + (radius - foot) * t**0.6 + belly * np.sin(np.pi * t)
    outer = np.column_stack([outer_r, 0.004 + (height - 0.005) * t])
    inner = (outer - [wall, 0])[::-1]
    inner = inner[inner[:, 1] > 0.012]
    profile = _joined([0, 0], [foot - 0.003, 0], outer, [radius - wall / 2, height], inner)
    profile = _joined(profile, [inner[-1, 0] - 0.004, 0.007], [0, 0.007])
    body = Turned(profile)
    # The handle's ends lie in the wall, so that there is no gap and nothing shows inside.
    low, high = height * rng.uniform(0.2, 0.3), height * rng.uniform(0.74, 0.86)
    reach, thick = rng.uniform(0.022, 0.03), rng.uniform(0.0045, 0.006)
    ends = np.interp([low, high], outer[:, 1], outer[:, 0]) - wall * 0.6
    angle = np.linspace(-np.pi / 2, np.pi / 2, 15)
    x = np.interp(angle, [-np.pi / 2, np.pi / 2], ends) + reach * np.cos(angle) ** 0.8
    z = (low + high) / 2 + (high - low) / 2 * np.sin(angle)
    handle = Tube(np.column_stack([x, z]), min(thick, wall * 1.5))
    bands = {"side": _span(profile, 2, 2 + len(outer))}
    return Thing(
        "mug",
        Together((body, handle)),
        height,
        bands,
        bottom=(foot, foot),
        hollow=radius - wall,
    )


def _bowl(rng: np.random.Generator) -> Thing:
    """Return a bowl 11 to 18 cm wide and 4 to 7.5 cm high, on a foot."""
    radius, height = rng.uniform(0.055, 0.09), rng.uniform(0.04, 0.075)
    foot, wall = rng.uniform(0.38, 0.55) * radius, rng.uniform(0.003, 0.005)
    power = rng.uniform(0.4, 0.75)
    t = np.linspace(0, 1, 12)
    outer = np.column_stack([foot + (radius - foot) * t**power, 0.005 + (height - 0.006) * t])
    inner = np.column_stack(
        [(foot + (radius - foot) * t**power - wall).clip(0.004), outer[:, 1] + wall * (1 - t)]
    )[::-1]
    profile = _joined(
        [0, 0], [foot, 0], outer, [radius - wall / 2, height], inner, [0, 0.005 + wall]
    )
    bands = {"side": _span(profile, 2, 2 + len(outer))}
    return Thing("bowl", Turned(profile), height, bands, bottom=(foot, foot), hollow=radius - wall)


def _bottle(rng: np.random.Generator) -> Thing:
    """Return a bottle 5.2 to 8 cm wide and 15 to 25 cm high with a shoulder, a neck and a cap."""
    radius, height = rng.uniform(0.026, 0.04), rng.uniform(0.15, 0.25)
    neck, cap = rng.uniform(0.011, 0.016), rng.uniform(0.012, 0.028)
    shoulder = height * rng.uniform(0.5, 0.68)
    slope = np.linspace(0, 1, 8)
    ease = 0.5 - 0.5 * np.cos(np.pi * slope)
    curve = np.column_stack(
        [
            radius + (neck - radius) * ease,
            shoulder + (height * rng.uniform(0.78, 0.88) - shoulder) * slope,
        ]
    )
    body = _joined([radius - 0.004, 0], [radius, 0.004], [radius, shoulder * 0.5])
    base = height - cap
    profile = _joined([0, 0], body, curve, [neck, base], [neck + 0.003, base])
    profile = _joined(profile, [neck + 0.003, height - 0.002], [neck + 0.001, height], [0, height])
    last = len(profile) - 1
    bands = {"side": _span(profile, 2, 4), "cap": _span(profile, last - 3, last)}
    full = shoulder * rng.uniform(0.5, 1.05)
    within = np.interp(np.linspace(0.004, full, 8), profile[1:-4, 1], profile[1:-4, 0]) * 0.94
    filling = _joined([0, 0.004], np.column_stack([within, np.linspace(0.004, full, 8)]), [0, full])
    standing = (radius - 0.004, radius - 0.004)
    return Thing("bottle", Turned(profile), height, bands, bottom=standing, filling=filling)


def _box(rng: np.random.Generator) -> Thing:
    """Return a box with sides of 4 to 17 cm, none more than four times another, on any side."""
    longest = rng.uniform(0.08, 0.17)
    sides = np.array([longest, *(longest * rng.uniform([0.45, 0.27], [0.95, 0.6]))])
    half = rng.permutation(sides.clip(0.04)) / 2
    flat = (half[0] - 0.002, half[1] - 0.002)
    solid = _Raised(Block(half, 0.0015), half[2])
    return Thing("box", solid, 2 * half[2], top=flat, bottom=flat)


def _ball(rng: np.random.Generator) -> Thing:
    """Return a ball 4.4 to 12 cm wide, small ones more often."""
    radius = 0.022 + 0.038 * rng.uniform() ** 1.5
    angle = np.linspace(-np.pi / 2, np.pi / 2, 29)
    profile = radius * np.column_stack([np.cos(angle), np.sin(angle) + 1])
    profile[[0, -1], 0] = 0
    return Thing("ball", Turned(profile), 2 * radius, {"side": (0.0, 1.0)})


def _can(rng: np.random.Generator) -> Thing:
    """Return a can 5.4 to 9.6 cm wide, 0.9 to 2 times as high, with rims."""
    radius = rng.uniform(0.027, 0.048)
    height = radius * 2 * rng.uniform(0.9, 2.0)
    rim = 0.0022
    profile = _joined(
        *([0, 0.003], [radius - 0.005, 0.003], [radius - 0.003, 0], [radius - 0.001, 0]),
        *([radius, rim], [radius - 0.001, rim + 0.002], [radius - 0.001, height - rim - 0.002]),
        *([radius, height - rim], [radius - 0.001, height], [radius - 0.003, height]),
        *([radius - 0.005, height - 0.003], [0, height - 0.003]),
    )
    ring = radius * 0.7  # the square inside of the rim
    return Thing(
        "can",
        Turned(profile),
        height,
        {"side": _span(profile, 5, 6)},
        top=(ring, ring),
        bottom=(ring, ring),
    )


@dataclass(frozen=True)
class _Raised:
    """A solid that was lifted by a height."""

    solid: Solid
    lift: float

    def mesh(self) -> Mesh:
        return self.solid.mesh().moved(np.eye(3), np.array([0, 0, self.lift]))

    def distance(self, points: Floats) -> Floats:
        return self.solid.distance(points - [0, 0, self.lift])


def _joined(*rows: object) -> Floats:
    return np.concatenate([np.atleast_2d(np.asarray(row, np.float64)) for row in rows])


def _span(profile: Floats, first: int, last: int) -> tuple[float, float]:
    """Return the range of v from one point of a profile to another."""
    along = np.cumsum(np.hypot(*np.diff(profile, axis=0).T))
    v = np.concatenate([[0], along]) / along[-1]
    return float(v[first]), float(v[min(last, len(v) - 1)])


CATEGORIES: Mapping[str, Callable[[np.random.Generator], Thing]] = MappingProxyType(
    {"mug": _mug, "bowl": _bowl, "bottle": _bottle, "box": _box, "ball": _ball, "can": _can}
)
