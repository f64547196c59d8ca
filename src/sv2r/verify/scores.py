"""Checks run again on some pictures of a finished output, against the scores in their records."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sv2r.errors import ConfigError
from sv2r.plugin.specs import Check
from sv2r.types import CheckResult, Dataset, Record
from sv2r.verify.findings import Fault
from sv2r.worker.frames import read_frame

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

# A record's scores are of the picture before it was encoded, perhaps on another device. JPEG at
# quality 95 moved survival by up to 0.011, shift by 0.010 px and invention by 0.07 on 24 renders of
# 512 x 512; damage moves them by much more.
_ABSOLUTE, _RELATIVE = 0.1, 0.1


@dataclass(frozen=True)
class Rescored:
    """What the checks say of a picture now. others: checks of which another version scored it."""

    findings: tuple[Fault, ...] = ()
    others: frozenset[str] = frozenset()


@dataclass(frozen=True)
class ScoredPart:
    """How many of the pictures to score again: a number of them, or a share in [0, 1]."""

    number: int | None = None
    share: float = 0.0

    def of(self, total: int) -> int:
        """Return the number of pictures; a share above 0 gives at least one."""
        wanted = math.ceil(self.share * total) if self.number is None else self.number
        return min(total, wanted)


def read_part(text: str) -> ScoredPart:
    """Return what "5%" or "200" asks for.

    Raises:
        ConfigError: it is neither a share nor a number of pictures.
    """
    word = text.strip()
    try:
        if word.endswith("%"):
            share = float(word[:-1]) / 100
            if 0 <= share <= 1:
                return ScoredPart(share=share)
        elif int(word) >= 0:
            return ScoredPart(number=int(word))
    except ValueError:
        pass
    raise ConfigError(f"--sample {text}: give a share such as 5%, or a number of pictures")


def score_again(
    dataset: Dataset,
    index: int,
    record: Record,
    pixels: NDArray[np.uint8],
    checks: tuple[tuple[str, Check], ...],
    *,
    kept: bool,
) -> Rescored:
    """Return what the checks say of a published picture that its record does not.

    A check that has a version is held against scores of the same version alone.

    pixels: (H, W, 3), of the picture as it was published. kept: whether the run published pictures
    that a check had refused.

    Raises:
        SampleError: the source or its labels cannot be read.
    """
    import torch

    frame = read_frame(dataset, index)
    if pixels.shape[:2] != frame.size:
        return Rescored()  # told already, and no check can compare them
    image = torch.tensor(pixels).permute(2, 0, 1).contiguous()
    task = (record.sample, record.variant)
    findings, others = [], set()
    for name, check in checks:
        result = check(frame, image)
        if _version(record.scores.get(name)) not in {None, _version({"picture": result.picture})}:
            others.add(name)
            continue
        text = _first_difference(name, record.scores.get(name), result)
        # Scores that are the recorded ones were judged then: a verdict on the edge may tip.
        if name not in record.scores and result.reason and not kept:
            text = f"refuses it: {result.reason}"
        if text:
            findings.append(Fault("score", str(record.output), f"{name}: {text}", *task))
    return Rescored(tuple(findings), frozenset(others))


def _version(recorded: Any) -> float | None:
    """Return the version of the check that gave scores, 1 where they name none; None: no scores."""
    if not isinstance(recorded, Mapping):
        return None
    picture = recorded.get("picture")
    found = picture.get("version", 1.0) if isinstance(picture, Mapping) else 1.0
    return float(found) if isinstance(found, (int, float)) else 1.0


def _first_difference(check: str, recorded: Any, result: CheckResult) -> str | None:
    """Return the first score that is not the recorded one, in words."""
    if not isinstance(recorded, Mapping):
        return None
    instances = recorded.get("instances") or {}
    groups: list[tuple[str, Any, Mapping[str, float]]] = [
        ("", recorded.get("picture"), result.picture)
    ]
    groups += [(f" of instance {i}", instances.get(str(i)), s) for i, s in result.instances.items()]
    for of, before, now in groups:
        for key, value in _judged(check, now):
            was = before.get(key) if isinstance(before, Mapping) else None
            if isinstance(was, (int, float)) and not _close(was, value):
                return f"{key}{of} was {was:.3g}, is {value:.3g} now"
    return None


def _judged(check: str, scores: Mapping[str, float]) -> Iterator[tuple[str, float]]:
    """Yield the score that a check judges by, which has its name; of one that has none, all.

    The others may jump where nothing has changed: where a weak maximum lies, a count at the edge.
    """
    yield from ((check, scores[check]),) if check in scores else scores.items()


def _close(one: float, other: float) -> bool:
    if math.isnan(one) or math.isnan(other):
        return math.isnan(one) and math.isnan(other)
    return math.isclose(one, other, rel_tol=_RELATIVE, abs_tol=_ABSOLUTE)
