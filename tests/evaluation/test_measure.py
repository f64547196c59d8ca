"""Figures equal independent ones, and say what they should of sets that are known."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy import linalg, stats

from sv2r.evaluation.looks import Appearance, distances
from sv2r.evaluation.measure import (
    Described,
    auc,
    fid,
    kid,
    measure_set,
    nearest_photos,
    told_apart,
)


def normal(count: int, mean: float = 0.0, width: int = 12, seed: int = 0) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(count, width, generator=generator).double() + mean


def test_kid_is_the_unbiased_kernel_distance():
    one, other = normal(40, 0.3).numpy(), normal(40, seed=1).numpy()

    def kernel(a: np.ndarray, b: np.ndarray) -> np.ndarray:
        return (a @ b.T / 12 + 1) ** 3

    same = [(kernel(a, a).sum() - np.trace(kernel(a, a))) / (40 * 39) for a in (one, other)]
    expected = sum(same) - 2 * kernel(one, other).mean()
    assert kid(torch.from_numpy(one), torch.from_numpy(other)) == pytest.approx(expected, rel=1e-9)


def test_fid_is_the_distance_of_two_normal_distributions():
    one, other = normal(300, 0.5).numpy(), 1.5 * normal(300, seed=1).numpy()
    means = one.mean(0) - other.mean(0)
    spreads = [np.cov(a, rowvar=False) for a in (one, other)]
    root = linalg.sqrtm(spreads[0] @ spreads[1]).real
    expected = means @ means + np.trace(spreads[0] + spreads[1] - 2 * root)
    assert fid(torch.from_numpy(one), torch.from_numpy(other)) == pytest.approx(expected, rel=1e-6)


def test_auc_is_the_share_of_pairs():
    positive, negative = normal(30, 0.7, 1)[:, 0].round(decimals=1), normal(50, 0, 1, 1)[:, 0]
    negative = negative.round(decimals=1)  # with equal ones among them
    expected = stats.mannwhitneyu(positive.numpy(), negative.numpy()).statistic / (30 * 50)
    assert auc(positive, negative) == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize(("mean", "low", "high"), [(0.0, 0.35, 0.65), (3.0, 0.97, 1.0)])
def test_a_classifier_tells_apart_what_differs(mean, low, high):
    aucs, real = told_apart(normal(60, mean), normal(80, seed=1), seed=0)
    assert low <= sum(aucs) / len(aucs) <= high
    assert real.shape == (60,)
    if mean:
        assert float(real.mean()) < 0.1


def test_a_photograph_learnt_by_heart_is_near():
    photos = normal(50, seed=1)
    copies = photos[[3, 7]] + 1e-4
    places, how_near = nearest_photos(torch.cat([copies, normal(3, seed=2)]), photos)
    assert places[:2].tolist() == [3, 7]
    assert bool((how_near[:2] < 0.01).all())
    assert bool((how_near[2:] > 0.5).all())


def pictures(count: int, level: float, seed: int, grain: int = 1) -> torch.Tensor:
    """Return pictures of noise in squares of some pixels."""
    generator = torch.Generator().manual_seed(seed)
    noise = torch.rand(count, 3, 64 // grain, 64 // grain, generator=generator)
    return (level + 0.2 * noise.repeat_interleave(grain, 2).repeat_interleave(grain, 3)).clamp(0, 1)


def test_texture_is_the_mean_move_of_patches_along_directions():
    one, other = Appearance.of(pictures(6, 0.2, 0)), Appearance.of(pictures(6, 0.4, 1))
    (found,) = distances([one], other, seed=3)
    levels = [value for name, value in found.items() if name.startswith("swd ")]
    assert len(levels) == 3
    assert found["swd"] == pytest.approx(sum(levels) / 3)
    points = [torch.randn(200, 4, generator=torch.Generator().manual_seed(s)) for s in (0, 1)]
    direction = torch.tensor([0.0, 3.0, 0.0, 0.0])[:, None]
    from sv2r.evaluation.looks import projected, transport

    expected = stats.wasserstein_distance(points[0][:, 1].numpy(), points[1][:, 1].numpy())
    moved = transport(*(projected(p, direction) for p in points))
    assert moved == pytest.approx(expected, rel=1e-5)


def test_all_figures_of_the_same_and_of_another_set():
    def seen(mean: float, level: float, seed: int, grain: int = 1) -> Described:
        look = Appearance.of(pictures(40, level, seed, grain))
        return Described(normal(40, mean, seed=seed), look)

    photos = seen(0, 0.4, 1)
    far_off = seen(2, 0.1, 3, grain=8)
    same, other = measure_set(seen(0, 0.4, 2), photos, 0), measure_set(far_off, photos, 0)
    for name in ("kid", "auc", "swd", "colour", "spectrum"):
        near, far = same.figures[name], other.figures[name]
        assert near.low <= near.value <= near.high
        assert near.value < far.value
        assert near.high < far.low, name
    assert "fid" not in same.figures
    assert same.figures["kid"].low < 0 < same.figures["kid"].high
    assert same.figures["diversity"].low < 1 < same.figures["diversity"].high
    assert measure_set(far_off, photos, 0).figures == other.figures
