"""Labelled pictures to train on or to test with, brought to one form: a COCO folder."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sv2r.config.resolve import detect_loader
from sv2r.errors import ConfigError, SampleError
from sv2r.images.decode import read_picture
from sv2r.output.finished import RUN_FILE
from sv2r.output.journal import FOLDER
from sv2r.plugin.registry import Registry
from sv2r.plugin.specs import Runtime
from sv2r.results import open_results
from sv2r.storage.files import copy_atomically, write_atomically
from sv2r.types import Dataset, Instances, Sample

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

ANNOTATIONS = "annotations.json"


@dataclass(frozen=True)
class LabelledPicture:
    """One picture: its file, and what reads its labels (SampleError where they cannot be read)."""

    path: Path
    load: Callable[[], Instances]


@dataclass(frozen=True)
class LabelledSet:
    """Labelled pictures. name: where they come from. categories: that its labels may name."""

    name: str
    pictures: tuple[LabelledPicture, ...]
    categories: tuple[str, ...]


def labelled_set(folder: Path, registry: Registry) -> LabelledSet:
    """Return the pictures of a finished run that are done, or those of a dataset.

    Raises:
        ConfigError: it is neither, or has no picture.
    """
    if (folder / FOLDER / RUN_FILE).is_file():
        results = open_results(folder)
        pictures = tuple(LabelledPicture(one.path, one.sample.load_instances) for one in results)
        dataset = results.dataset
    else:
        spec = registry.spec("loader", detect_loader(registry, folder))
        dataset = spec.build(spec.options(), Runtime(input=folder))(folder)
        pictures = tuple(
            LabelledPicture(sample.image, sample.load_instances) for sample in _samples(dataset)
        )
    if not pictures:
        raise ConfigError(f"{folder}: has no labelled picture")
    return LabelledSet(str(folder), pictures, tuple(dataset.categories))


def _samples(dataset: Dataset) -> Iterator[Sample]:
    for index in range(len(dataset.ids)):
        with suppress(SampleError):  # what cannot be read is not trained on
            yield dataset.samples[index]


@dataclass(frozen=True)
class CocoFolder:
    """Pictures and their COCO labels in a folder, as trainers read them.

    key: SHA-256 of the labels and of all pictures: equal where two trainings see the same.
    hashes: SHA-256 of each picture's file. looks: (N, 32) uint8, how they look; see `look_bits`.
    counts: instances by category.
    """

    folder: Path
    key: str
    pictures: int
    hashes: frozenset[str]
    looks: NDArray[np.uint8]
    counts: Mapping[str, int]

    @property
    def annotations(self) -> Path:
        """Return the labels' file."""
        return self.folder / ANNOTATIONS


def write_coco(
    folder: Path,
    sets: Sequence[LabelledSet],
    categories: Sequence[str],
    names: Mapping[str, str | None],
) -> CocoFolder:
    """Write the pictures of some sets and their labels as one COCO dataset, masks as RLE.

    Pictures are copied, by sharing their blocks where the disk can. Instances without a pixel are
    left out.

    categories: what the labels may be, ids from 1 in that order. names: what a category is called
        otherwise; None leaves its instances out.

    Raises:
        ConfigError: a picture or its labels cannot be read; names it.
    """
    import numpy as np

    shutil.rmtree(folder, ignore_errors=True)
    (folder / "images").mkdir(parents=True)
    images: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    hashes, looks, counts = [], [], Counter[str]()
    numbers = {name: number for number, name in enumerate(categories, 1)}
    for picture in (one for part in sets for one in part.pictures):
        try:
            read = read_picture(picture.path, picture.path.name)
            found = picture.load()
        except SampleError as error:
            raise ConfigError(f"{picture.path}: {error}; take it out of the set") from error
        number = len(images) + 1
        name = f"images/{number:06d}{picture.path.suffix.lower()}"
        # No link: a training script that changes its pictures must not change the user's.
        copy_atomically(picture.path, folder / name, sync_folder=False)
        height, width = read.pixels.shape[:2]
        images.append({"id": number, "file_name": name, "height": height, "width": width})
        hashes.append(read.sha256)
        looks.append(look_bits(read.pixels))
        for entry in _annotations(found, names, numbers):
            counts[categories[entry["category_id"] - 1]] += 1
            annotations.append({"id": len(annotations) + 1, "image_id": number, **entry})
    named = [{"id": number, "name": name} for name, number in numbers.items()]
    text = json.dumps({"images": images, "annotations": annotations, "categories": named})
    write_atomically(folder / ANNOTATIONS, text.encode())
    key = hashlib.sha256("\n".join([text, *hashes]).encode()).hexdigest()
    return CocoFolder(folder, key, len(images), frozenset(hashes), np.stack(looks), counts)


def _annotations(
    found: Instances, names: Mapping[str, str | None], numbers: Mapping[str, int]
) -> Iterator[dict[str, Any]]:
    import numpy as np
    from pycocotools import mask as rle

    for id_, instance in found.table.items():
        name = names.get(instance.category, instance.category)
        mask = found.mask(id_)
        if name is None or not mask.any():
            continue
        encoded = rle.encode(np.asfortranarray(mask.astype(np.uint8)))
        yield {
            "category_id": numbers[name],
            "segmentation": {"size": encoded["size"], "counts": encoded["counts"].decode()},
            "bbox": [float(value) for value in rle.toBbox(encoded)],
            "area": int(mask.sum()),
            "iscrowd": int(instance.crowd),
        }


def look_bits(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return 256 bits that look-alikes share: which of two neighbours is brighter, 16 by 16.

    The difference hash of N. Krawetz; re-encoding and resizing change few of its bits.
    """
    import numpy as np
    from PIL import Image

    small = Image.fromarray(pixels).convert("L").resize((17, 16), Image.Resampling.BILINEAR)
    grey = np.asarray(small, np.int16)
    return np.packbits(grey[:, 1:] > grey[:, :-1])


# Of 256 bits. Copies of 688 photographs in other sizes and qualities differed in 14 at most, 99 %
# of them in 7; the two renders most alike of 240 in 39, other photographs in 69.
_ALIKE = 20


def shared_pictures(one: CocoFolder, other: CocoFolder) -> tuple[int, int]:
    """Return how many pictures two folders have in common: by their bytes, and by their look."""
    import numpy as np

    bits = np.array([value.bit_count() for value in range(256)], np.uint8)
    alike = sum(
        int(bits[other.looks ^ look].sum(1, dtype=np.int64).min()) <= _ALIKE for look in one.looks
    )
    return len(one.hashes & other.hashes), alike
