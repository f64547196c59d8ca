"""The worlds: tables, clutter and street. Each draws scenes of things of its own categories."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np

from sv2r_tabletop import clutter, scene, street
from sv2r_tabletop.layout import Placed
from sv2r_tabletop.objects import CATEGORIES, Thing
from sv2r_tabletop.scene import Light, Panel, Scene
from sv2r_tabletop.view import View

Rng = np.random.Generator


@dataclass(frozen=True)
class World:
    """A generator of scenes.

    categories: what draws a thing of each. ground: the name of what things stand on, in `looks`.
    draw_panels: the ground and what is around, of a given scene. tested_only: no model learns it.
    scaled: what an edit adds is made as large as what is there.
    """

    categories: Mapping[str, Callable[[Rng], Thing]]
    ground: str
    draw_scene: Callable[[int], Scene]
    draw_panels: Callable[[Sequence[Placed], View, Rng], tuple[Panel, ...]]
    draw_light: Callable[[View, Rng], Light]
    tested_only: bool = False
    scaled: bool = False


WORLDS: Mapping[str, World] = MappingProxyType(
    {
        "tables": World(CATEGORIES, "table", scene.draw_scene, scene.draw_panels, scene.draw_light),
        "clutter": World(
            clutter.CATEGORIES,
            "busy",
            clutter.draw_scene,
            clutter.draw_panels,
            scene.draw_light,
            scaled=True,
        ),
        "street": World(
            street.CATEGORIES,
            "road",
            street.draw_scene,
            street.draw_panels,
            street.draw_light,
            tested_only=True,
        ),
    }
)
