"""What a batch of pictures that are tried again changes about a pipeline's call."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sv2r.types import Batch

_SCALE = "controlnet_conditioning_scale"


def changed_arguments(call: Mapping[str, Any], batch: Batch) -> dict[str, Any]:
    """Return the strength and control scales that a batch asks for, where it changes them.

    The strength never falls so far that no step would run.
    """
    changed: dict[str, Any] = {}
    if batch.strength_factor != 1 and "strength" in call:
        steps = call.get("num_inference_steps", 50)
        one_step = next(s for s in (1 / steps, (1 + 1e-6) / steps) if int(steps * s) >= 1)
        changed["strength"] = max(call["strength"] * batch.strength_factor, min(1.0, one_step))
    if batch.control_factor != 1 and _SCALE in call:
        scale = call[_SCALE]
        factor = batch.control_factor
        changed[_SCALE] = [s * factor for s in scale] if isinstance(scale, list) else scale * factor
    return changed
