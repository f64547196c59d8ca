"""A small network that says whether a label still fits, from the bands around its outline.

Source and picture are read along the outline (`bands`): the network sees both, where each edge lies
against the label, what is inside and outside, and what became of the picture's other instances.
Normalised by each picture's own contrast, so that light, haze and exposure count for little.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import nn
from torch.nn.functional import dropout, pad, relu

from sv2r.checks.bands import COLUMNS, REACH, Reading

if TYPE_CHECKING:
    from torch import Tensor

    from sv2r.checks.bands import Band

HINTS = 6  # numbers of the analytic method
STEPS = 7  # displacements tried along each axis
STEP = 2.5  # px from one to the next
DROPPED = 0.15  # share of values that are hidden from a layer in training
_FAINT = 3.0  # levels of 255: contrast below this is noise
PLANES = 12  # colours, edges and unevenness of both pictures, and what is known
TOLD = 14 + HINTS
KIN = 6  # distances of a row's two sides from what is inside, of both pictures
_TOKEN, _CONTEXT = 64, 24
_ALONG = 1, 2  # rows to either side that a layer along the outline sees


@dataclass(frozen=True)
class Seen:
    """All that the network is given of I instances of one or more pictures.

    source, picture: readings of the same bands. hints: (I, HINTS) of the analytic method, zeros
    where it has none. group: (I,) int64, which picture an instance is of, from 0.
    """

    source: Reading
    picture: Reading
    known: Tensor
    normal: Tensor
    neighbour: Tensor
    size: Tensor
    hints: Tensor
    group: Tensor


@dataclass(frozen=True)
class Facts:
    """What the layers are given: everything that is worked out without a weight.

    rows: (I, R / 2, PLANES, C), two rows of the band in one. laid: (I, 3 * STEPS²). inside:
    (I, PLACES, 12). told: (I, TOLD), numbers of the whole instance. group: as `Seen` has it.
    kin: (I, R / 2, KIN), how near the two sides of a row are to each other and to any place inside.
    """

    rows: Tensor
    kin: Tensor
    laid: Tensor
    inside: Tensor
    told: Tensor
    group: Tensor


@dataclass(frozen=True)
class Fit:
    """Logits (I,) that the label still fits; per row (I, R / 2), whether it is lost, and px.

    A row is two rows of the band. displacement: px along the outward normal, within REACH.
    """

    fits: Tensor
    lost: Tensor
    displacement: Tensor


def of_one_picture(source: Reading, picture: Reading, band: Band, hints: Tensor) -> Seen:
    """Return what the network is given of one picture's instances."""
    group = torch.zeros(len(band.ids), dtype=torch.int64, device=hints.device)
    parts = band.known, band.normal, band.neighbour, band.size
    return Seen(source, picture, *parts, hints, group)


def facts_of(seen: Seen) -> Facts:
    """Return what the layers are given; differentiable, and without a weight."""
    source, picture = (_Even(reading, seen.known) for reading in (seen.source, seen.picture))
    known = _by_two(seen.known, 1).mean(2)
    neighbour = _by_two(seen.neighbour, 1).mean(2)[..., None].expand_as(known)
    planes = [
        *(plane for one in (source, picture) for plane in one.levels.unbind(1)),
        *(plane for one in (source, picture) for plane in (one.slope, one.spread)),
        known,
        neighbour,
    ]
    inside = [
        part for one in (source, picture) for part in (one.inside, one.inside - one.outer[:, None])
    ]
    ends = [source.faint, picture.faint, source.drop(), picture.drop()]
    told = torch.cat([torch.stack(ends, 1), _told(source, picture, seen)], 1)
    laid = _laid(source, picture, seen)
    kin = torch.cat([one.kin(known) for one in (source, picture)], 2)
    return Facts(torch.stack(planes, 2), kin, laid, torch.cat(inside, 2), told, seen.group)


def contrast_of(facts: Facts) -> Tensor:
    """Return (I,): the step from inside to outside against the source's."""
    ratio, before, after = (facts.told[:, place] for place in (6, 9, 10))
    return ratio.exp() * after / before.clamp(min=1e-3)


