"""Figures over all entries: counts, survival by category, the shifts."""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from statistics import median

from sv2r.report.entries import ReportEntry

BINS = 20  # of survival, over [0, 1]
# Widths, in pixels, that the bars of the shift histogram may have.
_WIDTHS = (0.05, 0.1, 0.25, 0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0)
_BARS = 24


@dataclass(frozen=True)
class CategoryRow:
    """Survival of one category's instances, all of them in pictures that were made.

    low, middle: tenth percentile and median, None where none could be scored. damaged: share in
    [0, 1] of the scored ones that lie under the threshold. bars: instances per bin of survival.
    """

    name: str
    instances: int
    scored: int
    low: float | None
    middle: float | None
    damaged: float | None
    bars: tuple[int, ...]


@dataclass(frozen=True)
class Histogram:
    """Counts of equally wide bars from 0; more: what lies beyond the last one."""

    width: float
    bars: tuple[int, ...]
    more: int
    middle: float
    high: float

    @property
    def tallest(self) -> int:
        """Return the largest count."""
        return max((*self.bars, self.more))


def status_counts(entries: Iterable[ReportEntry]) -> Counter[str]:
    """Return how many entries have each status."""
    return Counter(entry.record.status for entry in entries)


def by_category(entries: Iterable[ReportEntry], threshold: float) -> list[CategoryRow]:
    """Return survival per category, the one with the lowest tenth percentile first."""
    scores: dict[str, list[float]] = defaultdict(list)
    counts: Counter[str] = Counter()
    for entry in entries:
        for row in entry.rows:
            if row.category is not None:
                counts[row.category] += 1
                if row.survival is not None:
                    scores[row.category].append(row.survival)
    rows = [_category(name, counts[name], sorted(scores[name]), threshold) for name in counts]
    return sorted(rows, key=lambda row: (2.0 if row.low is None else row.low, row.name))


def survival_histogram(entries: Iterable[ReportEntry]) -> list[float]:
    """Return the survival of every instance that was scored, lowest first."""
    rows = (row for entry in entries for row in entry.rows)
    return sorted(row.survival for row in rows if row.survival is not None)


def shift_histogram(entries: Iterable[ReportEntry]) -> Histogram | None:
    """Return how far the pictures have moved, or None where that was not measured."""
    shifts = sorted(entry.shift for entry in entries if entry.shift is not None)
    if not shifts:
        return None
    high = percentile(shifts, 0.99)
    width = next((w for w in _WIDTHS if w * _BARS >= high), _WIDTHS[-1])
    count = max(4, math.ceil(high / width))
    # 0.3 / 0.1 is a little under 3.
    bars = Counter(int(round(shift / width, 9)) for shift in shifts)
    return Histogram(
        width,
        tuple(bars[number] for number in range(count)),
        sum(n for number, n in bars.items() if number >= count),
        median(shifts),
        percentile(shifts, 0.95),
    )


def percentile(values: Sequence[float], share: float) -> float:
    """Return the value under which a share of the sorted values lies, one of them."""
    return values[min(len(values) - 1, int(share * len(values)))]


def bins(values: Iterable[float]) -> tuple[int, ...]:
    """Return how many values fall into each of BINS equal parts of [0, 1]."""
    found = Counter(min(BINS - 1, max(0, int(value * BINS))) for value in values)
    return tuple(found[number] for number in range(BINS))


def _category(name: str, instances: int, scored: Sequence[float], threshold: float) -> CategoryRow:
    if not scored:
        return CategoryRow(name, instances, 0, None, None, None, bins(()))
    damaged = sum(value < threshold for value in scored) / len(scored)
    low, middle = percentile(scored, 0.1), median(scored)
    return CategoryRow(name, instances, len(scored), low, middle, damaged, bins(scored))
