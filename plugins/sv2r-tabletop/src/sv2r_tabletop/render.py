"""A scene rendered by Mitsuba 3, once for its labels and once for its picture, in either domain."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product
from types import ModuleType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sv2r_tabletop.colour import srgb
from sv2r_tabletop.describe import (
    MIDDLE,
    NEAR,
    describe_flat,
    describe_lights,
    describe_sun,
    make_sensor,
    make_shape,
    mitsuba,
    trace,
)
from sv2r_tabletop.materials import filling, for_panel, for_thing
from sv2r_tabletop.meshes import Floats, joined
from sv2r_tabletop.scene import Scene, stream
from sv2r_tabletop.solids import Turned

# Longest path of light in a photograph: through a bottle's two walls and off two surfaces.
_DEPTH = 6
_SYNTHETIC_SPP = 9
# A sample brighter than this times white would be a firefly.
_BRIGHTEST = 30.0


@dataclass(frozen=True)
class Truth:
    """What is where. labels: (H, W) int32, 0 background, else 1 + an object's place in the scene.

    depth: (H, W) metres along the direction of view, infinity where nothing is.
    """

    labels: NDArray[np.int32]
    depth: Floats


def render_truth(scene: Scene, size: int) -> Truth:
    """Return labels and depth at the middle of each pixel, by a pinhole, the same in any domain."""
    mi = mitsuba()
    loaded, numbers = _joined_scene(mi, scene)
    sensor = make_sensor(mi, scene.view, size, 1, sampler=MIDDLE)
    aovs = "face:prim_index,hit:shape_index,place:position"
    seen = trace(mi, loaded, sensor, 1, 0, mi.load_dict({"type": "aov", "aovs": aovs}))
    labels = numbers[seen[..., 0].round().astype(int)]
    depth = (seen[..., 2:5] - scene.view.origin) @ scene.view.axes[2]
    return Truth(labels, np.where(seen[..., 1] > 0, depth, np.inf))


def render_labels(scene: Scene, size: int) -> NDArray[np.int32]:
    """Return the labels of `render_truth` alone: faster, as nothing is traced beside the things."""
    mi = mitsuba()
    labels = np.zeros((size, size), np.int32)
    left, top, right, bottom = _frame(scene, size)
    if left >= right or top >= bottom:
        return labels
    loaded, numbers = _joined_scene(mi, scene)
    crop = {"crop_offset_x": left, "crop_offset_y": top}
    crop |= {"crop_width": right - left, "crop_height": bottom - top}
    sensor = make_sensor(mi, scene.view, size, 1, sampler=MIDDLE, crop=crop)
    seen = trace(mi, loaded, sensor, 1, 0, mi.load_dict({"type": "aov", "aovs": "i:prim_index"}))
    labels[top:bottom, left:right] = numbers[seen[..., 0].round().astype(int)]
    return labels


def render_parts(scene: Scene, size: int) -> NDArray[np.int32]:
    """Return which panel or object is seen at the middle of each pixel: from 1, 0 where nothing."""
    mi = mitsuba()
    loaded, numbers = _joined_scene(mi, scene, labelled=False)
    sensor = make_sensor(mi, scene.view, size, 1, sampler=MIDDLE)
    aovs = "face:prim_index,hit:shape_index"
    seen = trace(mi, loaded, sensor, 1, 0, mi.load_dict({"type": "aov", "aovs": aovs}))
    return np.where(seen[..., 1] > 0, numbers[seen[..., 0].round().astype(int)], 0)


def _joined_scene(
    mi: ModuleType, scene: Scene, labelled: bool = True
) -> tuple[Any, NDArray[np.int32]]:
    """Return all shapes as one, and what each of its faces is of: 1 + an object's place, or 0.

    labelled: or else its place among all panels and objects, from 1. One shape is traced many times
    faster than many. Panels come first: where nothing is, Mitsuba says face 0, of no object either.
    """
    meshes = [panel.mesh for panel in scene.panels] + [placed.mesh for placed in scene.objects]
    whole = make_shape(mi, "all", joined(*meshes), mi.load_dict({"type": "diffuse"}))
    numbers = np.arange(1, len(meshes) + 1, dtype=np.int32)
    if labelled:
        numbers = (numbers - len(scene.panels)).clip(0)
    faces = [len(mesh.faces) for mesh in meshes]
    return mi.load_dict({"type": "scene", "all": whole}), np.repeat(numbers, faces)


def _frame(scene: Scene, size: int) -> tuple[int, int, int, int]:
    """Return left, top, right and bottom of the pixels that things can be in."""
    if not scene.objects:
        return 0, 0, 0, 0
    points = np.concatenate([placed.mesh.vertices for placed in scene.objects])
    place, depth = scene.view.project(points)
    if np.min(depth) < NEAR:
        return 0, 0, size, size
    first = np.floor(place.min(0) * size - 1).clip(0, size).astype(int)
    last = np.ceil(place.max(0) * size + 1).clip(0, size).astype(int)
    return int(first[0]), int(first[1]), int(last[0]), int(last[1])


def render_synthetic(scene: Scene, size: int) -> NDArray[np.uint8]:
    """Return a quick engine's picture, (H, W, 3): flat colours, one hard light, an even ambient."""
    mi = mitsuba()
    return render_quickly(mi, scene, describe_flat(mi, scene), size)


