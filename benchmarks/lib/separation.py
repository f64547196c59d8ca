"""Figures with 95 % intervals: areas under curves, shares, calibration, and the table of them.

Intervals: bootstrap over pictures, since instances of one picture are alike.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from benchmarks.lib.table import Row

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.floating]

DRAWS = 300
BINS = 10


@dataclass(frozen=True)
class Line:
    """A figure with its interval, what the score before it reaches, and the number of cases.

    before: the analytic score of version 1, in the same run. naive: edge strength alone.
    """

    name: str
    value: float
    unit: str = ""
    low: float | None = None
    high: float | None = None
    before: float | None = None
    naive: float | None = None
    cases: int | None = None

    def rows(self) -> list[Row]:
        """Return the figure and the ends of its interval as rows of the common table."""
        ratio = None if not self.before else self.value / self.before
        main = Row(self.name, self.value, self.unit, self.before, ratio)
        ends = (("low", self.low), ("high", self.high))
        return [main, *(Row(f"{self.name}, {w}", v, self.unit) for w, v in ends if v is not None)]


def area(hurt: Floats, quiet: Floats, pictures: NDArray[np.integer]) -> tuple[float, float, float]:
    """Return the area under the ROC curve and its interval; scores grow with damage.

    pictures: of the hurt ones, then of the quiet ones.
    """
    values = np.concatenate([hurt, quiet])
    positive = np.arange(len(values)) < len(hurt)
    distinct, group = np.unique(values, return_inverse=True)

    def curve(weight: Floats) -> float:
        bad = np.bincount(group, weight * positive, len(distinct))
        good = np.bincount(group, weight * ~positive, len(distinct))
        below = np.cumsum(good) - good / 2
        return float((bad * below).sum() / max(bad.sum() * good.sum(), 1e-9))

    return interval(curve, pictures)


def share(called: NDArray[np.bool_], pictures: NDArray[np.integer]) -> tuple[float, float, float]:
    """Return the share that is called so, and its interval."""
    ones = called.astype(float)
    return interval(lambda w: float((ones * w).sum() / max(w.sum(), 1e-9)), pictures)


def calibration(
    probability: Floats, truth: NDArray[np.bool_], pictures: NDArray[np.integer]
) -> tuple[float, float, float]:
    """Return the expected calibration error (Naeini et al. 2015) in ten bins, and its interval."""
    place = np.minimum((probability * BINS).astype(int), BINS - 1)

    def error(weight: Floats) -> float:
        told = np.bincount(place, weight * probability, BINS)
        true = np.bincount(place, weight * truth, BINS)
        return float(np.abs(told - true).sum() / max(weight.sum(), 1e-9))

    return interval(error, pictures)


def interval(
    measure: Callable[[Floats], float], pictures: NDArray[np.integer]
) -> tuple[float, float, float]:
    """Return a weighted figure, and the middle 95 % of it over pictures drawn with replacement."""
    if not len(pictures):
        return float("nan"), float("nan"), float("nan")
    rng = np.random.default_rng(0)
    distinct, group = np.unique(pictures, return_inverse=True)
    drawn = rng.multinomial(len(distinct), np.full(len(distinct), 1 / len(distinct)), DRAWS)
    figures = [measure(counts[group].astype(float)) for counts in drawn]
    low, high = np.percentile(figures, (2.5, 97.5))
    return measure(np.ones(len(pictures))), float(low), float(high)


def print_lines(lines: Sequence[Line]) -> None:
    """Print the figures as a Markdown table."""
    print("\n| | value | 95 % interval | version 1 | naive | cases |")
    print("| --- | ---: | ---: | ---: | ---: | ---: |")
    for line in lines:
        decimals = 0 if line.unit == "ms" else 3
        ends = "" if line.low is None else f"{line.low:.3f} to {line.high:.3f}"
        before, naive = ("" if v is None else f"{v:.3f}" for v in (line.before, line.naive))
        value = f"{line.value:.{decimals}f} {line.unit}".strip()
        print(f"| {line.name} | {value} | {ends} | {before} | {naive} | {line.cases or ''} |")
