"""An example sv2r plugin, whole: Sobel edges as a control map, and colours of real photographs.

Read it from top to bottom: options, work, spec, for one component and then for the other; the
hooks that hand them to sv2r stand at the end. torch, kornia and PIL are imported inside of what
computes, so that `sv2r --help` and `sv2r plugins` stay quick.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from pydantic import field_validator

from sv2r import (
    Batch,
    Conditioner,
    ConditionerSpec,
    ConfigError,
    ControlMap,
    Field,
    Frame,
    Options,
    Runtime,
    TranslatorSpec,
    hookimpl,
)

if TYPE_CHECKING:
    from torch import Tensor


# --- a conditioner: sobel -----------------------------------------------------------------------


class SobelOptions(Options):
    """Options of the conditioner `sobel`."""

    gain: float = Field(
        1.0, gt=0, le=100, description="Multiplies the gradient before it is clipped to [0, 1]."
    )


def build_sobel(options: SobelOptions, runtime: Runtime) -> Conditioner:
    """Return a conditioner that draws the edges of a frame."""
    from kornia.filters import sobel

    def condition(frame: Frame) -> ControlMap:
        """Return the gradient magnitude, averaged over the channels, as a (3, H, W) map in [0, 1].

        Sobel and Feldman (1968), "A 3x3 isotropic gradient operator for image processing".
        """
        magnitude = sobel(frame.image[None])[0].mean(0, keepdim=True)
        return ControlMap("sobel", (options.gain * magnitude).clamp(0, 1).repeat(3, 1, 1))

    return condition


SOBEL = ConditionerSpec(
    name="sobel", summary="Sobel edges.", options=SobelOptions, build=build_sobel, produces="sobel"
)


# --- a translator: grade ------------------------------------------------------------------------

Lab = tuple[float, float, float]
PHOTOGRAPHS = {".jpg", ".jpeg", ".png", ".webp", ".tif", ".tiff", ".bmp"}
# Statistics of colour hardly change when a photograph is made smaller; reading does.
LARGEST_SIDE = 512


class GradeOptions(Options):
    """Options of the translator `grade`: a folder of photographs, or a mean and a std."""

    reference: Path | None = Field(
        None, description="A folder of real photographs whose colours the pictures take on."
    )
    mean: Lab | None = Field(
        None,
        description="In place of a folder: three numbers, the means of L (0 to 100), a and b.",
    )
    std: Lab | None = Field(
        None,
        description="In place of a folder: three numbers, the standard deviations of L, a and b.",
    )
    toward: Literal["all", "one"] = Field(
        "all",
        description="all: what the photographs have in common. one: a single photograph, drawn "
        "for each picture and variant by its seed.",
    )
    strength: float = Field(
        1.0, gt=0, le=1, description="How far to go from the render (0) to the new colours (1)."
    )
    max_gain: float = Field(
        3.0,
        ge=1,
        le=10,
        description="How much a channel's contrast may grow at most; more makes banding and noise "
        "of flat renders visible.",
    )

    @field_validator("reference")
    @classmethod
    def _absolute(cls, value: Path | None) -> Path | None:
        # run.yaml keeps the options, and must mean the same folder wherever it is read.
        return value.expanduser().absolute() if value else None


@dataclass(frozen=True)
class Colours:
    """Mean and standard deviation of L, a and b: each a (3,) tensor."""

    mean: Tensor
    std: Tensor


def require_target(options: GradeOptions, sizes: Sequence[tuple[int, int]]) -> None:
    """Raise ConfigError unless the options say, in one way, which colours to aim for."""
    given = options.mean is not None, options.std is not None
    if options.reference and any(given):
        raise ConfigError("grade takes --translator.reference, or mean and std, not both")
    if not options.reference and not all(given):
        raise ConfigError(
            "grade needs photographs, --translator.reference FOLDER, or --translator.mean and .std"
        )
    if options.reference:
        photographs(options.reference)


def photographs(folder: Path) -> list[Path]:
    """Return the pictures in a folder and its subfolders by name; raise ConfigError for none."""
    found = sorted(path for path in folder.rglob("*") if path.suffix.lower() in PHOTOGRAPHS)
    if not found:
        kinds = ", ".join(sorted(PHOTOGRAPHS))
        raise ConfigError(f"grade: no photographs ({kinds}) in reference folder {folder}")
    return found


@dataclass(frozen=True)
class Grade:
    """A translator that moves each picture's colours towards a target's; no pixel moves.

    targets: one, or one per reference photograph to draw from.
    """

    options: GradeOptions
    targets: tuple[Colours, ...]
    device: str

    def __call__(self, batch: Batch) -> Sequence[Tensor]:
        """Return a (3, H, W) uint8 picture per frame."""
        # One by one and not as a stack: a CPU's pow rounds otherwise at the end of a tensor, and
        # a picture's bits must not depend on its place in the batch.
        pairs = zip(batch.frames, batch.seeds, strict=True)
        return [self._graded(frame.image, self._target(seed)) for frame, seed in pairs]

    def _graded(self, image: Tensor, target: Colours) -> Tensor:
        """Return a (3, H, W) float picture in [0, 1] with the target's colours, as uint8.

        Reinhard et al. (2001), "Color transfer between images", IEEE Computer Graphics and
        Applications 21 (5): mean and standard deviation of each channel are made the target's,
        here in CIE Lab in place of the paper's lαβ.
        """
        import torch
        from kornia.color import lab_to_rgb, rgb_to_lab

        image = image.to(self.device)
        lab = rgb_to_lab(image)
        mean = lab.mean((1, 2), keepdim=True)
        std = lab.std((1, 2), correction=0, keepdim=True)
        gain = target.std.to(lab)[:, None, None] / std.clamp_min(1e-6)
        moved = (lab - mean) * gain.clamp_max(self.options.max_gain)
        graded = lab_to_rgb(moved + target.mean.to(lab)[:, None, None])
        mixed = image.lerp(graded, self.options.strength)
        return (mixed.clamp(0, 1) * 255).round().to(torch.uint8)

    def settings(self) -> Mapping[str, Any]:
        """Return what a record keeps of it besides the options."""
        return {"targets": len(self.targets), "device": self.device}

    def _target(self, seed: int) -> Colours:
        import torch

        # A generator of the picture's own: its draw depends on no other picture.
        generator = torch.Generator().manual_seed(seed)
        draw = torch.randint(len(self.targets), (), generator=generator)
        return self.targets[int(draw)]


def build_grade(options: GradeOptions, runtime: Runtime) -> Grade:
    """Return the translator; reads the reference photographs.

    Raises:
        ConfigError: no target is given, or a photograph cannot be read.
    """
    import torch

    require_target(options, ())
    if options.reference is None:
        aims = Colours(torch.tensor(options.mean), torch.tensor(options.std))
        return Grade(options, (aims,), runtime.device)
    each = tuple(colours_of(path) for path in photographs(options.reference))
    return Grade(options, (pooled(each),) if options.toward == "all" else each, runtime.device)


def colours_of(path: Path) -> Colours:
    """Return the colours of one photograph; raise ConfigError where it cannot be read."""
    import numpy as np
    import torch
    from kornia.color import rgb_to_lab
    from PIL import Image

    try:
        with Image.open(path) as file:
            picture = file.convert("RGB")
    except (OSError, Image.DecompressionBombError) as error:
        raise ConfigError(f"grade: {path}: {error}; take it out of the folder") from error
    picture.thumbnail((LARGEST_SIDE, LARGEST_SIDE))
    lab = rgb_to_lab(torch.from_numpy(np.array(picture)).permute(2, 0, 1).float() / 255)
    return Colours(lab.mean((1, 2)), lab.std((1, 2), correction=0))


def pooled(each: Sequence[Colours]) -> Colours:
    """Return the colours of all photographs together, each of the same weight."""
    import torch

    means = torch.stack([one.mean for one in each])
    squares = torch.stack([one.std**2 + one.mean**2 for one in each])
    mean = means.mean(0)
    return Colours(mean, (squares.mean(0) - mean**2).clamp_min(0).sqrt())


GRADE = TranslatorSpec(
    name="grade",
    summary="The colours of your own photographs, without a model.",
    options=GradeOptions,
    build=build_grade,
    preflight=require_target,
)


# --- what sv2r asks for -------------------------------------------------------------------------


@hookimpl
def sv2r_conditioners() -> Iterable[ConditionerSpec[Any]]:
    """Return the conditioner."""
    return [SOBEL]


@hookimpl
def sv2r_translators() -> Iterable[TranslatorSpec[Any]]:
    """Return the translator."""
    return [GRADE]
