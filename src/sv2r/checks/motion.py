"""How a picture lies on its source: one translation, zoom and turn, and what is left on tiles.

Edges are correlated, not colours: fields of doubled edge angles (`edges.orientation`), the whole
picture first and coarsely, then tile by tile and finely, all through the Fourier transform. It is
phase correlation (Kuglin & Hines 1975) on gradients (Argyriou & Vlachos 2003), without whitening.
A parabola through the top of a correlation gives fractions of a pixel, its bend says in which
direction a tile can tell anything at all (a straight edge tells nothing along itself); tiles that
disagree lose their say in the fit (iteratively reweighted least squares, Geman-McClure weights).

What is found that way is a proposal. It is claimed only where the picture itself speaks for it
against no displacement (`evidence`): first along the labels' outlines, and where the whole
picture's edges propose something that the outlines deny, the outlines' own edges propose instead.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from sv2r.checks.edges import dilated, orientation, pooled
from sv2r.checks.evidence import SECTIONS, Evidence, Outlines, of_edges
from sv2r.checks.tiles import (
    Tiles,
    coarse_motion,
    design_of,
    find_tiles,
    fitted,
    misfit_of,
    scaled,
)

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import Tensor

    Floats = NDArray[np.floating]

WORKING_SIDE = 768  # px: larger pictures are measured on averages of 2 x 2, 3 x 3 ... pixels
TILE = 64  # px at the working size
PASSES = ((2, 32, 10, 3.0), (1, TILE, 4, 1.0))  # pooling, tile, search (px), tolerance (px)
REFINED = (1, TILE, 3, 0.5)
FAINT = 0.02  # mean squared edge length of a tile that has nothing to show
SURE = 0.5  # a tile's correlation coefficient from which its displacement is believed
DOUBTED = 0.2  # px: a displacement that is larger has to be spoken for
BY_OUTLINES = 2.5  # standard errors from which the labels' outlines are believed ...
BY_EDGES, LEAST_GAIN = 5.0, 0.15  # ... and the source's own edges, and how much more they show
NEAR_OUTLINE = 3  # px around the labels' outlines whose edges make the second proposal


@dataclass(frozen=True)
class Motion:
    """How a picture lies on its source. Displacements are in px, down and to the right.

    dx, dy: at the picture's centre. zoom: 1.02 where it is 2 % larger. turn: degrees, clockwise.
    shift: the largest displacement that these four give anywhere in the picture.
    sure: standard errors by which the picture speaks for that displacement against none. 0 where
        nothing is claimed: then the five above say no displacement.
    agreement: correlation of the edges once they lie on each other, about 0 where the picture
        shows something else, 1 where it is the source.
    tiles: (rows, columns, 2) displacement (dx, dy) of each tile, NaN where it has no structure or
        none that is found again.
    local: the largest displacement of a tile against the whole, counted along what it can tell.
    """

    dx: float
    dy: float
    zoom: float
    turn: float
    shift: float
    sure: float
    agreement: float
    tiles: NDArray[np.float32]
    local: float


def motion(
    source: Tensor, picture: Tensor, labels: NDArray[np.integer] | None = None
) -> Motion | None:
    """Return how a picture lies on its source, or None where the source has no edges to go by.

    source, picture: (3, H, W) float32 levels under a Gaussian of 1 px (`edges.smoothed`).
    labels: (H, W), 0 = background; left out, only edges are asked.
    """
    factor = -(-max(source.shape[-2:]) // WORKING_SIDE)
    before, after = (orientation(pooled(image, factor)) for image in (source, picture))
    if min(before.shape[-2:]) < 16 or float((before**2).sum(0).mean()) < 1e-4:
        return None
    size = source.shape[-2], source.shape[-1]
    proposed, tiles = _estimated(before, after)
    if _reach(scaled(proposed, factor), size) <= DOUBTED:
        return _described(proposed, tiles, factor, size, 0.0)
    outlines = None if labels is None else Outlines(source, picture, labels)
    if sure := _certainty(outlines, (before, after), proposed, factor, size):
        return _described(proposed, tiles, factor, size, sure)
    if labels is not None and outlines is not None and not outlines.lie_still:
        near = before * _near_outlines(labels, before, factor)
        proposed, tiles = _estimated(near, after)
        if sure := _certainty(outlines, (before, after), proposed, factor, size):
            return _described(proposed, tiles, factor, size, sure)
    still = np.zeros(4)
    tiles = find_tiles(before, after, still, *PASSES[-1][:3])
    return _described(still, tiles, factor, size, 0.0)


def _estimated(before: Tensor, after: Tensor) -> tuple[Floats, Tiles]:
    guess = np.append(coarse_motion(before, after), [0.0, 0.0])
    for pooling, tile, search, tolerance in PASSES:
        found = find_tiles(before, after, guess, pooling, tile, search)
        guess = fitted(found, scaled(guess, 1 / pooling), tolerance / pooling)
        guess = scaled(guess, pooling)
    height, width = before.shape[-2:]
    if _reach(guess, (height, width)) > 1:
        found = find_tiles(before, after, guess, *REFINED[:3])
        guess = fitted(found, guess, REFINED[3])
    return guess, found


def _near_outlines(labels: NDArray[np.integer], like: Tensor, factor: int) -> Tensor:
    """Return (h, w): 1 near the labels' outlines, else 0, in working px."""
    import torch

    edge = np.zeros(labels.shape, np.float32)
    edge[1:] = labels[1:] != labels[:-1]
    edge[:, 1:] = np.maximum(edge[:, 1:], labels[:, 1:] != labels[:, :-1])
    near = pooled(torch.from_numpy(edge)[None].to(like.device), factor)[0]
    return (dilated(near, NEAR_OUTLINE) > 0).to(like.dtype)


