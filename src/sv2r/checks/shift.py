"""Refuses a picture that is shifted, zoomed or turned against its source."""

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


class ShiftOptions(Options):
    """Options of the shift check."""

    max_shift: float = Field(
        1.0,
        gt=0,
        description="Pixels that any corner of the picture may be displaced by translation, zoom "
        "and turn together.",
    )
    max_local: float | None = Field(
        None,
        gt=0,
        description="Pixels that one tile (64 px) may be displaced against the rest; left out, "
        "tiles are measured but not judged.",
    )


def build(options: ShiftOptions, runtime: Runtime) -> Check:
    """Return the check; it computes on the runtime's device."""
    from sv2r.checks.edges import smoothed
    from sv2r.checks.motion import Motion, motion
    from sv2r.checks.scores import motion_scores

    def check(frame: Frame, picture: Tensor) -> CheckResult:
        """Return how a (3, H, W) uint8 picture lies on its source.

        Scores: `dx`, `dy` (px, at the centre), `zoom`, `turn` (degrees), `shift` (px, the most that
        these do anywhere), `sure` (standard errors; 0 where no displacement is claimed), `local`
        (px, of a tile against the rest), `agreement`. None of them where the source has no edges.
        """
        before, after = (
            smoothed(image.to(runtime.device).float() * scale, 1.0)
            for image, scale in ((frame.image, 255), (picture, 1))
        )
        found = motion(before, after, frame.instances.labels)
        if found is None:
            return CheckResult()
        scores = {name: round(value, 4) for name, value in motion_scores(found).items()}
        known = (found.dy, found.dx) if found.sure else None
        return CheckResult(_reason(found), scores, displacement=known, merit=-found.shift)

    def _reason(found: Motion) -> str | None:
        if found.shift > options.max_shift:
            return (
                f"the picture is displaced by up to {found.shift:.1f} px against its source "
                f"({found.dx:+.1f} px across, {found.dy:+.1f} px down, zoom {found.zoom:.3f}, "
                f"turn {found.turn:+.1f} degrees; max_shift {options.max_shift:g})"
            )
        if options.max_local is not None and found.local > options.max_local:
            return (
                f"a part of the picture is displaced by {found.local:.1f} px against the rest "
                f"(max_local {options.max_local:g})"
            )
        return None

    return check


@hookimpl
def sv2r_checks() -> Iterable[CheckSpec[ShiftOptions]]:
    """Return the shift check."""
    return [
        CheckSpec(
            name="shift",
            summary="Shift, zoom and turn of the picture against its source, from edges.",
            options=ShiftOptions,
            build=build,
        )
    ]