class FitNet(nn.Module):
    """A layer across the band, two along the outline, then over the instance and its picture."""

    def __init__(self) -> None:
        super().__init__()
        self.across = nn.Linear(PLANES * COLUMNS, 96)
        self.kin = nn.Linear(KIN, 96, bias=False)
        self.token = nn.Linear(96, _TOKEN)
        self.along = nn.ModuleList(nn.Conv1d(_TOKEN, _TOKEN, 2 * by + 1) for by in _ALONG)
        self.laid = nn.Linear(3 * STEPS**2, 32)
        self.inner = nn.Linear(12, 24)
        self.facts = nn.Linear(TOLD, 48)
        self.joined = nn.Linear(4 * _TOKEN + 32 + 48 + 48, 96)
        self.context = nn.Linear(96, _CONTEXT)
        self.inform = nn.Linear(2 * _CONTEXT + 96, 48)
        self.row = nn.Linear(_TOKEN, 48)
        self.row_out = nn.Linear(48, 2)
        self.last = nn.Linear(96 + 2 * _CONTEXT + 6, 64)
        self.out = nn.Linear(64, 1)

    def forward(self, seen: Seen) -> Fit:
        """Return what became of each instance."""
        return self.judge(facts_of(seen))

    def judge(self, facts: Facts) -> Fit:
        """Return what became of each instance, from what was worked out already."""
        seen = self.across(facts.rows.flatten(2)) + self.kin(facts.kin)
        across = dropout(relu(seen), DROPPED, self.training)
        tokens = relu(self.token(across)).transpose(1, 2)
        for layer, by in zip(self.along, _ALONG, strict=True):
            tokens = tokens + relu(layer(_circular(tokens, by)))
        inside = relu(self.inner(facts.inside))
        parts = [
            tokens.mean(2),
            tokens.amax(2),
            tokens.amin(2),
            _worst(tokens),
            relu(self.laid(facts.laid)),
            inside.mean(1),
            inside.amax(1),
            relu(self.facts(facts.told)),
        ]
        joined = relu(self.joined(dropout(torch.cat(parts, 1), DROPPED, self.training)))
        around = _over_group(relu(self.context(joined)), facts.group)
        known = self.inform(torch.cat([joined, around], 1))[:, None]
        rows = self.row_out(relu(self.row(tokens.transpose(1, 2)) + known))
        lost, displacement = rows[..., 0], REACH * torch.tanh(rows[..., 1] / REACH)
        ends = torch.cat([joined, around, _ends(lost), _ends(displacement.abs())], 1)
        return Fit(self.out(relu(self.last(ends)))[:, 0], lost, displacement)


class _Even:
    """A reading with its mean taken off, divided by its own contrast."""

    def __init__(self, reading: Reading, known: Tensor) -> None:
        reading, known = _two_by_two(reading, known)
        mask = known[:, None]
        total = known.sum((1, 2)).clamp(min=1e-3)
        mean = (reading.levels * mask).sum((2, 3)) / total[:, None]
        away = (reading.levels - mean[:, :, None, None]) * (mask > 0)
        self.contrast = ((away.square() * mask).sum((1, 2, 3)) / (3 * total) + 1e-3).sqrt()
        scale = (self.contrast + _FAINT)[:, None, None]
        self.levels = away / scale[:, None]
        self.spread = reading.spread / scale
        self.inside = ((reading.inside - mean[:, None]) / scale).clamp(-4, 4)
        self.slope = self._slope(known)
        outside = mask * _side(known, 1)
        self.outer = (self.levels * outside).sum((2, 3)) / outside.sum((2, 3)).clamp(min=1e-3)
        self.sides = self._sides(known)
        self.faint = (self.contrast / 20).log()

    def drop(self) -> Tensor:
        """Return (I,): the edge at the outline against the edges around it, as a logarithm."""
        near = self.slope[:, :, REACH - 1 : REACH + 2].amax(2).mean(1)
        return ((near + 0.02) / (self.slope.mean((1, 2)) + 0.02)).log()

    def kin(self, known: Tensor) -> Tensor:
        """Return (I, R / 2, 3): from inner to outer side, and from either to the likest inside.

        Where a handle is gone, its inner side is like the ground and like no place of the mug.
        """
        inner, outer = self._beside(known, -1), self._beside(known, 1)
        apart = ((inner - outer).square().sum(2) + 1e-4).sqrt()
        likest = [
            ((side[:, :, None] - self.inside[:, None]).square().sum(3) + 1e-4).sqrt().amin(2)
            for side in (inner, outer)
        ]
        return torch.stack([apart, *likest], 2).clamp(max=4)

    def _beside(self, known: Tensor, side: int) -> Tensor:
        """Return (I, R / 2, 3): the mean levels 1 to 3 px outside (1) or inside (-1)."""
        first = REACH + 1 if side > 0 else REACH - 3
        near = slice(first, first + 3)
        weight = known[:, :, near] + 1e-3
        mean = (self.levels[..., near] * weight[:, None]).sum(3) / weight.sum(2)[:, None]
        return mean.transpose(1, 2)

    def _slope(self, known: Tensor) -> Tensor:
        both = known[:, :, 2:] * known[:, :, :-2] > 0
        across = (self.levels[..., 2:] - self.levels[..., :-2]).square().sum(1)
        return pad(((across + 1e-6).sqrt() - 1e-3) * both, (1, 1))

    def _sides(self, known: Tensor) -> Tensor:
        """Return (I,): the step from inside to outside over the contrast, by rows."""
        inner, outer = (
            (self.levels * (known * _side(known, side))[:, None]).sum(3)
            / (known * _side(known, side)).sum(2).clamp(min=1e-3)[:, None]
            for side in (-1, 1)
        )
        # A norm whose gradient at 0 is 0, not NaN: gradients flow through here in training.
        steps: Tensor = torch.linalg.vector_norm(inner - outer, dim=1)
        return steps.mean(1)


