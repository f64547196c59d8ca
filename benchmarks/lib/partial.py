"""Damage to labelled pictures together with the labels that would be right after it.

Other than `damage`, whose truth is which instances are wrong: here it is a label map, and what
became of every instance, and of every stretch of its outline, is read off it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING

import numpy as np

from benchmarks.lib.damage import Damage, Damaged, neighbours, pick
from benchmarks.lib.pixels import filled, grid, grown, resized, rims, sample, smooth
from benchmarks.lib.scenes import Picture, outline, surface, to_uint8

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Pixels = NDArray[np.uint8]
    Labels = NDArray[np.int32]
    Floats = NDArray[np.floating]
    Mask = NDArray[np.bool_]


LEAST_IOU = 0.9  # of an instance whose label still fits
MOST_LOST = 0.08  # share of its outline: a handle of a mug is more


@dataclass(frozen=True)
class Changed:
    """A picture, the labels that are right for it, and ids that lost all of their outline.

    doubtful: ids of which neither can be said. hurt: ids that do not fit, whatever the map says.
    """

    image: Pixels
    after: Labels
    gone: frozenset[int] = frozenset()
    doubtful: frozenset[int] = frozenset()
    hurt: frozenset[int] = frozenset()
    about: int | None = None


Change = Callable[[np.random.Generator, Picture, Picture], "Changed | None"]


def halved(rng: np.random.Generator, picture: Picture, guest: Picture) -> Changed | None:
    """Return the picture with a fifth to four fifths of one instance erased."""
    target = pick(rng, picture)
    if target is None:
        return None
    whole = picture.labels == target
    y, x = grid(whole.shape)
    angle = rng.uniform(0, 2 * np.pi)
    along = y * np.sin(angle) + x * np.cos(angle)
    cut = np.quantile(along[whole], rng.uniform(0.2, 0.8))
    return _without(rng, picture, target, whole & (along > cut))


def parted(rng: np.random.Generator, picture: Picture, guest: Picture) -> Changed | None:
    """Return the picture without a thin part of one instance, or without a piece of its rim."""
    target = pick(rng, picture)
    if target is None:
        return None
    whole = picture.labels == target
    lost = _thin_part(rng, whole)
    if lost is None:
        rim = np.argwhere(rims(whole))
        middle = rim[rng.integers(len(rim))]
        radius = np.sqrt(whole.sum() / np.pi) * rng.uniform(0.35, 0.8)
        y, x = grid(whole.shape)
        lost = whole & (np.hypot(y - middle[0], x - middle[1]) < radius)
    return _without(rng, picture, target, lost)


def erased(rng: np.random.Generator, picture: Picture, guest: Picture) -> Changed | None:
    """Return the picture without one instance."""
    target = pick(rng, picture)
    return None if target is None else _without(rng, picture, target, picture.labels == target)


def disguised(rng: np.random.Generator, picture: Picture, guest: Picture) -> Changed | None:
    """Return the picture with one instance in the colours of what is around it."""
    target = pick(rng, picture)
    if target is None:
        return None
    mask = picture.labels == target
    ring = grown(mask, 8) & ~grown(mask, 1) & _free(picture, target)
    if ring.sum() < 30:
        return None
    image = picture.image.astype(np.float32)
    ground = filled(rng, picture.image, mask, ring)
    inside = image[mask]
    flat = smooth(ground, 3.0)[mask]
    kept = (inside - inside.mean(0)) / (inside.std() + 6) * min(12.0, float(image[ring].std()))
    image[mask] = flat + rng.uniform(0.2, 0.8) * kept
    soft = image + smooth(mask[..., None].astype(np.float32), 1.0) * (smooth(image, 0.8) - image)
    return Changed(to_uint8(soft), picture.labels, frozenset({target}), about=target)


def see_through(rng: np.random.Generator, picture: Picture, guest: Picture) -> Changed | None:
    """Return the picture with one instance 40 to 65 % see-through."""
    target = pick(rng, picture)
    if target is None:
        return None
    mask = grown(picture.labels == target, 2) & _free(picture, target)
    known = grown(mask, 16) & ~mask & _free(picture, target)
    if known.sum() < 60:
        return None
    ground = filled(rng, picture.image, mask, known)
    image = picture.image + rng.uniform(0.4, 0.65) * (ground - picture.image)
    return Changed(to_uint8(image), picture.labels, frozenset({target}), about=target)


def covered(rng: np.random.Generator, picture: Picture, guest: Picture) -> Changed | None:
    """Return the picture with something before 15 to 80 % of one instance."""
    target = pick(rng, picture)
    if target is None:
        return None
    whole = picture.labels == target
    stamp = _stamp(rng, picture, guest, whole)
    if stamp is None:
        return None
    shape, pixels = stamp
    share = (shape & whole).sum() / whole.sum()
    ring = grown(shape, 4) & ~shape
    if (
        not 0.15 < share < 0.8
        or np.abs(pixels[shape].mean(0) - picture.image[ring].mean(0)).max() < 15
    ):
        return None
    alpha = smooth(shape[..., None].astype(np.float32), 0.7)
    image = picture.image + alpha * (pixels - picture.image)
    after = np.where(shape, 0, picture.labels).astype(np.int32)
    return Changed(to_uint8(image), after, about=target)


def patched(rng: np.random.Generator, picture: Picture, guest: Picture) -> Changed | None:
    """Return the picture with another's content over one instance and around it."""
    target = pick(rng, picture)
    if target is None or guest.image.shape != picture.image.shape:
        return None
    whole = picture.labels == target
    shape = grown(whole, int(rng.integers(3, 12)))
    by = rng.integers(-40, 41, 2)
    pixels = np.roll(guest.image, tuple(by.tolist()), (0, 1)).astype(np.float32)
    alpha = smooth(shape[..., None].astype(np.float32), float(rng.uniform(0.7, 3)))
    image = picture.image + alpha * (pixels - picture.image)
    after = np.where(shape, 0, picture.labels).astype(np.int32)
    return Changed(to_uint8(image), after, frozenset({target}), about=target)


