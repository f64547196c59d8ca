"""Canny edges as a control map: white on black, what canny ControlNets are trained on."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Self

from pydantic import Field, model_validator

from sv2r.plugin.hookspecs import hookimpl
from sv2r.plugin.options import Options
from sv2r.plugin.specs import Conditioner, ConditionerSpec, Runtime
from sv2r.types import ControlMap, Frame

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from torch import Tensor


class CannyOptions(Options):
    """Thresholds and blur, with kornia's defaults."""

    low_threshold: float = Field(
        0.1, gt=0, description="A weaker edge that touches a strong one is kept above this."
    )
    high_threshold: float = Field(
        0.2, gt=0, description="An edge is strong above this; raise it for fewer lines."
    )
    kernel_size: int = Field(
        5, ge=1, le=31, description="Width of the blur that comes first, in pixels; odd, 1 is none."
    )
    sigma: float = Field(1.0, gt=0, description="Standard deviation of that blur, in pixels.")

    @model_validator(mode="after")
    def _agree(self) -> Self:
        if self.low_threshold > self.high_threshold:
            raise ValueError(
                f"low_threshold {self.low_threshold:g} is above high_threshold"
                f" {self.high_threshold:g}; lower the one or raise the other"
            )
        if self.kernel_size % 2 == 0:
            raise ValueError(
                f"kernel_size {self.kernel_size} is even, which would shift the edges;"
                f" take {self.kernel_size + 1}"
            )
        return self


def build(options: CannyOptions, runtime: Runtime) -> Conditioner:
    """Return what makes a frame's edges; always on the CPU, so that every device gets the same."""
    import torch

    def condition(frame: Frame) -> ControlMap:
        """Return the edges as a (3, H, W) map of 0 and 1."""
        edges = torch.from_numpy(track_edges(_classify(frame.image, options).numpy()))
        return ControlMap("canny", edges.to(torch.float32).expand(3, -1, -1))

    return condition


def track_edges(edges: NDArray[np.float32]) -> NDArray[np.bool_]:
    """Return the (H, W) mask of strong pixels (1) and of weak ones (0.5) that chain up to one.

    Canny's hysteresis with 8 neighbours, the same as kornia's. kornia visits the whole picture once
    per pixel of the longest chain, nearly all of the time that it takes; this visits edges alone.
    J. Canny, A Computational Approach to Edge Detection, IEEE PAMI 8(6), 1986.
    """
    import numpy as np

    bordered = np.pad(edges, 1)
    row = bordered.shape[1]
    around = np.array([-row - 1, -row, -row + 1, -1, 1, row - 1, row, row + 1])
    flat = bordered.ravel()
    weak, strong = flat == 0.5, flat == 1
    front = np.flatnonzero(strong)
    while front.size:
        reached = (front[:, None] + around).ravel()
        front = np.unique(reached[weak[reached]])
        weak[front] = False
        strong[front] = True
    mask: NDArray[np.bool_] = strong.reshape(bordered.shape)[1:-1, 1:-1]
    return mask


def _classify(image: Tensor, options: CannyOptions) -> Tensor:
    """Return (H, W): 1 on strong edges, 0.5 on weak ones, 0 elsewhere."""
    from kornia.filters import canny
    from torch.nn.functional import pad

    height, width = image.shape[-2:]
    # kornia's blur mirrors at the border, which takes more pixels than a tiny picture has.
    reach = options.kernel_size // 2
    down, right = (reach if length <= reach else 0 for length in (height, width))
    padded = pad(image[None], (right, right, down, down), mode="replicate")
    _, edges = canny(
        padded,
        options.low_threshold,
        options.high_threshold,
        kernel_size=(options.kernel_size, options.kernel_size),
        sigma=(options.sigma, options.sigma),
        hysteresis=False,
    )
    classified: Tensor = edges[0, 0, down : down + height, right : right + width]
    return classified


@hookimpl
def sv2r_conditioners() -> Iterable[ConditionerSpec[CannyOptions]]:
    """Return the conditioner."""
    return [
        ConditionerSpec(
            name="canny",
            summary="Canny edges of the picture (kornia).",
            options=CannyOptions,
            build=build,
            produces="canny",
        )
    ]
