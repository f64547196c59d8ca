"""Repairs a picture with the pixels of its source: moved back, or instances put back."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from sv2r.types import Frame

if TYPE_CHECKING:
    from torch import Tensor

# Bounds of the gains that match the source to the picture: a flat surround must not blow up noise,
# nor a busy or a dark one flatten an object.
_GAIN = (0.5, 2.0)
_BLOCK = 8  # px: the light around a place is the mean over some blocks of this side
_DARK = 16.0  # levels: of a place that is darker than this, the light is not told by a ratio
_RING = 24  # px around what is taken whose detail it is given
_FEW = 100  # pixels: fewer do not tell
_SOFTER = (0.0, 0.5, 0.7, 0.9, 1.2)  # px, sigmas by which the source may be softened
_MEDIAN_OF_FINE = 0.6745 * 0.87  # median of |x|, and what a Gaussian of 1 px leaves of noise
_OTHERS = 0.05  # what an instance's pixels count for the light around it; the background counts 1


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
    image: Tensor, frame: Frame, ids: Sequence[int], *, feather: int = 3, margin: int = 0
) -> Tensor:
    """Return the (3, H, W) uint8 picture with some instances' pixels taken from the frame.

    margin: pixels of background around them that are taken as well, before the seam.
    """
    import torch

    labels = torch.from_numpy(frame.instances.labels.copy())
    source = 255 * frame.image
    return mix_instances(image.cpu(), source, labels, ids, feather=feather, margin=margin)


def restored_share(frame: Frame, ids: Sequence[int], *, feather: int, margin: int) -> float:
    """Return the share of a picture's pixels that `restore_instances` takes from the frame."""
    import torch

    labels = torch.from_numpy(frame.instances.labels.copy())
    inside = torch.isin(labels, torch.tensor(list(ids), dtype=labels.dtype))
    return float(_feathered(inside, labels == 0, margin, feather).mean())


def mix_instances(
    image: Tensor,
    source: Tensor,
    labels: Tensor,
    ids: Sequence[int],
    *,
    feather: int,
    margin: int = 0,
) -> Tensor:
    """Return a (3, H, W) uint8 picture with some instances' pixels from a source in [0, 255].

    The source is matched to the picture's light around each place and, channel by channel, to its
    mean and deviation over what is not taken (Reinhard et al., "Color Transfer between Images",
    2001, in RGB); then to its sharpness and its grain around. The margin and the seam, feather
    pixels wide, lie in the background alone: no other instance's pixel changes.
    """
    import torch

    inside = torch.isin(labels, torch.tensor(list(ids), dtype=labels.dtype))
    picture = image.float()
    weight = _feathered(inside, labels == 0, margin, feather)
    counts = (weight == 0) * (1 - (1 - _OTHERS) * (labels > 0))
    # Light comes first: its slopes would be taken for contrast.
    matched = source * _light(source, picture, counts)
    matched = _match_colours(matched, picture, weight == 0)
    matched = matched * _light(matched, picture, counts)
    matched = _match_detail(matched, picture, weight)
    mixed = picture + weight * (matched - picture)
    return mixed.round().clamp(0, 255).to(torch.uint8)


def _feathered(inside: Tensor, background: Tensor, margin: int, feather: int) -> Tensor:
    """Return (H, W) weights: 1 inside and on the margin, falling to 0 over the seam, else 0."""
    from torch.nn.functional import max_pool2d

    weight = reach = inside.float()
    # Only background hands the seam on, so that it does not leap over a neighbour.
    open_ = (background | inside).float()
    for step in range(1, margin + feather + 1):
        grown = max_pool2d(reach[None, None], 3, 1, 1)[0, 0] * open_
        level = min(1.0, 1 - (step - margin) / (feather + 1))
        weight = weight.maximum(level * grown)
        reach = grown
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


def _light(source: Tensor, picture: Tensor, counts: Tensor) -> Tensor:
    """Return (3, H, W): how much brighter the picture is around each place, per channel.

    counts: (H, W) what each pixel counts for.
    """
    import torch
    from torch.nn.functional import avg_pool2d, interpolate

    height, width = counts.shape
    sums = torch.cat([picture * counts, source * counts, counts[None]])[None]
    side = [_BLOCK, _BLOCK]
    blocks = avg_pool2d(sums, side, ceil_mode=True, count_include_pad=False)
    total = torch.zeros_like(blocks)
    # Near blocks say most; the farther ones fill in where a large object hides all that is near.
    for reach, share in ((1, 1.0), (2, 0.2), (4, 0.02), (16, 1e-4)):
        total += share * avg_pool2d(blocks, 2 * reach + 1, 1, reach, count_include_pad=False)
    theirs, ours, known = total[:, :3], total[:, 3:6], total[:, 6:].clamp(min=1e-9)
    gain = (theirs / known + _DARK) / (ours / known + _DARK)
    full = interpolate(gain, scale_factor=_BLOCK, mode="bilinear")[0, :, :height, :width]
    return full.clamp(*_GAIN)


def _match_detail(source: Tensor, picture: Tensor, weight: Tensor) -> Tensor:
    """Return the source as soft and as grainy as the picture is around what is taken.

    Sharpness is what the strong fine differences have, grain what the common ones have: in a
    picture of a scene most places are even. The grain is the same whenever it is made.
    """
    import torch

    ring = (weight == 0) & (_feathered(weight > 0, weight >= 0, _RING, 0) > 0)
    if int(ring.sum()) < _FEW:
        return source
    softest = min(
        _SOFTER,
        key=lambda sigma: abs(_strong(_softened(source, sigma), ring) - _strong(picture, ring)),
    )
    source = _softened(source, softest)
    missing = _grain(picture, ring) ** 2 - _grain(source, ring) ** 2
    noise = torch.randn(source.shape, generator=torch.Generator().manual_seed(0))
    return source + noise * missing.clamp(min=0).sqrt()[:, None, None]


def _softened(image: Tensor, sigma: float) -> Tensor:
    """Return (3, H, W) levels under a Gaussian, 5 px wide."""
    import torch
    from torch.nn.functional import conv2d, pad

    if not sigma:
        return image
    bell = torch.exp(-0.5 * (torch.arange(-2.0, 3.0) / sigma) ** 2)
    bell = bell / bell.sum()
    wide = pad(image[:, None], [2] * 4, mode="replicate")
    return conv2d(conv2d(wide, bell[None, None, :, None]), bell[None, None, None])[:, 0]


def _strong(image: Tensor, where: Tensor) -> float:
    fine = (image - _softened(image, 1.0))[:, where].abs()
    return float(fine.quantile(0.95)) if fine.numel() < 2**24 else float(fine.max())


def _grain(image: Tensor, where: Tensor) -> Tensor:
    """Return (3,): the deviation of fine noise, by its median, which edges leave as it is."""
    fine = (image - _softened(image, 1.0))[:, where].abs()
    return fine.median(1).values / _MEDIAN_OF_FINE
