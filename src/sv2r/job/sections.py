"""The sections of a config and their options, each declared once."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Literal

from pydantic import Field, field_validator

from sv2r.job.damage import DamageOptions
from sv2r.job.prompts import PromptOptions
from sv2r.job.small import SmallOptions
from sv2r.plugin.options import Options
from sv2r.plugin.registry import Kind

# Sections that hold one component, and those that hold several by name.
ONE: tuple[Kind, ...] = ("loader", "translator", "writer", "executor")
SEVERAL: Mapping[str, Kind] = {"conditioners": "conditioner", "checks": "check"}
# The checks that run where nobody names any.
CHECKS = ("sanity", "shift", "survival", "invention")
# Sections that are no component.
PLAIN: Mapping[str, type[Options]] = {
    "prompt": PromptOptions,
    "damage": DamageOptions,
    "small": SmallOptions,
}


class JobOptions(Options):
    """What a job needs beside its components."""

    input: Path = Field(description="The labelled dataset's folder; nothing in it is changed.")
    output: Path = Field(description="The folder to write to; outside of the input.")
    seed: int = Field(0, ge=0, description="The run's seed; each picture's own is derived from it.")
    variants: int = Field(1, ge=1, description="Pictures to make per source.")
    batch_size: int | Literal["auto"] = Field(
        "auto",
        description="Pictures per batch, 1 or more, or auto: what the device does fastest. Another "
        "batch size may change the last bits of a picture.",
    )
    device: tuple[str, ...] = Field(
        ("auto",),
        description="Where models run (cpu, cuda:0, mps), or auto: a GPU if there is one. Several, "
        "as in cuda:0,cuda:1, get a worker process each.",
    )
    dtype: Literal["auto", "float32", "bfloat16", "float16"] = Field(
        "auto",
        description="What models compute in; auto: bfloat16 or float16 on a GPU, else float32.",
    )
    limit: int | None = Field(None, ge=1, description="Convert the first LIMIT samples alone.")
    only: tuple[str, ...] = Field(
        (), description="Convert only samples whose id matches a pattern such as 'train/*'."
    )
    readers: int = Field(2, ge=1, le=64, description="Threads that read and condition ahead.")
    writers: int = Field(2, ge=1, le=64, description="Threads that check, encode and write behind.")

    @field_validator("batch_size", mode="before")
    @classmethod
    def _number_or_auto(cls, value: object) -> object:
        text = str(value)
        if text == "auto" or (text.isdecimal() and int(text) >= 1):
            return value if text == "auto" else int(text)
        raise ValueError(f"must be a number of 1 or more, or auto, not {text!r}")

    @field_validator("input", "output")
    @classmethod
    def _absolute(cls, value: Path) -> Path:
        # A run.yaml must mean the same folders wherever it is read.
        return value.expanduser().absolute()
