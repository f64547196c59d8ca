"""The check my-plugin: a picture must be about as bright as its source."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from sv2r import Check, CheckResult, CheckSpec, Field, Frame, Options, Runtime, hookimpl

if TYPE_CHECKING:
    from torch import Tensor


class MyPluginOptions(Options):
    """Options of the check; each one needs a description."""

    most: float = Field(0.3, gt=0, le=1, description="Largest change of the mean; 1 is white.")


def build(options: MyPluginOptions, runtime: Runtime) -> Check:
    """Return the check."""

    def check(frame: Frame, picture: Tensor) -> CheckResult:
        change = float(picture.float().mean()) / 255 - float(frame.image.mean())
        reason = f"brightness changed by {change:+.2f}" if abs(change) > options.most else None
        return CheckResult(reason, picture={"brightness_change": round(change, 4)})

    return check


@hookimpl
def sv2r_checks() -> Iterable[CheckSpec[Any]]:
    """Return the check."""
    return [
        CheckSpec(
            name="my-plugin", summary="Change of brightness.", options=MyPluginOptions, build=build
        )
    ]
