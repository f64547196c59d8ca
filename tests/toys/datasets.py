"""Small labelled datasets, written to disk."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
from PIL import Image


def make_coco(
    root: Path, names: tuple[str, ...] = (), size: tuple[int, int] = (32, 40), seed: int = 0
) -> Path:
    names = names or ("a/0.png", "a/1.png", "b/0.png", "b/1.jpg", "b/2.png", "c.png")
    images, annotations = [], []
    for number, name in enumerate(names):
        height, width = size if number % 3 else (size[0] - 5, size[1] + 3)
        write_render(root / name, height, width, seed + number)
        image = {"id": number + 1, "file_name": name, "height": height, "width": width}
        images.append({**image, "weather": "rain" if number % 2 else "sun"})
        for k, (category, left) in enumerate(((1, 3), (4, 18))):
            box = [left, 6, left + 12, 6, left + 12, 20, left, 20]
            annotations.append(
                {
                    "id": number * 10 + k + 1,
                    "image_id": number + 1,
                    "category_id": category,
                    "segmentation": [box],
                    "bbox": [left, 6, 12, 14],
                    "area": 168,
                    "iscrowd": 0,
                }
            )
    categories = [{"id": 1, "name": "coffee_mug"}, {"id": 4, "name": "bowl"}]
    data = {"images": images, "annotations": annotations, "categories": categories}
    (root / "annotations.json").write_text(json.dumps(data, indent=1))
    return root


def add_pattern(root: Path, seed: int) -> None:
    """Lay coloured squares over the PNGs of a folder, so that they look like no other folder's."""
    random = np.random.default_rng(seed)
    for path in sorted(root.rglob("*.png")):
        squares = random.integers(0, 256, (8, 8, 3), np.uint8)
        with Image.open(path) as picture:
            pattern = Image.fromarray(squares).resize(picture.size, Image.Resampling.NEAREST)
            Image.blend(picture, pattern, 0.7).save(path)


def write_render(path: Path, height: int, width: int, seed: int) -> None:
    """Write a picture with two flat objects on a gradient."""
    random = np.random.default_rng(seed)
    rows, columns = np.mgrid[:height, :width]
    pixels = np.stack([40 + 2 * columns, 60 + 2 * rows, 90 + columns + rows], -1)
    pixels = np.clip(pixels + random.normal(0, 4, pixels.shape), 0, 255).astype(np.uint8)
    pixels[6:20, 3:15] = (200, 40, 40)
    pixels[6:20, 18:30] = (40, 60, 210)
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".jpg":
        Image.fromarray(pixels).save(path, quality=95)
    else:
        Image.fromarray(pixels).save(path)
