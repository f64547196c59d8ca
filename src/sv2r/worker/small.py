"""Draws small objects again in an enlarged crop with context, and pastes them back.

A latent diffusion model sees one cell per 8 x 8 pixels, so that an object of a few cells is redrawn
from a few numbers. In an enlarged crop it has many. Each crop is one more entry in the worker's
queue, in a bucket of its own size, so that crops of many pictures share batches.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from math import ceil
from typing import TYPE_CHECKING

from sv2r.config.sections import LATENT_CELL, SmallOptions
from sv2r.types import Box, Frame, Instance, Instances

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from torch import Tensor


@dataclass(frozen=True)
class Crop:
    """A square part of a picture: its corner and side in pixels, and the instances to redraw."""

    top: int
    left: int
    side: int
    ids: tuple[int, ...]

    def of(self, planes: Tensor) -> Tensor:
        """Return the (..., side, side) part of (..., H, W) planes."""
        return planes[..., self.top : self.top + self.side, self.left : self.left + self.side]

    def enlarged(self, planes: Tensor, resolution: int) -> Tensor:
        """Return the part of (3, H, W) planes in [0, 1], resolution pixels wide."""
        from torch.nn.functional import interpolate

        size = (resolution, resolution)
        part = interpolate(self.of(planes)[None], size, mode="bicubic", align_corners=False)[0]
        return part.clamp(0, 1)


def crops_of(instances: Instances, options: SmallOptions) -> tuple[Crop, ...]:
    """Return the crops that a picture's small instances need, from its top down; each has one."""
    small = _small(instances, options.cells * LATENT_CELL**2)
    if not small:
        return ()
    return tuple(_placed(small, instances.size, options))


def crops_around(
    instances: Instances, ids: Iterable[int], options: SmallOptions
) -> tuple[Crop, ...]:
    """Return crops that hold some instances, each in one; what is too large for a square has none.

    options: resolution, context and enlarge count.
    """
    boxes = [(instances.table[id_], _box_of(instances, id_)) for id_ in sorted(ids)]
    crops: list[Crop] = []
    while boxes:
        crop = _around(boxes[0][1], instances.size, options)
        inside = [item for item in boxes if _within_crop(crop, item[1])]
        if inside:
            crops.append(replace(crop, ids=tuple(instance.id for instance, _ in inside)))
        boxes = [item for item in boxes[1:] if item not in inside]
    return tuple(crops)


def _box_of(instances: Instances, id_: int) -> Box:
    import numpy as np

    rows, columns = np.nonzero(instances.labels == id_)
    left, top = int(columns.min()), int(rows.min())
    return (left, top, int(columns.max()) + 1, int(rows.max()) + 1)


def _within_crop(crop: Crop, box: Box) -> bool:
    return (
        box[0] >= crop.left
        and box[1] >= crop.top
        and box[2] <= crop.left + crop.side
        and box[3] <= crop.top + crop.side
    )


def _small(instances: Instances, limit: int) -> list[tuple[Instance, Box]]:
    """Return the instances of fewer than limit visible pixels, without crowds, and their boxes."""
    import numpy as np

    if not limit:
        return []
    ids, counts = np.unique(instances.labels, return_counts=True)
    few = {id_ for id_, count in zip(ids.tolist(), counts.tolist(), strict=True) if count < limit}
    found = [
        (instances.table[id_], _box_of(instances, id_))
        for id_ in sorted(few & instances.table.keys())
        if not instances.table[id_].crowd
    ]
    return sorted(found, key=lambda item: (item[1][1], item[1][0], item[0].id))


def _placed(
    small: Sequence[tuple[Instance, Box]], size: tuple[int, int], options: SmallOptions
) -> Iterator[Crop]:
    """Yield crops around the first instance that has none yet, with all others that lie in it."""
    left_over = list(small)
    while left_over:
        (_, box), *_ = left_over
        crop = _around(box, size, options)
        # A crop that is not enlarged gains nothing.
        inside = [item for item in left_over if _holds(crop, item[1])] or left_over[:1]
        if crop.side < options.resolution:
            yield replace(crop, ids=tuple(instance.id for instance, _ in inside))
        left_over = [item for item in left_over if item not in inside]


def _around(box: Box, size: tuple[int, int], options: SmallOptions) -> Crop:
    height, width = size
    longest = max(box[2] - box[0], box[3] - box[1])
    least = ceil(options.resolution / options.enlarge)
    side = min(max(ceil(options.context * longest), least), height, width)
    top = _within((box[1] + box[3] - side) // 2, height - side)
    left = _within((box[0] + box[2] - side) // 2, width - side)
    return Crop(top, left, side, ())


def _within(place: float, most: int) -> int:
    return int(min(max(place, 0), most))


def _holds(crop: Crop, box: Box) -> bool:
    """Return whether a box lies in a crop with something of its surroundings."""
    margin = crop.side // 16
    return (
        box[0] >= crop.left + margin * (crop.left > 0)
        and box[1] >= crop.top + margin * (crop.top > 0)
        and box[2] <= crop.left + crop.side - margin
        and box[3] <= crop.top + crop.side - margin
    )


def crop_frame(frame: Frame, crop: Crop, resolution: int) -> Frame:
    """Return the part of a frame as one of its own, resolution pixels wide, labels and all."""
    import numpy as np

    labels = _enlarged_labels(frame.instances.labels, crop, resolution)
    ids = set(np.unique(labels).tolist())
    table = {id_: one for id_, one in frame.instances.table.items() if id_ in ids}
    image = crop.enlarged(frame.image, resolution)
    instances = Instances(labels, table)
    return Frame(frame.sample, image, instances, frame.normalised, frame.sha256)


def _enlarged_labels(labels: NDArray[np.int32], crop: Crop, resolution: int) -> NDArray[np.int32]:
    import numpy as np

    # Each enlarged pixel takes the label of the pixel that its middle lies in.
    nearest = ((np.arange(resolution) + 0.5) * crop.side / resolution).astype(int)
    return labels[np.ix_(crop.top + nearest, crop.left + nearest)]


def paste(
    canvas: Tensor,
    made: Tensor,
    crop: Crop,
    labels: NDArray[np.int32],
    feather: int,
    margin: int = 0,
) -> Tensor:
    """Return the (3, H, W) uint8 canvas with a crop's instances from the (3, R, R) uint8 crop.

    The crop is brought back to its size by a filter as wide as a pixel; its colours are matched to
    the canvas around, and the seam lies in the background alone: no other instance's pixel changes.
    margin: pixels of background around the instances that are taken as well, before the seam.
    """
    import torch
    from torch.nn.functional import interpolate

    from sv2r.images.restore import mix_instances

    side = (crop.side, crop.side)
    small = interpolate(made[None].float(), side, mode="bilinear", antialias=True)[0]
    own = crop.of(torch.from_numpy(labels.copy()))
    pasted = canvas.clone()
    crop.of(pasted)[:] = mix_instances(
        crop.of(canvas), small, own, crop.ids, feather=feather, margin=margin
    )
    return pasted
