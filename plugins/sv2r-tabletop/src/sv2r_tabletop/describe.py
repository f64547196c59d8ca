"""Scenes, cameras and lights in Mitsuba's words.

Jakob et al. (2022), Mitsuba 3 renderer. The variant is `scalar_rgb` on one thread: it needs no
compiler, runs everywhere, and a seed gives the same bits.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cache
from types import MappingProxyType, ModuleType
from typing import Any

import numpy as np

from sv2r import ConfigError
from sv2r_tabletop.colour import lamp
from sv2r_tabletop.materials import flat
from sv2r_tabletop.meshes import Floats, Mesh
from sv2r_tabletop.room import paint_room, paint_sky
from sv2r_tabletop.scene import Scene
from sv2r_tabletop.view import View

# The middle of each pixel, whatever the seed.
MIDDLE = MappingProxyType({"type": "stratified", "jitter": False})
# What is nearer to the camera is not seen (metres).
NEAR = 0.01
_INSTALL = "rendering needs Mitsuba 3; run pip install 'sv2r-tabletop[render]'"


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


def describe_flat(mi: ModuleType, scene: Scene) -> dict[str, Any]:
    """Return all shapes in one matt colour each."""
    return describe_grouped(
        {
            name: make_shape(mi, name, mesh, mi.load_dict(flat(look)))
            for name, mesh, look in _things(scene)
        }
    )


def describe_grouped(shapes: Mapping[str, Any]) -> dict[str, Any]:
    """Return shapes as one group, which Mitsuba searches by a tree; a scene it searches in turn."""
    here = {"type": "instance", "ref": {"type": "ref", "id": "group"}}
    return {"type": "scene", "group": {"type": "shapegroup", **shapes}, "here": here}


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
    sampler: Mapping[str, Any],
    lens: dict[str, Any] | None = None,
    crop: dict[str, int] | None = None,
) -> Any:
    """Return a camera: a pinhole, or a thin lens by its options; crop: of its film, by pixels."""
    origin, target, up = (v.tolist() for v in (view.origin, view.target, view.up))
    return mi.load_dict(
        {
            "type": "thinlens" if lens else "perspective",
            **(lens or {}),
            "fov": view.fov,
            "near_clip": NEAR,
            "far_clip": 100.0,
            "to_world": mi.ScalarTransform4f().look_at(origin, target, up),
            "sampler": {**sampler, "sample_count": spp},
            "film": {
                "type": "hdrfilm",
                "width": size,
                "height": size,
                "pixel_format": "rgb",
                "rfilter": {"type": "box"},
                **(crop or {}),
            },
        }
    )


def trace(mi: ModuleType, loaded: Any, sensor: Any, spp: int, seed: int, integrator: Any) -> Floats:
    """Return what an integrator makes of a scene, (H, W, channels)."""
    picture = mi.render(loaded, sensor=sensor, integrator=integrator, spp=spp, seed=seed)
    return np.array(picture, np.float64)


def describe_sun(scene: Scene) -> dict[str, Any]:
    """Return one hard light from where the lamp is."""
    towards = -scene.light.position / np.linalg.norm(scene.light.position)
    return {
        "type": "directional",
        "direction": towards.tolist(),
        "irradiance": {"type": "rgb", "value": 2.2},
    }
