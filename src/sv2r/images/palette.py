"""The look of a photograph, its colours and its grain, and how a picture takes it on."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from sv2r.images.references import References

if TYPE_CHECKING:
    import torch
    from torch import Tensor

# Reinhard et al. (2001), equations 4 and 5: linear RGB to cone responses, their logarithms to lαβ.
_RGB_TO_LMS = ((0.3811, 0.5783, 0.0402), (0.1967, 0.7244, 0.0782), (0.0241, 0.1288, 0.8444))
_LMS_TO_LAB = ((3**-0.5,) * 3, (6**-0.5, 6**-0.5, -2 * 6**-0.5), (2**-0.5, -(2**-0.5), 0.0))
# Black has no logarithm: half of the darkest grey that 8 bits know.
_DARKEST = 0.5 / 255 / 12.92


# Every one is decoded before the first picture is made.
_MOST_PHOTOS = 256
# Pixels of the short side that colours are taken from, and the side of the middle.
_ENOUGH, _MIDDLE = 512, 1024
# A picture of hardly any contrast would show nothing but its noise.
_MOST_GAIN = 2.5
# J. Immerkær, Fast Noise Variance Estimation, Computer Vision and Image Understanding 64 (2), 1996:
# blind to what is flat or a ramp. The sum of its squares is 36.
_NOISE = ((1.0, -2.0, 1.0), (-2.0, 4.0, -2.0), (1.0, -2.0, 1.0))
_NOISE_NORM = 6.0


@dataclass(frozen=True)
class Look:
    """What of a photograph a picture takes on.

    colours: (2, 3), mean and standard deviation of l, α and β. grain: (3,) standard deviations of
    what is left of R, G and B without structure, in [0, 1]. alike: (3, 3), how that is correlated.
    short: the photograph's short side in pixels, which the grain belongs to.
    """

    colours: Tensor
    grain: Tensor
    alike: Tensor
    short: int


@dataclass(frozen=True)
class Palette:
    """The looks of a folder's photographs, one of which belongs to each picture's seed."""

    references: References
    looks: tuple[Look, ...]

    @classmethod
    def open(cls, references: References) -> Palette:
        """Return the looks of photographs, of no more than 256 of them.

        Raises:
            ConfigError: one of them cannot be read.
        """
        some = references.some(_MOST_PHOTOS)
        return cls(some, tuple(some.each(look_of)))

    def give(self, picture: Tensor, seed: int) -> Tensor:
        """Return a (3, H, W) sRGB picture in [0, 1] with the look that its seed draws."""
        import torch

        look = self.looks[self.references.draw(seed)]
        return take_on(picture, look, torch.Generator().manual_seed(seed))


def look_of(photo: Tensor) -> Look:
    """Return the look of a (3, H, W) sRGB photograph, uint8 or float32 in [0, 1].

    Of a large one, some of the pixels tell the colours, and its middle the grain.
    """
    height, width = photo.shape[-2:]
    step = max(1, min(height, width) // _ENOUGH)
    top, left = max(0, height - _MIDDLE) // 2, max(0, width - _MIDDLE) // 2
    middle = photo[:, top : top + _MIDDLE, left : left + _MIDDLE]
    some, middle = (_in_unit(part) for part in (photo[:, ::step, ::step], middle))
    return Look(spread(to_lab(some)), *_grain(middle), min(height, width))


def _in_unit(photo: Tensor) -> Tensor:
    return photo.contiguous() if photo.is_floating_point() else photo.contiguous().float() / 255


def take_on(picture: Tensor, look: Look, generator: torch.Generator) -> Tensor:
    """Return a (3, H, W) sRGB picture in [0, 1] with the colours and the grain of a look.

    E. Reinhard, M. Ashikhmin, B. Gooch, P. Shirley, Color Transfer between Images, IEEE Computer
    Graphics and Applications 21 (5), 2001, with a limit to the gain; then Gaussian noise that
    makes up for the grain that is missing. Averaging pixels, as making a photograph smaller does,
    leaves grain by so much weaker.

    generator: on the CPU, for the same noise on all devices.
    """
    import torch

    lab = to_lab(picture)
    mean, std = spread(lab)
    wanted_mean, wanted_std = look.colours.to(picture)
    gain = (wanted_std / std.clamp_min(1e-6)).clamp_max(_MOST_GAIN)
    moved = (lab - mean[:, None]) * gain[:, None] + wanted_mean[:, None]
    toned = from_lab(moved).reshape(picture.shape).clamp(0, 1)
    smaller = max(1.0, look.short / min(picture.shape[-2:]))
    here, _ = _grain(toned)
    missing = ((look.grain.to(here) / smaller).square() - here.square()).clamp_min(0).sqrt()
    values, axes = torch.linalg.eigh(look.alike.double())
    mix = (axes * values.clamp_min(0).sqrt()).float().to(picture.device)
    white = torch.randn(picture.shape, generator=generator).to(picture.device)
    noise = (mix @ white.flatten(1)).reshape(picture.shape) * missing[:, None, None]
    made: Tensor = (toned + noise).clamp(0, 1)
    return made


def _grain(picture: Tensor) -> tuple[Tensor, Tensor]:
    """Return the (3,) deviations of the noise of R, G and B, and their (3, 3) correlation."""
    import torch
    from torch.nn.functional import conv2d

    if min(picture.shape[-2:]) < 3:
        return torch.zeros(3, device=picture.device), torch.eye(3, device=picture.device)
    kernel = torch.tensor([[_NOISE]], device=picture.device)
    left = conv2d(picture[:, None], kernel)[:, 0].flatten(1)
    sigma = left.abs().mean(1) * math.sqrt(math.pi / 2) / _NOISE_NORM
    scaled = left / left.square().mean(1, keepdim=True).sqrt().clamp_min(1e-6)
    return sigma, scaled @ scaled.T / left.shape[1]


def spread(lab: Tensor) -> Tensor:
    """Return mean and standard deviation of each of (3, N) channels: (2, 3)."""
    import torch

    return torch.stack([lab.mean(1), lab.std(1, correction=0)])


def to_lab(image: Tensor) -> Tensor:
    """Return a (3, H, W) sRGB picture in [0, 1] as (3, H * W) l, α and β."""
    from kornia.color import rgb_to_linear_rgb

    linear = rgb_to_linear_rgb(image).flatten(1)
    cones = linear.new_tensor(_RGB_TO_LMS) @ linear
    lab: Tensor = linear.new_tensor(_LMS_TO_LAB) @ cones.clamp_min(_DARKEST).log10()
    return lab


def from_lab(lab: Tensor) -> Tensor:
    """Return (3, N) l, α and β as (3, 1, N) sRGB, which may leave [0, 1]."""
    import torch
    from kornia.color import linear_rgb_to_rgb

    # The inverses and not the paper's rounded ones: a picture's own colours give the picture.
    cones = 10 ** (lab.new_tensor(_LMS_TO_LAB).T @ lab)
    inverse = torch.linalg.inv(torch.tensor(_RGB_TO_LMS, dtype=torch.float64))
    linear = inverse.to(lab) @ cones
    picture: Tensor = linear_rgb_to_rgb(linear.clamp(0, 1)[:, None])
    return picture
