"""Brings any pixel type to 8-bit sRGB and names each step."""

from __future__ import annotations

import io
from contextlib import suppress
from typing import TYPE_CHECKING

import numpy as np

from sv2r.errors import SampleError

if TYPE_CHECKING:
    from PIL.Image import Image
    from PIL.ImageCms import ImageCmsProfile

# How far, in 1/255, the conversion from an sRGB profile to sRGB strays by rounding in its tables.
_SAME_COLOUR = 2

# What a display with sRGB's curve is assumed to have; PNG's gAMA chunk gives its inverse.
_DISPLAY_GAMMA = 1 / 2.2


def to_srgb(image: Image, raw_mode: str, name: str) -> tuple[Image, tuple[str, ...]]:
    """Return an image of mode RGB and what was done to get it, in order, in plain words.

    Args:
        image: loaded, of any of Pillow's modes.
        raw_mode: how the file stores its pixels; see `sv2r.images.picture_file.Source`.
        name: how an error calls the file.

    Raises:
        SampleError: numbers without a defined white (float, 32-bit or signed integers), or a colour
            space that is none of grey, RGB, YCbCr and CMYK.
    """
    steps: list[str] = []
    info = image.info
    if ";16" in raw_mode or ";12" in raw_mode:
        image, step = _to_8_bit(image, raw_mode, name)
        steps.append(step)
    if image.mode in ("LA", "PA", "RGBA", "RGBa", "RGBX") or "transparency" in info:
        image = _without_alpha(image, raw_mode)
        steps.append("alpha dropped")
    profile = _embedded_profile(info)
    if profile is None and "icc_profile" in info:
        steps.append("embedded ICC profile unreadable, not applied")
    image, done = _to_rgb(image, profile, name)
    steps += done
    if "icc_profile" not in info and "srgb" not in info and (gamma := _odd_gamma(info)):
        steps.append(f"PNG gamma {gamma:g} not applied")
    return image, tuple(steps)


def _to_8_bit(image: Image, raw_mode: str, name: str) -> tuple[Image, str]:
    from PIL.Image import fromarray

    if not image.mode.startswith("I"):
        # Pillow has done it: of 16-bit colour it keeps the high byte, at most one level away.
        return image, "16-bit to 8-bit by the high byte"
    if image.mode == "I":
        raise _no_white(name, "signed 16-bit")
    bits = 12 if ";12" in raw_mode else 16
    white = (1 << bits) - 1
    values = np.asarray(image).astype(np.uint32)
    grey = (values * 255 + white // 2) // white
    if getattr(image, "tag_v2", {}).get(262) == 0:
        grey = 255 - grey
    shallow = fromarray(grey.astype(np.uint8))
    shallow.info = image.info
    return shallow, f"{bits}-bit to 8-bit"


def _without_alpha(image: Image, raw_mode: str) -> Image:
    """Return the colours that the file stores, whatever its alpha says.

    Unity writes alpha 0 over valid colours. Only colours that were multiplied by alpha ("RGBa")
    must be divided by it first.
    """
    image.info.pop("transparency", None)
    if image.mode == "RGBa":
        image = image.convert("RGBA")
    grey = image.mode == "LA" or raw_mode.startswith("LA")
    opaque = {"PA": "P", "P": "P", "1": "1", "L": "L"}.get(image.mode, "L" if grey else "RGB")
    return image.convert(opaque)


def _to_rgb(
    image: Image, profile: ImageCmsProfile | None, name: str
) -> tuple[Image, tuple[str, ...]]:
    from PIL.ImageCms import PyCMSError

    if image.mode == "CMYK":
        if profile and _space(profile) == "CMYK":
            with suppress(PyCMSError):
                return _converted(image, profile), ("CMYK to sRGB by its embedded profile",)
        return image.convert("RGB"), ("CMYK to RGB by Pillow's formula, without a profile",)
    plain = {
        "1": "1-bit grey to RGB",
        "L": "grey to RGB",
        "P": "palette to RGB",
        "YCbCr": "YCbCr to RGB",
    }
    if image.mode not in ("RGB", *plain):
        raise _no_white(name, {"F": "float", "I": "32-bit integer"}.get(image.mode, image.mode))
    steps = [plain[image.mode]] if image.mode in plain else []
    if profile and _space(profile) == "GRAY" and image.mode in ("1", "L"):
        image = image.convert("L")
    else:
        image = image.convert("RGB")
    if profile:
        image, done = _by_profile(image, profile)
        steps += done
    return image, tuple(steps)


def _by_profile(image: Image, profile: ImageCmsProfile) -> tuple[Image, list[str]]:
    from PIL.ImageCms import PyCMSError

    title = f"embedded ICC profile {_title(profile)!r}"
    if _space(profile) != {"L": "GRAY", "RGB": "RGB"}[image.mode]:
        return image.convert("RGB"), [f"{title} is not for these pixels, not applied"]
    try:
        if _is_srgb(profile, image.mode):
            return image.convert("RGB"), []
        return _converted(image, profile), [f"{title} to sRGB"]
    except PyCMSError:
        return image.convert("RGB"), [f"{title} is damaged, not applied"]


def _no_white(name: str, kind: str) -> SampleError:
    return SampleError(
        f"{name}: {kind} pixels have no defined white; save it as 8-bit or unsigned 16-bit"
    )


def _embedded_profile(info: dict[str | tuple[int, int], object]) -> ImageCmsProfile | None:
    """Return the profile, or None where there is none or it is broken: its pixels are fine."""
    from PIL.ImageCms import ImageCmsProfile, PyCMSError

    data = info.get("icc_profile")
    if not isinstance(data, bytes) or not data:
        return None
    try:
        return ImageCmsProfile(io.BytesIO(data))
    except (OSError, ValueError, PyCMSError):
        return None


def _space(profile: ImageCmsProfile) -> str:
    return profile.profile.xcolor_space.strip()


def _title(profile: ImageCmsProfile) -> str:
    title = "".join(c for c in profile.profile.profile_description or "" if c.isprintable())
    return title.strip() or "without a name"


def _is_srgb(profile: ImageCmsProfile, mode: str) -> bool:
    """Return whether a profile is sRGB in effect, by colours over the whole range of its mode."""
    from PIL.Image import fromarray

    if mode == "L":
        lattice = np.arange(256, dtype=np.uint8)[None]
    else:
        steps = np.linspace(0, 255, 9).astype(np.uint8)
        lattice = np.stack(np.meshgrid(steps, steps, steps), -1).reshape(27, 27, 3)
    colours = fromarray(lattice)
    expected = np.asarray(colours.convert("RGB")).astype(np.int16)
    given = np.asarray(_converted(colours, profile)).astype(np.int16)
    return int(np.max(np.abs(given - expected))) <= _SAME_COLOUR


def _converted(image: Image, profile: ImageCmsProfile) -> Image:
    from PIL import ImageCms

    transform = ImageCms.buildTransform(profile, ImageCms.createProfile("sRGB"), image.mode, "RGB")
    converted = ImageCms.applyTransform(image, transform)
    assert converted is not None  # only None where it works in place
    return converted


def _odd_gamma(info: dict[str | tuple[int, int], object]) -> float | None:
    gamma = info.get("gamma")
    if isinstance(gamma, float) and abs(gamma - _DISPLAY_GAMMA) > 0.01:
        return gamma
    return None
