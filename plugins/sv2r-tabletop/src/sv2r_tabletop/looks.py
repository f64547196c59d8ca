"""What things look like, in words and tones: the draw, without pixels. `materials` makes them."""

from __future__ import annotations

import colorsys
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np

Colour = tuple[float, float, float]

# What solids of clutter and a street's things are made of, and what is busy around them.
_ANYTHING: Mapping[str, float] = MappingProxyType(
    {"plastic/plain": 0.2, "plastic/stripes": 0.15, "wood/grain": 0.1, "paper/print": 0.1,
     "plastic/collage": 0.1, "ceramic/speckle": 0.1, "metal/brushed": 0.1, "fabric/check": 0.05,
     "stone/marble": 0.1}
)  # fmt: skip
_SOLIDS = ("brick", "drum", "cone", "star", "ring", "stool", "basket", "pin")

# material/pattern -> how often, for each category and for what stands around.
CHOICES: Mapping[str, Mapping[str, float]] = MappingProxyType(
    {
        "mug": {
            "ceramic/plain": 0.25,
            "ceramic/bands": 0.2,
            "ceramic/speckle": 0.2,
            "ceramic/print": 0.2,
            "metal/brushed": 0.15,
        },
        "bowl": {
            "ceramic/plain": 0.25,
            "ceramic/bands": 0.15,
            "ceramic/speckle": 0.2,
            "wood/grain": 0.2,
            "metal/brushed": 0.2,
        },
        "bottle": {"glass/plain": 0.3, "glass/label": 0.25, "plastic/label": 0.45},
        "box": {"paper/print": 0.6, "paper/card": 0.2, "wood/grain": 0.2},
        "ball": {
            "plastic/stripes": 0.3,
            "plastic/plain": 0.2,
            "fabric/felt": 0.2,
            "plastic/peel": 0.15,
            "stone/marble": 0.15,
        },
        "can": {"metal/print": 0.8, "metal/brushed": 0.2},
        "table": {"wood/planks": 0.5, "stone/marble": 0.15, "stone/granite": 0.1,
                  "fabric/weave": 0.15, "fabric/check": 0.1},
        "wall": {"plaster/plain": 0.5, "stone/tiles": 0.2, "wood/planks": 0.15,
                 "paper/stripes": 0.15},
        "floor": {"wood/planks": 0.5, "stone/tiles": 0.3, "fabric/carpet": 0.2},
        "clutter": {"plaster/plain": 0.3, "wood/grain": 0.3, "paper/print": 0.25,
                    "fabric/weave": 0.15},
        **dict.fromkeys(_SOLIDS, _ANYTHING),
        "car": {"plastic/plain": 0.5, "metal/brushed": 0.2, "plastic/stripes": 0.1,
                "plastic/print": 0.2},
        "van": {"plastic/plain": 0.5, "plastic/print": 0.35, "metal/brushed": 0.15},
        "person": {"fabric/weave": 0.4, "fabric/check": 0.3, "plastic/stripes": 0.3},
        "post": {"metal/brushed": 0.5, "plastic/plain": 0.3, "wood/grain": 0.2},
        "sign": {"plastic/plain": 0.3, "plastic/stripes": 0.3, "plastic/collage": 0.2,
                 "metal/brushed": 0.2},
        "tree": {"fabric/leaves": 1.0},
        "bin": {"plastic/plain": 0.5, "metal/brushed": 0.3, "plastic/stripes": 0.2},
        "crate": {"wood/grain": 0.4, "paper/card": 0.3, "paper/print": 0.3},
        "house": {"plaster/windows": 0.8, "stone/tiles": 0.2},
        "road": {"stone/asphalt": 0.8, "stone/tiles": 0.2},
        "busy": {"plastic/collage": 0.25, "fabric/camouflage": 0.15, "fabric/check": 0.15,
                 "stone/granite": 0.1, "stone/tiles": 0.1, "paper/stripes": 0.1,
                 "wood/planks": 0.15},
    }
)  # fmt: skip

_ANY: tuple[Colour, Colour] = ((0.0, 0.15, 0.3), (1.0, 0.85, 0.92))
# Hue, saturation and value at their lowest and highest, for what has a colour of its own.
_TONES: Mapping[str, tuple[Colour, Colour]] = MappingProxyType(
    {
        "wood": ((0.05, 0.35, 0.3), (0.1, 0.65, 0.75)),
        "stone": ((0.05, 0.02, 0.3), (0.15, 0.2, 0.85)),
        "plaster": ((0.02, 0.02, 0.55), (0.6, 0.25, 0.9)),
        "metal": ((0.05, 0.0, 0.6), (0.15, 0.12, 0.75)),
        "card": ((0.07, 0.35, 0.5), (0.1, 0.5, 0.72)),
        "felt": ((0.16, 0.5, 0.6), (0.22, 0.8, 0.85)),
        "peel": ((0.02, 0.75, 0.65), (0.12, 0.95, 0.95)),
        "glass": ((0.1, 0.1, 0.35), (0.45, 0.6, 0.85)),
        "fabric": ((0.0, 0.03, 0.3), (1.0, 0.4, 0.85)),
        "paper/stripes": ((0.0, 0.03, 0.5), (1.0, 0.25, 0.9)),
        "metal/print": _ANY,
        "leaves": ((0.2, 0.35, 0.25), (0.4, 0.75, 0.6)),
        "asphalt": ((0.05, 0.0, 0.2), (0.15, 0.1, 0.45)),
        "ceramic": ((0.0, 0.05, 0.3), (1.0, 0.7, 0.9)),
    }
)


@dataclass(frozen=True)
class Look:
    """How something looks.

    tone, second: two colours, sRGB in [0, 1]. roughness: 0 mirror-like to 1 matt.
    seed: of what is random in the texture.
    """

    material: str
    pattern: str
    tone: Colour
    second: Colour
    roughness: float
    seed: int


def draw_look(what: str, rng: np.random.Generator) -> Look:
    """Return the look of a category, or of table, wall, floor or clutter."""
    choices = CHOICES[what]
    chosen = str(rng.choice(list(choices), p=list(choices.values())))
    material, pattern = chosen.split("/")
    low, high = _TONES.get(chosen) or _TONES.get(pattern) or _TONES.get(material) or _ANY
    tone = colorsys.hsv_to_rgb(*rng.uniform(low, high))
    second = colorsys.hsv_to_rgb(*rng.uniform((0, 0.05, 0.15), (1, 0.8, 0.95)))
    roughness = float(rng.uniform())
    return Look(material, pattern, tone, second, roughness, int(rng.integers(2**31)))
