"""The plugin keeps sv2r's contracts, on a small dataset in its format."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

from sv2r.testing import check_plugin


def write_dataset(root: Path) -> Path:
    """Return a folder with two pictures of 9 x 11 pixels and their masks."""
    labels = np.zeros((9, 11), np.uint8)
    labels[2:5, 3:8] = 4
    for name in ("000", "001"):
        for folder, pixels in (("images", np.zeros((9, 11, 3), np.uint8)), ("masks", labels)):
            (root / folder).mkdir(parents=True, exist_ok=True)
            Image.fromarray(pixels).save(root / folder / f"{name}.png")
    return root


def test_the_plugin_keeps_its_contracts(tmp_path: Path) -> None:
    roots = {"my-plugin": write_dataset(tmp_path)}
    assert check_plugin("my-plugin", roots=roots) == ["loader 'my-plugin'"]
