"""A picture made flat, as a quick render is: no texture, no grain, no cast, but every region."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING
from zlib import crc32

from pydantic import Field

from sv2r.plugin.hookspecs import hookimpl
from sv2r.plugin.options import Options
from sv2r.plugin.specs import Conditioner, ConditionerSpec, Runtime
from sv2r.types import ControlMap, Frame

if TYPE_CHECKING:
    from torch import Tensor

# Mean and standard deviation that Y, Cb and Cr are brought to. Changing them makes ControlNets that
# were trained with them worthless.
_MEANS, _DEVIATIONS = (0.45, 0.5, 0.5), (0.2, 0.08, 0.08)
# A picture of one colour has no contrast to be raised.
_LEAST_DEVIATION = 0.01
# Windows reach this many standard deviations to each side.
_REACH = 1.6
# Pixels of windows that are kept at once; each is three numbers.
_WINDOWS = 4_000_000
# Of noise; the coarsest has grains of 16 pixels.
_OCTAVES = 5


class FlatOptions(Options):
    """What counts as texture, and what is kept of light and colour."""

    contrast: float = Field(
        0.12,
        gt=0,
        le=1,
        description="Steps well below this are smoothed away, those well above it are kept, in "
        "[0, 1] of each colour.",
    )
    sigma: float = Field(
        2.5, gt=0, le=20, description="Standard deviation of the smoothing, in pixels."
    )
    rounds: int = Field(
        3, ge=0, le=20, description="How often the picture is smoothed; 0 keeps its texture."
    )
    normalise: bool = Field(
        True,
        description="Bring brightness, contrast and colour of the picture to fixed values, so that "
        "those of a render say nothing of the photo to be made.",
    )
    noise: float = Field(
        0.0,
        ge=0,
        le=1,
        description="Standard deviation of noise at all scales that is added, in [0, 1], to hide "
        "what smoothing left of texture: a ControlNet trained with it invents texture.",
    )


def build(options: FlatOptions, runtime: Runtime) -> Conditioner:
    """Return what flattens a frame; always on the CPU, so that every device gets the same."""

    def condition(frame: Frame) -> ControlMap:
        """Return the flattened picture, (3, H, W) in [0, 1]."""
        image = frame.image[None]
        if options.normalise:
            image = _normalised(image)
        flat = _flattened(image, options)[0]
        if options.noise:
            height, width = frame.image.shape[-2:]
            noise = _noise((height, width), crc32(frame.sample.id.encode()))
            flat = (flat + options.noise * noise).clamp(0, 1)
        return ControlMap("flat", flat)

    return condition


def _normalised(image: Tensor) -> Tensor:
    """Return (1, 3, H, W) with fixed means and deviations of Y, Cb and Cr, cut to [0, 1].

    E. Reinhard et al., Color Transfer between Images, 2001, with one target for all pictures.
    """
    from kornia.color import rgb_to_ycbcr, ycbcr_to_rgb

    planes = rgb_to_ycbcr(image)
    spread, mean = planes.std((2, 3), correction=0, keepdim=True), planes.mean((2, 3), keepdim=True)
    means, spreads = (planes.new_tensor(v).view(1, 3, 1, 1) for v in (_MEANS, _DEVIATIONS))
    normal = (planes - mean) * (spreads / spread.clamp(min=_LEAST_DEVIATION)) + means
    made: Tensor = ycbcr_to_rgb(normal).clamp(0, 1)
    return made


def _flattened(image: Tensor, options: FlatOptions) -> Tensor:
    """Return (1, 3, H, W) through a median and rounds of a bilateral filter.

    C. Tomasi, R. Manduchi, Bilateral Filtering for Gray and Color Images, ICCV 1998; repeated, as
    in H. Winnemöller et al., Real-Time Video Abstraction, SIGGRAPH 2006, it leaves regions of one
    colour. The median takes away what a single bright pixel would keep.
    """
    from kornia.filters import median_blur

    # kornia mirrors at the border, which takes more pixels than a tiny picture has.
    reach = min(max(1, round(_REACH * options.sigma)), min(image.shape[-2:]) - 1)
    if reach < 1 or not options.rounds:
        return image
    image = median_blur(image, 3)
    for _ in range(options.rounds):
        image = _smoothed(image, reach, options)
    return image


def _smoothed(image: Tensor, reach: int, options: FlatOptions) -> Tensor:
    """Return (1, 3, H, W) after one bilateral filter, made in strips.

    kornia keeps the whole window of every pixel at once: a gigabyte for a megapixel.
    """
    import torch
    from kornia.filters import bilateral_blur
    from torch.nn.functional import pad

    side, (height, width) = 2 * reach + 1, image.shape[-2:]
    padded = pad(image, (0, 0, reach, reach), mode="reflect")
    rows = max(1, _WINDOWS // (side**2 * width))
    strips = []
    for top in range(0, height, rows):
        strip = padded[:, :, top : min(top + rows, height) + 2 * reach]
        made = bilateral_blur(strip, (side, side), options.contrast, (options.sigma,) * 2)
        strips.append(made[:, :, reach:-reach])
    return torch.cat(strips, 2)


def _noise(size: tuple[int, int], seed: int) -> Tensor:
    """Return (3, H, W) noise of deviation 1, as much of it in each octave of scale.

    Conditioning augmentation, J. Ho et al., Cascaded Diffusion Models, JMLR 2022; there the noise
    is white, but what is left of planks and checks is larger than a pixel.
    """
    import torch
    from torch.nn.functional import interpolate

    generator = torch.Generator().manual_seed(seed)
    total = torch.randn((1, 3, *size), generator=generator)
    for octave in range(1, _OCTAVES):
        coarse = [side // 2**octave + 1 for side in size]
        grains = torch.randn((1, 3, *coarse), generator=generator)
        total += interpolate(grains, size=size, mode="bicubic", align_corners=False)
    return total[0] / total.std().clamp(min=1e-6)


@hookimpl
def sv2r_conditioners() -> Iterable[ConditionerSpec[FlatOptions]]:
    """Return the conditioner."""
    return [
        ConditionerSpec(
            name="flat",
            summary="The picture without texture, grain and cast, for a ControlNet of your own.",
            options=FlatOptions,
            build=build,
            produces="flat",
        )
    ]
