"""Another look for the same thing: another material, a print, other tones."""

from __future__ import annotations

import colorsys
from dataclasses import replace

import numpy as np

from sv2r_tabletop.looks import CHOICES, Colour, Look, draw_look

# What can be printed on anything.
_PRINTS = ("plastic/print", "plastic/stripes", "paper/check", "ceramic/bands", "plastic/collage")


def repaint(kind: str, category: str, look: Look, rng: np.random.Generator) -> Look:
    """Return a look of a category that a texture, print or colour edit makes of one."""
    if kind == "texture":
        return _other(category, look, rng)
    if kind == "print":
        material, pattern = str(rng.choice(_PRINTS)).split("/")
        painted = _toned(look, rng)
        return replace(painted, material=material, pattern=pattern, seed=int(rng.integers(2**31)))
    return _toned(look, rng)


def _other(category: str, look: Look, rng: np.random.Generator) -> Look:
    """Return another material or pattern of a category, where it has another."""
    if len(CHOICES[category]) == 1:
        return draw_look(category, rng)
    while True:
        drawn = draw_look(category, rng)
        if (drawn.material, drawn.pattern) != (look.material, look.pattern):
            return drawn


def _toned(look: Look, rng: np.random.Generator) -> Look:
    return replace(look, tone=_tone(rng), second=_tone(rng))


def _tone(rng: np.random.Generator) -> Colour:
    return colorsys.hsv_to_rgb(*rng.uniform((0, 0.1, 0.25), (1, 0.9, 0.95)))
