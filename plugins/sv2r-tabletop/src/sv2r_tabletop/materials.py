"""Looks as Mitsuba's materials: flat ones for synthetic pictures, textured ones for photographs."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType, ModuleType
from typing import Any

import numpy as np

from sv2r_tabletop.colour import linear
from sv2r_tabletop.fields import SIZE
from sv2r_tabletop.looks import Look
from sv2r_tabletop.meshes import Floats
from sv2r_tabletop.objects import Thing
from sv2r_tabletop.textures import paint, paint_around, paint_faces

# How many metres a texture spans on tables, walls and floors.
_METRES: Mapping[str, float] = MappingProxyType(
    {
        "planks": 0.9,
        "grain": 0.5,
        "marble": 0.7,
        "granite": 0.3,
        "tiles": 0.6,
        "weave": 0.12,
        "check": 0.35,
        "carpet": 0.5,
        "plain": 1.0,
        "stripes": 0.3,
        "print": 0.6,
        "collage": 0.6,
        "camouflage": 0.5,
        "leaves": 0.3,
        "windows": 0.7,
        "asphalt": 0.5,
    }
)

# Roughness alpha at a look's roughness 0 and 1.
_ALPHA: Mapping[str, tuple[float, float]] = MappingProxyType(
    {
        "ceramic": (0.04, 0.18),
        "plastic": (0.06, 0.3),
        "wood": (0.18, 0.45),
        "stone": (0.06, 0.35),
        "paper": (0.2, 0.5),
        "metal": (0.08, 0.32),
    }
)
_METALS = ("Al", "Ag", "Cr", "Cu")


def flat(look: Look) -> dict[str, Any]:
    """Return one matt colour: what a quick engine shows."""
    return {"type": "diffuse", "reflectance": _rgb(look.tone)}


def for_thing(mi: ModuleType, look: Look, thing: Thing) -> dict[str, Any]:
    """Return the material of an object in a photograph."""
    side = thing.bands.get("side", (0.0, 1.0))
    if look.material == "glass":
        return _glass(mi, look, thing)
    if (look.material, look.pattern) == ("metal", "print"):
        print_ = _coated(mi, paint_around(look, {"side": side}), "plastic", look)
        return _blend(mi, _metal(mi, look, (0.8, 0.8, 0.8)), print_, [side])
    if look.pattern == "label":
        return _coated(mi, paint_around(look, thing.bands), "plastic", look)
    if look.pattern == "print" and thing.category == "box":
        return _coated(mi, paint_faces(look), "paper", look)
    if look.pattern == "print":
        around = paint_around(look, {"side": side})
        return _coated(mi, around, look.material, look)
    return _surface(mi, look, {})


def for_panel(mi: ModuleType, look: Look) -> dict[str, Any]:
    """Return the material of a table, wall, floor or flat thing in a photograph."""
    scale = 1 / _METRES[look.pattern]
    to_uv = mi.ScalarTransform3f().scale([scale, scale])
    if look.pattern == "print":
        picture = paint_around(look, {"side": (0.0, 1.0)})
        return _coated(mi, picture, "paper", look, {"to_uv": to_uv})
    return _surface(mi, look, {"to_uv": to_uv})


def painted(mi: ModuleType, look: Look, thing: Thing | None) -> dict[str, Any]:
    """Return what a game shows of an object, or of a panel (None): its texture, matt."""
    if look.material == "glass" or (look.material == "metal" and look.pattern == "brushed"):
        return flat(look)
    if thing is None:
        scale = 1 / _METRES[look.pattern]
        extra = {"to_uv": mi.ScalarTransform3f().scale([scale, scale])}
        bands = {"side": (0.0, 1.0)}
        picture = paint_around(look, bands) if look.pattern == "print" else paint(look)
        return {"type": "diffuse", "reflectance": _bitmap(mi, picture, extra)}
    bands = dict(thing.bands) or {"side": (0.0, 1.0)}
    if look.pattern in ("print", "label"):
        picture = paint_faces(look) if thing.category == "box" else paint_around(look, bands)
    else:
        picture = paint(look)
    return {"type": "diffuse", "reflectance": _bitmap(mi, picture, {})}


def filling(look: Look) -> dict[str, Any]:
    """Return what is in a glass bottle."""
    return {"type": "plastic", "diffuse_reflectance": _rgb(look.second)}


def _surface(mi: ModuleType, look: Look, extra: Mapping[str, Any]) -> dict[str, Any]:
    picture = paint(look)
    if look.material == "metal":
        return _metal(mi, look, picture)
    if look.material in ("fabric", "plaster") or look.pattern == "card":
        return {"type": "diffuse", "reflectance": _bitmap(mi, picture, extra)}
    return _coated(mi, picture, look.material, look, extra)


def _coated(
    mi: ModuleType,
    picture: Floats,
    material: str,
    look: Look,
    extra: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Return a coloured base under a clear coat of the material's roughness."""
    return {
        "type": "roughplastic",
        "distribution": "ggx",
        "alpha": _alpha(material, look),
        "nonlinear": True,
        "diffuse_reflectance": _bitmap(mi, picture, extra or {}),
    }


