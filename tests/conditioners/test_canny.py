from __future__ import annotations

import numpy as np
import pytest
import torch
from kornia.filters import canny

from sv2r.conditioners.canny import CannyOptions, sv2r_conditioners, track_edges
from sv2r.errors import ConfigError
from sv2r.plugin.options import validate_options
from sv2r.plugin.specs import Runtime
from sv2r.testing import check_conditioner

(SPEC,) = sv2r_conditioners()


def condition(frame, **options) -> torch.Tensor:
    return SPEC.build(CannyOptions(**options), Runtime())(frame).image


def picture(height: int, width: int, seed: int = 0) -> torch.Tensor:
    """Soft blobs with an edge that grows from weak to strong, and texture."""
    generator = torch.Generator().manual_seed(seed)
    coarse = torch.rand(1, 3, 5, 6, generator=generator)
    smooth = torch.nn.functional.interpolate(coarse, (height, width), mode="bicubic")[0]
    noise = 0.05 * torch.rand(3, height, width, generator=generator)
    step = torch.linspace(0, 0.5, height)[:, None] * (torch.arange(width) > width // 3)
    return (0.4 * smooth + noise + step).clamp(0, 1)


def test_it_keeps_the_contract_of_conditioners():
    check_conditioner(SPEC)


@pytest.mark.parametrize("size", [(101, 75), (64, 64), (7, 9), (3, 3)])
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_its_defaults_are_kornias(make_frame, size, seed):
    image = picture(*size, seed)
    expected = canny(image[None])[1][0].expand(3, -1, -1)
    assert torch.equal(condition(make_frame(image)), expected)


@pytest.mark.parametrize(("low", "high"), [(0.02, 0.6), (0.3, 0.3), (0.05, 0.4)])
def test_thresholds_and_blur_are_kornias(make_frame, low, high):
    image = picture(60, 80)
    expected = canny(image[None], low, high, kernel_size=(3, 3), sigma=(0.7, 0.7))[1][0]
    options = {"low_threshold": low, "high_threshold": high, "kernel_size": 3, "sigma": 0.7}
    assert 0 < expected.mean() < 1
    assert torch.equal(condition(make_frame(image), **options), expected.expand(3, -1, -1))


def test_edges_are_white_on_black(make_frame):
    image = torch.zeros(3, 8, 8)
    image[:, :, 4:] = 1
    edges = condition(make_frame(image))
    assert edges[0].tolist() == [[0, 0, 0, 1, 0, 0, 0, 0]] * 8
    assert torch.equal(edges[0], edges[2])


@pytest.mark.parametrize("rows", [1, 2])
def test_a_picture_flatter_than_the_blur_has_the_edges_of_one_that_goes_on_so(make_frame, rows):
    line = torch.tensor([0.0, 0.1, 0.9, 1.0, 0.2, 0.2]).expand(3, 1, 6)
    taller = canny(line.expand(3, 9, 6)[None])[1][0, 0, 4]
    assert taller.sum() == 2
    expected = taller.expand(3, rows, 6)
    assert torch.equal(condition(make_frame(line.expand(3, rows, 6))), expected)
    upright = condition(make_frame(line.expand(3, rows, 6).mT))
    assert torch.equal(upright, expected.mT)


def test_a_single_pixel_has_no_edge(make_frame):
    assert condition(make_frame(torch.ones(3, 1, 1))).tolist() == [[[0.0]]] * 3


def test_a_weak_chain_is_kept_as_far_as_it_touches_a_strong_pixel():
    edges = np.array(
        [
            [0.5, 0.0, 0.5, 0.5, 0.0, 0.5],
            [0.0, 0.5, 0.0, 0.0, 0.0, 0.0],
            [0.0, 0.0, 1.0, 0.0, 0.5, 0.5],
        ],
        np.float32,
    )
    assert track_edges(edges).astype(int).tolist() == [
        [1, 0, 1, 1, 0, 0],
        [0, 1, 0, 0, 0, 0],
        [0, 0, 1, 0, 0, 0],
    ]


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"low_threshold": 0.5}, "low_threshold 0.5 is above high_threshold 0.2; lower the one"),
        ({"kernel_size": 4}, "kernel_size 4 is even, which would shift the edges; take 5"),
        ({"low_threshold": 0}, "canny.low_threshold must be greater than 0, not 0"),
    ],
)
def test_options_that_cannot_work_are_refused_with_the_fix(values, message):
    with pytest.raises(ConfigError, match=message):
        validate_options(CannyOptions, values, where="--conditioner.canny")
