"""Mends a picture with the pixels of its source: moved back, or instances put back."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from sv2r.types import Frame

if TYPE_CHECKING:
    from torch import Tensor

# Bounds of the gain that matches the source's contrast to the picture's: a flat surround must not
# blow up noise, nor a busy one flatten an object.
_GAIN = (0.5, 2.0)


def move_back(image: Tensor, down: float, right: float) -> Tensor:
    """Return a (3, H, W) uint8 picture moved up by down and left by right, bicubically resampled.

    What comes in from outside the frame is the mirrored border.
    """
    import torch
    from torch.nn.functional import grid_sample

    _, height, width = image.shape
    rows = torch.arange(height, dtype=torch.float32, device=image.device) + down
    columns = torch.arange(width, dtype=torch.float32, device=image.device) + right
    y = (2 * rows + 1) / height - 1
    x = (2 * columns + 1) / width - 1
    grid = torch.stack(torch.meshgrid(y, x, indexing="ij")[::-1], -1)
    moved = grid_sample(
        image[None].float(), grid[None], "bicubic", padding_mode="reflection", align_corners=False
    )
    return moved[0].round().clamp(0, 255).to(torch.uint8)


def restore_instances(
    image: Tensor, frame: Frame, ids: Sequence[int], *, feather: int = 3
) -> Tensor:
    """Return the (3, H, W) uint8 picture with some instances' pixels taken from the frame."""
    import torch

    labels = torch.from_numpy(frame.instances.labels.copy())
    return mix_instances(image.cpu(), 255 * frame.image, labels, ids, feather=feather)


def mix_instances(
    image: Tensor, source: Tensor, labels: Tensor, ids: Sequence[int], *, feather: int
) -> Tensor:
    """Return a (3, H, W) uint8 picture with some instances' pixels from a source in [0, 255].

    The source's colours are matched to the picture's, channel by channel, by mean and deviation
    over what is not taken (Reinhard et al., "Color Transfer between Images", 2001, in RGB). The
    seam lies in the background alone, feather pixels wide: no other instance's pixel changes.
    """
    import torch

    inside = torch.isin(labels, torch.tensor(list(ids), dtype=labels.dtype))
    picture = image.float()
    weight = _feathered(inside, labels == 0, feather)
    matched = _match_colours(source, picture, ~inside)
    mixed = picture + weight * (matched - picture)
    return mixed.round().clamp(0, 255).to(torch.uint8)


def _feathered(inside: Tensor, background: Tensor, feather: int) -> Tensor:
    """Return (H, W) weights: 1 inside, falling to 0 over feather pixels of background, else 0."""
    import torch
    from torch.nn.functional import max_pool2d

    weight = inside.float()
    reach = inside.float()[None, None]
    for step in range(1, feather + 1):
        grown = max_pool2d(reach, 3, 1, 1)
        # Only background hands the seam on, so that it does not leap over a neighbour.
        reach = torch.where(background[None, None] | inside[None, None], grown, reach)
        ring = (reach[0, 0] > 0) & (weight == 0) & background
        weight[ring] = 1 - step / (feather + 1)
    return weight


def _match_colours(source: Tensor, picture: Tensor, where: Tensor) -> Tensor:
    """Return the source with the picture's mean and deviation per channel, measured `where`."""
    if int(where.sum()) < 2:
        return source
    ours, theirs = source[:, where], picture[:, where]
    gain = (theirs.std(1) / ours.std(1).clamp(min=1e-3)).clamp(*_GAIN)
    return (source - ours.mean(1)[:, None, None]) * gain[:, None, None] + theirs.mean(1)[
        :, None, None
    ]
