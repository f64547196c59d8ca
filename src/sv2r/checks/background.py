"""Refuses a picture whose background is another scene, noise, or nothing."""

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


class BackgroundOptions(Options):
    """Options of the background check."""

    min_background: float = Field(
        0.2,
        ge=0,
        le=1,
        description="A picture is refused where the structure of what no label covers is kept by "
        "less than this.",
    )


def build(options: BackgroundOptions, runtime: Runtime) -> Check:
    """Return the check; it computes on the runtime's device."""
    from sv2r.checks.ground import ground

    def check(frame: Frame, picture: Tensor) -> CheckResult:
        """Return whether a (3, H, W) uint8 picture has its source's background.

        Scores: `background` (0 to 1), `noise`, `contrast` (see `ground.Ground`); none of them where
        the source shows no structure outside of the labels.
        """
        before = frame.image.to(runtime.device) * 255
        found = ground(before, picture.to(runtime.device).float(), frame.instances.labels)
        if found is None:
            return CheckResult()
        names = ("background", "noise", "contrast")
        scores = {name: round(getattr(found, name), 4) for name in names}
        if found.background >= options.min_background:
            return CheckResult(None, scores, merit=1.0)
        reason = (
            f"the background is not that of the source ({found.background:.2f}; noise "
            f"{found.noise:.1f}, contrast {found.contrast:.2f}; min_background "
            f"{options.min_background:g})"
        )
        return CheckResult(reason, scores, merit=found.background)

    return check


@hookimpl
def sv2r_checks() -> Iterable[CheckSpec[BackgroundOptions]]:
    """Return the background check."""
    return [
        CheckSpec(
            name="background",
            summary="Whether what no label covers is still the same scene.",
            options=BackgroundOptions,
            build=build,
        )
    ]
