"""Datasets of the tabletop world as a measurement needs them: pictures and COCO entries."""

from __future__ import annotations

import hashlib
import json
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from pycocotools import mask as rle

from sv2r import ConfigError
from sv2r.images.decode import read_picture

if TYPE_CHECKING:
    from numpy.typing import NDArray


@dataclass(frozen=True)
class Part:
    """A part of the world: its folder, and the arguments of the command that renders it."""

    folder: str
    domain: str
    count: int
    seed: int


# The seeds are those that the README of sv2r-tabletop sets apart. "both" makes two folders.
PARTS = (
    Part("photo-train", "photo", 640, 0),  # whose labels nothing looks at
    Part("synthetic-train", "synthetic", 400, 200_000),
    Part("photo-ceiling", "photo", 400, 300_000),  # with labels; no model has seen them
    Part("test", "both", 100, 500_000),
)
# What the stages read, by its place in the world.
PHOTO_TRAIN, SYNTHETIC_TRAIN, PHOTO_CEILING = (part.folder for part in PARTS[:3])
TEST_SYNTHETIC, TEST_PHOTO = "test/synthetic", "test/photo"


@dataclass(frozen=True)
class Labelled:
    """A picture, (H, W, 3) uint8, its entry in COCO's `images`, and its annotations."""

    pixels: NDArray[np.uint8]
    entry: Mapping[str, Any]
    annotations: Sequence[Mapping[str, Any]]

    def masks(self) -> NDArray[np.uint8]:
        """Return (N, H, W): 1 where the instance is."""
        masks = [rle.decode(entry["segmentation"]) for entry in self.annotations]
        return np.stack(masks) if masks else np.zeros((0, *self.pixels.shape[:2]), np.uint8)

    def labels(self) -> NDArray[np.int32]:
        """Return (H, W): 0 background, 1 for the first annotation and so on."""
        numbers = np.arange(1, len(self.annotations) + 1, dtype=np.int32)
        return (self.masks() * numbers[:, None, None]).sum(0, dtype=np.int32)


@dataclass(frozen=True)
class Labels:
    """A COCO file's categories, and pictures of it that are there, by file name."""

    pictures: Sequence[Labelled]
    categories: Sequence[Mapping[str, Any]]

    def truth(self) -> dict[str, Any]:
        """Return the COCO document of these pictures alone."""
        return {
            "info": {},
            "images": [picture.entry for picture in self.pictures],
            "annotations": [entry for p in self.pictures for entry in p.annotations],
            "categories": list(self.categories),
        }

    def fingerprint(self) -> str:
        """Return a hash of all pixels and annotations."""
        digest = hashlib.sha256(json.dumps([dict(c) for c in self.categories]).encode())
        for picture in self.pictures:
            digest.update(picture.pixels.tobytes())
            digest.update(json.dumps([dict(entry) for entry in picture.annotations]).encode())
        return digest.hexdigest()[:16]


def commands(world: Path) -> list[list[str]]:
    """Return the words of the commands that render the parts of a world that are not there yet."""
    return [
        [
            *("sv2r", "tabletop", "render", "--domain", part.domain, "--count", str(part.count)),
            *("--seed", str(part.seed), "--output", str(world / part.folder)),
        ]
        for part in PARTS
        if not all((folder / "annotations.json").is_file() for folder in _folders(world, part))
    ]


def require(world: Path) -> None:
    """Raise ConfigError, with the commands to run, unless the whole world is there."""
    missing = commands(world)
    if missing:
        lines = "\n  ".join(map(shlex.join, missing))
        raise ConfigError(
            f"{world}: not all of it is rendered; run this, or add --render\n  {lines}"
        )


def _folders(world: Path, part: Part) -> list[Path]:
    root = world / part.folder
    return [root / "synthetic", root / "photo"] if part.domain == "both" else [root]


def read(root: Path, limit: int | None = None) -> Labels:
    """Return the pictures of a dataset that are there, the first `limit`, in the file's order.

    A translated dataset lacks those that were rejected; its annotations are whole all the same.
    """
    document = json.loads((root / "annotations.json").read_bytes())
    of_picture: dict[int, list[Mapping[str, Any]]] = {}
    for annotation in document["annotations"]:
        of_picture.setdefault(annotation["image_id"], []).append(annotation)
    pictures = []
    for entry in document["images"][:limit]:
        path = root / entry["file_name"]
        if path.is_file():
            pixels = read_picture(path, entry["file_name"]).pixels
            pictures.append(Labelled(pixels, entry, of_picture.get(entry["id"], [])))
    return Labels(pictures, document["categories"])
