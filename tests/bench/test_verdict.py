"""A verdict claims what is so, and no more: on trainings whose true AP is known."""

from __future__ import annotations

import numpy as np
import pytest

from sv2r.bench.verdict import Difference, compare_arms


class Known:
    """A training of which each picture's share of the AP is known."""

    def __init__(self, shares: np.ndarray) -> None:
        self.shares, self.pictures = shares, len(shares)

    def precision(self, drawn=None) -> float:
        return float(self.shares.mean() if drawn is None else self.shares[drawn].mean())


def trainings(rng, gain: float, seeds: int, pictures: np.ndarray) -> list[Known]:
    """Return trainings that differ by seed, and by seed and picture."""
    return [
        Known(pictures + gain + rng.normal(0, 0.01) + rng.normal(0, 0.05, len(pictures)))
        for _ in range(seeds)
    ]


@pytest.mark.parametrize("seeds", [2, 3, 5])
def test_an_interval_covers_what_is_true_in_ninety_of_a_hundred(seeds):
    rng = np.random.default_rng(seeds)
    covered = 0
    for number in range(100):
        pictures = rng.uniform(0, 0.5, 60)
        runs = {name: trainings(rng, 0.0, seeds, pictures) for name in ("one", "other")}
        (found,) = compare_arms(runs, count=100, seed=number)
        covered += found.low <= 0 <= found.high
    assert covered >= 90


def test_a_gain_is_found_and_one_that_is_too_small_says_what_would_decide_it():
    rng = np.random.default_rng(0)
    pictures = rng.uniform(0, 0.5, 100)
    runs = {
        "synthetic": trainings(rng, 0.0, 5, pictures),
        "better": trainings(rng, 0.1, 5, pictures),
        "hardly": trainings(rng, 0.008, 5, pictures),
    }
    better, hardly = compare_arms(runs)
    assert better.decided
    assert better.words.startswith("better is better than synthetic by ")
    assert better.points == pytest.approx(10, abs=2)
    assert not hardly.decided
    assert hardly.words.startswith("hardly cannot be told from synthetic: ")
    assert hardly.seeds is None or hardly.seeds > 5
    assert "would decide it" in hardly.words


def test_words_say_no_more_than_the_interval():
    worse = Difference("a", "b", -2.14, -3.4, -0.9)
    assert worse.words == "a is worse than b by 2.1 AP (-3.4 to -0.9)"
    open_ = Difference("a", "b", 0.5, -0.4, 1.4, 12, None)
    assert open_.words == (
        "a cannot be told from b: +0.5 AP (-0.4 to +1.4); about 12 seeds in all would decide it"
    )
