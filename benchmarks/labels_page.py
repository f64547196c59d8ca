"""The pictures of docs/labels.md, made from generated scenes: what the checks' scores look like.

    uv run python -m benchmarks.labels_page [--output docs/labels]

Every tile carries the number that `sv2r.checks.score` gives it here and now.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image, ImageDraw

from benchmarks.lib.benign import repaint
from benchmarks.lib.damage import everyone
from benchmarks.lib.pixels import filled, grown, rims, sample, smooth
from benchmarks.lib.scenes import Picture, generated, outline, surface, to_uint8
from sv2r.checks import score

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Pixels = NDArray[np.uint8]
    Floats = NDArray[np.floating]

SCENE, TARGET, GUEST = 10, 2, (390, 420)  # a generated picture, an instance, where one is invented
LOOK = 8  # the seed of the new look
SIDE, COLOURS = 112, 144  # px cut out; colours of a file
CLOSE, WHOLE = 184, 280  # px of a tile: of a part, and of a whole picture
LEVELS = (0.9, 0.5, 0.1)  # survival that is shown
LINE, BACK, INK = (255, 225, 40), (250, 250, 250), (40, 40, 40)


def main() -> None:
    """Write survival.png, shift.png and invention.png."""
    command = argparse.ArgumentParser(description=__doc__)
    command.add_argument("--output", type=Path, default=Path("docs/labels"))
    folder = command.parse_args().output
    folder.mkdir(parents=True, exist_ok=True)
    scene = generated(SCENE)
    for name, rows in (
        ("survival", survival_rows(scene)),
        ("shift", [shift_row(scene)]),
        ("invention", [invention_row(scene)]),
    ):
        file = folder / f"{name}.png"
        sheet(rows).quantize(COLOURS).save(file, optimize=True)
        print(f"{file}: {file.stat().st_size // 1000} kB")


# What is done to an instance, by an amount from 0 to 1.


def melts(scene: Picture, look: Pixels, amount: float) -> Floats:
    """Return the look with the instance faded into what is around it."""
    mask = scene.labels == TARGET
    alpha = smooth(grown(mask, 2)[..., None].astype(np.float32), 1.5) * amount
    mixed: Floats = look.astype(np.float32) + alpha * (ground(scene, look) - look)
    return mixed


def leaves(scene: Picture, look: Pixels, amount: float) -> Floats:
    """Return the look with the instance moved by up to 20 px."""
    mask = (scene.labels == TARGET)[..., None].astype(np.float32)
    dy, dx = (np.full(scene.labels.shape, 20 * amount * part, np.float32) for part in (-0.6, 0.8))
    alpha = np.clip(sample(smooth(mask, 0.6), dy, dx), 0, 1)
    under = ground(scene, look) if amount else look
    moved: Floats = under + alpha * (sample(look, dy, dx) - under)
    return moved


def erodes(scene: Picture, look: Pixels, amount: float) -> Floats:
    """Return the look with a share of the instance erased, from the right."""
    mask = grown(scene.labels == TARGET, 3)
    columns = np.flatnonzero(mask.any(0))
    start = columns[-1] + 1 - amount * len(columns)
    lost = mask * np.clip(np.arange(mask.shape[1]) - start, 0, 1)
    alpha = smooth(lost[..., None].astype(np.float32), 0.6)
    mixed: Floats = look.astype(np.float32) + alpha * (ground(scene, look) - look)
    return mixed


def ground(scene: Picture, look: Pixels) -> Floats:
    """Return the look without the instance."""
    mask = grown(scene.labels == TARGET, 4)
    around = grown(mask, 24) & ~mask & (scene.labels == 0)
    return filled(np.random.default_rng(0), look, mask, around)


# The pictures, as rows of tiles.


def survival_rows(scene: Picture) -> list[list[Image.Image]]:
    """Return three ways to be lost: the source, then survival of 0.9, 0.5 and 0.1."""
    look = repaint(np.random.default_rng(LOOK), scene, scene.image)
    box = square(scene.labels == TARGET)
    rows = []
    ways = (("melts", melts), ("moves", leaves), ("is cut", erodes))
    for word, way in ways:
        row = [tile(scene, scene.image, box, "source")]
        for level in LEVELS:
            image = reached(scene, look, way, level)
            row.append(tile(scene, image, box, f"{word}: {survival(scene, image):.2f}"))
        rows.append(row)
    return rows


def reached(
    scene: Picture, look: Pixels, way: Callable[[Picture, Pixels, float], Floats], level: float
) -> Pixels:
    """Return the picture whose amount of damage leaves so much survival, by halving."""
    low, high = 0.0, 1.0
    for _ in range(9):
        middle = (low + high) / 2
        if survival(scene, to_uint8(way(scene, look, middle))) > level:
            low = middle
        else:
            high = middle
    return to_uint8(way(scene, look, low))


def survival(scene: Picture, image: Pixels) -> float:
    """Return the instance's survival."""
    found = score(scene.image, image, scene.labels).instances[TARGET].survival
    assert found is not None
    return found


