from __future__ import annotations

import pytest
import torch
from kornia.color import rgb_to_ycbcr
from kornia.filters import bilateral_blur, median_blur

from sv2r.conditioners import flat
from sv2r.conditioners.flat import FlatOptions, sv2r_conditioners
from sv2r.plugin.specs import Runtime
from sv2r.testing import check_conditioner

(SPEC,) = sv2r_conditioners()


def condition(frame, **options) -> torch.Tensor:
    return SPEC.build(FlatOptions(**options), Runtime())(frame).image


def two_halves(seed: int = 0) -> torch.Tensor:
    """A dark and a bright half, both with grain far below the step between them."""
    grain = 0.03 * torch.randn(3, 48, 64, generator=torch.Generator().manual_seed(seed))
    return (0.3 + 0.4 * (torch.arange(64) >= 32) + grain).clamp(0, 1)


def test_it_keeps_the_contract_of_conditioners():
    check_conditioner(SPEC)


def test_grain_goes_and_the_step_stays(make_frame):
    made = condition(make_frame(two_halves()), normalise=False)
    left, right = made[:, :, 4:28], made[:, :, 36:60]
    assert left.std() < 0.01
    assert right.std() < 0.01
    assert float((made[:, :, 33] - made[:, :, 30]).mean()) > 0.35


def test_without_rounds_texture_stays(make_frame):
    image = two_halves()
    assert torch.equal(condition(make_frame(image), normalise=False, rounds=0), image)


def test_brightness_contrast_and_cast_leave_no_trace(make_frame):
    image = two_halves() * torch.tensor([1.0, 0.9, 0.8]).view(3, 1, 1)
    other = 0.1 + 0.5 * image
    one, two = condition(make_frame(image)), condition(make_frame(other))
    assert float((one - two).abs().max()) < 0.02
    assert float((image - other).abs().max()) > 0.2
    made = condition(make_frame(image), rounds=0)[None]
    planes = rgb_to_ycbcr(made)
    assert planes.mean((0, 2, 3)).tolist() == pytest.approx([0.45, 0.5, 0.5], abs=0.02)


def test_strips_are_as_the_whole(make_frame, monkeypatch):
    frame = make_frame(two_halves(1))
    whole = condition(frame, normalise=False)
    monkeypatch.setattr(flat, "_STRIP", 7)
    assert torch.allclose(condition(frame, normalise=False), whole, atol=1e-6)


def test_it_looks_as_the_whole_window_s_filter_does(make_frame):
    """ControlNets were trained on what kornia's filter over the whole window makes."""
    image = two_halves(1)
    image[:, 10:30, 10:20] = torch.tensor([0.8, 0.2, 0.3]).view(3, 1, 1)
    expected = median_blur(image[None], 3)
    for _ in range(3):
        expected = bilateral_blur(expected, (9, 9), 0.12, (2.5, 2.5))
    made = condition(make_frame(image), normalise=False)
    apart = 255 * (made - expected[0]).abs()
    assert float(apart.mean()) < 0.5
    assert float(apart.quantile(0.99)) < 2


def test_the_median_is_that_of_nine(make_frame):
    image = torch.rand(3, 9, 11, generator=torch.Generator().manual_seed(4))
    padded = torch.nn.functional.pad(image[None], (1, 1, 1, 1), mode="reflect")[0]
    assert torch.equal(flat._median(padded), median_blur(image[None], 3)[0])


@pytest.mark.parametrize("size", [(1, 1), (1, 7), (2, 3)])
def test_tiny_pictures_of_one_colour_stay_as_they_are(make_frame, size):
    image = torch.full((3, *size), 0.5)
    assert torch.allclose(condition(make_frame(image), normalise=False), image, atol=1e-6)
    assert bool(condition(make_frame(image)).isfinite().all())


def test_noise_is_of_the_asked_deviation_and_the_same_each_time(make_frame):
    frame = make_frame(torch.full((3, 64, 96), 0.5))
    noisy = condition(frame, normalise=False, noise=0.05)
    assert float((noisy - 0.5).std()) == pytest.approx(0.05, rel=0.02)
    assert torch.equal(noisy, condition(frame, normalise=False, noise=0.05))


def test_noise_hides_structure_of_every_scale(make_frame):
    noise = condition(make_frame(torch.full((3, 128, 128), 0.5)), normalise=False, noise=0.05) - 0.5
    for side in (2, 4, 8):
        coarse = torch.nn.functional.avg_pool2d(noise[None], side)
        assert float(coarse.std()) > 0.3 * 0.05  # white noise would leave 1 / side


def test_noise_stays_within_range(make_frame):
    noisy = condition(make_frame(torch.zeros(3, 32, 32)), normalise=False, noise=0.5)
    assert (float(noisy.min()), float(noisy.max()) <= 1) == (0, True)
