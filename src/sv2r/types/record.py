"""One picture to make, and what became of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Literal

_NOTHING: Mapping[Any, Any] = MappingProxyType({})


Status = Literal["done", "rejected", "failed"]


SOURCE_VARIANT = 10_000
"""The variant that is the source's picture as it is, above all that a job can make."""


@dataclass(frozen=True, slots=True)
class Task:
    """One picture to make: the sample's position in the dataset, and which variant of it."""

    index: int
    variant: int = 0


@dataclass(frozen=True)
class Record:
    """One line of the journal: what became of one task, and what really ran.

    sample: the sample's id. variant: 0 to variants - 1, SOURCE_VARIANT, or below 0 for a `Problem`.
    status: "done", "rejected" (a check refused it) or "failed" (an error stopped it).
    seed: what ``torch.Generator().manual_seed`` takes to make the picture again.
    prompt: the prompt of the last attempt. negative_prompt: the one next to it, None for none.
    drawn: what ``vary`` chose. normalised: see Frame.
    settings: the translator's own account of what ran (effective steps, model hash, dtype ...).
    small: the instances that had a pass of their own in an enlarged crop.
    repairs: what was done about damage, one line each ("retry 1: ...", "restore: instance 17").
    rendered: share of the published pixels that are the source's, put back by a repair.
        restored: the instances that it was put back for.
    input_sha256: of the source picture's bytes. output: the published picture's path under the
        output folder. output_sha256: of its bytes.
    instances: the ids of what its labels hold, by category. checked: how many of these a check has
        given a score of their own. labels, label_iou: see Published.
    scores: check name -> {"picture": {...}, "instances": {"17": {...}}}.
    seconds: wall time of the batch divided by its pictures; kept in the journal alone.
    error: why it was rejected or failed, in one line that says what to do.
    """

    sample: str
    variant: int
    status: Status
    seed: int | None = None
    prompt: str | None = None
    negative_prompt: str | None = None
    drawn: Mapping[str, str] = field(default_factory=lambda: _NOTHING)
    normalised: tuple[str, ...] = ()
    settings: Mapping[str, Any] = field(default_factory=lambda: _NOTHING)
    small: Sequence[int] = ()
    repairs: tuple[str, ...] = ()
    rendered: float | None = None
    restored: Sequence[int] = ()
    scores: Mapping[str, Any] = field(default_factory=lambda: _NOTHING)
    input_sha256: str | None = None
    output: str | None = None
    output_sha256: str | None = None
    instances: Mapping[str, Sequence[int]] = field(default_factory=lambda: _NOTHING)
    checked: int = 0
    labels: Sequence[str] = ()
    label_iou: Mapping[int, float] = field(default_factory=lambda: _NOTHING)
    seconds: float | None = None
    error: str | None = None
