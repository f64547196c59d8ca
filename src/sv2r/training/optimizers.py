"""AdamW in its variants, and how its step size goes."""

from __future__ import annotations

import math
from collections.abc import Sequence
from importlib import import_module
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from sv2r.errors import ConfigError

if TYPE_CHECKING:
    from sv2r.training.loop import Schedule


def check_optimizer(name: str, *, cuda: bool) -> None:
    """Raise ConfigError where an optimizer cannot be had here."""
    if name != "adamw-8bit":
        return
    if not cuda:
        raise ConfigError("--optimizer adamw-8bit needs a CUDA GPU; leave it out")
    if find_spec("bitsandbytes") is None:
        raise ConfigError("--optimizer adamw-8bit needs bitsandbytes: pip install bitsandbytes")


def make_optimizer(plan: Schedule, parameters: Sequence[Any], device: Any) -> Any:
    """Return AdamW over the parameters; "auto" is the fused one where torch has it.

    I. Loshchilov, F. Hutter, Decoupled Weight Decay Regularization, ICLR 2019.
    """
    import torch

    name = plan.optimizer
    more: dict[str, Any] = {"weight_decay": plan.weight_decay, "betas": plan.betas}
    if name == "adamw-8bit":
        return import_module("bitsandbytes.optim").AdamW8bit(parameters, **more)
    fused = name == "adamw-fused" or (name == "auto" and device.type in ("cuda", "cpu"))
    return torch.optim.AdamW(parameters, fused=fused, **more)


def learning_rate(plan: Schedule, step: int) -> float:
    """Return the step size of a step, 0 for the first: a rise, then constant or half a cosine."""
    rise = min(1.0, (step + 1) / max(plan.warmup, 1))
    if plan.schedule == "constant":
        return plan.learning_rate * rise
    share = min(1.0, max(0, step - plan.warmup) / max(plan.steps - plan.warmup, 1))
    return plan.learning_rate * rise * 0.5 * (1 + math.cos(math.pi * share))
