"""A camera in numpy: linear light becomes what a phone or a cheap camera makes of it, a JPEG."""

from __future__ import annotations

import io
from dataclasses import dataclass

import numpy as np

from sv2r_tabletop.colour import lamp, srgb
from sv2r_tabletop.meshes import Floats
from sv2r_tabletop.scene import Scene, stream

_LUMINANCE = np.array([0.2126, 0.7152, 0.0722])


@dataclass(frozen=True)
class Finish:
    """How a photograph departs from what its seed draws.

    stops: how much brighter, in powers of two. electrons: for white; None as drawn.
    """

    stops: float = 0.0
    electrons: float | None = None


_AS_DRAWN = Finish()


def photograph(light: Floats, scene: Scene, finish: Finish = _AS_DRAWN) -> bytes:
    """Return a JPEG of linear light (H, W, 3): exposure, white balance, lens, sensor, tone curve.

    All is drawn from the scene's seed: exposure off by 0.35 stops, white balance that takes away 55
    to 100 % of the lamp's colour, corners up to 45 % darker, 1,500 to 30,000 electrons for white,
    JPEG quality of 72 to 95.
    """
    from PIL import Image

    rng = stream(scene.seed, "camera")
    light = _balanced(light, scene.light.kelvin, rng) * _vignette(light.shape[:2], rng)
    light = light * _exposure(light, rng) * 2.0**finish.stops
    light = _sensed(light, finish.electrons, rng)
    pixels = (_curve(light, rng) * 255).round().astype(np.uint8)
    out = io.BytesIO()
    quality, subsampling = int(rng.integers(72, 96)), int(rng.choice([0, 2]))
    Image.fromarray(pixels).save(out, "JPEG", quality=quality, subsampling=subsampling)
    return out.getvalue()


def _balanced(light: Floats, kelvin: float, rng: np.random.Generator) -> Floats:
    """Return light with most of the lamp's colour taken away, and a tint that is left."""
    part = rng.uniform(0.55, 1.0)
    gains = lamp(kelvin) ** -part * np.exp(rng.normal(0, 0.03, 3))
    balanced: Floats = light * gains / (gains @ _LUMINANCE)
    return balanced


def _vignette(size: tuple[int, ...], rng: np.random.Generator) -> Floats:
    y, x = np.mgrid[0 : size[0], 0 : size[1]]
    radius = np.hypot((y + 0.5) / size[0] - 0.5, (x + 0.5) / size[1] - 0.5) / np.sqrt(0.5)
    fall: Floats = 1 / (1 + rng.uniform(0, 0.35) * radius**2) ** 2
    return fall[..., None]


def _exposure(light: Floats, rng: np.random.Generator) -> float:
    """Return the factor that brings the middle tones to 20 % of white, highlights kept in view."""
    luminance = light @ _LUMINANCE + 1e-4
    middle = float(np.exp(np.log(luminance).mean()))
    bright = float(np.quantile(luminance, 0.98))
    return float(min(0.2 / middle, 1.3 / bright) * 2 ** rng.normal(0, 0.35))


def _sensed(light: Floats, electrons: float | None, rng: np.random.Generator) -> Floats:
    """Return light with photon and read-out noise; that of colour is smoother, as demosaiced."""
    white = float(np.exp(rng.uniform(np.log(1500), np.log(30000))))
    white = electrons or white  # drawn in any case: what is drawn after stays the same
    deviation = np.sqrt(light.clip(0, 1.5) / white + (3 / white) ** 2)
    grain = rng.standard_normal(light.shape)
    colour = grain - grain.mean(2, keepdims=True)
    blurred = sum(np.roll(colour, (i, j), (0, 1)) for i in (-1, 0, 1) for j in (-1, 0, 1)) / 5
    return light + deviation * (grain.mean(2, keepdims=True) * 1.2 + blurred)


def _curve(light: Floats, rng: np.random.Generator) -> Floats:
    """Return sRGB: highlights roll off above 70 % of white, then some contrast and saturation."""
    over = (light - 0.7).clip(0)
    light = np.minimum(light, 0.7) + 0.3 * (1 - np.exp(-over / 0.3))
    shown = srgb(light)
    contrast = rng.uniform(0.0, 0.45)
    shown = (1 - contrast) * shown + contrast * shown**2 * (3 - 2 * shown)
    grey = shown @ _LUMINANCE
    vivid: Floats = grey[..., None] + (shown - grey[..., None]) * rng.uniform(0.95, 1.2)
    return vivid.clip(0, 1)
