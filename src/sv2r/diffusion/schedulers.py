"""Samplers by the names that people know."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from sv2r.errors import ConfigError
from sv2r.plugin.words import nearest

_DPM = "DPMSolverMultistepScheduler"
_ALIASES: Mapping[str, tuple[str, Mapping[str, Any]]] = MappingProxyType(
    {
        "ddim": ("DDIMScheduler", {}),
        "ddpm": ("DDPMScheduler", {}),
        "euler": ("EulerDiscreteScheduler", {}),
        "euler-a": ("EulerAncestralDiscreteScheduler", {}),
        "heun": ("HeunDiscreteScheduler", {}),
        "dpm++-2m": (_DPM, {"algorithm_type": "dpmsolver++"}),
        "dpm++-2m-karras": (_DPM, {"algorithm_type": "dpmsolver++", "use_karras_sigmas": True}),
        "dpm++-2m-sde": (_DPM, {"algorithm_type": "sde-dpmsolver++"}),
        "unipc": ("UniPCMultistepScheduler", {}),
        "lms": ("LMSDiscreteScheduler", {}),
        # Its Runge-Kutta beginning would run the network twelve times before the first step.
        "pndm": ("PNDMScheduler", {"skip_prk_steps": True}),
        "lcm": ("LCMScheduler", {}),
    }
)

# Made for distilled LoRAs on any model that predicts noise, though diffusers does not list them.
_LIKE = MappingProxyType({"LCMScheduler": "DDIMScheduler", "TCDScheduler": "DDIMScheduler"})


def find_scheduler(name: str) -> tuple[str, Mapping[str, Any]]:
    """Return (class name, settings) of a scheduler by its class or its common name.

    Raises:
        ConfigError: diffusers has no such scheduler; names the nearest.
    """
    import diffusers

    if name.lower() in _ALIASES:
        return _ALIASES[name.lower()]
    classes = {each for each in dir(diffusers) if each.endswith("Scheduler")}
    if name in classes:
        return name, {}
    near = nearest(name, classes | set(_ALIASES))
    hint = f"did you mean {near}?" if near else f"there are {', '.join(_ALIASES)}"
    raise ConfigError(f"no scheduler '{name}'; {hint}")


def require_compatible(name: str, own: str) -> None:
    """Raise ConfigError where a model with its own scheduler class cannot use the one named."""
    import diffusers

    asked = find_scheduler(name)[0]
    if asked == own or not hasattr(diffusers, own):
        return
    theirs = {own, *_compatibles(own)}
    if not theirs & {asked, *_compatibles(asked)}:
        others = ", ".join(sorted(theirs))
        raise ConfigError(f"scheduler '{name}' does not fit a model for {own}; it takes {others}")


def make_scheduler(name: str, current: Any) -> Any:
    """Return the scheduler of that name with the model's own configuration."""
    import diffusers

    class_name, settings = find_scheduler(name)
    return getattr(diffusers, class_name).from_config(current.config, **settings)


def _compatibles(name: str) -> list[str]:
    import diffusers

    name = _LIKE.get(name, name)
    return list(getattr(getattr(diffusers, name), "_compatibles", ()))
