"""Renders and photographs of the same scenes: `sv2r tabletop render --domain both`, or --edits."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image
from pycocotools import mask as rle

from benchmarks.lib.scenes import Picture

if TYPE_CHECKING:
    from numpy.typing import NDArray


@dataclass(frozen=True)
class Pair:
    """A render and the photograph of its scene, (H, W, 3) uint8, with the render's labels.

    added: whether the photograph shows an object that the render does not.
    """

    name: str
    source: NDArray[np.uint8]
    photo: NDArray[np.uint8]
    labels: NDArray[np.int32]
    added: bool

    @property
    def rendered(self) -> Picture:
        """Return the render with its labels."""
        return Picture(self.name, self.source, self.labels)

    @property
    def photographed(self) -> Picture:
        """Return the photograph with the labels."""
        return Picture(self.name, self.photo, self.labels)


def read_pairs(folder: Path) -> Iterator[Pair]:
    """Yield the pairs of a dataset that is whole or that is still being rendered."""
    for file in sorted((folder / "photo" / ".tabletop").glob("[0-9]*.json")):
        part = json.loads(file.read_text(encoding="utf-8"))
        image = part["image"]
        stem = Path(image["file_name"]).stem
        labels = np.zeros((image["height"], image["width"]), np.int32)
        for number, entry in enumerate(part["annotations"], 1):
            labels[rle.decode(entry["segmentation"]) > 0] = number
        source, photo = (
            np.asarray(Image.open(folder / name).convert("RGB"))
            for name in (f"synthetic/images/{stem}.png", f"photo/{image['file_name']}")
        )
        yield Pair(f"{folder.name}/{stem}", source, photo, labels, _adds(part.get("edits") or {}))


def _adds(edits: Mapping[str, Any] | list[Any]) -> bool:
    made = edits.get("edits", []) if isinstance(edits, Mapping) else edits
    return any(edit["kind"] in ("add", "duplicate") for edit in made)