def textured(rng: np.random.Generator, picture: Picture, guest: Picture) -> Changed | None:
    """Return the picture with the texture of a neighbour, or of the ground, over one instance."""
    target = pick(rng, picture)
    if target is None:
        return None
    whole = picture.labels == target
    others = [i for i in np.unique(picture.labels).tolist() if i != target]
    donor = picture.labels == int(rng.choice(others or [0]))
    if donor.sum() < 100:
        return None
    shape = grown(whole, 2) & _free(picture, target)
    image = filled(rng, picture.image, shape, donor)
    touching = bool((grown(whole, 2) & donor).any())
    gone = frozenset({target}) if touching else frozenset[int]()
    return Changed(to_uint8(image), picture.labels, gone, frozenset({target}) - gone, about=target)


def displaced(rng: np.random.Generator, picture: Picture, guest: Picture) -> Changed | None:
    """Return the picture with one instance moved, turned, or scaled, from a little to a lot."""
    target = pick(rng, picture)
    if target is None:
        return None
    mask = picture.labels == target
    radius, middle = np.sqrt(mask.sum() / np.pi), np.argwhere(mask).mean(0)
    y, x = grid(mask.shape)
    down, across = y - middle[0], x - middle[1]
    kind = rng.integers(4)
    if kind == 0:
        distance, angle = np.exp(rng.uniform(0, np.log(20))), rng.uniform(0, 2 * np.pi)
        dy, dx = (
            np.full_like(y, distance * np.sin(angle)),
            np.full_like(y, distance * np.cos(angle)),
        )
    elif kind == 1:
        angle = np.deg2rad(float(rng.choice([-1, 1]) * rng.uniform(8, 60)))
        dy = down - np.cos(angle) * down + np.sin(angle) * across
        dx = across - np.sin(angle) * down - np.cos(angle) * across
    elif kind == 2:
        factor = 1 + float(rng.choice([-1, 1]) * rng.uniform(0.04, 0.3))
        dy, dx = down * (1 - 1 / factor), across * (1 - 1 / factor)
    else:
        at, outward = _rim_point(rng, mask, middle)
        amount = rng.choice([-1, 1]) * rng.uniform(2.0, 9)
        width = max(8.0, rng.uniform(0.3, 0.7) * radius, 1.5 * abs(amount))
        bell = np.exp(-((y - at[0]) ** 2 + (x - at[1]) ** 2) / (2 * width**2)) * amount
        return _warped(picture, bell * outward[0], bell * outward[1], target)
    return _put_back(rng, picture, target, dy.astype(np.float32), dx.astype(np.float32))


