"""Damage to labelled pictures with known truth: the labels no longer fit."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch.nn.functional import interpolate

from benchmarks.lib.pixels import filled, grid, grown, rims, sample, smooth
from benchmarks.lib.scenes import Picture, outline, surface, to_uint8

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Pixels = NDArray[np.uint8]
    Floats = NDArray[np.floating]
    Mask = NDArray[np.bool_]


@dataclass(frozen=True)
class Damaged:
    """A damaged picture and what is known of the damage.

    instances: ids whose labels are now wrong. uncertain: ids touched too little, or by accident.
    motion: (dx, dy, zoom) of the whole picture about its centre, where that is the damage.
    place: where an invented object is.
    """

    image: Pixels
    instances: frozenset[int] = frozenset()
    uncertain: frozenset[int] = frozenset()
    motion: tuple[float, float, float] | None = None
    place: Mask | None = None


Damage = Callable[[np.random.Generator, Picture, Picture], "Damaged | None"]


def shift(rng: np.random.Generator, picture: Picture, guest: Picture) -> Damaged:
    """Return the picture moved by 1 to 16 px, to a fraction of a pixel."""
    distance, angle = np.exp(rng.uniform(0, np.log(16))), rng.uniform(0, 2 * np.pi)
    dx, dy = float(distance * np.cos(angle)), float(distance * np.sin(angle))
    moved = sample(picture.image, *(np.full(picture.labels.shape, by) for by in (dy, dx)))
    return Damaged(to_uint8(moved), everyone(picture), motion=(dx, dy, 1.0))


def zoom(rng: np.random.Generator, picture: Picture, guest: Picture) -> Damaged:
    """Return the picture enlarged or reduced by 1 to 5 % about its centre."""
    factor = float(1 + rng.choice([-1, 1]) * rng.uniform(0.01, 0.05))
    y, x = grid(picture.labels.shape)
    middle_y, middle_x = (y.shape[0] - 1) / 2, (y.shape[1] - 1) / 2
    moved = sample(
        picture.image, (y - middle_y) * (1 - 1 / factor), (x - middle_x) * (1 - 1 / factor)
    )
    return Damaged(to_uint8(moved), everyone(picture), motion=(0.0, 0.0, factor))


def warp(rng: np.random.Generator, picture: Picture, guest: Picture) -> Damaged | None:
    """Return the picture with a dent: a part of one instance's boundary moved by 3 to 8 px."""
    target = pick(rng, picture)
    if target is None:
        return None
    rim = rims(picture.labels == target)
    y, x = np.nonzero(rim)
    at = rng.integers(len(y))
    inside = np.argwhere(picture.labels == target).mean(0)
    outward = np.array([y[at], x[at]]) - inside
    outward /= np.linalg.norm(outward) + 1e-6
    amount = rng.choice([-1, 1]) * rng.uniform(4.5, 9)
    width = max(10.0, 0.45 * np.sqrt((picture.labels == target).sum()), 2.0 * abs(amount))
    rows, columns = grid(picture.labels.shape)
    bell = np.exp(-((rows - y[at]) ** 2 + (columns - x[at]) ** 2) / (2 * width**2)) * amount
    moved = sample(picture.image, bell * outward[0], bell * outward[1])
    return Damaged(to_uint8(moved), *by_displacement(picture, bell * outward[0], bell * outward[1]))


def erased(rng: np.random.Generator, picture: Picture, guest: Picture) -> Damaged | None:
    """Return the picture without one instance: its surroundings grown into its place."""
    target = pick(rng, picture)
    if target is None:
        return None
    mask = grown(picture.labels == target, 3)
    image = filled(rng, picture.image, mask, grown(mask, 24) & ~mask)
    return Damaged(to_uint8(image), frozenset({target}), touched(picture, mask) - {target})


def scaled(rng: np.random.Generator, picture: Picture, guest: Picture) -> Damaged | None:
    """Return the picture with one instance larger or smaller by 12 to 30 %, by 3 px at least."""
    target = pick(rng, picture)
    if target is None:
        return None
    mask = picture.labels == target
    radius = np.sqrt(mask.sum() / np.pi)
    share = max(rng.uniform(0.12, 0.3), 3.5 / radius)
    factor = 1 + share if rng.random() < 0.5 else 1 - min(share, 0.6)
    y, x = grid(mask.shape)
    middle = np.argwhere(mask).mean(0)
    dy, dx = (y - middle[0]) * (1 - 1 / factor), (x - middle[1]) * (1 - 1 / factor)
    if np.median(np.hypot(dy, dx)[rims(mask)]) < 3:
        return None
    return _put_back(rng, picture, target, dy, dx)


