"""Fourier domain adaptation: a photograph's lowest frequencies in each render. A baseline."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sv2r import Batch, Field, Runtime, TranslatorSpec, hookimpl
from sv2r.images.references import References
from sv2r_tabletop.references import PhotoOptions, open_photos, require_photos

if TYPE_CHECKING:
    from torch import Tensor


class FdaOptions(PhotoOptions):
    """Options of the translator `fda`."""

    beta: float = Field(
        0.01,
        ge=0,
        le=0.5,
        description="Half the side of the square of frequencies taken from the photograph, as a "
        "share of the picture's shorter side; 0 takes the mean colour alone.",
    )


@dataclass(frozen=True)
class Fda:
    """A translator that puts a photograph's low-frequency amplitudes under a render's phases."""

    options: FdaOptions
    references: References

    def __call__(self, batch: Batch) -> Sequence[Tensor]:
        """Return a (3, H, W) uint8 picture per frame.

        Yang and Soatto (2020), "FDA: Fourier domain adaptation for semantic segmentation", CVPR.
        """
        pairs = zip(batch.frames, batch.seeds, strict=True)
        return [self._adapted(frame.image, seed) for frame, seed in pairs]

    def _adapted(self, image: Tensor, seed: int) -> Tensor:
        photo = self.references.read(self.references.draw(seed))
        return adapt(image.cpu(), photo, self.options.beta)

    def settings(self) -> Mapping[str, Any]:
        """Return what a record keeps of it beside the options."""
        return {"photos": len(self.references.paths)}


def adapt(image: Tensor, photo: Tensor, beta: float) -> Tensor:
    """Return (3, H, W) uint8: an image with a photo's amplitudes at its lowest frequencies.

    image: (3, H, W) float32 in [0, 1]. photo: the same, of any size.
    """
    import torch
    from torch.nn.functional import interpolate

    height, width = image.shape[1:]
    resized = interpolate(photo[None], (height, width), mode="bilinear", antialias=True)[0]
    source, target = (torch.fft.fftshift(torch.fft.fft2(x), dim=(1, 2)) for x in (image, resized))
    reach = int(beta * min(height, width))
    middle = (
        slice(None),
        *(slice(max(n // 2 - reach, 0), n // 2 + reach + 1) for n in (height, width)),
    )
    amplitude = source.abs()
    amplitude[middle] = target[middle].abs()
    mixed = torch.polar(amplitude, source.angle())
    picture: Tensor = torch.fft.ifft2(torch.fft.ifftshift(mixed, dim=(1, 2))).real
    return (picture.clamp(0, 1) * 255).round().to(torch.uint8)


def build(options: FdaOptions, runtime: Runtime) -> Fda:
    """Return the translator; reads every photograph.

    Raises:
        ConfigError: there are no photographs, or one cannot be read.
    """
    return Fda(options, open_photos(options))


@hookimpl
def sv2r_translators() -> Iterable[TranslatorSpec[FdaOptions]]:
    """Return the translator."""
    return [
        TranslatorSpec(
            name="fda",
            summary="A photograph's lowest frequencies under each render (Yang and Soatto 2020).",
            options=FdaOptions,
            build=build,
            preflight=require_photos,
        )
    ]