def _two_by_two(reading: Reading, known: Tensor) -> tuple[Reading, Tensor]:
    """Return a reading of half the rows, and how much of each is known."""
    pairs = _by_two(known, 1)
    share = pairs / pairs.sum(2, keepdim=True).clamp(min=1e-3)
    levels = (_by_two(reading.levels, 2) * share[:, None]).sum(3)
    spread = (_by_two(reading.spread, 1) * share).sum(2)
    return Reading(levels, spread, reading.inside), pairs.mean(2)


def _by_two(rows: Tensor, axis: int) -> Tensor:
    """Return rows with an axis of pairs after that of the rows."""
    shape = list(rows.shape)
    return rows.reshape(*shape[:axis], -1, 2, *shape[axis + 1 :])


def _side(known: Tensor, side: int) -> Tensor:
    """Return (C,): 1 on the columns from 2 to 6 px outside (1) or inside (-1)."""
    columns = torch.arange(-REACH, REACH + 1, device=known.device) * side
    return ((columns >= 2) & (columns <= 6)).to(known.dtype)


def _circular(tokens: Tensor, by: int) -> Tensor:
    return torch.cat([tokens[:, :, -by:], tokens, tokens[:, :, :by]], 2)


def _worst(tokens: Tensor) -> Tensor:
    """Return (I, _TOKEN): the mean over the quarter of the rows that are highest."""
    return tokens.topk(max(1, tokens.shape[2] // 4), 2).values.mean(2)


def _ends(rows: Tensor) -> Tensor:
    """Return (I, 3): the mean, the worst eighth, and the worst third of rows."""
    ordered = rows.sort(1, descending=True).values
    count = rows.shape[1]
    return torch.stack([ordered.mean(1), *(ordered[:, : count // k].mean(1) for k in (8, 3))], 1)


def _laid(source: _Even, picture: _Even, seen: Seen) -> Tensor:
    """Return (I, 3 * STEPS²): the whole outline laid at displacements, in source and picture.

    A displacement moves a row by its part along the row's normal. The third time, rows count by
    how clear their edge is in the source.
    """
    steps = (torch.arange(STEPS, device=seen.known.device) - STEPS // 2) * STEP
    tried = torch.cartesian_prod(steps, steps)
    normal = _by_two(seen.normal, 1).mean(2)
    column = REACH + normal @ tried.T.to(seen.normal.dtype)
    within = (column >= 0) & (column <= COLUMNS - 1)
    column = column.clamp(0, COLUMNS - 1.001)
    low = column.long()
    part = column - low
    clear = source.slope[:, :, REACH - 1 : REACH + 2].amax(2, keepdim=True)
    found = []
    for slope, weight in (
        (source.slope, within.float()),
        (picture.slope, within.float()),
        (picture.slope, within * clear),
    ):
        at = slope.gather(2, low) * (1 - part) + slope.gather(2, low + 1) * part
        mean = (at * weight).sum(1) / weight.sum(1).clamp(min=1e-3)
        found.append(mean / (mean.mean(1, keepdim=True) + 0.02))
    return torch.cat(found, 1)


def _told(source: _Even, picture: _Even, seen: Seen) -> Tensor:
    ratio = picture.faint - source.faint
    common = _over_group(ratio[:, None], seen.group)
    facts = [
        *(seen.size.clamp(min=1).log() / 4 - 1).T,
        ratio,
        ratio - common[:, 0],
        ratio - common[:, 1],
        source.sides,
        picture.sides,
        seen.known.mean((1, 2)),
        source.spread.mean((1, 2)),
        picture.spread.mean((1, 2)),
    ]
    return torch.cat([torch.stack(facts, 1), seen.hints], 1)


def _over_group(values: Tensor, group: Tensor) -> Tensor:
    """Return (I, 2 * K): mean and largest of (I, K) values over each one's picture."""
    count = int(group.max()) + 1
    index = group[:, None].expand_as(values)
    empty = values.new_zeros(count, values.shape[1])
    mean = empty.scatter_reduce(0, index, values, "mean", include_self=False)
    most = empty.scatter_reduce(0, index, values, "amax", include_self=False)
    return torch.cat([mean, most], 1)[group]
