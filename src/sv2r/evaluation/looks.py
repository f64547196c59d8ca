"""How far apart two sets of pictures look, without any network's weights.

Pictures are (N, 3, H, W) float32 tensors in [0, 1].
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import conv2d, pad

# Karras et al. (2018): the pyramid's coarsest level, the side of a patch, patches per picture and
# level, and directions.
COARSEST, PATCH_SIDE, PATCHES, DIRECTIONS = 16, 7, 128, 128
_PIXELS = 256
# Raised whenever a distance comes to mean something else: kept results of others do not count.
LOOKS_VERSION = 1
_BINOMIAL = (1.0, 4.0, 6.0, 4.0, 1.0)


def laplacian_pyramid(pictures: Tensor) -> list[Tensor]:
    """Return the pictures' bands, finest first; the last, at 16 px, is what remains.

    Burt and Adelson (1983), with a binomial filter of five taps.
    """
    levels = []
    while min(pictures.shape[2:]) >= 2 * COARSEST:
        smaller = _filtered(pictures)[..., ::2, ::2]
        larger = torch.zeros_like(pictures)
        larger[..., ::2, ::2] = smaller
        levels.append(pictures - 4 * _filtered(larger))
        pictures = smaller
    return [*levels, pictures]


def _filtered(pictures: Tensor) -> Tensor:
    taps = torch.tensor(_BINOMIAL, device=pictures.device)
    kernel = torch.outer(taps, taps) / taps.sum() ** 2
    channels = pictures.shape[1]
    weights = kernel.expand(channels, 1, 5, 5)
    padded = pad(pictures, (2, 2, 2, 2), mode="reflect")
    filtered: Tensor = conv2d(padded, weights, groups=channels)
    return filtered


def patches(level: Tensor, count: int, generator: torch.Generator) -> Tensor:
    """Return (N * count, 3 * 49) patches from random places, each channel of mean 0 and std 1."""
    number, _, height, width = level.shape
    shape = (number, count)
    top = torch.randint(height - PATCH_SIDE + 1, shape, generator=generator)
    left = torch.randint(width - PATCH_SIDE + 1, shape, generator=generator)
    down = (top[..., None] + torch.arange(PATCH_SIDE)).flatten(0, 1)
    right = (left[..., None] + torch.arange(PATCH_SIDE)).flatten(0, 1)
    of = torch.arange(number).repeat_interleave(count)[:, None, None]
    cut = level[of, :, down[:, :, None], right[:, None, :]]
    cut = cut - cut.mean((0, 1, 2))
    cut = cut / cut.std((0, 1, 2), correction=0).clamp_min(1e-8)
    return cut.flatten(1)


def projected(points: Tensor, directions: Tensor) -> Tensor:
    """Return (N, D) points of (N, K), sorted along each of D directions, (K, D), of length 1."""
    along: Tensor = points @ (directions / directions.norm(dim=0))
    return along.sort(dim=0).values


def transport(one: Tensor, two: Tensor) -> float:
    """Return the mean distance that points move along the directions: both as of `projected`."""
    return float((one - two).abs().mean())


@dataclass(frozen=True)
class Appearance:
    """What of a set of pictures is compared.

    levels: of the Laplacian pyramid. lab: (N, H * W, 3). spectra: (N, bins) decibels.
    """

    levels: Sequence[Tensor]
    lab: Tensor
    spectra: Tensor

    @classmethod
    def of(cls, pictures: Tensor) -> Appearance:
        """Return the look of (N, 3, H, W) pictures."""
        from kornia.color import rgb_to_lab

        lab = rgb_to_lab(pictures).flatten(2).transpose(1, 2)
        return cls(laplacian_pyramid(pictures), lab, power_spectra(pictures))

    def drawn(self, numbers: Tensor) -> Appearance:
        """Return the look of some pictures, by their numbers."""
        return Appearance(
            [level[numbers] for level in self.levels], self.lab[numbers], self.spectra[numbers]
        )


def distances(
    sets: Sequence[Appearance], reference: Appearance, seed: int
) -> list[dict[str, float]]:
    """Return for each set how far it looks from a reference of as many pictures.

    Patches, pixels and directions are drawn by the seed, the same for each set, so that sets can
    be compared with each other within one draw.

    `swd`: sliced Wasserstein distance of 7 x 7 patches of Laplacian pyramids, times 1,000, the
    mean over the levels, and `swd 128` and so on for each (Karras et al. 2018, "Progressive growing
    of GANs", section 5). `colour`: the same distance of pixels in CIE Lab, in its units.
    `spectrum`: the root of the mean square difference, in dB, between the mean logarithmic power
    spectra of luminance, averaged around the circle.
    """
    found: list[dict[str, float]] = [{} for _ in sets]
    for place, level in enumerate(reference.levels):
        directions = torch.randn(
            3 * PATCH_SIDE**2, DIRECTIONS, generator=_generator(seed, place, 0)
        )
        aim = _patches_along(level, directions, seed, place, 1)
        for result, one in zip(found, sets, strict=True):
            mine = _patches_along(one.levels[place], directions, seed, place, 2)
            result[f"swd {level.shape[-1]}"] = 1000 * transport(mine, aim)
    directions = torch.randn(3, DIRECTIONS, generator=_generator(seed, 99, 0))
    aim = projected(_pixels(reference.lab, _generator(seed, 99, 1)), directions)
    for result, one in zip(found, sets, strict=True):
        result["swd"] = sum(result.values()) / len(reference.levels)
        mine = projected(_pixels(one.lab, _generator(seed, 99, 2)), directions)
        result["colour"] = transport(mine, aim)
        result["spectrum"] = spectrum_distance(one.spectra, reference.spectra)
    return found


def _patches_along(level: Tensor, directions: Tensor, seed: int, place: int, which: int) -> Tensor:
    return projected(patches(level, PATCHES, _generator(seed, place, which)), directions)


def _pixels(lab: Tensor, generator: torch.Generator) -> Tensor:
    """Return (N * 256, 3) pixels, 256 of each picture."""
    places = torch.randint(lab.shape[1], (len(lab), _PIXELS), generator=generator)
    return lab[torch.arange(len(lab))[:, None], places].flatten(0, 1)


def _generator(*numbers: int) -> torch.Generator:
    seed = 0
    for number in numbers:
        seed = seed * 1009 + number
    return torch.Generator().manual_seed(seed)


def power_spectra(pictures: Tensor) -> Tensor:
    """Return (N, bins): the mean power of luminance, in dB, at each whole spatial frequency.

    A Hann window keeps the picture's borders out. The mean colour, frequency 0, is left out.
    """
    height, width = pictures.shape[2:]
    luminance = (pictures * torch.tensor([0.299, 0.587, 0.114])[:, None, None]).sum(1)
    window = torch.outer(torch.hann_window(height), torch.hann_window(width))
    centred = luminance - luminance.mean((1, 2), keepdim=True)
    power = torch.fft.fft2(centred * window).abs().square().flatten(1)
    rows, columns = torch.fft.fftfreq(height), torch.fft.fftfreq(width)
    radius = (torch.hypot(rows[:, None], columns) * min(height, width)).round().long().flatten()
    bins = min(height, width) // 2
    kept = (radius >= 1) & (radius <= bins)
    sums = torch.zeros(len(pictures), bins + 1).index_add_(1, radius[kept], power[:, kept])
    counts = torch.zeros(bins + 1).index_add_(0, radius[kept], torch.ones(int(kept.sum())))
    # A flat picture has no power: -120 dB of a pixel's full range squared stands for it.
    return 10 * ((sums / counts.clamp_min(1))[:, 1:] + 1e-12 * height * width).log10()


def spectrum_distance(one: Tensor, two: Tensor) -> float:
    """Return the root mean square difference of the mean spectra, in dB."""
    return math.sqrt(float((one.mean(0) - two.mean(0)).square().mean()))
