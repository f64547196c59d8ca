"""Sizes that a model can take, and the exact way back: mirrored margins, resizing, tiles."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor


def next_multiple(length: int, multiple: int) -> int:
    """Return the smallest multiple that is at least the length."""
    return -(-length // multiple) * multiple


def mirror(length: int, padded: int) -> list[int]:
    """Return which of 0 to length - 1 stands at each place of a line padded by reflection.

    The edge itself is not repeated (numpy's "reflect"); where the margin is longer than the line it
    swings to and fro.
    """
    if length == 1:
        return [0] * padded
    period = 2 * (length - 1)
    return [min(i % period, period - i % period) for i in range(padded)]


def pad(image: Tensor, height: int, width: int) -> Tensor:
    """Return a (..., height, width) image whose margins at bottom and right mirror what is there.

    image: (..., H, W) with H <= height and W <= width, 1 pixel or more each.
    """
    import torch

    if tuple(image.shape[-2:]) == (height, width):
        return image
    rows = torch.tensor(mirror(image.shape[-2], height), device=image.device)
    columns = torch.tensor(mirror(image.shape[-1], width), device=image.device)
    return image.index_select(-2, rows).index_select(-1, columns)


def resize(image: Tensor, height: int, width: int) -> Tensor:
    """Return a (3, height, width) float image in [0, 1], bicubic and antialiased.

    image: (3, H, W) float in [0, 1]. Left as it is where the size is right already.
    """
    from torch.nn.functional import interpolate

    if tuple(image.shape[-2:]) == (height, width):
        return image
    resized = interpolate(image[None].float(), (height, width), mode="bicubic", antialias=True)[0]
    return resized.clamp(0, 1)


def tile_starts(length: int, tile: int, overlap: int, step: int = 1) -> list[int]:
    """Return where tiles begin so that they cover a line and overlap at least as asked.

    length, tile: with length >= tile, both multiples of step. overlap: 0 to tile - step.
    The starts are multiples of step, evenly spread, the first 0 and the last length - tile.
    """
    count = max(math.ceil((length - overlap) / (tile - overlap)), 1)
    if count == 1:
        return [0]
    stride = (length - tile) / (count - 1)
    return [int(i * stride // step) * step for i in range(count - 1)] + [length - tile]


def tile_places(
    size: tuple[int, int], tile: tuple[int, int], overlap: int, step: int = 1
) -> list[tuple[int, int]]:
    """Return (top, left) of every tile over an image of that (height, width), row by row."""
    tops = tile_starts(size[0], tile[0], min(overlap, tile[0] - step), step)
    lefts = tile_starts(size[1], tile[1], min(overlap, tile[1] - step), step)
    return [(top, left) for top in tops for left in lefts]


def feather(tile: tuple[int, int], overlap: int) -> Tensor:
    """Return (height, width) float32 weights in (0, 1]: a raised cosine over the overlap."""
    import torch

    def ramp(length: int) -> Tensor:
        inner = torch.arange(length, dtype=torch.float32) + 0.5
        edge = torch.minimum(inner, length - inner)
        return 0.5 - 0.5 * torch.cos(math.pi * (edge / max(overlap, 1)).clamp(max=1))

    return ramp(tile[0])[:, None] * ramp(tile[1])[None, :]


def cut_tiles(
    image: Tensor, places: Sequence[tuple[int, int]], tile: tuple[int, int]
) -> list[Tensor]:
    """Return the (..., h, w) tiles of a (..., H, W) image."""
    height, width = tile
    return [image[..., top : top + height, left : left + width] for top, left in places]


def blend(
    tiles: Sequence[Tensor],
    places: Sequence[tuple[int, int]],
    size: tuple[int, int],
    weights: Tensor,
) -> Tensor:
    """Return the (..., H, W) image in which overlapping tiles are averaged by their weights.

    tiles: (..., h, w) each, as `cut_tiles` returns them. size: (H, W), all of it covered.
    weights: (h, w), all > 0, from `feather`.
    """
    import torch

    height, width = weights.shape
    weights = weights.to(tiles[0].device)
    total = torch.zeros(size, device=weights.device)
    image = torch.zeros(*tiles[0].shape[:-2], *size, device=weights.device)
    for (top, left), tile in zip(places, tiles, strict=True):
        image[..., top : top + height, left : left + width] += tile.float() * weights
        total[top : top + height, left : left + width] += weights
    return (image / total).to(tiles[0].dtype)
