"""Changes of labelled pictures with known truth: benign ones, and damage to what the labels say."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING

import numpy as np
import torch
from scenes import Picture, fractal, outline, pattern, surface, to_uint8
from torch.nn.functional import avg_pool2d, conv2d, grid_sample, interpolate, max_pool2d, pad

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Pixels = NDArray[np.uint8]
    Floats = NDArray[np.float32]
    Mask = NDArray[np.bool_]


@dataclass(frozen=True)
class Damaged:
    """A damaged picture and what is known of the damage.

    instances: ids whose labels are now wrong. uncertain: ids touched too little, or by accident.
    motion: (dx, dy, zoom) of the whole picture about its centre, where that is the damage.
    place: where the damage is, for the invented object.
    """

    image: Pixels
    instances: frozenset[int] = frozenset()
    uncertain: frozenset[int] = frozenset()
    motion: tuple[float, float, float] | None = None
    place: Mask | None = None


Benign = Callable[[np.random.Generator, Picture, "Pixels"], "Pixels"]
Damage = Callable[[np.random.Generator, Picture, Picture], "Damaged | None"]


# Benign changes: another look, every boundary where it was.


def gamma(rng: np.random.Generator, picture: Picture, other: Pixels) -> Pixels:
    """Return the picture through a gamma curve of 0.5 to 2, another gain and lift."""
    curve = (picture.image / 255.0) ** np.exp(rng.uniform(np.log(0.5), np.log(2)))
    return to_uint8(255 * (rng.uniform(0, 0.12) + rng.uniform(0.75, 1.0) * curve))


def hue(rng: np.random.Generator, picture: Picture, other: Pixels) -> Pixels:
    """Return the picture with its colours turned about grey and their saturation changed."""
    angle, saturation = rng.uniform(0.3, 2 * np.pi - 0.3), rng.uniform(0.4, 1.4)
    axis = np.ones(3) / np.sqrt(3)
    cross = np.array([[0, -1, 1], [1, 0, -1], [-1, 1, 0]]) / np.sqrt(3)
    grey = np.outer(axis, axis)
    turn = grey + saturation * (np.cos(angle) * (np.eye(3) - grey) + np.sin(angle) * cross)
    return to_uint8(picture.image @ turn.T)


def texture(rng: np.random.Generator, picture: Picture, other: Pixels) -> Pixels:
    """Return the picture with a texture of its own on every region that the labels draw."""
    height, width = picture.labels.shape
    grain = np.zeros((height, width), np.float32)
    for region in np.unique(picture.labels):
        inside = picture.labels == region
        grain[inside] = rng.uniform(5, 22) * pattern(rng, height, width)[inside]
    return to_uint8(picture.image + grain[..., None] * rng.uniform(0.7, 1.3, 3))


def noise(rng: np.random.Generator, picture: Picture, other: Pixels) -> Pixels:
    """Return the picture under sensor noise of deviation 4 to 16."""
    return to_uint8(picture.image + rng.normal(0, rng.uniform(4, 16), picture.image.shape))


def blur(rng: np.random.Generator, picture: Picture, other: Pixels) -> Pixels:
    """Return the picture out of focus, sigma 0.7 to 2 px."""
    return to_uint8(smooth(picture.image, float(rng.uniform(0.7, 2.0))))


def relighting(rng: np.random.Generator, picture: Picture, other: Pixels) -> Pixels:
    """Return the picture in soft, coloured light from elsewhere, up to 2.5 times brighter or darker."""
    height, width = picture.labels.shape
    coarse = max(64, 2 ** int(np.log2(min(height, width) / 2)))
    field = fractal(rng, height, width, coarse=coarse, fine=coarse // 2)
    light = np.exp(rng.uniform(0.2, 0.45) * field)[..., None] * rng.uniform(0.8, 1.2, 3)
    return in_range(picture.image * light)


def style(rng: np.random.Generator, picture: Picture, other: Pixels) -> Pixels:
    """Return the picture with another's low-frequency amplitudes (FDA, Yang & Soatto 2020)."""
    guest = resized(other, picture.labels.shape).astype(np.float64)
    ours = np.fft.fft2(picture.image.astype(np.float64), axes=(0, 1))
    theirs = np.fft.fft2(guest, axes=(0, 1))
    beta = rng.uniform(0.004, 0.02)
    rows = np.abs(np.fft.fftfreq(ours.shape[0])) < beta
    columns = np.abs(np.fft.fftfreq(ours.shape[1])) < beta
    low = (rows[:, None] & columns)[..., None]
    amplitude = np.where(low, np.abs(theirs), np.abs(ours))
    swapped = np.fft.ifft2(amplitude * np.exp(1j * np.angle(ours)), axes=(0, 1))
    return in_range(swapped.real)


