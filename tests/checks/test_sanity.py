from __future__ import annotations

import numpy as np
import pytest
import torch

from sv2r.checks.sanity import SanityOptions, build
from sv2r.plugin.specs import Runtime


def noise(height: int = 20, width: int = 30) -> np.ndarray:
    return np.random.default_rng(1).integers(0, 256, (height, width, 3), dtype=np.uint8)


@pytest.fixture
def check():
    return build(SanityOptions(), Runtime())


def tensor(image: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(image).permute(2, 0, 1)


def test_a_picture_like_its_source_passes_and_gets_its_spread(check, make_frame):
    result = check(make_frame(noise()), tensor(noise()))
    assert result.reason is None
    assert result.picture["std"] == pytest.approx(73.9, abs=2.5)


def test_a_picture_of_another_size_names_both_sizes(check, make_frame):
    result = check(make_frame(noise(75, 101)), tensor(noise(72, 96)))
    assert result.reason == "the picture is 3x72x96 where the frame is 3x75x101"


def test_a_grey_plane_is_no_picture(check, make_frame):
    result = check(make_frame(noise()), torch.zeros(1, 20, 30, dtype=torch.uint8))
    assert result.reason == "the picture is 1x20x30 where the frame is 3x20x30"


def test_a_float_picture_is_refused(check, make_frame):
    result = check(make_frame(noise()), tensor(noise()).float())
    assert result.reason == "the picture is float32, not uint8"


def test_a_black_frame_is_refused(check, make_frame):
    result = check(make_frame(noise()), torch.zeros(3, 20, 30, dtype=torch.uint8))
    assert result.reason == "the picture is black (a safety checker does that)"


@pytest.mark.parametrize("level", [1, 128, 255])
def test_a_constant_frame_is_refused(check, make_frame, level):
    result = check(make_frame(noise()), torch.full((3, 20, 30), level, dtype=torch.uint8))
    assert result.reason is not None


def test_a_near_constant_frame_is_refused_with_both_spreads(check, make_frame):
    grey = (128 + (noise() > 127)).astype(np.uint8)
    result = check(make_frame(noise()), tensor(grey))
    assert result.reason.startswith("the picture is near-constant: its levels spread 0.50 of 255")


def test_a_flat_render_may_stay_flat(check, make_frame):
    flat = np.full((20, 30, 3), 90, np.uint8)
    flat[3:6, 3:6] = 96
    assert check(make_frame(flat), tensor(flat)).reason is None


def test_a_black_render_may_stay_black(check, make_frame):
    black = np.zeros((20, 30, 3), np.uint8)
    assert check(make_frame(black), tensor(black)).reason is None


def test_thresholds_are_options(make_frame):
    check = build(SanityOptions(min_std=0, black_level=0), Runtime())
    assert check(make_frame(noise()), torch.full((3, 20, 30), 1, dtype=torch.uint8)).reason is None


def test_rows_between_every_fourth_count_as_well(check, make_frame):
    striped = np.zeros((20, 30, 3), np.uint8)
    striped[1::4] = 200
    result = check(make_frame(noise()), tensor(striped))
    assert result.reason is None
    assert result.picture["std"] == pytest.approx(86.603)