def whole_moved(rng: np.random.Generator, picture: Picture, guest: Picture) -> Changed | None:
    """Return the whole picture moved, zoomed, or turned, from a little to a lot."""
    y, x = grid(picture.labels.shape)
    down, across = y - y.shape[0] / 2, x - x.shape[1] / 2
    kind = rng.integers(3)
    if kind == 0:
        distance, angle = np.exp(rng.uniform(-0.5, np.log(16))), rng.uniform(0, 2 * np.pi)
        dy, dx = (
            np.full_like(y, distance * np.sin(angle)),
            np.full_like(y, distance * np.cos(angle)),
        )
    elif kind == 1:
        factor = 1 + float(rng.choice([-1, 1]) * rng.uniform(0.005, 0.06))
        dy, dx = down * (1 - 1 / factor), across * (1 - 1 / factor)
    else:
        turn = np.deg2rad(float(rng.choice([-1, 1]) * rng.uniform(0.5, 5)))
        dy = down - np.cos(turn) * down + np.sin(turn) * across
        dx = across - np.sin(turn) * down - np.cos(turn) * across
    return _warped(picture, dy.astype(np.float32), dx.astype(np.float32), None)


def waved(rng: np.random.Generator, picture: Picture, guest: Picture) -> Changed | None:
    """Return the picture with smooth waves in it, of 1 to 8 px."""
    from benchmarks.lib.scenes import fractal

    height, width = picture.labels.shape
    cell = max(32, 2 ** int(np.log2(min(height, width) / 4)))
    size = np.exp(rng.uniform(0, np.log(5)))
    dy, dx = (size * fractal(rng, height, width, cell, cell // 2) for _ in range(2))
    return _warped(picture, dy, dx, None)


def merged(rng: np.random.Generator, picture: Picture, guest: Picture) -> Changed | None:
    """Return the picture with one of two touching instances continued over the other."""
    pairs = neighbours(picture)
    if not pairs:
        return None
    (kept, lost), shared = pairs[rng.integers(len(pairs))]
    source, target = picture.labels == kept, picture.labels == lost
    over = target if rng.random() < 0.5 else grown(source, int(rng.integers(3, 9))) & target
    seam = over | (grown(over, 2) & source)
    known = source & ~grown(over, 4)
    if known.sum() < 40:
        return None
    image = filled(rng, picture.image, seam, known)
    after = np.where(seam, kept, picture.labels).astype(np.int32)
    gone = {one for one in (kept, lost) if shared >= 0.15 * rims(picture.labels == one).sum()}
    hurt = frozenset({kept, lost} - gone)
    return Changed(to_uint8(image), after, frozenset(gone), hurt, about=lost)


def replaced(rng: np.random.Generator, picture: Picture, guest: Picture) -> Changed | None:
    """Return the guest's picture instead."""
    if guest.name == picture.name:
        return None
    image = resized(guest.image, picture.labels.shape)
    everyone = frozenset(np.unique(picture.labels).tolist()) - {0}
    return Changed(image, np.zeros_like(picture.labels), everyone)


PARTIAL: Mapping[str, Change] = MappingProxyType(
    {
        "half of an instance erased": halved,
        "instance in the background's colours": disguised,
        "half see-through": see_through,
        "thin part gone": parted,
        "another object's texture": textured,
        "something stands in front": covered,
    }
)
CHANGES: Mapping[str, Change] = MappingProxyType(
    {
        **PARTIAL,
        "erased": erased,
        "patched": patched,
        "displaced": displaced,
        "whole moved": whole_moved,
        "waved": waved,
        "merged": merged,
        "replaced": replaced,
    }
)


# What became of the labels.


@dataclass(frozen=True)
class Truth:
    """What became of instances, in the order of ids.

    iou: (I,). lost: (I, R) share of each stretch that is 2.5 px or more off, or gone. away: (I, R)
    px along the outward normal, NaN where nothing is left. doubtful, hurt: (I,).
    """

    iou: Floats
    lost: Floats
    away: Floats
    doubtful: Mask
    hurt: Mask

    @property
    def fits(self) -> Mask:
        """Return (I,): whether labels still fit: enough of the area, nearly all of the outline."""
        fits: Mask = (self.iou >= LEAST_IOU) & (self.lost.mean(1) < MOST_LOST) & ~self.hurt
        return fits


def truth_of(
    labels: Labels,
    changed: Changed,
    ids: NDArray[np.int64],
    at: tuple[Floats, Floats],
    after: Labels | None = None,
    scale: int = 1,
) -> Truth:
    """Return the truth for instances whose outlines are sampled at (I, R, P) y and x.

    after: a label map `scale` times as fine, where there is one; `labels` is then as fine.
    """
    from scipy.ndimage import distance_transform_edt

    now = changed.after if after is None else after
    iou, lost, away = [], [], []
    for place, one in enumerate(ids.tolist()):
        before, present = labels == one, now == one
        union = (before | present).sum()
        kept = 0.0 if one in changed.gone else float((before & present).sum() / max(union, 1))
        y, x = (part[place] * scale + (scale - 1) / 2 for part in at)
        if kept == 1:
            iou.append(1.0)
            lost.append(np.zeros(len(y)))
            away.append(np.zeros(len(y)))
            continue
        nearest = _distance(present, y, x, distance_transform_edt)
        signed = nearest / scale if nearest is not None else np.full(y.shape, np.nan)
        if one in changed.gone:
            signed = np.full(y.shape, np.nan)
        iou.append(kept)
        lost.append((~(np.abs(signed) < 2.5)).mean(1))
        away.append(signed.mean(1))
    doubtful, hurt = (np.isin(ids, list(of)) for of in (changed.doubtful, changed.hurt))
    return Truth(np.array(iou), np.array(lost), np.array(away), doubtful, hurt)


def _distance(
    present: Mask, y: Floats, x: Floats, transform: Callable[..., Floats]
) -> Floats | None:
    """Return the signed distance of points from a mask's outline, positive inside the mask."""
    if not present.any():
        return None
    rows, columns = np.flatnonzero(present.any(1)), np.flatnonzero(present.any(0))
    low = (min(rows[0], int(np.min(y))) - 3, min(columns[0], int(np.min(x))) - 3)
    high = (max(rows[-1], int(np.max(y)) + 1) + 4, max(columns[-1], int(np.max(x)) + 1) + 4)
    size = high[0] - low[0], high[1] - low[1]
    # Beyond the picture an instance goes on: the border is no outline.
    tall = np.clip(np.arange(low[0], high[0]), 0, present.shape[0] - 1)
    wide = np.clip(np.arange(low[1], high[1]), 0, present.shape[1] - 1)
    box = present[tall[:, None], wide]
    inside, outside = transform(box), transform(~box)
    signed = np.where(box, inside - 0.5, 0.5 - outside)
    row = np.clip(np.rint(y - low[0]).astype(int), 0, size[0] - 1)
    column = np.clip(np.rint(x - low[1]).astype(int), 0, size[1] - 1)
    found: Floats = signed[row, column]
    return found


def as_damage(change: Change) -> Damage:
    """Return a change as damage to the instance that it is about, where that is plainly hurt."""

    def damage(rng: np.random.Generator, picture: Picture, guest: Picture) -> Damaged | None:
        made = change(rng, picture, guest)
        if made is None or made.about is None or made.about in made.doubtful:
            return None
        before, now = picture.labels == made.about, made.after == made.about
        kept = (before & now).sum() / (before | now).sum()
        if made.about not in made.gone and kept >= 0.93:
            return None
        return Damaged(made.image, frozenset({made.about}), frozenset())

    return damage


# How it is done.


def _free(picture: Picture, target: int) -> Mask:
    """Return where no other instance is."""
    free: Mask = (picture.labels == target) | (picture.labels == 0)
    return free


def _without(rng: np.random.Generator, picture: Picture, target: int, lost: Mask) -> Changed | None:
    """Return the picture with a part of one instance grown over from the background around."""
    free = _free(picture, target)
    kept = (picture.labels == target) & ~lost
    hole = grown(lost, 3) & free & ~kept
    around = grown(hole, 20) & ~grown(picture.labels == target, 3)
    known = around & free
    if known.sum() < 60:
        known = around
    if known.sum() < 60 or not hole.any():
        return None
    ground = filled(rng, picture.image, hole, known)
    alpha = smooth(hole[..., None].astype(np.float32), 0.7)
    image = picture.image + alpha * (ground - picture.image)
    after = np.where(lost, 0, picture.labels).astype(np.int32)
    return Changed(to_uint8(image), after, about=target)


def _thin_part(rng: np.random.Generator, whole: Mask) -> Mask | None:
    """Return a part that an opening takes away, of 3 to 45 % of the instance."""
    from scipy.ndimage import binary_opening, label

    radius = np.sqrt(whole.sum() / np.pi)
    for share in rng.permutation([0.25, 0.4, 0.55]).tolist():
        reach = max(1, round(share * radius))
        y, x = np.mgrid[-reach : reach + 1, -reach : reach + 1]
        core = binary_opening(whole, np.hypot(y, x) <= reach)
        pieces, count = label(whole & ~core)
        areas = np.bincount(pieces.ravel(), minlength=count + 1)[1:] / whole.sum()
        fit = np.flatnonzero((areas > 0.03) & (areas < 0.45))
        if len(fit) and core.any():
            part: Mask = pieces == 1 + int(rng.choice(fit))
            return part
    return None


def _stamp(
    rng: np.random.Generator, picture: Picture, guest: Picture, whole: Mask
) -> tuple[Mask, Floats] | None:
    """Return where something stands, over a part of an instance, and its pixels (H, W, 3)."""
    height, width = whole.shape
    at = np.argwhere(whole)
    centre = at[rng.integers(len(at))].astype(float)
    if rng.random() < 0.6 and (found := pick(rng, guest)) is not None:
        mask = guest.labels == found
        by = np.rint(centre - np.argwhere(mask).mean(0)).astype(int)
        rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
        top, left = (
            np.clip(rows[0] + by[0], 0, height - 1),
            np.clip(columns[0] + by[1], 0, width - 1),
        )
        cut = guest.image[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
        part = mask[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
        tall, wide = min(cut.shape[0], height - top), min(cut.shape[1], width - left)
        shape, pixels = np.zeros(whole.shape, bool), np.zeros((height, width, 3), np.float32)
        shape[top : top + tall, left : left + wide] = part[:tall, :wide]
        pixels[top : top + tall, left : left + wide] = cut[:tall, :wide]
        return (shape, pixels) if shape.any() else None
    size = np.sqrt(whole.sum() / np.pi) * rng.uniform(0.5, 1.4)
    shape = outline(rng, height, width, centre, float(size))
    return (shape, surface(rng, height, width, rng.uniform(15, 240, 3))) if shape.any() else None


def _rim_point(rng: np.random.Generator, mask: Mask, middle: Floats) -> tuple[Floats, Floats]:
    rim = np.argwhere(rims(mask))
    at = rim[rng.integers(len(rim))].astype(float)
    outward = at - middle
    return at, outward / (np.linalg.norm(outward) + 1e-6)


def _warped(picture: Picture, dy: Floats, dx: Floats, about: int | None) -> Changed:
    y, x = grid(picture.labels.shape)
    rows = np.clip(np.rint(y - dy).astype(int), 0, y.shape[0] - 1)
    columns = np.clip(np.rint(x - dx).astype(int), 0, y.shape[1] - 1)
    image = to_uint8(sample(picture.image, dy, dx))
    return Changed(image, picture.labels[rows, columns], about=about)


def _put_back(
    rng: np.random.Generator, picture: Picture, target: int, dy: Floats, dx: Floats
) -> Changed | None:
    """Return the picture with one instance displaced before the ground, behind its neighbours."""
    mask = picture.labels == target
    free = _free(picture, target)
    clear = grown(mask, 3) & free
    known = grown(clear, 20) & ~clear & free
    if known.sum() < 60:
        return None
    ground = filled(rng, picture.image, clear, known)
    alpha = np.clip(sample(smooth(mask[..., None].astype(np.float32), 0.6), dy, dx), 0, 1)
    if rng.random() < 0.5:
        alpha = alpha * free[..., None]
    now = alpha[..., 0] > 0.5
    image = ground + alpha * (sample(picture.image, dy, dx) - ground)
    left = np.where(mask, 0, picture.labels)
    return Changed(to_uint8(image), np.where(now, target, left).astype(np.int32), about=target)