def _certainty(
    outlines: Outlines | None,
    fields: tuple[Tensor, Tensor],
    motion_: Floats,
    factor: int,
    size: tuple[int, int],
) -> float:
    """Return the standard errors that speak for a motion in working px, 0 where too few do."""
    moved = scaled(motion_, factor)

    def by(y: Floats, x: Floats) -> Floats:
        displaced: Floats = design_of(y, x, *size) @ moved
        return displaced

    if outlines and (told := outlines.speak_for(by)).parts >= SECTIONS:
        return _if_believed(told, BY_OUTLINES, 0.0)
    told = of_edges(*fields, lambda y, x: by(y * factor, x * factor) / factor)
    return _if_believed(told, BY_EDGES, LEAST_GAIN)


def _if_believed(told: Evidence, sure: float, gain: float) -> float:
    return told.sure if told.sure >= sure and told.gain >= gain else 0.0


def _described(
    motion_: Floats, tiles: Tiles, factor: int, size: tuple[int, int], certainty: float
) -> Motion:
    sure = (tiles.coefficient > SURE) & (tiles.strength > FAINT)
    shown = np.where(sure[:, None], tiles.found, np.nan)[:, ::-1] * factor
    trusted = tiles.strength * (tiles.strength > FAINT)
    agreement = (tiles.coefficient * trusted).sum() / max(trusted.sum(), 1e-9)
    local = np.sqrt(misfit_of(tiles, motion_))[sure].max(initial=0.0) * factor
    moved = scaled(motion_, factor)
    return Motion(
        dx=float(moved[1]),
        dy=float(moved[0]),
        zoom=float(1 + moved[2]),
        turn=float(-math.degrees(moved[3])),
        shift=_reach(moved, size),
        sure=certainty,
        agreement=float(agreement),
        tiles=shown.reshape(*tiles.grid, 2).astype(np.float32),
        local=float(local),
    )


def _reach(motion_: Floats, size: tuple[int, int]) -> float:
    """Return the largest displacement in a picture: it is found in a corner."""
    height, width = size
    y, x = np.array([0, 0, height - 1, height - 1.0]), np.array([0, width - 1, 0, width - 1.0])
    moved = design_of(y, x, height, width) @ motion_
    return float(np.sqrt((moved**2).sum(-1)).max())