def repaint(rng: np.random.Generator, picture: Picture, other: Pixels) -> Pixels:
    """Return the picture with every labelled region in another colour, tone and texture.

    What a strong translation does: the look is new, polarity may flip, boundaries stay. A region
    whose new colour would hide its boundary keeps its distance to the background's.
    """
    height, width = picture.labels.shape
    out = picture.image.astype(np.float32)
    ground = out.mean((0, 1))
    for region in np.unique(picture.labels):
        inside = picture.labels == region
        mean = out[inside].mean(0)
        tone = rng.uniform(-50, 50, 3) if region == 0 else rng.uniform(-80, 80, 3)
        gain = rng.uniform(0.6, 1.2)
        grain = rng.uniform(0, 14) * pattern(rng, height, width)[inside]
        target = np.clip(mean + tone, 20, 235)
        if region == 0:
            ground = target
        elif np.abs(target - ground).max() < 40:
            target = np.where(ground > 128, target - 60, target + 60)
        out[inside] = target + gain * (out[inside] - mean) + grain[:, None]
    return to_uint8(smooth(out, 0.6))


BENIGN: Mapping[str, Benign] = MappingProxyType(
    {
        "gamma": gamma,
        "hue": hue,
        "texture": texture,
        "noise": noise,
        "blur": blur,
        "relighting": relighting,
        "style": style,
        "repaint": repaint,
    }
)


# Damage: the labels no longer fit.


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
    clear = grown(mask, 3)
    ground = filled(rng, picture.image, clear, grown(clear, 24) & ~clear)
    alpha = np.clip(sample(smooth(mask.astype(np.float32)[..., None], 0.6), dy, dx), 0, 1)
    image = ground + alpha * (sample(picture.image, dy, dx) - ground)
    changed = clear | (alpha[..., 0] > 0.05)
    rim = np.abs(np.hypot(dy, dx))[rims(mask)]
    if np.median(rim) < 3:
        return None
    return Damaged(to_uint8(image), frozenset({target}), touched(picture, changed) - {target})


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
    gone = {
        one
        for one in (kept, lost)
        if shared >= 0.15 * rims(picture.labels == one).sum()
    }
    return Damaged(to_uint8(image), frozenset(gone), touched(picture, seam) - gone)


def invented(rng: np.random.Generator, picture: Picture, guest: Picture) -> Damaged | None:
    """Return the picture with an object where there was none: a guest's instance, or a drawn one."""
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


def in_range(levels: NDArray[np.floating]) -> Pixels:
    """Return levels pressed into 0 ... 255 where more than 1 % of them would be clipped.

    A highlight or shadow that swallows a boundary is no benign change.
    """
    low, high = min(0.0, np.percentile(levels, 0.5)), max(255.0, np.percentile(levels, 99.5))
    return to_uint8((levels - low) * (255 / (high - low)))


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
    areas = dict(zip(*(part.tolist() for part in np.unique(labels, return_counts=True)), strict=True))
    small = picture.labels.size / 4
    return [(p, n) for p, n in sorted(found.items()) if n >= 20 and areas[p[1]] <= small]


def touched(picture: Picture, mask: Mask) -> frozenset[int]:
    """Return the instances that have a pixel within 6 px of a mask."""
    return frozenset(int(i) for i in np.unique(picture.labels[grown(mask, 6)]) if i)


def by_displacement(
    picture: Picture, dy: Floats, dx: Floats
) -> tuple[frozenset[int], frozenset[int]]:
    """Return the ids of which a fifth of the boundary moved by 3 px across itself, and the doubtful ones.

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


# Arrays.


def grid(size: tuple[int, int]) -> tuple[Floats, Floats]:
    """Return the row and the column number of every pixel."""
    y, x = np.mgrid[0 : size[0], 0 : size[1]].astype(np.float32)
    return y, x


def sample(image: NDArray[np.generic], dy: NDArray[np.floating], dx: NDArray[np.floating]) -> Floats:
    """Return an (H, W, C) picture whose pixel at p comes from p - (dy, dx); bicubic, reflecting."""
    height, width = image.shape[:2]
    y, x = grid((height, width))
    points = np.stack([(x - dx) * 2 / (width - 1) - 1, (y - dy) * 2 / (height - 1) - 1], -1)
    tensor = torch.from_numpy(image.astype(np.float32)).permute(2, 0, 1)[None]
    where = torch.from_numpy(points.astype(np.float32))[None]
    moved = grid_sample(tensor, where, mode="bicubic", padding_mode="reflection", align_corners=True)
    return moved[0].permute(1, 2, 0).numpy()


def smooth(image: NDArray[np.generic], sigma: float) -> Floats:
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
