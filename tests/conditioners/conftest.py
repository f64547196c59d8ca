"""Frames for the conditioners, made from arrays."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import pytest
import torch

from sv2r.types import Frame, Instance, Instances, Sample


@pytest.fixture
def make_frame() -> Callable[..., Frame]:
    def make(
        image: np.ndarray | torch.Tensor,
        labels: np.ndarray | None = None,
        channels: Mapping[str, Path] | None = None,
        overlaps: Mapping[int, np.ndarray] | None = None,
    ) -> Frame:
        """A frame of a (3, H, W) picture in [0, 1] and an (H, W) label map."""
        image = torch.as_tensor(image, dtype=torch.float32)
        if labels is None:
            labels = np.zeros(image.shape[1:], np.int32)
        table = {int(i): Instance(int(i), "box") for i in np.unique(labels) if i}
        instances = Instances(labels.astype(np.int32), table, overlaps or {})
        sample = Sample("a/1", Path("a/1.png"), lambda: instances, channels=channels or {})
        return Frame(sample, image, instances)

    return make
