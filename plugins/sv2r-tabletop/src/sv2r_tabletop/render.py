"""A scene rendered by Mitsuba 3, once for its labels and once for its picture, in either domain.

Jakob et al. (2022), Mitsuba 3 renderer. The variant is `scalar_rgb` on one thread: it needs no
compiler, runs everywhere, and a seed gives the same bits.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from itertools import product
from types import ModuleType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sv2r import ConfigError
from sv2r_tabletop.colour import lamp, srgb
from sv2r_tabletop.materials import filling, flat, for_panel, for_thing
from sv2r_tabletop.meshes import Floats, Mesh
from sv2r_tabletop.room import paint_room, paint_sky
from sv2r_tabletop.scene import Scene, stream
from sv2r_tabletop.solids import Turned
from sv2r_tabletop.view import View

# Longest path of light in a photograph: through a bottle's two walls and off two surfaces.
_DEPTH = 6
_SYNTHETIC_SPP = 9
# A sample brighter than this times white would be a firefly.
_BRIGHTEST = 30.0
_INSTALL = "rendering needs Mitsuba 3; run pip install 'sv2r-tabletop[render]'"


@dataclass(frozen=True)
class Truth:
    """What is where. labels: (H, W) int32, 0 background, else 1 + an object's place in the scene.

    depth: (H, W) metres along the direction of view, infinity where nothing is.
    """

    labels: NDArray[np.int32]
    depth: Floats


@cache
def mitsuba() -> ModuleType:
    """Return Mitsuba with its variant set.

    Raises:
        ConfigError: it is not installed.
    """
    try:
        import drjit
        import mitsuba as mi
    except ImportError as error:
        raise ConfigError(_INSTALL) from error
    mi.set_variant("scalar_rgb")
    mi.set_log_level(mi.LogLevel.Error)
    # More threads would divide the picture otherwise, and with it the random numbers.
    drjit.set_thread_count(1)
    module: ModuleType = mi
    return module


def render_truth(scene: Scene, size: int) -> Truth:
    """Return labels and depth at the middle of each pixel, by a pinhole, the same in any domain."""
    mi = mitsuba()
    loaded = mi.load_dict(describe_flat(mi, scene))
    sensor = make_sensor(mi, scene.view, size, 1, sampler={"type": "stratified", "jitter": False})
    integrator = mi.load_dict({"type": "aov", "aovs": "index:shape_index,place:position"})
    seen = trace(mi, loaded, sensor, 1, 0, integrator)
    # Shapes are counted from 1; objects and panels are named so that these are their places.
    names = ["", *(shape.id() for shape in loaded.shapes())]
    numbers = np.array([int(n[1:]) + 1 if n.startswith("o") else 0 for n in names], np.int32)
    index = seen[..., 0].round().astype(int)
    depth = (seen[..., 1:4] - scene.view.origin) @ scene.view.axes[2]
    return Truth(numbers[index], np.where(index > 0, depth, np.inf))


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
    sampler = {"type": "stratified", "jitter": False}
    sensor = make_sensor(mi, scene.view, size, _SYNTHETIC_SPP, sampler=sampler)
    loaded = mi.load_dict({**described, "sun": describe_sun(scene)})
    seen = trace(mi, loaded, sensor, _SYNTHETIC_SPP, 0, integrator)
    lit, base, normal = seen[..., :3], seen[..., 3:6], seen[..., 6:9]
    ambient = 0.3 + 0.12 * normal[..., 2:]
    nothing = (normal == 0).all(2, keepdims=True)
    light = lit + base * ambient + 0.3 * nothing
    return (srgb(light) * 255).round().astype(np.uint8)


def describe_sun(scene: Scene) -> dict[str, Any]:
    """Return one hard light from where the lamp is."""
    towards = -scene.light.position / np.linalg.norm(scene.light.position)
    return {
        "type": "directional",
        "direction": towards.tolist(),
        "irradiance": {"type": "rgb", "value": 2.2},
    }


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
    """Return light without fireflies, as a camera mends hot pixels: none far above all around."""
    padded = np.pad(light, ((1, 1), (1, 1), (0, 0)), mode="edge")
    rows, columns = light.shape[:2]
    around = [
        padded[i : i + rows, j : j + columns]
        for i, j in product(range(3), repeat=2)
        if (i, j) != (1, 1)
    ]
    second: Floats = np.sort(np.stack(around), axis=0)[-2]
    return np.minimum(light, 1.25 * second + 0.02)


def describe_flat(mi: ModuleType, scene: Scene) -> dict[str, Any]:
    """Return all shapes in one matt colour each."""
    described: dict[str, Any] = {"type": "scene"}
    for name, mesh, look in _things(scene):
        described[name] = make_shape(mi, name, mesh, mi.load_dict(flat(look)))
    return described


def _things(scene: Scene) -> Iterator[tuple[str, Mesh, Any]]:
    """Yield name, surface and look of all objects, then of all panels."""
    for number, (placed, look) in enumerate(zip(scene.objects, scene.looks, strict=True)):
        yield f"o{number}", placed.mesh, look
    for number, panel in enumerate(scene.panels):
        yield f"p{number}", panel.mesh, panel.look


def make_shape(mi: ModuleType, name: str, mesh: Mesh, material: Any) -> Any:
    """Return a mesh as Mitsuba's shape."""
    properties = mi.Properties()
    properties["mesh_bsdf"] = material
    shape = mi.Mesh(
        name,
        len(mesh.vertices),
        len(mesh.faces),
        has_vertex_normals=True,
        has_vertex_texcoords=True,
        props=properties,
    )
    values = mi.traverse(shape)
    values["vertex_positions"] = mesh.vertices.astype(np.float32).ravel()
    values["vertex_normals"] = mesh.normals.astype(np.float32).ravel()
    values["vertex_texcoords"] = mesh.uvs.astype(np.float32).ravel()
    values["faces"] = mesh.faces.astype(np.uint32).ravel()
    values.update()
    return shape


