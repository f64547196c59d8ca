"""Refuses a frame that cannot be a picture: wrong size or type, all black, near-constant."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from pydantic import Field

from sv2r.plugin.hookspecs import hookimpl
from sv2r.plugin.options import Options
from sv2r.plugin.specs import Check, CheckSpec, Runtime
from sv2r.types import CheckResult, Frame

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from torch import Tensor

_STEP = 16  # rows


class SanityOptions(Options):
    """Options of the sanity check."""

    min_std: float = Field(
        2.0,
        ge=0,
        le=127,
        description="A picture whose levels (of 255) spread less than this is near-constant, "
        "unless the source spreads less than twice as much itself. 0 turns this off.",
    )
    black_level: int = Field(
        3,
        ge=0,
        le=254,
        description="A picture with no level (of 255) above this is black, unless the source is.",
    )


def build(options: SanityOptions, runtime: Runtime) -> Check:
    """Return the check; it computes wherever the picture lies."""
    import numpy as np
    import torch

    levels = np.arange(256)

    def check(frame: Frame, picture: Tensor) -> CheckResult:
        """Return a reason for a frame that cannot be a translation of its source.

        picture: (3, H, W) uint8, H and W the frame's. Scores: `std`, the largest standard deviation
        of a colour channel in levels of 255, of every 16th row where that is enough to tell; and
        `source_std` where the source had to be looked at.
        """
        if reason := _wrong_form(picture, frame.size):
            return CheckResult(reason)
        some = _counts(picture[:, ::_STEP])
        std = _spread(some)
        # The variance of every n-th row is at most n times that of all rows.
        if std >= _STEP**0.5 * options.min_std and _brightest(some) > options.black_level:
            return CheckResult(None, {"std": round(std, 3)})
        counts = _counts(picture)
        std, brightest = _spread(counts), _brightest(counts)
        source = _counts(frame.pixels)
        source_std = _spread(source)
        scores = {"std": round(std, 3), "source_std": round(source_std, 3)}
        if brightest <= options.black_level < _brightest(source):
            return CheckResult("the picture is black (a safety checker does that)", scores)
        if std < min(options.min_std, source_std / 2):
            return CheckResult(
                f"the picture is near-constant: its levels spread {std:.2f} of 255 where the "
                f"source's spread {source_std:.2f}",
                scores,
            )
        return CheckResult(None, scores)

    def _wrong_form(picture: Tensor, size: tuple[int, int]) -> str | None:
        if picture.dtype != torch.uint8:
            return f"the picture is {str(picture.dtype).removeprefix('torch.')}, not uint8"
        if tuple(picture.shape) != (3, *size):
            shape = "x".join(str(side) for side in picture.shape)
            return f"the picture is {shape} where the frame is 3x{size[0]}x{size[1]}"
        return None

    def _counts(picture: Tensor) -> NDArray[np.int64]:
        """Return (3, 256): how often a channel has a level. A tenth of the time of torch.std."""
        planes = [torch.bincount(plane.flatten(), minlength=256) for plane in picture]
        counts: NDArray[np.int64] = torch.stack(planes).cpu().numpy()
        return counts

    def _spread(counts: NDArray[np.int64]) -> float:
        total = counts.sum(1)
        variance = counts @ levels**2 / total - (counts @ levels / total) ** 2
        return float(np.sqrt(max(0.0, np.max(variance))))

    def _brightest(counts: NDArray[np.int64]) -> int:
        return int(np.flatnonzero(counts.any(0))[-1])

    return check


@hookimpl
def sv2r_checks() -> Iterable[CheckSpec[SanityOptions]]:
    """Return the sanity check."""
    return [
        CheckSpec(
            name="sanity",
            summary="Wrong size or type, black or near-constant frames.",
            options=SanityOptions,
            build=build,
        )
    ]
