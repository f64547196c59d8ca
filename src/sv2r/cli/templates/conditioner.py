"""The control map my-plugin: how bright a render is."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from sv2r import Conditioner, ConditionerSpec, ControlMap, Field, Frame, Options, Runtime, hookimpl


class MyPluginOptions(Options):
    """Options of the conditioner; each one needs a description."""

    gain: float = Field(1.0, gt=0, description="Multiplies the brightness before it is clipped.")


def build(options: MyPluginOptions, runtime: Runtime) -> Conditioner:
    """Return the conditioner; import torch and the like in here."""

    def condition(frame: Frame) -> ControlMap:
        brightness = frame.image.mean(0, keepdim=True)  # (3, H, W) in [0, 1] becomes (1, H, W)
        return ControlMap("my-plugin", (options.gain * brightness).clamp(0, 1).repeat(3, 1, 1))

    return condition


@hookimpl
def sv2r_conditioners() -> Iterable[ConditionerSpec[Any]]:
    """Return the conditioner."""
    return [
        ConditionerSpec(
            name="my-plugin",
            summary="Brightness as a control map.",
            options=MyPluginOptions,
            build=build,
            produces="my-plugin",
        )
    ]