def render_quickly(
    mi: ModuleType, scene: Scene, described: dict[str, Any], size: int
) -> NDArray[np.uint8]:
    """Return a picture (H, W, 3) of shapes under one hard light and an even ambient."""
    integrator = mi.load_dict(
        {"type": "aov", "aovs": "base:albedo,normal:sh_normal", "lit": {"type": "direct"}}
    )
    sensor = make_sensor(mi, scene.view, size, _SYNTHETIC_SPP, sampler=MIDDLE)
    loaded = mi.load_dict({**described, "sun": describe_sun(scene)})
    seen = trace(mi, loaded, sensor, _SYNTHETIC_SPP, 0, integrator)
    lit, base, normal = seen[..., :3], seen[..., 3:6], seen[..., 6:9]
    ambient = 0.3 + 0.12 * normal[..., 2:]
    nothing = (normal == 0).all(2, keepdims=True)
    light = lit + base * ambient + 0.3 * nothing
    return (srgb(light) * 255).round().astype(np.uint8)


def render_photo(scene: Scene, size: int, spp: int) -> Floats:
    """Return path-traced linear light, (H, W, 3), of the textured scene through a thin lens."""
    mi = mitsuba()
    described: dict[str, Any] = {"type": "scene"}
    for number, (placed, look) in enumerate(zip(scene.objects, scene.looks, strict=True)):
        material = mi.load_dict(for_thing(mi, look, placed.thing))
        described[f"o{number}"] = make_shape(mi, f"o{number}", placed.mesh, material)
        filled = placed.thing.filling
        if look.material == "glass" and look.seed % 4 > 0 and filled is not None:
            inside = Turned(filled).mesh().moved(placed.rotation, placed.offset)
            name = f"f{number}"
            described[name] = make_shape(mi, name, inside, mi.load_dict(filling(look)))
    for number, panel in enumerate(scene.panels):
        material = mi.load_dict(for_panel(mi, panel.look))
        described[f"p{number}"] = make_shape(mi, f"p{number}", panel.mesh, material)
    described.update(describe_lights(mi, scene))
    lens = {"aperture_radius": scene.view.aperture, "focus_distance": scene.view.focus}
    sensor = make_sensor(mi, scene.view, size, spp, lens=lens, sampler={"type": "multijitter"})
    # volpath lets lamps shine through thin glass, which path leaves to chance.
    glass = any(look.material == "glass" for look in scene.looks)
    kind = "volpath" if glass else "path"
    integrator = mi.load_dict({"type": kind, "max_depth": _DEPTH, "rr_depth": 4})
    seed = int(stream(scene.seed, "samples").integers(2**31))
    light = trace(mi, mi.load_dict(described), sensor, spp, seed, integrator)
    return _calmed(light.clip(0, _BRIGHTEST))


def _calmed(light: Floats) -> Floats:
    """Return light without fireflies, as a camera fixes hot pixels: none far above all around."""
    padded = np.pad(light, ((1, 1), (1, 1), (0, 0)), mode="edge")
    rows, columns = light.shape[:2]
    around = [
        padded[i : i + rows, j : j + columns]
        for i, j in product(range(3), repeat=2)
        if (i, j) != (1, 1)
    ]
    second: Floats = np.sort(np.stack(around), axis=0)[-2]
    return np.minimum(light, 1.25 * second + 0.02)
