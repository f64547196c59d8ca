"""Frames and scenes for the checks, made from arrays."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from sv2r.types import Frame, Instance, Instances, Sample


@pytest.fixture
def make_frame() -> Callable[..., Frame]:
    def make(
        image: np.ndarray, labels: np.ndarray | None = None, crowds: tuple[int, ...] = ()
    ) -> Frame:
        """A frame of an (H, W, 3) uint8 picture and an (H, W) label map."""
        if labels is None:
            labels = np.zeros(image.shape[:2], np.int32)
        table = {
            int(i): Instance(int(i), "thing", int(i) in crowds) for i in np.unique(labels) if i
        }
        instances = Instances(labels.astype(np.int32), table)
        sample = Sample("a", Path("a.png"), lambda: instances)
        pixels = torch.from_numpy(image.astype(np.float32) / 255).permute(2, 0, 1)
        return Frame(sample, pixels.contiguous(), instances)

    return make


@pytest.fixture(scope="session")
def scene() -> Callable[..., tuple[np.ndarray, np.ndarray]]:
    def make(
        offset: tuple[float, float] = (0.0, 0.0), without: tuple[int, ...] = ()
    ) -> tuple[np.ndarray, np.ndarray]:
        """Two discs and a box on a shaded floor, (160, 200, 3), moved by (dy, dx); its labels."""
        y, x = np.mgrid[:160, :200].astype(np.float32)
        y, x = y - offset[0], x - offset[1]
        image = np.stack([90 + 0.2 * x, 100 + 0.1 * y, 110 - 0.1 * x], -1)
        labels = np.zeros((160, 200), np.int32)
        distances = {
            1: np.hypot(y - 50, x - 50) - 22.3,
            2: np.hypot(y - 110, x - 70) - 18.6,
            3: np.maximum(np.abs(y - 80) - 30.2, np.abs(x - 150) - 25.4),
        }
        colours = {1: (200, 60, 50), 2: (40, 170, 90), 3: (60, 70, 210)}
        for id_, distance in distances.items():
            labels[distance < 0] = id_
            if id_ not in without:
                alpha = np.clip(0.5 - distance, 0, 1)[..., None]
                image = image + alpha * (np.array(colours[id_]) - image)
        return np.rint(image).clip(0, 255).astype(np.uint8), labels

    return make


@pytest.fixture(scope="session")
def tensor() -> Callable[[np.ndarray], torch.Tensor]:
    def make(image: np.ndarray) -> torch.Tensor:
        """An (H, W, 3) picture as a translator gives it."""
        return torch.from_numpy(image).permute(2, 0, 1).contiguous()

    return make


@pytest.fixture(scope="session")
def striped(scene: Callable[..., tuple[np.ndarray, np.ndarray]]) -> np.ndarray:
    """The scene's picture with a ground of strong slanted stripes, its objects as they were."""
    image, labels = scene()
    y, x = np.mgrid[:160, :200]
    grain = np.random.default_rng(3).normal(0, 25, labels.shape)
    stripes = 120 + 60 * np.sign(np.sin((y + 0.3 * x) / 2.5)) + grain
    floor = np.repeat(stripes[..., None], 3, -1)
    return np.where((labels > 0)[..., None], image, floor).clip(0, 255).astype(np.uint8)