def _metal(mi: ModuleType, look: Look, tint: Any) -> dict[str, Any]:
    tint = np.asarray(tint, np.float64)
    shade = _bitmap(mi, 0.35 + 0.6 * tint, {}) if tint.ndim == 3 else 0.9
    metal = _METALS[look.seed % len(_METALS)] if look.pattern == "brushed" else "Al"
    return {
        "type": "roughconductor",
        "material": metal,
        "distribution": "ggx",
        "alpha": _alpha("metal", look),
        "specular_reflectance": shade,
    }


def _glass(mi: ModuleType, look: Look, thing: Thing) -> dict[str, Any]:
    """Return thin glass with a plastic cap and, as the look has it, a paper label."""
    clear = 0.55 + 0.45 * np.asarray(look.tone) / max(look.tone)
    glass = {"type": "thindielectric", "specular_transmittance": _rgb(tuple(clear))}
    bands = {name: span for name, span in thing.bands.items() if name == "cap"}
    if look.pattern == "label":
        first, last = thing.bands.get("side", (0.0, 1.0))
        bands = {"side": (first + 0.2 * (last - first), last - 0.1 * (last - first)), **bands}
    if not bands:  # what is merged with a bottle may have neither
        return glass
    paper = _coated(mi, paint_around(look, bands), "paper", look)
    return _blend(mi, glass, paper, list(bands.values()))


def _blend(
    mi: ModuleType, one: dict[str, Any], other: dict[str, Any], spans: list[tuple[float, float]]
) -> dict[str, Any]:
    """Return one material, and another where v lies in one of the spans."""
    v = (np.arange(4 * SIZE) + 0.5) / (4 * SIZE)
    inside = np.any([(v >= first) & (v <= last) for first, last in spans], axis=0)
    mask = np.repeat(inside.astype(np.float32)[:, None], 2, axis=1)
    weight = {"type": "bitmap", "bitmap": mi.Bitmap(mask[..., None]), "raw": True}
    return {"type": "blendbsdf", "weight": weight, "one": one, "two": other}


def _alpha(material: str, look: Look) -> float:
    smooth, matt = _ALPHA.get(material, (0.3, 0.5))
    return smooth + (matt - smooth) * look.roughness


def _bitmap(mi: ModuleType, picture: Floats, extra: Mapping[str, Any]) -> dict[str, Any]:
    light = np.ascontiguousarray(linear(picture.clip(0, 1).astype(np.float32)), np.float32)
    return {"type": "bitmap", "bitmap": mi.Bitmap(light), "raw": True, **extra}


def _rgb(colour: tuple[float, ...]) -> dict[str, Any]:
    light = linear(np.asarray(colour, np.float64))
    return {"type": "rgb", "value": [float(v) for v in light]}