def merged(rng: np.random.Generator, picture: Picture, guest: Picture) -> Damaged | None:
    """Return the picture with one of two touching instances continued over the other."""
    pairs = neighbours(picture)
    if not pairs:
        return None
    (kept, lost), shared = pairs[rng.integers(len(pairs))]
    source, target = picture.labels == kept, picture.labels == lost
    if not _told_apart(picture.image, source, target):
        return None
    seam = grown(target, 3) & (target | source | ~grown(source, 1) & grown(target, 1))
    known = source & ~grown(target, 4)
    if known.sum() < 60:
        return None
    image = filled(rng, picture.image, seam, known)
    gone = {one for one in (kept, lost) if shared >= 0.15 * rims(picture.labels == one).sum()}
    return Damaged(to_uint8(image), frozenset(gone), touched(picture, seam) - gone)


def invented(rng: np.random.Generator, picture: Picture, guest: Picture) -> Damaged | None:
    """Return the picture with an object too many: a guest's instance, or a drawn one."""
    height, width = picture.labels.shape
    size = rng.uniform(0.03, 0.11) * min(height, width)
    free = np.argwhere(~grown(picture.labels > 0, int(size) + 2))
    if not len(free):
        free = np.argwhere(picture.labels >= 0)
    centre = free[rng.integers(len(free))].astype(float)
    if rng.random() < 0.5 and (stamp := _cut_out(rng, guest, size)) is not None:
        alpha, pixels = _placed(stamp, picture.labels.shape, centre)
    else:
        alpha = smooth(outline(rng, height, width, centre, size)[..., None].astype(np.float32), 0.7)
        pixels = surface(rng, height, width, rng.uniform(15, 240, 3))
    place = alpha[..., 0] > 0.5
    if place.sum() < 30 or _hidden(picture.image, pixels, place):
        return None
    image = picture.image + alpha * (pixels - picture.image)
    return Damaged(to_uint8(image), frozenset(), touched(picture, place), place=place)


DAMAGE: Mapping[str, Damage] = MappingProxyType(
    {
        "shift": shift,
        "zoom": zoom,
        "local warp": warp,
        "erased": erased,
        "scaled": scaled,
        "merged": merged,
        "invented": invented,
    }
)


# What nothing was tuned on.


def turned(rng: np.random.Generator, picture: Picture, guest: Picture) -> Damaged:
    """Return the picture turned by 1 to 4 degrees about its centre."""
    y, x = grid(picture.labels.shape)
    dy, dx = _turn(y, x, ((y.shape[0] - 1) / 2, (x.shape[1] - 1) / 2), _either(rng, 1, 4))
    return Damaged(to_uint8(sample(picture.image, dy, dx)), everyone(picture))


def replaced(rng: np.random.Generator, picture: Picture, guest: Picture) -> Damaged | None:
    """Return the guest's picture instead, of the same size."""
    if guest.image.shape != picture.image.shape or guest.name == picture.name:
        return None
    return Damaged(guest.image, everyone(picture))


def rotated(rng: np.random.Generator, picture: Picture, guest: Picture) -> Damaged | None:
    """Return the picture with one instance turned by 20 to 90 degrees, where that shows."""
    target = pick(rng, picture)
    if target is None:
        return None
    mask = picture.labels == target
    middle = np.argwhere(mask).mean(0)
    dy, dx = _turn(*grid(mask.shape), (middle[0], middle[1]), _either(rng, 20, 90))
    return _put_back(rng, picture, target, dy, dx)


def carried(rng: np.random.Generator, picture: Picture, guest: Picture) -> Damaged | None:
    """Return the picture with one instance moved by 4 to 20 px."""
    target = pick(rng, picture)
    if target is None:
        return None
    distance, angle = rng.uniform(4, 20), rng.uniform(0, 2 * np.pi)
    dy = np.full(picture.labels.shape, distance * np.sin(angle), np.float32)
    return _put_back(rng, picture, target, dy, np.full_like(dy, distance * np.cos(angle)))


