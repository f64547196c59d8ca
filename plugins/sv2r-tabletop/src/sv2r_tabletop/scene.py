"""A scene from a seed: which things rest where, how they look, who looks and what shines.

`draw_scene(seed)` is a pure function; nothing else is random. What is drawn, and how often:

| what | how |
| --- | --- |
| things | 3 to 9, uniform; one of 6 categories each, drawn uniformly (`objects`: sizes) |
| places | tried: 55 % pushed until they touch another, 20 % beside, 25 % on or in one (`layout`) |
| looks | material and pattern by `looks.CHOICES`; tones uniform in HSV |
| table | 0.9 to 1.7 by 0.7 to 1.0 m, things near its middle, turned anyhow |
| room | a floor 0.74 m below, a wall behind, in 40 % another beside, 2 to 6 flat things |
| camera | from any side, 10 to 60 degrees above the table, vertical view of 26 to 46 degrees |
| light | a lamp or window of 0.15 to 1.1 m, 1.1 to 2.2 m away, 28 to 75 degrees above; the room's |

A thing that nothing there can bear is pushed instead; where its place is taken, or it ends too far
out, category, thing and way are drawn again. Of the 1,528 things of scenes 700,000 to 700,249, 7 %
rest on or in another, and each category has 15 to 19 %.

Of 40 cameras the first is taken that shows at least 30 % of everything, and of everything 0.4 % of
the picture; or else the one that comes nearest to that.
"""

from __future__ import annotations

import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from types import MappingProxyType

import numpy as np

from sv2r_tabletop.layout import Placed, arrange
from sv2r_tabletop.looks import Look, draw_look
from sv2r_tabletop.meshes import Floats, Mesh
from sv2r_tabletop.solids import Block
from sv2r_tabletop.view import View, best_view

# Changes whenever a seed stands for another scene than before.
DISTRIBUTION = 1

# Which seeds are for what. No scene of one split is in another.
SPLITS: Mapping[str, range] = MappingProxyType(
    {
        "photo-train": range(200_000),  # photographs to learn from; their labels stay unused
        "synthetic-train": range(200_000, 300_000),  # what is translated to train others with
        "photo-ceiling": range(300_000, 400_000),  # photographs with labels, never learnt from
        "validation": range(400_000, 500_000),
        "test": range(500_000, 600_000),
        "bundled": range(600_000, 700_000),
        # Scenes, edited, whose labels are then right or wrong (`edits`); every world has them.
        "edits-train": range(1_000_000, 1_300_000),
        "edits-tune": range(1_300_000, 1_400_000),
        "edits-test": range(1_400_000, 1_500_000),
    }
)


@dataclass(frozen=True)
class Panel:
    """A table top, wall, or flat thing of the room: a block in its place."""

    half: Floats
    rotation: Floats
    offset: Floats
    look: Look

    @cached_property
    def mesh(self) -> Mesh:
        """Its surface in the world, textured by the metre."""
        mesh = Block(self.half, 0.004).mesh()
        axis = np.abs(mesh.normals).argmax(1)
        across = np.array([[1, 2], [0, 2], [0, 1]])[axis]
        uvs = np.take_along_axis(mesh.vertices, across, axis=1)
        return replace(mesh, uvs=uvs).moved(self.rotation, self.offset)


@dataclass(frozen=True)
class Light:
    """A square lamp, and the room's light.

    position: its middle, it faces the things. size: its side in metres. kelvin: its colour.
    ambient: how bright the room is against the lamp. room: seed of what the room looks like.
    sky: the light around is that of a sky. lit: whether the lamp shines.
    """

    position: Floats
    size: float
    kelvin: float
    ambient: float
    room: int
    sky: bool = False
    lit: bool = True


@dataclass(frozen=True)
class Scene:
    """Everything there is; objects in the order of their instance ids, which start at 1.

    panels: what the things stand on, then what is around. world: which of `worlds` drew it.
    """

    seed: int
    objects: tuple[Placed, ...]
    looks: tuple[Look, ...]
    panels: tuple[Panel, ...]
    view: View
    light: Light
    world: str = "tables"


def stream(seed: int, what: str) -> np.random.Generator:
    """Return random numbers for one purpose: those of another never shift them."""
    return np.random.default_rng([seed, zlib.crc32(what.encode())])


def draw_scene(seed: int) -> Scene:
    """Return the scene of a seed, always the same."""
    objects = arrange(stream(seed, "layout"))
    view = best_view(objects, stream(seed, "view"))
    rng = stream(seed, "looks")
    looks = tuple(draw_look(placed.thing.category, rng) for placed in objects)
    panels = draw_panels(objects, view, stream(seed, "room"))
    return Scene(seed, objects, looks, panels, view, draw_light(view, stream(seed, "light")))


