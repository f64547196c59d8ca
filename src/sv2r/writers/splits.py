"""Which split a picture goes into: train, val or test."""

from __future__ import annotations

import hashlib
from typing import Any

from pydantic import Field, field_validator

from sv2r.plugin.options import Options
from sv2r.types import Sample

SPLITS = ("train", "val", "test")
_NAMED = {
    "train": "train",
    "training": "train",
    "val": "val",
    "valid": "val",
    "validation": "val",
    "test": "test",
    "testing": "test",
}


class SplitOptions(Options):
    """How an export is split."""

    split: tuple[float, ...] = Field(
        (),
        description="Shares of train, val and test, such as 0.8,0.1,0.1; pictures of one scene and "
        "the variants of a picture stay together.  Default: the input's own splits.",
    )
    split_seed: int = Field(0, ge=0, description="Draws which scene goes where.")

    @field_validator("split", mode="before")
    @classmethod
    def _by_commas(cls, value: Any) -> Any:
        parts = [value] if isinstance(value, str) else value
        if not isinstance(parts, (list, tuple)):
            return value
        return [word for part in parts for word in (str(part).split(","))]

    @field_validator("split")
    @classmethod
    def _makes_one(cls, value: tuple[float, ...]) -> tuple[float, ...]:
        wrong = len(value) > len(SPLITS) or any(share < 0 for share in value)
        if value and (wrong or abs(sum(value) - 1) > 1e-6):
            raise ValueError("must be up to three shares that add up to 1")
        return value


def drawn_split(sample: Sample, options: SplitOptions) -> str:
    """Return a sample's split: drawn by its group where shares are asked for, else its own.

    Samples of one group, what `group_of` returns, are in one split. One that has none is in train.
    """
    if not options.split:
        return _NAMED.get(str(sample.attributes.get("split", "")).lower(), "train")
    digest = hashlib.sha256(f"{options.split_seed}/{group_of(sample)}".encode()).digest()
    drawn = int.from_bytes(digest[:8]) / 2**64
    for name, share in zip(SPLITS, options.split, strict=False):
        if drawn < share:
            return name
        drawn -= share
    return SPLITS[len(options.split) - 1]


def group_of(sample: Sample) -> str:
    """Return what a sample must not be parted from: its scene, the source of its variants, it."""
    return str(sample.attributes.get("scene") or sample.extra.get("group_id") or sample.id)
