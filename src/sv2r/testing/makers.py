"""Small real things to test with: a frame, a batch, a dataset on disk."""

from __future__ import annotations

import hashlib
import itertools
import json
from collections.abc import Iterable, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from sv2r.types import Batch, Dataset, Frame, Instance, Instances, Sample

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from torch import Tensor

_CATEGORIES = ("box", "ball")


def make_frame(height: int, width: int, seed: int = 0, instances: int = 3) -> Frame:
    """Return a frame with textured background and `instances` objects that touch their neighbours.

    Its image is (3, height, width) float32, every value a multiple of 1/255, so that it survives
    a trip through uint8. The same arguments give the same frame.

    Raises:
        ValueError: there is no room for the instances; each is at least a pixel wide.
    """
    import torch

    drawn = _instances(_blobs(height, width, instances))
    picture = _picture(drawn, seed)
    sample = Sample(
        id=f"frame-{seed}",
        image=Path(f"frame-{seed}.png"),
        load_instances=lambda: drawn,
        size=(height, width),
    )
    image = torch.from_numpy(picture).permute(2, 0, 1).contiguous().float() / 255
    return Frame(sample, image, drawn, sha256=hashlib.sha256(picture.tobytes()).hexdigest())


def make_batch(
    frames: Sequence[Frame],
    controls: Iterable[str] = (),
    seeds: Sequence[int] | None = None,
    prompt: str = "a photo",
) -> Batch:
    """Return a batch of frames with a map of edges for each control, and seeds 1, 2, 3 ..."""
    count = len(frames)
    edges = tuple(_edges(frame.image) for frame in frames)
    return Batch(
        frames=tuple(frames),
        controls={name: tuple(edge.clone() for edge in edges) for name in controls},
        prompts=(prompt,) * count,
        negative_prompts=("",) * count,
        seeds=tuple(seeds) if seeds is not None else tuple(range(1, count + 1)),
    )


def make_dataset(folder: Path) -> Dataset:
    """Write a tiny dataset into a folder and return it.

    Three pictures of odd sizes as PNG (``images/day/000.png`` ...), the last without instances;
    a 16-bit id mask for each (``masks/day/000.png``), and ``categories.json`` for the whole set.
    """
    sizes = ((33, 41, 3), (40, 29, 2), (21, 35, 0))
    samples = [
        _write_sample(folder, f"day/{number:03}", make_frame(height, width, number, instances))
        for number, (height, width, instances) in enumerate(sizes)
    ]
    listing = folder / "categories.json"
    listing.write_text(json.dumps({"odd ids": _CATEGORIES[0], "even ids": _CATEGORIES[1]}))
    return Dataset(
        root=folder,
        samples=samples,
        ids=[sample.id for sample in samples],
        categories=_CATEGORIES,
        annotation_files=(listing,),
        category_ids={name: number for number, name in enumerate(_CATEGORIES, start=1)},
    )


def read_rgb_frame(sample: Sample) -> Frame:
    """Return the frame of a sample whose picture is an ordinary 8-bit RGB file."""
    import numpy as np
    import torch
    from PIL import Image

    with Image.open(sample.image) as file:
        picture = np.array(file.convert("RGB"))
    image = torch.from_numpy(picture).permute(2, 0, 1).contiguous().float() / 255
    digest = hashlib.sha256(sample.image.read_bytes()).hexdigest()
    return Frame(sample, image, sample.load_instances(), sha256=digest)


def as_uint8(image: Tensor) -> Tensor:
    """Return a float picture in [0, 1] as the uint8 picture that a translator would return."""
    import torch

    return (image * 255).round().clamp(0, 255).to(torch.uint8)


def _write_sample(folder: Path, name: str, frame: Frame) -> Sample:
    import numpy as np
    from PIL import Image

    image, mask = folder / "images" / f"{name}.png", folder / "masks" / f"{name}.png"
    for path in (image, mask):
        path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(as_uint8(frame.image).permute(1, 2, 0).numpy()).save(image)
    Image.fromarray(frame.instances.labels.astype(np.uint16)).save(mask)
    return Sample(
        id=name,
        image=image,
        load_instances=partial(_read_mask, mask),
        size=frame.size,
        annotation_files=(mask,),
    )


def _read_mask(path: Path) -> Instances:
    import numpy as np
    from PIL import Image

    with Image.open(path) as file:
        return _instances(np.array(file).astype(np.int32))


def _instances(labels: NDArray[np.int32]) -> Instances:
    import numpy as np

    ids = [int(id_) for id_ in np.unique(labels) if id_]
    return Instances(labels, {id_: Instance(id_, _CATEGORIES[1 - id_ % 2]) for id_ in ids})


def _blobs(height: int, width: int, count: int) -> NDArray[np.int32]:
    """Return a label map with `count` rounded boxes side by side, each touching the next."""
    import numpy as np

    if count > width or (count and height < 1):
        raise ValueError(f"no room for {count} instances in {height}x{width}; make it wider")
    labels = np.zeros((height, width), np.int32)
    rows, columns = np.mgrid[:height, :width]
    down = (rows + 0.5) / height * 2 - 1
    borders = np.linspace(0, width, count + 1).round()
    for id_, (left, right) in enumerate(itertools.pairwise(borders), start=1):
        across = (columns + 0.5 - left) / (right - left) * 2 - 1
        labels[(across**4 + (down / 0.8) ** 4 <= 1) & (abs(across) <= 1)] = id_
        labels[height // 2, int(left)] = id_
    return labels


def _picture(instances: Instances, seed: int) -> NDArray[np.uint8]:
    """Return a (H, W, 3) picture: a colour per instance, a gradient behind, texture on all."""
    import numpy as np

    random = np.random.default_rng(seed)
    height, width = instances.size
    rows, columns = np.mgrid[:height, :width]
    ramp = rows / max(height - 1, 1) + columns / max(width - 1, 1)
    picture = 60.0 + ramp[..., None] * random.uniform(10, 30, 3)
    for id_ in instances.table:
        picture[instances.labels == id_] = random.uniform(110, 235, 3)
    texture = random.normal(0, 6, (height, width, 1))
    return np.asarray((picture + texture).round().clip(0, 255), np.uint8)


def _edges(image: Tensor) -> Tensor:
    """Return differences between neighbouring pixels as a (3, H, W) map in [0, 1]."""
    import torch

    grey = image.mean(0, keepdim=True)
    down = torch.diff(grey, dim=1, prepend=grey[:, :1])
    right = torch.diff(grey, dim=2, prepend=grey[:, :, :1])
    return (down.abs() + right.abs()).clamp(0, 1).expand(3, -1, -1).contiguous()
