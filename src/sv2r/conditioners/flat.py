"""A picture made flat, as a quick render is: no texture, no grain, no cast, but every region."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial
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
# Rows that are worked on at once.
_STRIP = 64
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

    Each round goes along the rows, then along the columns: 16 neighbours of a pixel instead of 80,
    and a picture that differs by a twentieth of a level (T. Q. Pham, L. J. van Vliet, Separable
    Bilateral Filtering for Fast Video Preprocessing, ICME 2005).
    """
    # The border is mirrored, which takes more pixels than a tiny picture has.
    reach = min(max(1, round(_REACH * options.sigma)), min(image.shape[-2:]) - 1)
    if reach < 1 or not options.rounds:
        return image
    flat = _in_strips(image[0], (1, 1), _median)
    for _ in range(options.rounds):
        for axis, margin in ((2, (0, reach)), (1, (reach, 0))):
            smooth = partial(_smoothed, axis=axis, reach=reach, options=options)
            flat = _in_strips(flat, margin, smooth)
    return flat[None]


def _in_strips(image: Tensor, margin: tuple[int, int], work: Callable[[Tensor], Tensor]) -> Tensor:
    """Return (3, H, W) made strip by strip: what a processor's cache holds is done much sooner.

    margin: rows and columns that the work needs, and cuts off, on each side.
    """
    import torch
    from torch.nn.functional import pad

    (rows, columns), height = margin, image.shape[1]
    padded = pad(image[None], (columns, columns, rows, rows), mode="reflect")[0]
    ends = (min(top + _STRIP, height) for top in range(0, height, _STRIP))
    tops = range(0, height, _STRIP)
    strips = (padded[:, top : end + 2 * rows] for top, end in zip(tops, ends, strict=True))
    return torch.cat([work(strip) for strip in strips], 1)


def _median(image: Tensor) -> Tensor:
    """Return each pixel's median over 3 x 3, the outermost pixels cut off.

    The median of nine is the median of three: of the columns' largest minimum, their middles'
    median, and their smallest maximum.
    """
    from torch import maximum, minimum

    above, middle, below = image[:, :-2], image[:, 1:-1], image[:, 2:]
    low = minimum(minimum(above, middle), below)
    high = maximum(maximum(above, middle), below)
    mid = _middle(above, middle, below)
    lows = maximum(maximum(low[..., :-2], low[..., 1:-1]), low[..., 2:])
    highs = minimum(minimum(high[..., :-2], high[..., 1:-1]), high[..., 2:])
    return _middle(lows, _middle(mid[..., :-2], mid[..., 1:-1], mid[..., 2:]), highs)


def _middle(one: Tensor, two: Tensor, three: Tensor) -> Tensor:
    from torch import maximum, minimum

    return maximum(minimum(one, two), minimum(maximum(one, two), three))


def _smoothed(image: Tensor, axis: int, reach: int, options: FlatOptions) -> Tensor:
    """Return (3, H, W) after a bilateral filter along one axis, reach pixels cut off on each side.

    Two pixels weigh as much for each other, so each pair is weighed once.
    """
    length = image.shape[axis]
    total, weights = image.clone(), image.new_ones((1, *image.shape[1:]))
    for step in range(1, reach + 1):
        first, second = 0, step
        one, other = (image.narrow(axis, start, length - step) for start in (first, second))
        apart = (one - other).abs_()
        apart = (apart[:1] + apart[1:2]).add_(apart[2:]).square_()
        near = -0.5 * (step / options.sigma) ** 2
        weight = apart.mul_(-0.5 / options.contrast**2).add_(near).exp_()
        for start, value in ((first, other), (second, one)):
            total.narrow(axis, start, length - step).addcmul_(value, weight)
            weights.narrow(axis, start, length - step).add_(weight)
    return total.div_(weights).narrow(axis, reach, length - 2 * reach)


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