def shift_row(scene: Picture) -> list[Image.Image]:
    """Return a shifted picture under its labels, and how far the tiles were found to be moved."""
    look = repaint(np.random.default_rng(LOOK), scene, scene.image)
    by = (np.full(scene.labels.shape, part, np.float32) for part in (-3.5, 6.0))
    moved = to_uint8(sample(look, *by))
    found = score(scene.image, moved, scene.labels).motion
    assert found is not None
    whole = (slice(None), slice(None))
    arrows = tile(scene, moved, whole, f"shift {found.shift:.1f} px", contour=False)
    return [
        tile(scene, scene.image, whole, "source"),
        tile(scene, moved, whole, f"dx {found.dx:+.1f}, dy {found.dy:+.1f} px"),
        drawn_arrows(arrows, found.tiles),
    ]


def drawn_arrows(image: Image.Image, tiles: NDArray[np.float32]) -> Image.Image:
    """Return a tile with an arrow, three times as long as it is, wherever one was found."""
    pen = ImageDraw.Draw(image)
    rows, columns = tiles.shape[:2]
    for row, column in np.argwhere(np.isfinite(tiles[..., 0])).tolist():
        x, y = (column + 0.5) * WHOLE / columns, (row + 0.5) * WHOLE / rows
        dx, dy = (float(part) * 3 * WHOLE / 512 for part in tiles[row, column])
        pen.line([x, y, x + dx, y + dy], fill=INK, width=2)
        pen.ellipse([x - 2, y - 2, x + 2, y + 2], fill=INK)
    return image


def invention_row(scene: Picture) -> list[Image.Image]:
    """Return a picture with an object too many, and the map that finds it."""
    rng = np.random.default_rng(8)
    look = repaint(np.random.default_rng(LOOK), scene, scene.image)
    height, width = scene.labels.shape
    shape = outline(rng, height, width, np.array(GUEST, float), 26.0)
    alpha = smooth(shape[..., None].astype(np.float32), 0.7)
    pixels = surface(rng, height, width, np.array([225.0, 210.0, 90.0]))
    image = to_uint8(look + alpha * (pixels - look))
    before, after = (score(scene.image, p, scene.labels).structure for p in (look, image))
    heat = np.clip(after.map[..., None] / 5, 0, 1) * np.array([255.0, 150, 60])
    whole = (slice(None), slice(None))
    return [
        tile(scene, look, whole, f"invention {before.invention:.1f}", contour=False),
        tile(scene, image, whole, f"invention {after.invention:.1f}", contour=False),
        tile(scene, to_uint8(heat), whole, "its map", contour=False),
    ]


# Drawing.


def square(mask: NDArray[np.bool_]) -> tuple[slice, slice]:
    """Return a box of SIDE px around a mask's middle."""
    middle = np.argwhere(mask).mean(0).astype(int)
    top, left = (int(np.clip(at - SIDE // 2, 0, 512 - SIDE)) for at in middle)
    return slice(top, top + SIDE), slice(left, left + SIDE)


def tile(
    scene: Picture, image: Pixels, box: tuple[slice, slice], words: str, *, contour: bool = True
) -> Image.Image:
    """Return a part of a picture with the labels' contours on it and words below it."""
    labels, pixels = scene.labels[box], image[box]
    near = len(labels) == SIDE
    side = CLOSE if near else WHOLE
    size = (side, side)
    small = Image.fromarray(pixels).resize(size, Image.Resampling.LANCZOS)
    if contour:
        wide = np.asarray(Image.fromarray(labels).resize(size, Image.Resampling.NEAREST))
        shown = np.asarray(small).copy()
        ids = [TARGET] if near else sorted(everyone(scene))
        for one in ids:
            shown[rims(wide == one)] = LINE
        small = Image.fromarray(shown)
    framed = Image.new("RGB", (side, side + 18), BACK)
    framed.paste(small, (0, 0))
    ImageDraw.Draw(framed).text((3, side + 3), words, fill=INK)
    return framed


def sheet(rows: Sequence[Sequence[Image.Image]]) -> Image.Image:
    """Return tiles side by side, row under row."""
    gap = 6
    width, height = (side + gap for side in rows[0][0].size)
    size = (width * max(map(len, rows)) + gap, height * len(rows) + gap)
    whole = Image.new("RGB", size, BACK)
    for down, row in enumerate(rows):
        for across, one in enumerate(row):
            whole.paste(one, (gap + across * width, gap + down * height))
    return whole


if __name__ == "__main__":
    main()
