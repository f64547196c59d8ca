"""What a source render looks like: flat, as a cartoon, as a game, or traced with too few rays."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sv2r_tabletop.colour import srgb
from sv2r_tabletop.describe import (
    MIDDLE,
    describe_flat,
    describe_grouped,
    describe_lights,
    describe_sun,
    make_sensor,
    make_shape,
    mitsuba,
    trace,
)
from sv2r_tabletop.materials import painted
from sv2r_tabletop.meshes import Floats
from sv2r_tabletop.render import render_parts, render_quickly, render_synthetic
from sv2r_tabletop.scene import Scene, stream

Picture = NDArray[np.uint8]
_LUMINANCE = np.array([0.2126, 0.7152, 0.0722])
# Rays for each pixel of a noisy picture.
_FEW = 4


def render_source(scene: Scene, size: int, style: str) -> Picture:
    """Return a source render (H, W, 3) in one of STYLES."""
    return STYLES[style](scene, size)


def _toon(scene: Scene, size: int) -> Picture:
    """Return three steps of light on flat colours, with ink where shapes or their faces end."""
    mi = mitsuba()
    loaded = mi.load_dict({**describe_flat(mi, scene), "sun": describe_sun(scene)})
    aovs = "base:albedo,normal:sh_normal"
    integrator = mi.load_dict({"type": "aov", "aovs": aovs, "lit": {"type": "direct"}})
    sensor = make_sensor(mi, scene.view, 2 * size, 1, sampler=MIDDLE)
    seen = trace(mi, loaded, sensor, 1, 0, integrator)
    base, normal, index = seen[..., 3:6], seen[..., 6:9], render_parts(scene, 2 * size)
    bright = (seen[..., :3] @ _LUMINANCE) / (base @ _LUMINANCE + 1e-4)
    steps = np.digitize(bright, [0.12, 0.4])
    light = np.array([0.38, 0.68, 1.0])[steps][..., None] * (base + 0.25 * (index == 0)[..., None])
    inked = srgb(light) * (1 - 0.9 * _ink(index, normal))[..., None]
    smaller = inked.reshape(size, 2, size, 2, 3).mean((1, 3))
    return (smaller * 255).round().astype(np.uint8)


def _ink(index: NDArray[np.int32], normal: Floats) -> Floats:
    """Return 1 where the pixel to the right or below is of another shape or faces elsewhere."""
    ink = np.zeros(index.shape)
    for axis in (0, 1):
        shape = np.roll(index, -1, axis) != index
        face = (np.roll(normal, -1, axis) * normal).sum(2) < 0.5
        edge = (shape | face).astype(float)
        np.moveaxis(edge, axis, 0)[-1] = 0
        ink = np.maximum(ink, edge)
    return ink


def _game(scene: Scene, size: int) -> Picture:
    """Return textures under one hard light: what a game's engine shows."""
    mi = mitsuba()
    shapes: dict[str, Any] = {}
    for number, (placed, look) in enumerate(zip(scene.objects, scene.looks, strict=True)):
        material = mi.load_dict(painted(mi, look, placed.thing))
        shapes[f"o{number}"] = make_shape(mi, f"o{number}", placed.mesh, material)
    for number, panel in enumerate(scene.panels):
        material = mi.load_dict(painted(mi, panel.look, None))
        shapes[f"p{number}"] = make_shape(mi, f"p{number}", panel.mesh, material)
    return render_quickly(mi, scene, describe_grouped(shapes), size)


def _noisy(scene: Scene, size: int) -> Picture:
    """Return matt colours under the photograph's lights, by four paths for each pixel."""
    mi = mitsuba()
    loaded = mi.load_dict({**describe_flat(mi, scene), **describe_lights(mi, scene)})
    sensor = make_sensor(mi, scene.view, size, _FEW, sampler={"type": "multijitter"})
    seed = int(stream(scene.seed, "source").integers(2**31))
    light = trace(mi, loaded, sensor, _FEW, seed, mi.load_dict({"type": "path", "max_depth": 3}))
    middle = float(np.exp(np.log(light @ _LUMINANCE + 1e-4).mean()))
    return (srgb(light * 0.22 / middle) * 255).round().astype(np.uint8)


STYLES: Mapping[str, Callable[[Scene, int], Picture]] = MappingProxyType(
    {"flat": render_synthetic, "toon": _toon, "game": _game, "noisy": _noisy}
)
