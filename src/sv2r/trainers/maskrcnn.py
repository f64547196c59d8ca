"""Trainer `maskrcnn`: Mask R-CNN by torchvision, from scratch or from weights of one's own."""

from __future__ import annotations

from collections.abc import Iterable
from importlib.util import find_spec
from pathlib import Path
from typing import Literal

from pydantic import Field, field_validator

from sv2r.errors import ConfigError
from sv2r.plugin.hookspecs import hookimpl
from sv2r.plugin.options import Options, whole
from sv2r.plugin.specs import Runtime, Trainer, TrainerSpec


class MaskRcnnOptions(Options):
    """Options of the trainer `maskrcnn`."""

    network: Literal["small", "resnet50"] = Field(
        "small",
        description="small: a narrow one that learns from scratch in minutes of a core, for "
        "objects of 10 to 80 pixels. resnet50: torchvision's, with a feature pyramid.",
    )
    weights: Path | None = Field(
        None,
        description="A .safetensors file with weights to begin with, named as torchvision's; what "
        "has another shape is left out. Default: from scratch.",
    )
    size: int = Field(
        128, ge=64, le=2048, description="Pixels: what a picture's shorter side is brought to."
    )
    steps: int = Field(1200, ge=1, description="Updates of the weights, as many for each arm.")
    batch_size: int = Field(4, ge=1, le=256, description="Pictures of a step.")
    learning_rate: float = Field(
        2e-3, gt=0, description="The peak of a one-cycle schedule of AdamW."
    )

    @field_validator("weights")
    @classmethod
    def _absolute(cls, value: Path | None) -> Path | None:
        return None if value is None else whole(value)


def build(options: MaskRcnnOptions, runtime: Runtime) -> Trainer:
    """Return the trainer.

    Raises:
        ConfigError: torchvision is not installed.
    """
    if find_spec("torchvision") is None:
        raise ConfigError("the trainer maskrcnn needs torchvision: pip install 'sv2r[bench]'")
    from sv2r.trainers.maskrcnn_network import MaskRcnnTrainer

    return MaskRcnnTrainer(options)


@hookimpl
def sv2r_trainers() -> Iterable[TrainerSpec[MaskRcnnOptions]]:
    """Return the trainer."""
    summary = "Mask R-CNN, small enough for a CPU, or torchvision's."
    return [TrainerSpec(name="maskrcnn", summary=summary, options=MaskRcnnOptions, build=build)]
