"""Colour transfer: each render takes on the colours of a photograph. A baseline without a model."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sv2r import Batch, Runtime, TranslatorSpec, hookimpl
from sv2r.images.palette import from_lab, spread, to_lab
from sv2r.images.references import References, find_photos
from sv2r_tabletop.references import PhotoOptions, require_photos

if TYPE_CHECKING:
    from torch import Tensor


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


def build(options: ReinhardOptions, runtime: Runtime) -> Reinhard:
    """Return the translator; reads every photograph.

    Raises:
        ConfigError: there are no photographs, or one cannot be read.
    """
    references = find_photos(options.photos, "--translator.photos")
    return Reinhard(
        references,
        tuple(references.each(lambda photo: spread(to_lab(photo.contiguous().float() / 255)))),
    )


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
