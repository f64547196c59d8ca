"""Colour transfer: each render takes on the colours of a photograph. A baseline without a model."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sv2r import Batch, Runtime, TranslatorSpec, hookimpl
from sv2r_tabletop.references import PhotoOptions, References, open_photos, require_photos

if TYPE_CHECKING:
    from torch import Tensor

# Reinhard et al. (2001), equations 4 and 5: linear RGB to cone responses, their logarithms to lαβ.
_RGB_TO_LMS = ((0.3811, 0.5783, 0.0402), (0.1967, 0.7244, 0.0782), (0.0241, 0.1288, 0.8444))
_LMS_TO_LAB = ((3**-0.5,) * 3, (6**-0.5, 6**-0.5, -2 * 6**-0.5), (2**-0.5, -(2**-0.5), 0.0))
# Black has no logarithm: half of the darkest grey that 8 bits know.
_DARKEST = 0.5 / 255 / 12.92


class ReinhardOptions(PhotoOptions):
    """Options of the translator `reinhard`."""


@dataclass(frozen=True)
class Reinhard:
    """A translator that gives each picture the mean and spread of a photograph's colours.

    targets: per photograph, mean and standard deviation of l, α and β, (2, 3).
    """

    references: References
    targets: tuple[Tensor, ...]

    def __call__(self, batch: Batch) -> Sequence[Tensor]:
        """Return a (3, H, W) uint8 picture per frame.

        Reinhard, Ashikhmin, Gooch and Shirley (2001), "Color transfer between images", IEEE
        Computer Graphics and Applications 21 (5).
        """
        # One by one: a CPU's pow rounds otherwise at the end of a tensor, and a picture's bits
        # must not depend on its place in the batch.
        pairs = zip(batch.frames, batch.seeds, strict=True)
        return [transfer(f.image, self.targets[self.references.draw(seed)]) for f, seed in pairs]

    def settings(self) -> Mapping[str, Any]:
        """Return what a record keeps of it beside the options."""
        return {"photos": len(self.targets)}


def transfer(image: Tensor, target: Tensor) -> Tensor:
    """Return a (3, H, W) float picture in [0, 1] with a target's mean and spread, as uint8."""
    import torch

    lab = to_lab(image.cpu())
    mean, std = spread(lab)
    moved = (lab - mean[:, None]) / std.clamp_min(1e-6)[:, None] * target[1, :, None]
    picture = from_lab(moved + target[0, :, None]).reshape(image.shape)
    return (picture.clamp(0, 1) * 255).round().to(torch.uint8)


def spread(lab: Tensor) -> Tensor:
    """Return mean and standard deviation of each of (3, N) channels: (2, 3)."""
    import torch

    return torch.stack([lab.mean(1), lab.std(1, correction=0)])


def to_lab(image: Tensor) -> Tensor:
    """Return a (3, H, W) sRGB picture in [0, 1] as (3, H * W) l, α and β."""
    import torch
    from kornia.color import rgb_to_linear_rgb

    linear = rgb_to_linear_rgb(image).flatten(1)
    cones = torch.tensor(_RGB_TO_LMS) @ linear
    lab: Tensor = torch.tensor(_LMS_TO_LAB) @ cones.clamp_min(_DARKEST).log10()
    return lab


def from_lab(lab: Tensor) -> Tensor:
    """Return (3, N) l, α and β as (3, 1, N) sRGB, which may leave [0, 1]."""
    import torch
    from kornia.color import linear_rgb_to_rgb

    # The inverses and not the paper's rounded ones: a picture's own colours give the picture.
    cones = 10 ** (torch.tensor(_LMS_TO_LAB).T @ lab)
    linear = torch.linalg.inv(torch.tensor(_RGB_TO_LMS, dtype=torch.float64)).float() @ cones
    picture: Tensor = linear_rgb_to_rgb(linear.clamp(0, 1)[:, None])
    return picture


def build(options: ReinhardOptions, runtime: Runtime) -> Reinhard:
    """Return the translator; reads every photograph.

    Raises:
        ConfigError: there are no photographs, or one cannot be read.
    """
    references = open_photos(options)
    numbers = range(len(references.paths))
    return Reinhard(references, tuple(spread(to_lab(references.read(n))) for n in numbers))


@hookimpl
def sv2r_translators() -> Iterable[TranslatorSpec[ReinhardOptions]]:
    """Return the translator."""
    return [
        TranslatorSpec(
            name="reinhard",
            summary="Colour transfer from a photograph drawn for each picture (Reinhard 2001).",
            options=ReinhardOptions,
            build=build,
            preflight=require_photos,
        )
    ]
