"""Pictures and masks as arrays: moved, smoothed, grown, filled."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch.nn.functional import avg_pool2d, conv2d, grid_sample, interpolate, max_pool2d, pad

from benchmarks.lib.scenes import to_uint8

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Pixels = NDArray[np.uint8]
    Floats = NDArray[np.floating]
    Mask = NDArray[np.bool_]


def grid(size: tuple[int, int]) -> tuple[Floats, Floats]:
    """Return the row and the column number of every pixel."""
    y, x = np.mgrid[0 : size[0], 0 : size[1]].astype(np.float32)
    return y, x


def sample(
    image: NDArray[np.generic], dy: NDArray[np.floating], dx: NDArray[np.floating]
) -> Floats:
    """Return an (H, W, C) picture whose pixel at p comes from p - (dy, dx); bicubic, reflecting."""
    height, width = image.shape[:2]
    y, x = grid((height, width))
    points = np.stack([(x - dx) * 2 / (width - 1) - 1, (y - dy) * 2 / (height - 1) - 1], -1)
    tensor = torch.from_numpy(image.astype(np.float32)).permute(2, 0, 1)[None]
    where = torch.from_numpy(points.astype(np.float32))[None]
    moved = grid_sample(
        tensor, where, mode="bicubic", padding_mode="reflection", align_corners=True
    )
    return moved[0].permute(1, 2, 0).numpy()


def smooth(image: NDArray[Any], sigma: float) -> Floats:
    """Return an (H, W, C) picture under a Gaussian."""
    radius = int(np.ceil(3 * sigma))
    bell = torch.exp(-0.5 * (torch.arange(-radius, radius + 1) / sigma) ** 2)
    bell /= bell.sum()
    tensor = torch.from_numpy(image.astype(np.float32)).permute(2, 0, 1)[:, None]
    tensor = pad(tensor, [radius] * 4, mode="replicate")
    tensor = conv2d(conv2d(tensor, bell[None, None, :, None]), bell[None, None, None, :])
    return tensor[:, 0].permute(1, 2, 0).numpy()


def grown(mask: Mask, by: int) -> Mask:
    """Return a mask dilated by a square of so many px to each side."""
    tensor = torch.from_numpy(mask.astype(np.float32))[None, None]
    tall = max_pool2d(tensor, (2 * by + 1, 1), 1, (by, 0))
    return max_pool2d(tall, (1, 2 * by + 1), 1, (0, by))[0, 0].numpy() > 0.5


def rims(mask: Mask) -> Mask:
    """Return the pixels of a mask that touch what is not in it, the picture's border left out."""
    outside = np.pad(~mask, 1, constant_values=False)
    near = outside[2:, 1:-1] | outside[:-2, 1:-1] | outside[1:-1, 2:] | outside[1:-1, :-2]
    return mask & near


def resized(image: Pixels, size: tuple[int, int]) -> Pixels:
    """Return an (H, W, 3) picture scaled to cover a size and cropped to it."""
    factor = max(size[0] / image.shape[0], size[1] / image.shape[1])
    shape = [max(size[k], round(image.shape[k] * factor)) for k in (0, 1)]
    tensor = torch.from_numpy(image.astype(np.float32)).permute(2, 0, 1)[None]
    wide = interpolate(tensor, shape, mode="bilinear", antialias=True)
    return to_uint8(wide[0, :, : size[0], : size[1]].permute(1, 2, 0).numpy())


def filled(rng: np.random.Generator, image: Pixels, hole: Mask, known: Mask) -> Floats:
    """Return the picture with a hole closed from known pixels: smooth colour, borrowed grain.

    Colour by pull and push (Gortler et al. 1996): averages of what is known, coarse to fine.
    """
    pixels = torch.from_numpy(image.astype(np.float32)).permute(2, 0, 1)[None]
    weight = torch.from_numpy(known.astype(np.float32))[None, None]
    colour = _pull_push(pixels * weight, weight)[0].permute(1, 2, 0).numpy()
    out = image.astype(np.float32)
    share = smooth(known[..., None].astype(np.float32), 4.0)
    detail = out - smooth(out * known[..., None], 4.0) / np.maximum(share, 1e-3)
    donors, places = np.argwhere(known), np.argwhere(hole)
    middle = places.mean(0)
    offsets = donors[rng.integers(len(donors), size=24)] - middle
    best = min(offsets, key=lambda offset: _misses(places + offset, known))
    wanted = np.rint(places + best).astype(int)
    wanted = np.clip(wanted, 0, np.array(known.shape) - 1)
    usable = known[tuple(wanted.T)]
    random = donors[rng.integers(len(donors), size=len(places))]
    wanted = np.where(usable[:, None], wanted, random)
    out[hole] = colour[hole] + detail[tuple(wanted.T)]
    return out


def _misses(places: NDArray[np.floating], known: Mask) -> float:
    at = np.rint(places).astype(int)
    within = ((at >= 0) & (at < known.shape)).all(1)
    at = np.clip(at, 0, np.array(known.shape) - 1)
    return float((~(within & known[tuple(at.T)])).mean())


def _pull_push(values: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
    if min(weight.shape[-2:]) <= 1 or bool((weight > 0).all()):
        return values / weight.clamp(min=1e-6)
    odd = (0, weight.shape[-1] % 2, 0, weight.shape[-2] % 2)
    less = [pad(part, odd) for part in (values, weight)]
    coarse = _pull_push(avg_pool2d(less[0], 2), avg_pool2d(less[1], 2))
    wide = interpolate(coarse, scale_factor=2, mode="bilinear")
    wide = wide[..., : weight.shape[-2], : weight.shape[-1]]
    share = weight.clamp(max=1)
    return values / weight.clamp(min=1e-6) * share + wide * (1 - share)
