"""The small Mask R-CNN of `sv2r bench`, on the world's files."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

import torch

from benchmarks.lib.tableworld import Labelled
from sv2r import ConfigError
from sv2r.trainers.maskrcnn_network import (
    Recipe,
    find_in,
    fit,
    learnable,
    make_example,
    small_network,
)

if TYPE_CHECKING:
    from torchvision.models.detection import MaskRCNN

__all__ = ["Recipe", "detect", "require", "train"]

_BATCH = 16


def require() -> None:
    """Raise ConfigError where torchvision is missing."""
    if find_spec("torchvision") is None:
        raise ConfigError(
            "torchvision is not installed, and the segmenter needs it: "
            "uv sync --extra measure --package sv2r-tabletop, or leave the stage downstream out"
        )


def train(
    pictures: Sequence[Labelled], categories: int, recipe: Recipe, seed: int, device: str = "cpu"
) -> MaskRCNN:
    """Return a network trained on labelled pictures; the same arguments give the same one."""
    torch.manual_seed(seed)
    model = small_network(categories).to(device)
    examples = [
        make_example(_tensor(picture), list(map(dict, picture.annotations)))
        for picture in pictures
        if learnable(list(map(dict, picture.annotations)))
    ]
    fit(model, examples, recipe, seed, device)
    return model


def detect(
    model: MaskRCNN, pictures: Sequence[Labelled], device: str = "cpu"
) -> list[dict[str, Any]]:
    """Return what a network finds, as COCO results with RLE masks."""
    found = []
    for first in range(0, len(pictures), _BATCH):
        some = pictures[first : first + _BATCH]
        ids = [picture.entry["id"] for picture in some]
        found += find_in(model, list(map(_tensor, some)), ids, device)
    return found


def _tensor(picture: Labelled) -> torch.Tensor:
    return torch.from_numpy(picture.pixels.copy()).permute(2, 0, 1)
