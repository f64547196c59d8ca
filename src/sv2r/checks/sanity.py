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
    from torch import Tensor


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
    import torch

    def check(frame: Frame, picture: Tensor) -> CheckResult:
        """Return a reason for a frame that cannot be a translation of its source.

        picture: (3, H, W) uint8, H and W the frame's. Scores: `std`, the largest standard deviation
        of a colour channel in levels of 255, and `source_std` where the source had to be looked at.
        """
        if reason := _wrong_form(picture, frame.size):
            return CheckResult(reason)
        counts = _counts(picture)
        std, brightest = _spread(counts), _brightest(counts)
        scores = {"std": round(std, 3)}
        if std >= options.min_std and brightest > options.black_level:
            return CheckResult(None, scores)
        source = _counts((frame.image * 255).round().to(torch.uint8))
        source_std = _spread(source)
        scores["source_std"] = round(source_std, 3)
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

    def _counts(picture: Tensor) -> Tensor:
        """Return (3, 256): how often a channel has a level. A tenth of the time of torch.std."""
        planes = [torch.bincount(plane.flatten(), minlength=256) for plane in picture]
        return torch.stack(planes).cpu().double()

    def _spread(counts: Tensor) -> float:
        levels = torch.arange(256, dtype=torch.float64)
        total = counts.sum(1, keepdim=True)
        mean = (counts * levels).sum(1, keepdim=True) / total
        return float(
            ((counts * (levels - mean).square()).sum(1, keepdim=True) / total).max().sqrt()
        )

    def _brightest(counts: Tensor) -> int:
        return int(counts.sum(0).nonzero().max())

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
