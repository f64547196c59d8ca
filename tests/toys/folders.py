"""Small folders of pictures and masks, for the tests of the folder loader."""

from __future__ import annotations

import numpy as np
from PIL import Image

from sv2r.loaders.folder.loader import FolderOptions, load
from sv2r.plugin.options import validate_options

IDS = np.array([[0, 1, 1], [7, 7, 0]], np.uint16)
RED, GREEN, BLACK = (255, 0, 0), (0, 255, 0), (0, 0, 0)
COLOURS = np.array([[BLACK, RED, RED], [GREEN, GREEN, BLACK]], np.uint8)
WHITE = np.array([[0, 255, 255], [0, 0, 0]], np.uint8)


def put(path, values=None):
    """Write a picture of 2 x 3 pixels, or these values."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".npy":
        np.save(path, IDS if values is None else values)
    else:
        array = np.full((2, 3, 3), 90, np.uint8) if values is None else values
        Image.fromarray(array).save(path)
    return path


def options(**values):
    return validate_options(FolderOptions, values, where="--loader")


def dataset(root, **values):
    return load(options(**values), root)


def only(root, **values):
    """Return the labels and the table, as id -> category, of the only sample."""
    (sample,) = dataset(root, **values).samples
    instances = sample.load_instances()
    return instances.labels.tolist(), {i: x.category for i, x in instances.table.items()}


def pairs(data):
    return {
        sample.id: [p.relative_to(data.root).as_posix() for p in sample.annotation_files]
        for sample in data.samples
    }


def problems(data):
    return {problem.id: problem.message for problem in data.problems}
