"""Frames for the checks, made from arrays."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from sv2r.types import Frame, Instance, Instances, Sample


@pytest.fixture
def make_frame():
    def make(image: np.ndarray, labels: np.ndarray | None = None) -> Frame:
        """A frame of an (H, W, 3) uint8 picture and an (H, W) label map."""
        if labels is None:
            labels = np.zeros(image.shape[:2], np.int32)
        table = {int(i): Instance(int(i), "thing") for i in np.unique(labels) if i}
        instances = Instances(labels.astype(np.int32), table)
        sample = Sample("a", Path("a.png"), lambda: instances)
        pixels = torch.from_numpy(image.astype(np.float32) / 255).permute(2, 0, 1)
        return Frame(sample, pixels.contiguous(), instances)

    return make
