"""Labelled pictures: generated ones, and third-party ones where a folder of them is given."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image, ImageDraw

from sv2r.plugin.options import validate_options
from sv2r.plugin.registry import load_registry
from sv2r.plugin.specs import Runtime

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Pixels = NDArray[np.uint8]
    Labels = NDArray[np.int32]
    Floats = NDArray[Any]


@dataclass(frozen=True)
class Picture:
    """A picture (H, W, 3) uint8 with its label map (H, W) int32, 0 = background."""

    name: str
    image: Pixels
    labels: Labels


# The third-party datasets that are used, and how their folders are read.
LOADERS: Mapping[str, tuple[str, Mapping[str, Any]]] = MappingProxyType(
    {
        "blenderproc_coco": ("coco", {"annotations": ("*/coco_data/coco_annotations.json",)}),
        "robot_semantic_rgba": ("folder", {}),
        "carla_instance": ("folder", {}),
        "blender_mug": (
            "folder",
            {"image_pattern": "rgb.png", "mask_pattern": "segmentation.png", "category": "mug"},
        ),
        "solo_keypoints": (
            "folder",
            {
                "image_pattern": "{stem}.camera.png",
                "mask_pattern": "{stem}.camera.instance segmentation.png",
            },
        ),
    }
)
WIDEST = 1024  # px: of larger pictures, the middle is taken


def generated(seed: int, size: tuple[int, int] = (512, 512)) -> Picture:
    """Return a scene of shaded, textured shapes, some touching, some hardly visible.

    It is drawn at twice the size and averaged down, so that its edges are those of a renderer.
    """
    rng = np.random.default_rng(seed)
    height, width = size[0] * 2, size[1] * 2
    canvas = background(rng, height, width)
    labels = np.zeros((height, width), np.int32)
    for number, (mask, colour) in enumerate(shapes(rng, height, width), start=1):
        canvas *= 1 - 0.35 * rng.random() * soft_shadow(mask, rng)[..., None]
        canvas = np.where(mask[..., None], surface(rng, height, width, colour), canvas)
        labels[mask] = number
    small = canvas.reshape(size[0], 2, size[1], 2, 3).mean((1, 3))
    small += rng.normal(0, 1, small.shape)
    return Picture(f"generated-{seed}", to_uint8(small), labels[::2, ::2].copy())


def third_party(folder: Path, most: int) -> Iterator[Picture]:
    """Yield labelled pictures of the datasets in a folder, at most so many of each."""
    registry = load_registry()
    for name, (loader, values) in LOADERS.items():
        root = folder / name
        if not root.is_dir():
            continue
        spec = registry.spec("loader", loader)
        options = validate_options(spec.options, values, where=name)
        samples = spec.build(options, Runtime(input=root))(root).samples
        spread = np.linspace(0, len(samples) - 1, min(most, len(samples))).astype(int).tolist()
        for sample in (samples[index] for index in sorted(set(spread))):
            image = np.asarray(Image.open(sample.image).convert("RGB"))
            labels = sample.load_instances().labels
            rows, columns = (_middle(side) for side in labels.shape)
            yield Picture(
                f"{name}/{sample.id}",
                image[rows, columns].copy(),
                labels[rows, columns].astype(np.int32),
            )


def _middle(side: int) -> slice:
    start = max(0, (side - WIDEST) // 2)
    return slice(start, start + WIDEST)


def to_uint8(levels: NDArray[Any]) -> Pixels:
    """Return levels rounded and clipped to 0 ... 255."""
    return np.clip(np.rint(levels), 0, 255).astype(np.uint8)


def fractal(
    rng: np.random.Generator, height: int, width: int, coarse: int = 128, fine: int = 4
) -> Floats:
    """Return smooth noise (H, W) of mean 0 and deviation 1, octaves from coarse to fine (px)."""
    total = np.zeros((height, width), np.float32)
    cell, weight = coarse, 1.0
    while cell >= fine:
        grid = rng.normal(size=(height // cell + 3, width // cell + 3)).astype(np.float32)
        wide = Image.fromarray(grid).resize(
            (grid.shape[1] * cell, grid.shape[0] * cell), Image.Resampling.BICUBIC
        )
        total += weight * np.asarray(wide)[cell : cell + height, cell : cell + width]
        cell, weight = cell // 2, weight * 0.6
    return (total - total.mean()) / (total.std() + 1e-6)


def pattern(rng: np.random.Generator, height: int, width: int) -> Floats:
    """Return one of several textures (H, W), about -1 ... 1: noise, grain, stripes, tiles."""
    y, x = np.mgrid[0:height, 0:width].astype(np.float32)
    angle, period = rng.uniform(0, np.pi), rng.uniform(10, 60)
    along = (x * np.cos(angle) + y * np.sin(angle)) / period
    across = (-x * np.sin(angle) + y * np.cos(angle)) / period
    kind = rng.integers(5)
    if kind == 0:
        return fractal(rng, height, width) * 0.6
    if kind == 1:
        return fractal(rng, height, width, coarse=16, fine=2) * 0.6
    woven: Floats = np.sin(2 * np.pi * (along + 0.3 * fractal(rng, height, width)))
    if kind == 3:
        woven = np.sign(np.sin(np.pi * along) * np.sin(np.pi * across)) * 0.5
    elif kind == 4:
        joints = (along % 1 < 0.08) | (across % 1 < 0.08)
        woven = np.where(joints, -1.0, 0.2 * fractal(rng, height, width, 64, 4))
    return woven


def surface(
    rng: np.random.Generator, height: int, width: int, colour: NDArray[np.floating]
) -> Floats:
    """Return a shaded, textured plane (H, W, 3) of about this colour (levels of 255)."""
    depth = rng.choice([0.0, 4.0, 12.0, 25.0])
    texture = pattern(rng, height, width) * depth if depth else 0.0
    y, x = np.mgrid[0:height, 0:width].astype(np.float32)
    slope = rng.normal(0, 0.12, 2) / max(height, width) * 4
    light = 1 + slope[0] * (y - height / 2) + slope[1] * (x - width / 2)
    plane = (colour + np.asarray(texture)[..., None] * rng.uniform(0.6, 1.4, 3)) * light[..., None]
    shaded: Floats = plane.astype(np.float32)
    return shaded


def background(rng: np.random.Generator, height: int, width: int) -> Floats:
    """Return a floor, half the time with a wall above it (H, W, 3)."""
    canvas = surface(rng, height, width, rng.uniform(50, 205, 3))
    if rng.random() < 0.5:
        horizon = int(height * rng.uniform(0.2, 0.6))
        canvas[:horizon] = surface(rng, height, width, rng.uniform(50, 205, 3))[:horizon]
    return canvas


def shapes(
    rng: np.random.Generator, height: int, width: int
) -> Iterator[tuple[NDArray[np.bool_], NDArray[np.floating]]]:
    """Yield masks and colours; a third of the shapes touch the one before, in a like colour."""
    centre, radius, colour = np.zeros(2), 0.0, np.zeros(3)
    for number in range(rng.integers(6, 16)):
        size = np.exp(rng.uniform(np.log(0.025), np.log(0.14))) * min(height, width)
        if number and rng.random() < 0.35:
            angle = rng.uniform(0, 2 * np.pi)
            centre = centre + (radius + size) * 0.8 * np.array([np.sin(angle), np.cos(angle)])
            colour = np.clip(colour + rng.normal(0, 25, 3), 10, 245)
        else:
            centre = rng.uniform(0.08, 0.92, 2) * (height, width)
            colour = rng.uniform(15, 240, 3)
        radius = size
        yield outline(rng, height, width, centre, size), colour


def outline(
    rng: np.random.Generator, height: int, width: int, centre: NDArray[np.floating], size: float
) -> NDArray[np.bool_]:
    """Return the mask (H, W) of a blob, an ellipse, a box or a bar around a point."""
    angles = np.linspace(0, 2 * np.pi, 240, endpoint=False)
    kind = rng.integers(4)
    stretch = {0: 1.0, 1: rng.uniform(0.5, 1.0), 2: rng.uniform(0.5, 1.0), 3: 0.25}[int(kind)]
    if kind == 0:
        bumps = sum(
            rng.normal(0, 0.22 / k) * np.cos(k * angles + rng.uniform(0, 7)) for k in (2, 3, 4)
        )
        points = np.stack([np.cos(angles), np.sin(angles)]) * (1 + bumps)
    elif kind == 1:
        points = np.stack([np.cos(angles), np.sin(angles) * stretch])
    else:
        points = np.array([[-1, 1, 1, -1], [-stretch, -stretch, stretch, stretch]])
    turn = rng.uniform(0, np.pi)
    rotation = np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
    x, y = rotation @ points * size + centre[::-1, None]
    drawn = Image.new("1", (width, height))
    ImageDraw.Draw(drawn).polygon(list(zip(x.tolist(), y.tolist(), strict=True)), fill=1)
    return np.asarray(drawn, bool)


def soft_shadow(mask: NDArray[np.bool_], rng: np.random.Generator) -> Floats:
    """Return a blurred, displaced copy of a mask, 0 ... 1."""
    from PIL import ImageFilter

    shade = Image.fromarray(mask.astype(np.uint8) * 255)
    shade = shade.filter(ImageFilter.BoxBlur(float(rng.uniform(4, 16))))
    offset = rng.integers(-14, 15, 2)
    return np.roll(np.asarray(shade, np.float32) / 255, tuple(offset.tolist()), (0, 1))