def describe_lights(mi: ModuleType, scene: Scene) -> dict[str, Any]:
    """Return a square lamp that lights the table with about 2, and the room around."""
    light = scene.light
    distance = float(np.linalg.norm(light.position))
    radiance = 2.0 * distance**2 / light.size**2 * lamp(light.kelvin)
    transform = mi.ScalarTransform4f
    facing = transform().look_at(light.position.tolist(), [0, 0, 0.05], [0.1, 0.2, 1])
    around = paint_sky(light.room) if light.sky else paint_room(light.room)
    lamp_shape = {
        "type": "rectangle",
        "to_world": facing @ transform().scale([light.size / 2] * 3),
        "emitter": {"type": "area", "radiance": {"type": "rgb", "value": radiance.tolist()}},
    }
    room = {
        "type": "envmap",
        "bitmap": mi.Bitmap((around * light.ambient * 0.45).astype(np.float32)),
        "to_world": transform().rotate([1, 0, 0], 90),
    }
    return {"lamp": lamp_shape, "room": room} if light.lit else {"room": room}


def make_sensor(
    mi: ModuleType,
    view: View,
    size: int,
    spp: int,
    sampler: dict[str, Any],
    lens: dict[str, Any] | None = None,
) -> Any:
    """Return a camera: a pinhole, or a thin lens by its options."""
    origin, target, up = (v.tolist() for v in (view.origin, view.target, view.up))
    return mi.load_dict(
        {
            "type": "thinlens" if lens else "perspective",
            **(lens or {}),
            "fov": view.fov,
            "near_clip": 0.01,
            "far_clip": 100.0,
            "to_world": mi.ScalarTransform4f().look_at(origin, target, up),
            "sampler": {**sampler, "sample_count": spp},
            "film": {
                "type": "hdrfilm",
                "width": size,
                "height": size,
                "pixel_format": "rgb",
                "rfilter": {"type": "box"},
            },
        }
    )


def trace(mi: ModuleType, loaded: Any, sensor: Any, spp: int, seed: int, integrator: Any) -> Floats:
    """Return what an integrator makes of a scene, (H, W, channels)."""
    picture = mi.render(loaded, sensor=sensor, integrator=integrator, spp=spp, seed=seed)
    return np.array(picture, np.float64)
