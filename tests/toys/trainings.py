"""A training from plain options, here or in a process of its own that is killed on the way."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

KINDS = {
    "lora": "LoraOptions",
    "controlnet": "ControlnetTraining",
    "base": "BaseOptions",
    "bridge": "BridgeOptions",
}


class Silent:
    def said(self, line: str) -> None:
        return None

    def counted(self, what: str, done: int, total: int) -> None:
        return None

    def stepped(self, name: str, step: int, steps: int, loss: float, rate: float) -> None:
        return None


def train(kind: str, values: Mapping[str, Any]) -> Any:
    from sv2r.plugin.registry import load_registry
    from sv2r.training import options, run

    checked = getattr(options, KINDS[kind]).model_validate(dict(values))
    if kind == "controlnet":
        return run.train_controlnet(checked, load_registry(), Silent())
    if kind == "bridge":
        from sv2r.training.train_bridge import train_bridge

        return train_bridge(checked, load_registry(), Silent())
    return getattr(run, f"train_{kind}")(checked, Silent())


def train_and_die(kind: str, values: Mapping[str, Any], step: int) -> None:
    """Train, but SIGKILL oneself as the weights of a step are about to change."""
    import torch

    torch.set_num_threads(1)
    seen = 0
    original = torch.optim.AdamW.step

    def step_or_die(self: Any, *args: Any, **kwargs: Any) -> Any:
        nonlocal seen
        seen += 1
        if seen == step:
            os.kill(os.getpid(), signal.SIGKILL)
        return original(self, *args, **kwargs)

    torch.optim.AdamW.step = step_or_die  # type: ignore[method-assign]
    train(kind, values)
    sys.exit(0)


def weights(folder: Path) -> dict[str, bytes]:
    """Return the bytes of a result's safetensors files, by name."""
    files = sorted(p for p in folder.rglob("*.safetensors") if "training" not in p.parts)
    return {str(p.relative_to(folder)): p.read_bytes() for p in files}
