"""A picture on its way: read, conditioned, batched, made, checked, published."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from sv2r.types.dataset import Sample
from sv2r.types.instances import Instances

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from torch import Tensor

_NOTHING: Mapping[Any, Any] = MappingProxyType({})


@dataclass(frozen=True)
class Frame:
    """A sample that has been read.

    image: (3, H, W) float32 in [0, 1], sRGB, on the CPU.
    instances: drawn on the same H and W.
    normalised: what was done to the file's pixels to get there ("alpha dropped", ...).
    sha256: of the picture file's bytes, as hexadecimal digits.
    """

    sample: Sample
    image: Tensor
    instances: Instances
    normalised: tuple[str, ...] = ()
    sha256: str = ""

    @cached_property
    def pixels(self) -> Tensor:
        """Return the image as (3, H, W) uint8, of any memory layout; not to be written to."""
        import torch

        return (self.image * 255).round().to(torch.uint8)

    @cached_property
    def array(self) -> NDArray[np.uint8]:
        """Return the image as (H, W, 3) uint8, not to be written to."""
        import numpy as np

        return np.ascontiguousarray(self.pixels.cpu().permute(1, 2, 0).numpy())

    @property
    def size(self) -> tuple[int, int]:
        """Return (height, width) in pixels."""
        return self.image.shape[-2], self.image.shape[-1]


class ReadFrame(Frame):
    """A frame as it came from its file, an array of uint8; it becomes a tensor, and float32, when
    that is first asked for.

    A float32 picture is four times as large, and what copies, crops or sends pixels needs none.
    """  # noqa: D205

    @classmethod
    def of(
        cls,
        sample: Sample,
        array: NDArray[np.uint8],
        instances: Instances,
        normalised: tuple[str, ...],
        sha256: str,
    ) -> ReadFrame:
        """Return the frame of (H, W, 3) uint8 pixels; the other arguments are `Frame`'s."""
        frame = cls.__new__(cls)
        known = {"sample": sample, "array": array, "instances": instances}
        frame.__dict__.update(known, normalised=normalised, sha256=sha256)
        return frame

    @cached_property
    def pixels(self) -> Tensor:
        """Return the array as (3, H, W) uint8, which shares its memory."""
        import torch

        self.array.setflags(write=True)  # torch has no memory that is read-only
        return torch.from_numpy(self.array).permute(2, 0, 1)

    @cached_property
    def image(self) -> Tensor:  # a field of Frame's, filled in later
        """Return the pixels as (3, H, W) float32 in [0, 1]."""
        import numpy as np
        import torch

        planes = self.pixels.numpy()
        return torch.from_numpy(np.divide(planes, np.float32(255), dtype=np.float32, order="C"))

    @property
    def size(self) -> tuple[int, int]:
        """Return (height, width) in pixels."""
        height, width, _ = self.array.shape
        return height, width


@dataclass(frozen=True)
class ControlMap:
    """What a conditioner found in a frame: (3, H, W) float32 in [0, 1], the frame's H and W."""

    name: str
    image: Tensor


@dataclass(frozen=True)
class Batch:
    """What a translator gets: always the same number of pictures, the last batch filled up.

    frames: all of one bucket (one size, unless the translator says which sizes go together).
    controls: by control name, one (3, H, W) tensor in [0, 1] per frame, in the frames' order.
    prompts, negative_prompts, seeds: one per frame. A seed is 0 to 2**48 - 1.
    strength_factor: what to multiply the strength by: below 1 where pictures are tried again.
    control_factor: what to multiply control scales by: above 1 where pictures are tried again.
    """

    frames: tuple[Frame, ...]
    controls: Mapping[str, tuple[Tensor, ...]]
    prompts: tuple[str, ...]
    negative_prompts: tuple[str, ...]
    seeds: tuple[int, ...]
    strength_factor: float = 1.0
    control_factor: float = 1.0

    def __len__(self) -> int:
        return len(self.frames)


@dataclass(frozen=True, slots=True)
class Refusal:
    """What a translator may return in place of a picture that must not be published.

    reason: one line. failed: whether it is an error to fix rather than a verdict on the picture.
    """

    reason: str
    failed: bool = False


@dataclass(frozen=True)
class CheckResult:
    """What a check says of one picture.

    reason: None where the picture passes, else one line: why it must not be published.
    picture: scores of the whole picture, by name.
    instances: scores by instance id, then by name.
    damaged: the instances that do not fit their labels any more, where that is the reason.
    displacement: (down, right) in pixels, by which the picture has moved as a whole; None where
        that was not measured.
    reach: pixels around a damaged instance, by its id, that its damage goes into; left out where
        that was not measured.
    merit: how well the picture does by this check, in any unit, more is better: what two pictures
        of one frame are compared by. None where nothing was measured.
    """

    reason: str | None = None
    picture: Mapping[str, float] = field(default_factory=lambda: _NOTHING)
    instances: Mapping[int, Mapping[str, float]] = field(default_factory=lambda: _NOTHING)
    damaged: frozenset[int] = frozenset()
    displacement: tuple[float, float] | None = None
    reach: Mapping[int, float] = field(default_factory=lambda: _NOTHING)
    merit: float | None = None


@dataclass(frozen=True, slots=True)
class Published:
    """A file in place: its path under the output folder and the SHA-256 of its bytes.

    labels: paths, under the output folder, of the sample's own label files that were copied with it
        and found equal byte for byte.
    label_iou: instances whose mask the format cannot hold to the pixel: how much of it is kept, as
        intersection over union; 0 where it is left out. All others are exact.
    """

    path: str
    sha256: str
    labels: tuple[str, ...] = ()
    label_iou: Mapping[int, float] = field(default_factory=lambda: _NOTHING)
