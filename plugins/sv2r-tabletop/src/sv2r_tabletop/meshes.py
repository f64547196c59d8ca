"""Triangle meshes made in code: turned shapes, bevelled blocks, bent tubes. Metres, z up.

Every mesh is closed, and its faces are counter-clockwise seen from outside. A vertex stands twice
where a sharp edge gives it two normals, or where a texture has its seam.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import combinations, pairwise, product

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

SEGMENTS = 40
# Neighbouring faces that differ by more are seen as an edge.
_SHARP = np.cos(np.radians(32))


@dataclass(frozen=True)
class Mesh:
    """vertices, normals: (V, 3); uvs: (V, 2), repeating after 1; faces: (F, 3) rows of those."""

    vertices: Floats
    normals: Floats
    uvs: Floats
    faces: Ints

    def moved(self, rotation: Floats, offset: Floats) -> Mesh:
        """Return it turned by a (3, 3) rotation, then moved by a (3,) offset."""
        vertices = self.vertices @ rotation.T + offset
        return Mesh(vertices, self.normals @ rotation.T, self.uvs, self.faces)


def joined(*meshes: Mesh) -> Mesh:
    """Return several meshes as one."""
    starts = np.cumsum([0, *(len(mesh.vertices) for mesh in meshes)])
    return Mesh(
        np.concatenate([mesh.vertices for mesh in meshes]),
        np.concatenate([mesh.normals for mesh in meshes]),
        np.concatenate([mesh.uvs for mesh in meshes]),
        np.concatenate(
            [mesh.faces + start for mesh, start in zip(meshes, starts[:-1], strict=True)]
        ),
    )


def turned(profile: Floats, segments: int = SEGMENTS) -> Mesh:
    """Return a profile turned about the z axis.

    profile: (P, 2) rows of radius and height, from the axis at the bottom along the outside to the
    axis again: what lies to the right of the way is outside. u goes around, v along the profile.
    """
    rings = list(_rings(profile))
    angle = np.linspace(0, 2 * np.pi, segments + 1)
    across = np.stack([np.cos(angle), np.sin(angle)], axis=1)
    vertices, normals, uvs = [], [], []
    for (radius, height), (out, up), v, _ in rings:
        vertices.append(np.column_stack([radius * across, np.full(segments + 1, height)]))
        normals.append(np.column_stack([out * across, np.full(segments + 1, up)]))
        uvs.append(np.column_stack([angle / (2 * np.pi), np.full(segments + 1, v)]))
    faces = []
    for number, (lower, upper) in enumerate(pairwise(rings)):
        if not upper[3]:  # the same place again, with another normal
            continue
        a = np.arange(segments) + number * (segments + 1)
        b, c, d = a + 1, a + segments + 1, a + segments + 2
        if lower[0][0] > 0:
            faces.append(np.stack([a, b, c], axis=1))
        if upper[0][0] > 0:
            faces.append(np.stack([b, d, c], axis=1))
    return Mesh(
        np.concatenate(vertices),
        np.concatenate(normals),
        np.concatenate(uvs),
        np.concatenate(faces),
    )


_Ring = tuple[tuple[float, float], tuple[float, float], float, bool]


def _rings(profile: Floats) -> Iterator[_Ring]:
    """Yield each ring: (radius, height), its normal, v, and whether faces lead to it."""
    steps = np.diff(profile, axis=0)
    lengths = np.hypot(*steps.T)
    normals = np.stack([steps[:, 1], -steps[:, 0]], axis=1) / lengths[:, None]
    along = np.concatenate([[0], np.cumsum(lengths)]) / lengths.sum()
    for number, (place, v) in enumerate(zip(profile, along, strict=True)):
        before = normals[number - 1] if number > 0 else None
        after = normals[number] if number < len(normals) else None
        where = (float(place[0]), float(place[1]))
        if before is not None and after is not None and before @ after < _SHARP:
            yield where, (before[0], before[1]), v, True
            yield where, (after[0], after[1]), v, False
            continue
        mean = sum(n for n in (before, after) if n is not None)
        if place[0] == 0 and abs(mean[1]) > _SHARP:  # a pole is smooth
            mean = np.array([0, mean[1]])
        mean = mean / np.hypot(*mean)
        yield where, (float(mean[0]), float(mean[1])), v, number > 0


def block(half: Floats, bevel: float) -> Mesh:
    """Return a box about the origin with rounded-looking edges.

    half: (3,) half of its sides, bevels included. Each face has a cell of its own in the texture,
    three in a row: -x, +x, -y below, +y, -z, +z above.
    """
    corners = list(product((-1.0, 1.0), repeat=3))
    index = {}
    vertices: list[Floats] = []
    normals, uvs = [], []
    for corner, axis in product(corners, range(3)):
        index[corner, axis] = len(vertices)
        normal = np.zeros(3)
        normal[axis] = corner[axis]
        vertices.append(np.array(corner) * (half - bevel) + normal * bevel)
        normals.append(normal)
        uvs.append(_cell(corner, axis))
    polygons = []
    for axis, side in product(range(3), (-1.0, 1.0)):
        polygons.append([(c, axis) for c in corners if c[axis] == side])
    for one, other in combinations(range(3), 2):
        for a, b in product((-1.0, 1.0), repeat=2):
            ends = [c for c in corners if c[one] == a and c[other] == b]
            polygons.append([(c, axis) for axis in (one, other) for c in ends])
    polygons.extend([(corner, axis) for axis in range(3)] for corner in corners)
    faces = [face for p in polygons for face in _fan([index[k] for k in p], np.array(vertices))]
    return Mesh(np.array(vertices), np.array(normals), np.array(uvs), np.array(faces))


def _cell(corner: tuple[float, ...], axis: int) -> Floats:
    """Return where in the texture a face's corner lies, upright for the four sides."""
    side = int(corner[axis] > 0)
    number = 2 * axis + side
    right, up = ((1, 2), (0, 2), (0, 1))[axis]
    across = corner[right] * (-1 if (side + axis) % 2 == 0 else 1)
    place = np.array([across, corner[up]]) * 0.49 + 0.5
    column, row = number % 3, number // 3
    return np.array([(place[0] + column) / 3, (place[1] + row) / 2])


