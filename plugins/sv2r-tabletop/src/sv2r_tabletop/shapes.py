"""Solids made of others or of an outline: extruded, stretched, cut off, turned about."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np

from sv2r_tabletop.meshes import Floats, Mesh
from sv2r_tabletop.objects import Thing
from sv2r_tabletop.solids import Solid, Together, Turned


@dataclass(frozen=True)
class Extruded:
    """An outline (P, 2), counter-clockwise and seen whole from the origin, from z = 0 to height."""

    outline: Floats
    height: float

    def mesh(self) -> Mesh:
        """Return its surface: flat walls, then the bottom and the top as fans about the origin."""
        parts = [
            _wall(start, end, self.height, number / len(self.outline), 1 / len(self.outline))
            for number, (start, end) in enumerate(pairwise([*self.outline, self.outline[0]]))
        ]
        parts += [_cap(self.outline[::-1], 0.0, -1.0), _cap(self.outline, self.height, 1.0)]
        starts = np.cumsum([0, *(len(vertices) for vertices, *_ in parts)])
        columns = list(zip(*parts, strict=True))
        vertices, normals, uvs = (np.concatenate(column) for column in columns[:3])
        faces = np.concatenate([f + s for f, s in zip(columns[3], starts[:-1], strict=True)])
        return Mesh(vertices, normals, uvs, faces)

    def distance(self, points: Floats) -> Floats:
        """Return the signed distance; exact outside of the walls and of the caps."""
        starts, ends = self.outline, np.roll(self.outline, -1, axis=0)
        flat = points[:, None, :2] - starts
        ways = ends - starts
        part = ((flat * ways).sum(2) / (ways**2).sum(1)).clip(0, 1)
        away = np.sqrt(((flat - part[..., None] * ways) ** 2).sum(2)).min(1)
        rise = np.where(ways[:, 1] == 0, 1, ways[:, 1])
        spans = (starts[:, 1] > points[:, 1:2]) != (ends[:, 1] > points[:, 1:2])
        crossing = starts[:, 0] + (points[:, 1:2] - starts[:, 1]) / rise * ways[:, 0]
        inside = (spans & (points[:, :1] < crossing)).sum(1) % 2 == 1
        beyond = np.stack([np.where(inside, -away, away), _beyond(points[:, 2], self.height)], 1)
        signed: Floats = np.linalg.norm(beyond.clip(0), axis=1) + np.minimum(beyond.max(1), 0)
        return signed


def _beyond(z: Floats, height: float) -> Floats:
    return np.abs(z - height / 2) - height / 2


_Part = tuple[Floats, Floats, Floats, Floats]


def _wall(start: Floats, end: Floats, height: float, u: float, wide: float) -> _Part:
    corners = np.array([[*start, 0], [*end, 0], [*end, height], [*start, height]])
    out = np.array([end[1] - start[1], start[0] - end[0], 0]) / np.hypot(*(end - start))
    uvs = np.array([[u, 0], [u + wide, 0], [u + wide, 1], [u, 1.0]])
    return corners, np.tile(out, (4, 1)), uvs, np.array([[0, 1, 2], [0, 2, 3]])


def _cap(outline: Floats, z: float, up: float) -> _Part:
    vertices = np.column_stack([np.vstack([outline, [0, 0]]), np.full(len(outline) + 1, z)])
    k = np.arange(len(outline))
    faces = np.stack([k, (k + 1) % len(outline), np.full(len(k), len(k))], axis=1)
    normals = np.tile([0, 0, up], (len(vertices), 1))
    reach = np.abs(outline).max()
    return vertices, normals, vertices[:, :2] / (2 * reach) + 0.5, faces


@dataclass(frozen=True)
class Linear:
    """A solid under a linear map (3, 3) of positive determinant, then moved by an offset (3,)."""

    solid: Solid
    matrix: Floats
    offset: Floats

    def mesh(self) -> Mesh:
        """Return its surface; normals go by the inverse transpose."""
        mesh = self.solid.mesh()
        normals = mesh.normals @ np.linalg.inv(self.matrix)
        normals /= np.linalg.norm(normals, axis=1, keepdims=True)
        vertices = mesh.vertices @ self.matrix.T + self.offset
        return Mesh(vertices, normals, mesh.uvs, mesh.faces)

    def distance(self, points: Floats) -> Floats:
        """Return a bound of the distance: no point is nearer."""
        least = float(np.linalg.svd(self.matrix, compute_uv=False)[-1])
        inner = (points - self.offset) @ np.linalg.inv(self.matrix).T
        return self.solid.distance(inner) * least


@dataclass(frozen=True)
class Cut:
    """What of a solid lies on the inner side of a plane: where points @ normal <= level.

    The cut stays open: the plane is laid so that nobody sees it from the front.
    """

    solid: Solid
    normal: Floats
    level: float

    def mesh(self) -> Mesh:
        """Return the surface that is left."""
        return clipped(self.solid.mesh(), self.normal, self.level)

    def distance(self, points: Floats) -> Floats:
        """Return the distance to the solid or the plane, whichever is larger."""
        return np.maximum(self.solid.distance(points), points @ self.normal - self.level)


def clipped(mesh: Mesh, normal: Floats, level: float) -> Mesh:
    """Return the part of a mesh where vertices @ normal <= level, its triangles cut (unclosed).

    Sutherland and Hodgman (1974), Reentrant polygon clipping, against one plane.
    """
    rows = np.column_stack([mesh.vertices, mesh.normals, mesh.uvs])
    over = mesh.vertices @ normal - level
    triangles: list[Floats] = []
    for face in mesh.faces:
        if (over[face] <= 0).all():
            triangles.append(rows[face])
        elif (over[face] <= 0).any():
            kept = np.array(list(_kept(rows[face], over[face])))
            triangles += [kept[[0, k, k + 1]] for k in range(1, len(kept) - 1)]
    joined = np.concatenate(triangles) if triangles else np.zeros((0, rows.shape[1]))
    faces = np.arange(len(joined)).reshape(-1, 3)
    return Mesh(joined[:, :3], joined[:, 3:6], joined[:, 6:], faces)


def _kept(corners: Floats, over: Floats) -> Iterator[Floats]:
    for k in range(3):
        one, other = over[k], over[(k + 1) % 3]
        if one <= 0:
            yield corners[k]
        if (one <= 0) != (other <= 0):
            part = one / (one - other)
            yield corners[k] * (1 - part) + corners[(k + 1) % 3] * part


def stretched(thing: Thing, matrix: Floats, offset: Floats) -> Thing:
    """Return a thing under a linear map about its own origin; what fills it keeps inside."""
    points = thing.points @ matrix.T + offset
    filling = None
    if thing.filling is not None and np.allclose(matrix, np.diag(np.diag(matrix))):
        across = float(min(matrix[0, 0], matrix[1, 1]))
        filling = thing.filling * [across, matrix[2, 2]] + [0, offset[2]]
    solid = Linear(thing.solid, matrix, offset)
    return replace(thing, solid=solid, height=float(np.max(points[:, 2])), filling=filling)


def halved(thing: Thing, normal: Floats, level: float) -> Thing:
    """Return what is left of a thing on one side of a plane."""
    return replace(thing, solid=Cut(thing.solid, normal, level), filling=None)


def without_part(thing: Thing) -> Thing | None:
    """Return a thing without its handle, leg or neck; None where nothing comes off."""
    if isinstance(thing.solid, Together):
        left = thing.solid.parts[:-1]
        return replace(thing, solid=left[0] if len(left) == 1 else Together(left))
    if thing.category == "bottle" and isinstance(thing.solid, Turned):
        return _without_neck(thing, thing.solid.profile)
    return None


def _without_neck(thing: Thing, profile: Floats) -> Thing:
    """Return a bottle that ends at its shoulder."""
    widest = np.max(profile[:, 0])
    last = int(np.flatnonzero(profile[:, 0] > 0.97 * widest)[-1])
    body = np.concatenate([profile[: last + 1], [[0, profile[last, 1]]]])
    longer = _length(profile) / _length(body)
    first, end = thing.bands["side"]
    bands = {"side": (first * longer, min(end * longer, 1.0)), "cap": (1.0, 1.0)}
    height = float(profile[last, 1])
    filling = thing.filling
    if filling is not None:
        low = filling[filling[:, 1] < height - 0.002]
        filling = np.concatenate([low, [[0, low[-1, 1]]]])
    return replace(thing, solid=Turned(body), height=height, bands=bands, filling=filling)


def _length(profile: Floats) -> float:
    return float(np.hypot(*np.diff(profile, axis=0).T).sum())
