"""sRGB and linear light, and the colour of lamps."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from sv2r_tabletop.meshes import Floats


def linear(srgb: NDArray[Any]) -> NDArray[Any]:
    """Return linear light of sRGB values in [0, 1] (IEC 61966-2-1)."""
    return np.where(srgb <= 0.04045, srgb / 12.92, ((srgb + 0.055) / 1.055) ** 2.4)


def srgb(light: Floats) -> Floats:
    """Return sRGB values of linear light, clipped to [0, 1] (IEC 61966-2-1)."""
    light = light.clip(0, 1)
    return np.where(light <= 0.0031308, 12.92 * light, 1.055 * light ** (1 / 2.4) - 0.055)


def lamp(kelvin: float) -> Floats:
    """Return the linear sRGB colour (3,) of a black body, its luminance 1.

    x and y by Kim et al. (2002), US patent 7024034; 1,667 to 25,000 K.
    """
    t = 1000 / kelvin
    x = (
        -0.2661239 * t**3 - 0.2343589 * t**2 + 0.8776956 * t + 0.179910
        if kelvin <= 4000
        else -3.0258469 * t**3 + 2.1070379 * t**2 + 0.2226347 * t + 0.240390
    )
    if kelvin <= 2222:
        y = -1.1063814 * x**3 - 1.34811020 * x**2 + 2.18555832 * x - 0.20219683
    elif kelvin <= 4000:
        y = -0.9549476 * x**3 - 1.37418593 * x**2 + 2.09137015 * x - 0.16748867
    else:
        y = 3.0817580 * x**3 - 5.87338670 * x**2 + 3.75112997 * x - 0.37001483
    xyz = np.array([x / y, 1, (1 - x - y) / y])
    to_rgb = np.array(
        [[3.2406, -1.5372, -0.4986], [-0.9689, 1.8758, 0.0415], [0.0557, -0.2040, 1.0570]]
    )
    rgb: Floats = (to_rgb @ xyz).clip(0.02)
    return rgb / (rgb @ [0.2126, 0.7152, 0.0722])