def _fan(around: list[int], vertices: Floats) -> list[list[int]]:
    """Return a convex polygon that faces away from the origin as triangles."""
    points = vertices[around]
    middle = points.mean(0)
    normal = np.cross(points[1] - points[0], points[2] - points[0])
    normal *= np.sign(normal @ middle)
    first = points[0] - middle
    side = np.cross(normal, first)
    angles = np.arctan2(
        (points - middle) @ side / np.linalg.norm(normal), (points - middle) @ first
    )
    ordered = [around[k] for k in np.argsort(angles)]
    return [[ordered[0], ordered[k], ordered[k + 1]] for k in range(1, len(ordered) - 1)]


def tube(path: Floats, radius: float, segments: int = 14) -> Mesh:
    """Return a round tube along a path in the x-z plane, closed by flat ends.

    path: (P, 2) rows of x and z.
    """
    tangents = np.gradient(path, axis=0)
    tangents /= np.hypot(*tangents.T)[:, None]
    angle = np.linspace(0, 2 * np.pi, segments + 1)
    vertices, normals = [], []
    for (x, z), (dx, dz) in zip(path, tangents, strict=True):
        side = np.array([-dz, 0, dx])
        out = np.cos(angle)[:, None] * side + np.sin(angle)[:, None] * np.array([0, -1.0, 0])
        vertices.append(np.array([x, 0, z]) + radius * out)
        normals.append(out)
    row = segments + 1
    a = (np.arange(len(path) - 1)[:, None] * row + np.arange(segments)).ravel()
    faces = np.concatenate(
        [np.stack([a, a + 1, a + row], axis=1), np.stack([a + 1, a + row + 1, a + row], axis=1)]
    )
    uvs = np.tile([0.5, 0.5], (len(path) * row, 1))
    sides = Mesh(np.concatenate(vertices), np.concatenate(normals), uvs, faces)
    ends = (_disc(vertices[0], -tangents[0]), _disc(vertices[-1][::-1], tangents[-1]))
    return joined(sides, *ends)


def _disc(ring: Floats, direction: Floats) -> Mesh:
    """Return a flat end; ring: (S + 1, 3), clockwise seen from where the direction points."""
    normal = np.array([direction[0], 0, direction[1]])
    vertices = np.concatenate([ring, ring[:-1].mean(0)[None]])
    k = np.arange(len(ring) - 1)
    faces = np.stack([k + 1, k, np.full(len(k), len(ring))], axis=1)
    uvs = np.tile([0.5, 0.5], (len(vertices), 1))
    return Mesh(vertices, np.tile(normal, (len(vertices), 1)), uvs, faces)


def cloud(mesh: Mesh, spacing: float) -> Floats:
    """Return points (N, 3) all over a mesh, edges first of all, about as far apart as spacing."""
    triangles = mesh.vertices[mesh.faces]
    borders, insides = [mesh.vertices], []
    longest = np.linalg.norm(triangles - np.roll(triangles, 1, axis=1), axis=2).max(1)
    cuts = np.ceil(longest / spacing).astype(int)
    for n in np.unique(cuts[cuts > 1]):
        i, j = (axis.ravel() for axis in np.mgrid[0 : n + 1, 0 : n + 1])
        weights = np.stack([i, j, n - i - j], axis=1)[i + j <= n]
        points = np.swapaxes(weights / n @ triangles[cuts == n], 0, 1)
        border = (weights == 0).any(1)
        borders.append(points[border].reshape(-1, 3))
        insides.append(points[~border].reshape(-1, 3))
    points = np.concatenate([*borders, *insides])
    cells = np.floor(points / (0.7 * spacing)).astype(np.int64)
    cells -= cells.min(0)
    x, y, z = cells.T
    keys = (x * (y.max() + 1) + y) * (z.max() + 1) + z
    return points[np.sort(np.unique(keys, return_index=True)[1])]