def halved(rng: np.random.Generator, picture: Picture, guest: Picture) -> Damaged | None:
    """Return the picture with half of one instance erased."""
    target = pick(rng, picture)
    if target is None:
        return None
    whole = picture.labels == target
    y, x = grid(whole.shape)
    angle, middle = rng.uniform(0, 2 * np.pi), np.argwhere(whole).mean(0)
    side = (y - middle[0]) * np.sin(angle) + (x - middle[1]) * np.cos(angle) > 0
    lost = grown(whole, 3) & side
    image = filled(rng, picture.image, lost, grown(lost, 24) & ~grown(whole, 3))
    return Damaged(to_uint8(image), frozenset({target}), touched(picture, lost) - {target})


def covered(rng: np.random.Generator, picture: Picture, guest: Picture) -> Damaged | None:
    """Return the picture with a drawn object over two fifths or more of one instance."""
    target = pick(rng, picture)
    if target is None:
        return None
    height, width = picture.labels.shape
    whole = picture.labels == target
    at, size = np.argwhere(whole), np.sqrt(whole.sum() / np.pi) * rng.uniform(0.9, 1.4)
    shape = outline(rng, height, width, at[rng.integers(len(at))].astype(float), float(size))
    pixels = surface(rng, height, width, rng.uniform(15, 240, 3))
    rim = rims(whole)
    if (shape & rim).sum() < 0.4 * rim.sum() or _hidden(picture.image, pixels, shape):
        return None
    alpha = smooth(shape[..., None].astype(np.float32), 0.7)
    image = picture.image + alpha * (pixels - picture.image)
    return Damaged(to_uint8(image), frozenset({target}), touched(picture, shape) - {target})


def melted(rng: np.random.Generator, picture: Picture, guest: Picture) -> Damaged | None:
    """Return the picture with one instance run into its surroundings, by 6 to 10 px."""
    target = pick(rng, picture)
    if target is None:
        return None
    sigma = float(rng.uniform(6, 10))
    near = grown(picture.labels == target, int(sigma) + 6)
    alpha = smooth(near[..., None].astype(np.float32), 2.0)
    image = picture.image + alpha * (smooth(picture.image, sigma) - picture.image)
    return Damaged(to_uint8(image), frozenset({target}), touched(picture, near) - {target})


UNSEEN_DAMAGE: Mapping[str, Damage] = MappingProxyType(
    {
        "turned": turned,
        "replaced": replaced,
        "rotated": rotated,
        "carried": carried,
        "halved": halved,
        "covered": covered,
        "melted": melted,
    }
)


def _either(rng: np.random.Generator, low: float, high: float) -> float:
    return float(rng.choice([-1, 1]) * rng.uniform(low, high))


def _turn(
    y: Floats, x: Floats, middle: tuple[float, float], degrees: float
) -> tuple[Floats, Floats]:
    """Return the displacement of every pixel under a turn about a point."""
    angle = np.deg2rad(degrees)
    down, across = y - middle[0], x - middle[1]
    back_y = np.cos(angle) * down - np.sin(angle) * across
    back_x = np.sin(angle) * down + np.cos(angle) * across
    return (down - back_y).astype(np.float32), (across - back_x).astype(np.float32)


def _put_back(
    rng: np.random.Generator, picture: Picture, target: int, dy: Floats, dx: Floats
) -> Damaged | None:
    """Return the picture with one instance displaced; None where its boundary hardly moves."""
    mask = picture.labels == target
    clear = grown(mask, 3)
    ground = filled(rng, picture.image, clear, grown(clear, 24) & ~clear)
    alpha = np.clip(sample(smooth(mask[..., None].astype(np.float32), 0.6), dy, dx), 0, 1)
    now = alpha[..., 0] > 0.5
    away = smooth(mask[..., None].astype(np.float32), 1.5)[..., 0]
    if (np.abs(away[rims(now)] - 0.5) > 0.45).mean() < 0.3:
        return None
    image = ground + alpha * (sample(picture.image, dy, dx) - ground)
    changed = clear | (alpha[..., 0] > 0.05)
    return Damaged(to_uint8(image), frozenset({target}), touched(picture, changed) - {target})


def _hidden(image: Pixels, pixels: Floats, place: Mask) -> bool:
    """Return whether an object is of the colour that it is put on, within 20 levels."""
    ring = grown(place, 6) & ~place
    return bool(np.abs(pixels[place].mean(0) - image[ring].mean(0)).max() < 20)


