"""The lines between instances as a control map: touching instances of one category stay two."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

from pydantic import Field

from sv2r.plugin.hookspecs import hookimpl
from sv2r.plugin.options import Options
from sv2r.plugin.specs import Conditioner, ConditionerSpec, Runtime
from sv2r.types import ControlMap, Frame


class InstanceBoundaryOptions(Options):
    """How the lines are drawn."""

    thickness: int = Field(2, ge=1, le=64, description="Width of a line, in pixels.")
    side: Literal["centre", "inner"] = Field(
        "centre",
        description="Where a line lies: centred on the boundary, or inside each instance"
        " (two that touch then have a line each).",
    )


def build(options: InstanceBoundaryOptions, runtime: Runtime) -> Conditioner:
    """Return what draws a frame's boundaries from its label map; hidden pixels have none."""
    import torch

    from sv2r.images.outlines import boundary_mask, outline_mask

    draw = boundary_mask if options.side == "centre" else outline_mask

    def condition(frame: Frame) -> ControlMap:
        """Return the lines as a (3, H, W) map of 0 and 1."""
        lines = torch.from_numpy(draw(frame.instances.labels, options.thickness))
        return ControlMap("instance-boundary", lines.to(torch.float32).expand(3, -1, -1))

    return condition


@hookimpl
def sv2r_conditioners() -> Iterable[ConditionerSpec[InstanceBoundaryOptions]]:
    """Return the conditioner."""
    return [
        ConditionerSpec(
            name="instance-boundary",
            summary="Lines between instances, and between instances and background.",
            options=InstanceBoundaryOptions,
            build=build,
            produces="instance-boundary",
        )
    ]
