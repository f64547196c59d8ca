"""What a comparison says, in words that claim no more than it shows."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from sv2r.bench.precision import Scored, paired_draws

_SURE = 1.96  # standard errors of a difference that chance rarely makes
_MOST = 100_000


@dataclass(frozen=True)
class Difference:
    """An arm against the first one, in AP points (0 to 100).

    low, high: 95 % interval, by a bootstrap over pictures and seeds, the same for both arms.
    seeds, photos: how many would decide it, others as they are; None: none would, or it is decided.
    """

    arm: str
    first: str
    points: float
    low: float
    high: float
    seeds: int | None = None
    photos: int | None = None

    @property
    def decided(self) -> bool:
        """Return whether the interval is clear of zero."""
        return self.low > 0 or self.high < 0

    @property
    def words(self) -> str:
        """Return it in a sentence."""
        interval = f"({self.low:+.1f} to {self.high:+.1f})"
        if not self.decided:
            more = [
                f"{n:,} {what}" for n, what in ((self.seeds, "seeds"), (self.photos, "photos")) if n
            ]
            decide = f"; about {' or '.join(more)} in all would decide it" if more else ""
            found = f"{self.points:+.1f} AP {interval}"
            return f"{self.arm} cannot be told from {self.first}: {found}{decide}"
        better = "is better than" if self.points > 0 else "is worse than"
        return f"{self.arm} {better} {self.first} by {abs(self.points):.1f} AP {interval}"


def compare_arms(
    runs: Mapping[str, Sequence[Scored]], *, count: int = 200, seed: int = 0
) -> list[Difference]:
    """Return each further arm against the first; runs: see `paired_draws`."""
    first, *others = runs
    drawn = paired_draws(runs, count, seed)
    by_picture = paired_draws(runs, count, seed, trainings=False)
    whole = {name: float(np.mean([one.precision() for one in of])) for name, of in runs.items()}
    found = []
    for arm in others:
        points = 100 * (whole[arm] - whole[first])
        spread = [100 * (one[arm] - one[first]) for one in drawn]
        of_pictures = float(np.var([100 * (one[arm] - one[first]) for one in by_picture]))
        apart = [
            100 * (mine.precision() - theirs.precision())
            for mine, theirs in zip(runs[arm], runs[first], strict=True)
        ]
        seeds = len(apart)
        of_seeds = float(np.var(apart, ddof=1)) if seeds > 1 else math.nan
        low, high = _interval(points, spread, of_pictures, of_seeds, seeds)
        pictures = runs[arm][0].pictures
        more: tuple[int | None, int | None] = (None, None)
        if not (low > 0 or high < 0):
            more = _needed(points, of_seeds, seeds, of_pictures * pictures, pictures)
        found.append(Difference(arm, first, points, low, high, *more))
    return found


def _interval(
    points: float, spread: Sequence[float], of_pictures: float, of_seeds: float, seeds: int
) -> tuple[float, float]:
    """Return the bootstrap's 95 % interval, made as wide as so few seeds ask for.

    A bootstrap of few trainings sees too little of how they differ: its variance is (n - 1) / n of
    the unbiased one, and a normal distribution's 1.96 is Student's t, by Satterthwaite's degrees
    of freedom.
    """
    low, high = (float(value) for value in np.quantile(spread, [0.025, 0.975]))
    if math.isnan(of_seeds):
        return low, high
    own = of_seeds / seeds
    whole, seen = of_pictures + own, float(np.var(spread))
    wider = math.sqrt(max(1.0, whole / seen)) if seen > 0 else 1.0
    if own > 0:
        wider *= _student((seeds - 1) * (whole / own) ** 2) / _SURE
    return points + wider * (low - points), points + wider * (high - points)


def _student(freedom: float) -> float:
    """Return the 97.5 % point of Student's t, by the expansion of Cornish and Fisher."""
    z = _SURE
    terms = (
        (z**3 + z) / (4 * freedom),
        (5 * z**5 + 16 * z**3 + 3 * z) / (96 * freedom**2),
        (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / (384 * freedom**3),
    )
    return z + sum(terms)


def _needed(
    points: float, of_seeds: float, seeds: int, of_pictures: float, pictures: int
) -> tuple[int | None, int | None]:
    """Return how many seeds, or photographs, would make so large a difference sure.

    of_seeds, of_pictures: the variance of the difference that one of each brings.
    """
    allowed = (points / _SURE) ** 2
    found: list[int | None] = []
    for own, other in ((of_seeds, of_pictures / pictures), (of_pictures, of_seeds / seeds)):
        left = allowed - other
        number = own / left if left > 0 and not math.isnan(own) else math.inf
        found.append(math.ceil(number) if number < _MOST else None)
    return found[0], found[1]
