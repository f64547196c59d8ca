"""What a thing is made of, with the distance to its surface: for resting and touching."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import reduce
from typing import Protocol

import numpy as np

from sv2r_tabletop.meshes import Floats, Mesh, block, joined, tube, turned


class Solid(Protocol):
    """A body about its own origin; z up."""

    def mesh(self) -> Mesh:
        """Return its surface."""
        ...

    def distance(self, points: Floats) -> Floats:
        """Return how far points (N, 3) are from the surface: (N,) metres, negative inside."""
        ...


@dataclass(frozen=True)
class Turned:
    """A profile turned about z; see `meshes.turned`."""

    profile: Floats

    def mesh(self) -> Mesh:
        """Return its surface."""
        return turned(self.profile)

    def distance(self, points: Floats) -> Floats:
        """Return the signed distance to the profile in the half plane of each point."""
        flat = np.stack([np.hypot(points[:, 0], points[:, 1]), points[:, 2]], axis=1)
        starts, ends = self.profile[:-1], self.profile[1:]
        squares = _squares(flat, starts, ends).min(1)
        # Even-odd rule along a ray in r; the axis itself is no border.
        r, z = flat[:, :1], flat[:, 1:]
        spans = (starts[:, 1] > z) != (ends[:, 1] > z)
        rise = np.where(ends[:, 1] == starts[:, 1], 1, ends[:, 1] - starts[:, 1])
        crossing = starts[:, 0] + (z - starts[:, 1]) / rise * (ends[:, 0] - starts[:, 0])
        inside = (spans & (r < crossing)).sum(1) % 2 == 1
        return np.sqrt(squares) * np.where(inside, -1, 1)


@dataclass(frozen=True)
class Block:
    """A box with bevelled edges about the origin. half: (3,)."""

    half: Floats
    bevel: float

    def mesh(self) -> Mesh:
        """Return its surface."""
        return block(self.half, self.bevel)

    def distance(self, points: Floats) -> Floats:
        """Return the signed distance to the box with round edges, which holds the bevelled one."""
        beyond = np.abs(points) - (self.half - self.bevel)
        outside = np.linalg.norm(beyond.clip(0), axis=1)
        within = np.minimum(beyond.max(1), 0)
        signed: Floats = outside + within - self.bevel
        return signed


@dataclass(frozen=True)
class Tube:
    """A round tube along a path (P, 2) in the x-z plane."""

    path: Floats
    radius: float

    def mesh(self) -> Mesh:
        """Return its surface."""
        return tube(self.path, self.radius)

    def distance(self, points: Floats) -> Floats:
        """Return the signed distance, the ends taken as round."""
        spatial = np.insert(self.path, 1, 0, axis=1)
        return np.sqrt(_squares(points, spatial[:-1], spatial[1:]).min(1)) - self.radius


@dataclass(frozen=True)
class Together:
    """Solids that are one, such as a cup and its handle."""

    parts: tuple[Solid, ...]

    def mesh(self) -> Mesh:
        """Return their surfaces; each is closed by itself."""
        return joined(*(part.mesh() for part in self.parts))

    def distance(self, points: Floats) -> Floats:
        """Return the distance to the nearest."""
        return np.stack([part.distance(points) for part in self.parts]).min(axis=0)


def _squares(points: Floats, starts: Floats, ends: Floats) -> Floats:
    """Return the squared distances (N, S) of points (N, D) to segments (S, D)."""
    ways = (ends - starts).T
    # One axis at a time: sums over a last axis of two or three are many times slower.
    from_start = [p[:, None] - s for p, s in zip(points.T, starts.T, strict=True)]
    part = _summed(away * way for away, way in zip(from_start, ways, strict=True))
    part = (part / _summed(way**2 for way in ways)).clip(0, 1)
    return _summed((away - part * way) ** 2 for away, way in zip(from_start, ways, strict=True))


def _summed(terms: Iterable[Floats]) -> Floats:
    return reduce(np.add, terms)
