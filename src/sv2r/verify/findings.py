"""Findings: what can be wrong with a finished output."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

FaultKind = Literal[
    "missing", "extra", "changed", "unreadable", "size", "labels", "score", "record"
]


@dataclass(frozen=True, order=True)
class Fault:
    """One thing that is not as it should be.

    path: of the file, under the output folder. message: one line, with the fix where there is one.
    sample, variant: the task to do again for it; sample is None where it belongs to none.
    """

    kind: FaultKind
    path: str
    message: str
    sample: str | None = None
    variant: int = 0

    def __str__(self) -> str:
        return f"{self.kind:<11} {self.path}: {self.message}"
