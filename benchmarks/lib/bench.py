"""The settings of the tabletop measurement, its figures, and results kept between runs."""

from __future__ import annotations

import hashlib
import json
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.lib.table import Row
from benchmarks.lib.tableworld import PHOTO_CEILING, SYNTHETIC_TRAIN
from benchmarks.lib.translated import Translation
from sv2r import write_atomically

# Sets of pictures next to those that are named by their translator.
SYNTHETIC, PHOTO, MIXED = "synthetic", "photo", "mixed"


@dataclass(frozen=True)
class Figure:
    """A figure with the ends of its 95 % interval."""

    name: str
    value: float
    low: float
    high: float
    unit: str = ""

    def rows(self) -> list[Row]:
        """Return it and its interval as rows of the benchmarks' common form."""
        ends = (("low", self.low), ("high", self.high))
        return [
            Row(self.name, self.value, self.unit),
            *(Row(f"{self.name}, {which}", end, self.unit) for which, end in ends),
        ]


@dataclass(frozen=True)
class Bench:
    """The measurement's settings. methods: the translators that take part."""

    translation: Translation
    methods: tuple[str, ...]
    seeds: int
    steps: int | None
    draws: int
    device: str
    workers: int

    @property
    def world(self) -> Path:
        """Return the folder of the rendered world."""
        return self.translation.world

    def trained_on(self) -> dict[str, list[Path]]:
        """Return the folders of each set that stands for renders to train with, by its name."""
        sets = {SYNTHETIC: [self.world / SYNTHETIC_TRAIN]}
        for method in self.methods:
            sets[method] = [self.translation.folder(method, SYNTHETIC_TRAIN)]
        return sets

    def count(self) -> int:
        """Return how many pictures each set may have: equally many renders and photographs."""
        there = [
            len(json.loads((self.world / part / "annotations.json").read_bytes())["images"])
            for part in (SYNTHETIC_TRAIN, PHOTO_CEILING)
        ]
        return min(*there, self.translation.limit or sys.maxsize)

    def kept(self, name: str, key: object, make: Callable[[], Any]) -> Any:
        """Return what `make` returned under that key before, or makes now; it must be JSON."""
        path = self.place(name, key)
        if not path.is_file():
            write_atomically(path, json.dumps(make()).encode())
        return json.loads(path.read_bytes())

    def place(self, name: str, key: object) -> Path:
        """Return the file of a result."""
        digest = hashlib.sha256(json.dumps(key, sort_keys=True).encode()).hexdigest()[:12]
        path = self.translation.work / f"{name}-{digest}.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        return path
