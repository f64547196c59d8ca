"""What became of every instance's boundary: still there, moved, or gone.

Along each normal of the labels' contours, both pictures are read as profiles. Profiles are averaged
over short sections of a contour with their sign, colour by colour: an edge that follows the contour
adds up, texture and noise do not. What is compared is how far the edge at the contour stands out of
the band around it, in the picture and in its source.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from sv2r.checks.contours import Contours, trace

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray
    from torch import Tensor

    Floats = NDArray[np.floating]

REACH = 10  # px that a profile extends to either side
LAGS = 8  # px that a boundary is looked for to either side
WIDTH = 1.5  # px, sigma of the window on the source's own edge
POOL = 10.0  # px, sigma of the pool of sections that are judged together
EXPECTED = 0.25  # share of the source's edges below which the picture's count for less
FAINT = 1.0  # level/px: below this a whole band is as good as flat
LEAST_STEP = 4.0  # levels of 255 across a boundary that begins to be visible ...
CLEAR_STEP = 12.0  # ... and one that is clearly so
LEAST_PEAK, CLEAR_PEAK = 0.2, 0.5  # the same for how far an edge stands out of its band
WORST = 0.2  # share of a boundary that counts as much as all of it: a dent is damage too
HALVING = 3.0  # px that a boundary moves to halve its survival, however clear it is
NEAR, FAR = 1, 4  # px: what counts as at the contour, and what as the band around it


@dataclass(frozen=True, slots=True)
class Boundary:
    """What became of one instance's boundary.

    survival: 0 (gone) to 1 (as visible, and where, it was in the source); None where the source
        itself did not show enough of it to say.
    offset: px that it moved along its outward normal on the whole: positive where it grew.
    moved: px that it moved either way.
    contrast: the difference between inside and outside against the source's, at most 1.
    visible: share of the contour that could be seen in the source.
    """

    survival: float | None
    offset: float
    moved: float
    contrast: float
    visible: float


def boundaries(
    source: Tensor,
    picture: Tensor,
    labels: NDArray[np.integer],
    *,
    min_length: float = 20.0,
    min_visible: float = 0.2,
) -> dict[int, Boundary]:
    """Return what became of every instance that has a boundary inside the picture.

    source, picture: (3, H, W) float32 levels under a Gaussian of 1 px (`edges.smoothed`), on any
        device. labels: (H, W), 0 = background.
    min_length, min_visible: px and share of a contour that must be visible in the source.
    """
    contours = trace(labels, REACH)
    if not len(contours.starts):
        return {}
    before, after = (_section_profiles(image, contours) for image in (source, picture))
    sections = _compare(contours, before, after)
    return {
        int(contours.owner[rows.start]): _judge(contours, sections, rows, min_length, min_visible)
        for rows in _owners(contours)
    }


@dataclass(frozen=True)
class _Sections:
    """Per section: matched edges at each lag before and after, what fell on labels, and weights."""

    before: Floats
    after: Floats
    known: Floats
    weight: Floats
    step_before: Floats
    step_after: Floats
    y: Floats
    x: Floats


def _section_profiles(image: Tensor, contours: Contours) -> Floats:
    """Return (K, S, 3): the mean signed derivative along the normal, per section and channel."""
    profile = np.diff(_sampled(image, contours), axis=1)
    profile *= contours.inside[..., None]
    total = np.add.reduceat(profile, contours.starts, axis=0)
    count = np.add.reduceat(contours.inside.astype(np.float32), contours.starts, axis=0)
    mean: Floats = total / np.maximum(count, 1)[..., None]
    return mean


def _sampled(image: Tensor, contours: Contours) -> Floats:
    """Return (N, S + 1, 3): levels along every normal, half a px before and after each offset."""
    import torch
    from torch.nn.functional import grid_sample

    height, width = image.shape[-2:]
    halves = np.append(contours.offsets - 0.5, contours.offsets[-1] + 0.5)
    y = contours.y[:, None] + contours.ny[:, None] * halves
    x = contours.x[:, None] + contours.nx[:, None] * halves
    points = np.stack([2 * x / max(width - 1, 1) - 1, 2 * y / max(height - 1, 1) - 1], -1)
    where = torch.from_numpy(points.astype(np.float32)).to(image.device)
    found = grid_sample(
        image[None], where[None], mode="bilinear", padding_mode="border", align_corners=True
    )
    sampled: Floats = found[0].permute(1, 2, 0).cpu().numpy()
    return sampled


def _compare(contours: Contours, before: Floats, after: Floats) -> _Sections:
    inside = np.add.reduceat(contours.inside.astype(np.float32), contours.starts, axis=0)
    known = (inside > 0.5 * contours.counts[:, None]).astype(np.float32)
    strength = [np.sqrt((profile**2).sum(-1)) * known for profile in (before, after)]
    window = strength[0] * np.exp(-0.5 * (contours.offsets / WIDTH) ** 2)
    window /= window.sum(1, keepdims=True) + 1e-6
    bands = [_band(s, known) for s in strength]
    expected = _gain(strength, contours) * bands[0]
    scales = [(1 + EXPECTED) * bands[0], bands[1] + EXPECTED * expected]
    matched = [
        _matched(window, s) / (scale + FAINT / 2)[:, None]
        for s, scale in zip(strength, scales, strict=True)
    ]
    middle = slice(REACH - 2, REACH + 3)
    steps = [np.sqrt((profile[:, middle].sum(1) ** 2).sum(-1)) for profile in (before, after)]
    peak = strength[0][:, middle].max(1) * np.sqrt(2 * np.pi)
    weight = contours.counts * _ramp(peak, LEAST_STEP, CLEAR_STEP)
    at = [np.add.reduceat(a, contours.starts) / contours.counts for a in (contours.y, contours.x)]
    return _Sections(
        before=matched[0],
        after=matched[1],
        known=_matched(window, known),
        weight=weight,
        step_before=steps[0],
        step_after=steps[1],
        y=at[0],
        x=at[1],
    )


def _matched(window: Floats, strength: Floats) -> Floats:
    """Return (K, 2 * LAGS + 1): the window laid over a profile at each lag."""
    wide = np.pad(strength, ((0, 0), (LAGS, LAGS)))
    views = np.lib.stride_tricks.sliding_window_view(wide, strength.shape[1], axis=1)
    laid: Floats = np.einsum("ks,kls->kl", window, views)
    return laid


def _band(strength: Floats, known: Floats) -> Floats:
    mean: Floats = np.sqrt((strength**2).sum(1) / np.maximum(known.sum(1), 1))
    return mean


def _gain(strength: list[Floats], contours: Contours) -> float:
    """Return how much weaker boundaries are on the whole, at most 1: fog is no damage."""
    middle = slice(REACH - NEAR, REACH + NEAR + 1)
    before, after = (s[:, middle].max(1) for s in strength)
    clear = before * np.sqrt(2 * np.pi) > CLEAR_STEP
    if contours.counts[clear].sum() < 20:
        return 1.0
    return float(np.clip(np.median(after[clear] / before[clear]), 0.1, 1.0))


def _owners(contours: Contours) -> Iterator[slice]:
    first = np.flatnonzero(np.diff(contours.owner, prepend=-1))
    for start, end in zip(first, np.append(first[1:], len(contours.owner)), strict=True):
        yield slice(int(start), int(end))


def _judge(
    contours: Contours, sections: _Sections, rows: slice, min_length: float, min_visible: float
) -> Boundary:
    near = _nearness(sections, contours, rows)
    before, after, known = (
        near @ part[rows] for part in (sections.before, sections.after, sections.known)
    )
    was, still = _prominence(before, known, 0), _prominence(after, known, NEAR)
    weight = sections.weight[rows] * _ramp(was, LEAST_PEAK, CLEAR_PEAK)
    total, whole = float(weight.sum()), float(contours.counts[rows].sum())
    visible = total / whole
    if total * contours.length < min_length or visible < min_visible:
        return Boundary(None, 0.0, 0.0, 0.0, visible)
    kept = np.clip(still / np.maximum(was, LEAST_PEAK), 0, 1)
    lag = _strongest(after / np.maximum(known, 1e-3)) - _strongest(before / np.maximum(known, 1e-3))
    offset, moved = float(lag @ weight) / total, float(np.abs(lag) @ weight) / total
    contrast = (sections.step_after[rows] @ weight) / (sections.step_before[rows] @ weight + 1e-3)
    shown = 0.5 * float(kept @ weight) / total + 0.5 * _worst(kept, weight, WORST)
    survival = shown / (1 + (moved / HALVING) ** 2)
    return Boundary(survival, offset, moved, min(1.0, float(contrast)), visible)


def _nearness(sections: _Sections, contours: Contours, rows: slice) -> Floats:
    """Return (k, k) weights of an instance's sections for each other: near, same neighbour."""
    y, x, side = sections.y[rows], sections.x[rows], contours.neighbour[rows]
    apart = (y[:, None] - y) ** 2 + (x[:, None] - x) ** 2
    near = np.exp(-apart / (2 * POOL**2)) * (side[:, None] == side)
    weighted: Floats = near * (sections.weight[rows] + 1e-3)
    return weighted / weighted.sum(1, keepdims=True)


