"""Where something stands alone: a patch that differs from its surroundings on every side.

Planks, table edges and stripes have their own colour along at least one direction; a shadow is its
surroundings darkened, whatever its shape. An object on a table is neither: on all sides of it there
is another colour. Centre against surround, at several scales, in the manner of Itti, Koch & Niebur
(1998), but by the least differing side instead of the mean of all.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sv2r.checks.edges import dilated, pooled

if TYPE_CHECKING:
    from torch import Tensor

STEPS = (2, 3, 4, 6, 9)  # px of the half-size picture: patches are two steps wide, one step apart
APART = 3  # steps from the middle of a patch to the middle of one next to it
AROUND = ((0, 1), (1, 1), (1, 0), (1, -1), (0, -1), (-1, -1), (-1, 0), (-1, 1))
KNOWN = 0.6  # share of a patch that must be known, and how many of the patches around it
ENOUGH = 5
BRIGHTER, DARKER = 1.1, 0.3  # a patch between these times its neighbour may be lit otherwise
SOURCE = 1.5  # times how far a place stood out in the source already: so much is explained
USUAL, FLOOR = 1.5, 8.0  # times what four fifths of the places have, and levels: as much is nothing


def standing_out(source: Tensor, picture: Tensor, known: Tensor, edges: Tensor) -> Tensor:
    """Return (h, w): how far each place stands out that did not in the source, 0 and more.

    source, picture: (3, h, w) float32 levels. known: (h, w), 1 where the ground is, else 0.
    edges: (h, w), what a place counts for: the greatest within the side of a patch around it.
    """
    import torch
    from torch.nn.functional import interpolate

    height, width = known.shape
    found = torch.zeros_like(known)
    for step in (step for step in STEPS if 8 * step <= min(height, width)):
        share = _patches(known[None], step)[0]
        was, now = (_least_difference(one * known, share, step) for one in (source, picture))
        new = (now - SOURCE * dilated(was, 2)).clamp(min=0)
        some = now[now > 0]
        usual = float(torch.quantile(some, 0.8)) if len(some) else 0.0
        level = new / (USUAL * usual + FLOOR) * _greatest(edges, step)
        wide = interpolate(level[None, None], (height, width), mode="nearest")[0, 0]
        found = found.maximum(wide)
    return found


def _patches(planes: Tensor, step: int) -> Tensor:
    """Return the means of (C, h, w) planes over patches, two steps wide and one step apart."""
    small = pooled(planes, step)
    tall = small[:, 1:] + small[:, :-1]
    return (tall[..., 1:] + tall[..., :-1]) / 4


def _greatest(edges: Tensor, step: int) -> Tensor:
    """Return the greatest value within a patch's side of every patch of a grid."""
    from torch.nn.functional import max_pool2d

    return max_pool2d(max_pool2d(edges[None, None], step), 6, 1, 2)[0, 0]


def _least_difference(image: Tensor, share: Tensor, step: int) -> Tensor:
    """Return for a grid of patches how much each differs from the likest beside it (levels).

    image: (3, h, w) levels, 0 where they are not known. share: of each patch that is known.
    """
    import torch
    from torch.nn.functional import pad

    colour = _patches(image, step) / share.clamp(min=1e-3)
    usable = share > KNOWN
    wide = pad(colour[None], [APART] * 4)[0]
    there = pad(usable[None].float(), [APART] * 4)[0] > 0
    rows, columns = usable.shape
    least = torch.full_like(share, torch.inf)
    count = torch.zeros_like(share)
    for down, across in AROUND:
        far = APART if down * across == 0 else APART - 1
        y, x = APART + down * far, APART + across * far
        beside = wide[:, y : y + rows, x : x + columns]
        both = usable & there[y : y + rows, x : x + columns]
        least = least.minimum(torch.where(both, _difference(colour, beside), torch.inf))
        count += both
    return torch.where(count >= ENOUGH, least, torch.zeros(()).to(least))


def _difference(one: Tensor, other: Tensor) -> Tensor:
    """Return (h, w) levels between (3, h, w) colours, apart from other being lit otherwise."""
    square = (other * other).sum(0)
    times = (one * other).sum(0) / (square + 100)
    hue = ((one - times * other) ** 2).sum(0)
    light = ((times - BRIGHTER).clamp(min=0) + (DARKER - times).clamp(min=0)) ** 2 * square
    return (hue + light).sqrt()
