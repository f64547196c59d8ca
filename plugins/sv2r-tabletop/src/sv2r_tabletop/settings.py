"""What every file of a dataset depends on, besides its seed."""

from __future__ import annotations

import zlib
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from sv2r_tabletop.scene import DISTRIBUTION

MIXED = "mixed"
# What `edits` is where they are drawn.
AUTO = "auto"
# Of mixed sizes: how many of a thousand are drawn from a range, in steps of 16 pixels.
_SIZES = ((880, 96, 144), (100, 160, 256), (20, 384, 512))


@dataclass(frozen=True)
class Settings:
    """How a dataset is rendered.

    size: pixels a side, or "mixed". spp: samples per photo pixel. style: of a synthetic picture.
    edits: of a photo; "" for none, "auto", or what `edits.read_edits` returns.
    """

    domain: str
    size: int | str
    spp: int
    first_seed: int
    distribution: int = DISTRIBUTION
    world: str = "tables"
    style: str = "flat"
    edits: str = ""
    edits_version: int = 0

    def size_of(self, seed: int) -> int:
        """Return how many pixels a side a seed's picture has."""
        if isinstance(self.size, int):
            return self.size
        drawn = zlib.crc32(f"size {seed}".encode())
        chosen, drawn = drawn % 1000, drawn // 1000
        for often, smallest, largest in _SIZES:
            if chosen < often:
                return smallest + 16 * (drawn % ((largest - smallest) // 16 + 1))
            chosen -= often
        raise AssertionError("the parts of mixed sizes make a thousand")

    def spp_of(self, seed: int) -> int:
        """Return the paths for each pixel of a photo: fewer for the larger of mixed sizes."""
        larger = self.size_of(seed) / 128 if self.size == MIXED else 1
        return max(4, round(self.spp / max(larger, 1)))

    def told(self) -> dict[str, Any]:
        """Return them for a file; what is as it always was is left out, as older files do."""
        return {
            name: value
            for name, value in asdict(self).items()
            if name not in _SINCE or value != _SINCE[name]
        }

    def differs(self, before: Mapping[str, Any]) -> str | None:
        """Return what another dataset's settings have different, in words, or None."""
        names = {"first_seed": "seed", "edits_version": "edits of version"}
        for name, value in asdict(self).items():
            there = before.get(name, _SINCE.get(name))
            if there != value:
                return f"{names.get(name, name)} {_short(there)}, not {_short(value)}"
        return None


# Settings that older datasets do not tell, as they were then.
_SINCE: Mapping[str, Any] = {"world": "tables", "style": "flat", "edits": "", "edits_version": 0}


def _short(value: object) -> str:
    text = str(value) or "none"
    return text if len(text) < 40 else f"{text[:36]} …"