def _told_apart(image: Pixels, one: Mask, two: Mask) -> bool:
    """Return whether two touching regions differ by 25 levels along two thirds of their border."""
    total, count = 0, 0
    for mine, yours in ((one, two), (two, one)):
        rim = mine & grown(yours, 1)
        sides = [smooth(np.dstack([image * m[..., None], m]), 2.0) for m in (mine, yours)]
        means = [side[rim][:, :3] / np.maximum(side[rim][:, 3:], 1e-3) for side in sides]
        total += int((np.abs(means[0] - means[1]).max(1) >= 25).sum())
        count += int(rim.sum())
    return total >= count * 2 / 3


def _cut_out(rng: np.random.Generator, guest: Picture, size: float) -> Floats | None:
    """Return (h, w, 4): an instance of another picture, scaled to a radius, alpha last."""
    target = pick(rng, guest)
    if target is None:
        return None
    mask = guest.labels == target
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    box = (slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1))
    cut = np.dstack([guest.image[box].astype(np.float32), mask[box].astype(np.float32)])
    factor = 2 * size / max(cut.shape[:2])
    tensor = torch.from_numpy(cut).permute(2, 0, 1)[None]
    shape = [max(2, round(side * factor)) for side in cut.shape[:2]]
    small = interpolate(tensor, shape, mode="bilinear", antialias=factor < 1)
    return small[0].permute(1, 2, 0).numpy()


def _placed(
    stamp: Floats, size: tuple[int, int], centre: NDArray[np.floating]
) -> tuple[Floats, Floats]:
    whole = np.zeros((*size, 4), np.float32)
    top = int(np.clip(centre[0] - stamp.shape[0] / 2, 0, max(0, size[0] - stamp.shape[0])))
    left = int(np.clip(centre[1] - stamp.shape[1] / 2, 0, max(0, size[1] - stamp.shape[1])))
    room = whole[top : top + stamp.shape[0], left : left + stamp.shape[1]]
    room[:] = stamp[: room.shape[0], : room.shape[1]]
    return whole[..., 3:], whole[..., :3]


def everyone(picture: Picture) -> frozenset[int]:
    """Return the ids of all instances."""
    return frozenset(int(i) for i in np.unique(picture.labels) if i)


def pick(rng: np.random.Generator, picture: Picture) -> int | None:
    """Return an instance of 150 pixels at least and a quarter of the picture at most."""
    ids, areas = np.unique(picture.labels[picture.labels > 0], return_counts=True)
    fit = ids[(areas >= 150) & (areas <= picture.labels.size / 4)]
    return int(rng.choice(fit)) if len(fit) else None


def neighbours(picture: Picture) -> list[tuple[tuple[int, int], int]]:
    """Return pairs of touching instances with the px that they share, 20 at least."""
    labels = picture.labels.astype(np.int64)
    found: dict[tuple[int, int], int] = {}
    for one, two in ((labels[1:], labels[:-1]), (labels[:, 1:], labels[:, :-1])):
        border = (one != two) & (one > 0) & (two > 0)
        for pair in zip(one[border].tolist(), two[border].tolist(), strict=True):
            for order in (pair, pair[::-1]):
                found[order] = found.get(order, 0) + 1
    areas = dict(
        zip(*(part.tolist() for part in np.unique(labels, return_counts=True)), strict=True)
    )
    small = picture.labels.size / 4
    return [(p, n) for p, n in sorted(found.items()) if n >= 20 and areas[p[1]] <= small]


def touched(picture: Picture, mask: Mask) -> frozenset[int]:
    """Return the instances that have a pixel within 6 px of a mask."""
    return frozenset(int(i) for i in np.unique(picture.labels[grown(mask, 6)]) if i)


def by_displacement(
    picture: Picture, dy: Floats, dx: Floats
) -> tuple[frozenset[int], frozenset[int]]:
    """Return the ids of which a fifth of the boundary moved by 3 px, and the doubtful ones.

    Doubtful: half a pixel somewhere, but not that much. A boundary that slides along itself has
    not moved, so the displacement counts along the normal alone.
    """
    gone, doubtful = set(), set()
    for one in everyone(picture):
        mask = smooth((picture.labels == one)[..., None].astype(np.float32), 1.5)[..., 0]
        ny, nx = np.gradient(mask)
        rim = rims(picture.labels == one)
        across = np.abs(ny * dy + nx * dx)[rim] / (np.hypot(ny, nx)[rim] + 1e-6)
        if (across >= 3).mean() >= 0.2:
            gone.add(one)
        elif across.max() > 0.5:
            doubtful.add(one)
    return frozenset(gone), frozenset(doubtful)