def _prominence(matched: Floats, known: Floats, tolerance: int) -> Floats:
    """Return how far the edge at the contour stands out of the band around it, up to 1."""
    away = np.abs(np.arange(-LAGS, LAGS + 1))
    mean = matched / np.maximum(known, 1e-3)
    peak = mean[:, away <= tolerance].max(1)
    band = matched[:, away >= FAR].sum(1) / np.maximum(known[:, away >= FAR].sum(1), 1e-3)
    prominence: Floats = (peak - band) / (peak + band + FAINT)
    return prominence


def _strongest(mean: Floats) -> Floats:
    """Return the lag of the strongest edge, to a fraction of a px by a parabola through its top."""
    best = np.clip(mean.argmax(1), 1, 2 * LAGS - 1)
    rows = np.arange(len(mean))
    left, top, right = (mean[rows, best + step] for step in (-1, 0, 1))
    bend = np.minimum(left + right - 2 * top, -1e-6)
    lag: Floats = best - LAGS + np.clip((left - right) / (2 * bend), -0.5, 0.5)
    return lag


def _worst(values: Floats, weight: Floats, share: float) -> float:
    """Return the weighted mean of the lowest values that make up a share of the weight."""
    order = np.argsort(values)
    values, weight = values[order], weight[order] / weight.sum()
    before = np.cumsum(weight) - weight
    part = np.minimum(weight, np.maximum(share - before, 0))
    return float((values * part).sum() / part.sum())


def _ramp(values: Floats, low: float, high: float) -> Floats:
    ramp: Floats = np.clip((values - low) / (high - low), 0, 1)
    return ramp
