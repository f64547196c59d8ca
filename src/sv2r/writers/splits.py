"""Which split a picture goes into: train, val or test."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any, Generic, TypeVar

from pydantic import Field, field_validator

from sv2r.errors import ConfigError
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
    """How an export is split, and what is mixed in."""

    split: tuple[float, ...] = Field(
        (),
        description="Shares of train, val and test, such as 0.8,0.1,0.1; pictures of one scene and "
        "the variants of a picture stay together.  Default: the input's own, where the format has "
        "splits.",
    )
    split_seed: int = Field(0, ge=0, description="Draws which scene goes where.")

    mix: Mapping[str, float] = Field(
        default_factory=dict,
        description="synthetic=SHARE adds source pictures as they are, so many that they are this "
        "share of all; they are called ..._synthetic, and marked where the format can.",
    )

    @field_validator("mix")
    @classmethod
    def _of_synthetic(cls, value: Mapping[str, float]) -> Mapping[str, float]:
        if value.keys() - {"synthetic"}:
            raise ValueError(f"must be synthetic=SHARE, not {min(value.keys() - {'synthetic'})}=")
        if not all(0 <= share < 1 for share in value.values()):
            raise ValueError("must be a share from 0 to below 1")
        return value

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


SplitT = TypeVar("SplitT", bound=SplitOptions)


def drawn_split(sample: Sample, options: SplitOptions) -> str:
    """Return a sample's split: drawn by its group where shares are asked for, else its own.

    Samples of one group, what `group_of` returns, are in one split. One that has none is in train.
    """
    if not options.split:
        return _NAMED.get(str(sample.attributes.get("split", "")).lower(), "train")
    drawn = _drawn(f"{options.split_seed}/{group_of(sample)}")
    for name, share in zip(SPLITS, options.split, strict=False):
        if drawn < share:
            return name
        drawn -= share
    return SPLITS[len(options.split) - 1]


class Mixing(Generic[SplitT]):
    """What a writer has that can mix source pictures in."""

    _options: SplitT

    def mixes(self, sample: Sample, variants: int) -> bool:
        """Return whether a sample's own picture goes along with so many variants of each.

        Raises:
            ConfigError: there are fewer sources than the share asks for.
        """
        share = self._options.mix.get("synthetic", 0.0)
        wanted = variants * share / (1 - share)  # of each sample's one picture
        if wanted > 1 + 1e-9:
            most = f"with {variants} picture{'s' * (variants > 1)} of each source"
            fix = f"they are a share of {1 / (1 + variants):.4g} at most"
            raise ConfigError(f"--writer.mix synthetic={share:g}: {most} {fix}")
        key = f"mix/{self._options.split_seed}/{sample.id}"
        return share > 0 and _drawn(key) < wanted


def _drawn(key: str) -> float:
    """Return a number in [0, 1) that hangs on a key alone."""
    return int.from_bytes(hashlib.sha256(key.encode()).digest()[:8]) / 2**64


def group_of(sample: Sample) -> str:
    """Return what a sample must not be parted from: its scene, the source of its variants, it."""
    return str(sample.attributes.get("scene") or sample.extra.get("group_id") or sample.id)
