"""How a picture becomes the size that a model works at, and comes back exactly."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from sv2r.images.geometry import next_multiple, pad, resize

if TYPE_CHECKING:
    from torch import Tensor

Size = tuple[int, int]


@dataclass(frozen=True)
class Fitting:
    """The way there and back.

    mode: as the option `fit`. multiple: what height and width must be multiples of, in pixels.
    resolution: the short side to work at (scale) or a tile's side (tile), in pixels.
    """

    mode: Literal["native", "scale", "tile"]
    multiple: int
    resolution: int

    def inner(self, size: Size) -> Size:
        """Return the (height, width) that the picture is worked at, margins left out."""
        if self.mode != "scale":
            return size
        ratio = self.resolution / min(size)
        return max(round(size[0] * ratio), 1), max(round(size[1] * ratio), 1)

    def outer(self, size: Size) -> Size:
        """Return the (height, width) that the model sees, margins included."""
        height, width = self.inner(size)
        return next_multiple(height, self.multiple), next_multiple(width, self.multiple)

    def tile(self, outer: Size) -> Size | None:
        """Return a tile's (height, width), or None where there is one piece only."""
        side = next_multiple(self.resolution, self.multiple)
        tile = min(side, outer[0]), min(side, outer[1])
        return None if self.mode != "tile" or tile == outer else tile

    def enter(self, image: Tensor) -> Tensor:
        """Return a (3, H, W) image as the model sees it; in [0, 1] where it has to be resized."""
        size = image.shape[-2], image.shape[-1]
        return pad(resize(image, *self.inner(size)), *self.outer(size))

    def leave(self, image: Tensor, size: Size) -> Tensor:
        """Return what the model made, (3, H, W) in [0, 1], at the picture's own size."""
        height, width = self.inner(size)
        return resize(image[:, :height, :width], *size)