def split_of(seed: int) -> str:
    """Return the name of the split that a seed belongs to, "none" for seeds beyond all."""
    return next((name for name, seeds in SPLITS.items() if seed in seeds), "none")


def draw_panels(
    objects: Sequence[Placed], view: View, rng: np.random.Generator
) -> tuple[Panel, ...]:
    """Return the table, then floor, walls and what is on them."""
    spread = max(float(np.hypot(*placed.points[:, :2].T).max()) for placed in objects)
    half = np.array([rng.uniform(0.45, 0.85), rng.uniform(0.35, 0.5), rng.uniform(0.012, 0.025)])
    half[:2] = half[:2].clip(spread + 0.03)
    room = half[:2] - spread
    table_turn = about_z(rng.uniform(0, 2 * np.pi))
    middle = table_turn @ np.array([*(room * rng.uniform(-0.9, 0.9, 2)), -half[2]])
    table = Panel(half, table_turn, middle, draw_look("table", rng))
    away = view.away
    floor = Panel(
        np.array([7.0, 7.0, 0.05]),
        about_z(away + rng.uniform(-0.5, 0.5)),
        np.array([0, 0, -0.79]),
        draw_look("floor", rng),
    )
    reach = float(np.hypot(*half[:2])) + 0.1
    distance = reach + rng.uniform(0.2, 1.6)
    wall_look = draw_look("wall", rng)
    turn = away + rng.uniform(-0.35, 0.35)
    walls = [put_wall(turn, distance, wall_look)]
    if rng.uniform() < 0.4:
        side = rng.choice([-1.0, 1.0])
        walls.append(put_wall(turn + side * np.pi / 2, reach + rng.uniform(0.4, 1.2), wall_look))
    flat = [hang(turn, distance, rng) for _ in range(int(rng.integers(2, 7)))]
    return (table, floor, *walls, *flat)


def about_z(angle: float) -> Floats:
    """Return the turn (3, 3) about the vertical, by radians."""
    c, s = np.cos(angle), np.sin(angle)
    return np.array([[c, -s, 0], [s, c, 0], [0, 0, 1.0]])


def put_wall(angle: float, distance: float, look: Look) -> Panel:
    """Return a wall so far from the middle, in a direction about z."""
    rotation = about_z(angle)
    offset = rotation @ np.array([distance + 0.05, 0, 0.76])
    return Panel(np.array([0.05, 7.0, 1.5]), rotation, offset, look)


def hang(angle: float, distance: float, rng: np.random.Generator) -> Panel:
    """Return something flat on the wall or before it: a picture, a shelf, a cupboard."""
    half = np.array([rng.uniform(0.008, 0.06), *rng.uniform(0.06, 0.5, 2)])
    rotation = about_z(angle)
    place = np.array([distance - half[0] - 0.001, rng.uniform(-1.3, 1.3), rng.uniform(-0.5, 1.1)])
    return Panel(half, rotation, rotation @ place, draw_look("clutter", rng))


def draw_light(view: View, rng: np.random.Generator) -> Light:
    """Return a lamp on the camera's side of the wall that does not stand before the camera."""
    size = float(np.exp(rng.uniform(np.log(0.15), np.log(1.1))))
    while True:
        around = view.away + np.pi + np.radians(rng.uniform(-105, 105))
        above = np.radians(rng.uniform(28, 75))
        level = np.cos(above)
        direction = np.array([np.cos(around) * level, np.sin(around) * level, np.sin(above)])
        position = rng.uniform(1.1, 2.2) * direction
        if _clear(view, position, size):
            break
    return Light(
        position=position,
        size=size,
        kelvin=float(rng.uniform(2900, 7000)),
        ambient=float(np.exp(rng.uniform(np.log(0.12), np.log(0.9)))),
        room=int(rng.integers(2**31)),
    )


def _clear(view: View, lamp: Floats, size: float) -> bool:
    """Return whether a lamp is behind the camera, or far from all lines of sight."""
    behind = (lamp - view.origin) @ view.axes[2] < -0.75 * size
    axis = view.axes[2]
    beside = np.linalg.norm(np.cross(lamp - view.origin, axis)) - 0.75 * size
    reach = np.linalg.norm(view.target - view.origin) * np.tan(np.radians(view.fov))
    return bool(behind or beside > reach)
