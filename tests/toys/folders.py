"""Small folders of pictures and masks, for the tests of the folder loader."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from sv2r.loaders.folder.loader import FolderOptions, load
from sv2r.plugin.options import validate_options
from sv2r.types import Dataset

IDS = np.array([[0, 1, 1], [7, 7, 0]], np.uint16)
RED, GREEN, BLACK = (255, 0, 0), (0, 255, 0), (0, 0, 0)
COLOURS = np.array([[BLACK, RED, RED], [GREEN, GREEN, BLACK]], np.uint8)
WHITE = np.array([[0, 255, 255], [0, 0, 0]], np.uint8)


def put(path: Path, values: NDArray[Any] | None = None) -> Path:
    """Write a picture of 2 x 3 pixels, or these values."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".npy":
        np.save(path, IDS if values is None else values)
    else:
        array = np.full((2, 3, 3), 90, np.uint8) if values is None else values
        Image.fromarray(array).save(path)
    return path


def options(**values: Any) -> FolderOptions:
    """Return the folder loader's options with these values."""
    return validate_options(FolderOptions, values, where="--loader")


def dataset(root: Path, **values: Any) -> Dataset:
    """Return the dataset in a folder, read with these options."""
    return load(options(**values), root)


def only(root: Path, **values: Any) -> tuple[list[list[int]], dict[int, str]]:
    """Return the labels and the table, as id -> category, of the only sample."""
    (sample,) = dataset(root, **values).samples
    instances = sample.load_instances()
    return instances.labels.tolist(), {i: x.category for i, x in instances.table.items()}


def pairs(data: Dataset) -> dict[str, list[str]]:
    """Return each sample's mask files, relative to the root."""
    return {
        sample.id: [p.relative_to(data.root).as_posix() for p in sample.annotation_files]
        for sample in data.samples
    }


def problems(data: Dataset) -> dict[str, str]:
    """Return the problems' messages by what they are about."""
    return {problem.id: problem.message for problem in data.problems}
