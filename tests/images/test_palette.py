"""Colours and grain of a photograph, and what pictures take on of them."""

from __future__ import annotations

import pytest
import torch
from PIL import Image

from sv2r.errors import ConfigError
from sv2r.images.palette import Palette, look_of, spread, take_on, to_lab
from sv2r.images.references import find_photos
from tests import toys


def noise(size, *, deviation: float = 0.02, seed: int = 0) -> torch.Tensor:
    return deviation * torch.randn(size, generator=torch.Generator().manual_seed(seed))


def draw(seed: int = 1) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def warm(height: int = 96, width: int = 128) -> torch.Tensor:
    """A photograph of a dim, warm room."""
    return toys.picture(height, width, 3) * torch.tensor([0.6, 0.4, 0.2])[:, None, None] + 0.1


def test_a_picture_ends_with_the_photographs_colours():
    look = look_of(warm())
    made = take_on(toys.picture(64, 64, 1) * 0.6 + 0.2, look, draw())
    torch.testing.assert_close(spread(to_lab(made)), look.colours, atol=0.03, rtol=0)


@pytest.mark.parametrize("deviation", [0.01, 0.03])
def test_grain_is_measured_in_a_photograph_of_things(deviation):
    clean = toys.picture(128, 128, 2) * 0.6 + 0.2
    grain = look_of(clean + noise(clean.shape, deviation=deviation)).grain
    assert grain.tolist() == pytest.approx([deviation] * 3, rel=0.2)


def test_a_picture_without_grain_gets_the_photographs():
    look = look_of(warm() + noise((3, 96, 128)))
    made = take_on(toys.picture(96, 96, 1) * 0.6 + 0.2, look, draw())
    assert look_of(made).grain.tolist() == pytest.approx(look.grain.tolist(), rel=0.25)


def test_grey_grain_stays_grey():
    look = look_of(warm() + noise((1, 96, 128)))
    made = take_on(torch.full((3, 96, 96), 0.4), look, draw())
    left = made - made.mean((1, 2), keepdim=True)
    assert float(torch.corrcoef(left.flatten(1))[0, 2]) > 0.95


def test_a_larger_photographs_grain_is_weaker_in_a_smaller_picture():
    look = look_of(torch.full((3, 256, 256), 0.4) + noise((3, 256, 256)))
    made = take_on(torch.full((3, 64, 64), 0.4), look, draw())
    assert float(made.std()) == pytest.approx(0.02 / 4, rel=0.1)


def test_a_picture_in_its_own_look_stays_but_for_rounding():
    picture = toys.picture(64, 64, 4) * 0.8 + 0.1
    assert float((take_on(picture, look_of(picture), draw()) - picture).abs().max()) < 2 / 255


def test_a_picture_of_one_colour_does_not_burst():
    made = take_on(torch.full((3, 40, 40), 0.5), look_of(warm()), draw())
    assert bool(made.isfinite().all())
    assert float(made.std((1, 2)).max()) < 0.01


@pytest.mark.parametrize("size", [(1, 1), (2, 7)])
def test_tiny_pictures_have_no_grain(size):
    made = take_on(torch.full((3, *size), 0.5), look_of(warm() + noise((3, 96, 128))), draw())
    assert made.shape == (3, *size)


def test_a_large_photograph_is_looked_at_in_part():
    large = warm(1100, 2200) + noise((3, 1100, 2200))
    look, small = look_of(large), look_of(warm(550, 1100))
    torch.testing.assert_close(look.colours, small.colours, atol=0.03, rtol=0)
    assert look.grain.tolist() == pytest.approx([0.02] * 3, rel=0.1)
    assert look.short == 1100


@pytest.fixture
def photos(tmp_path):
    for number in range(5):
        Image.new("RGB", (8, 6), (50 * number, 40, 30)).save(tmp_path / f"{number}.png")
    return tmp_path


def test_some_of_many_are_spread_over_all_of_them(photos):
    found = find_photos(photos, "--photos")
    assert [path.stem for path in found.some(2).paths] == ["0", "2"]
    assert found.some(5) == found.some(99) == found


def test_a_photograph_that_cannot_be_read_is_named(photos):
    (photos / "3.png").write_bytes(b"no picture")
    with pytest.raises(ConfigError, match=r"3\.png.*; take it out of the folder"):
        Palette.open(find_photos(photos, "--photos"))
