"""The translators without a model: colour transfer and Fourier domain adaptation."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import ModuleType

import pytest
import torch
from PIL import Image
from sv2r_tabletop import fda, reinhard

from sv2r import ConfigError, Runtime, convert
from sv2r.testing import check_plugin, make_batch, make_dataset, make_frame

BOTH = [reinhard, fda]


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """A folder with a warm and a cold photograph, one in a subfolder, and a text file."""
    folder = tmp_path / "photos"
    (folder / "winter").mkdir(parents=True)
    _photograph((220, 150, 60)).save(folder / "warm.JPG", quality=95)
    _photograph((60, 110, 220)).save(folder / "winter" / "cold.png")
    (folder / "LICENSE.txt").write_text("ours")
    return folder


def _photograph(colour: tuple[int, int, int]) -> Image.Image:
    ramp = Image.linear_gradient("L").resize((40, 30))
    return Image.composite(Image.new("RGB", (40, 30), colour), Image.new("RGB", (40, 30)), ramp)


def _build(plugin: ModuleType, photos: Path | None):
    spec = next(iter(plugin.sv2r_translators()))
    options = spec.options(photos=photos)
    spec.preflight(options, [(30, 40)])
    return spec.build(options, Runtime())


@pytest.mark.parametrize("name", ["reinhard", "fda"])
def test_the_contracts_are_kept(name: str, photos: Path) -> None:
    assert check_plugin(name, options={name: {"photos": photos}}) == [f"translator '{name}'"]


@pytest.mark.parametrize("plugin", BOTH)
def test_the_seed_draws_the_photograph(plugin: ModuleType, photos: Path) -> None:
    batch = make_batch([make_frame(30, 40)] * 8, seeds=range(8))
    pictures = _build(plugin, photos)(batch)
    warmth = {round(float(p[0].float().mean() - p[2].float().mean())) for p in pictures}
    assert len(warmth) == 2
    assert min(warmth) < 0 < max(warmth)


def test_colour_transfer_meets_the_photographs_mean_and_spread() -> None:
    frame, photo = make_frame(64, 80), make_frame(50, 40, seed=7).image * 0.4 + 0.3
    target = reinhard.spread(reinhard.to_lab(photo))
    picture = reinhard.transfer(frame.image, target).float() / 255
    got = reinhard.spread(reinhard.to_lab(picture))
    torch.testing.assert_close(got, target, atol=0.02, rtol=0)


@pytest.mark.parametrize("height", [1, 31])
def test_a_picture_that_is_its_own_photograph_stays(height: int) -> None:
    image = torch.rand(3, height, 41, generator=torch.Generator().manual_seed(0))
    for picture in (
        reinhard.transfer(image, reinhard.spread(reinhard.to_lab(image))),
        fda.adapt(image, image, 0.1),
    ):
        assert (picture.float() - image * 255).abs().max() <= 1


def test_fourier_adaptation_with_beta_0_takes_the_mean_colour_alone() -> None:
    image = make_frame(32, 48).image * 0.2 + 0.4
    photo = torch.tensor([0.6, 0.5, 0.4])[:, None, None].expand(3, 20, 20)
    picture = fda.adapt(image, photo, 0).float() / 255
    torch.testing.assert_close(picture.mean((1, 2)), photo[:, 0, 0], atol=0.002, rtol=0)
    contrast = picture - picture.mean((1, 2), keepdim=True)
    before = image - image.mean((1, 2), keepdim=True)
    torch.testing.assert_close(contrast, before, atol=0.004, rtol=0)


def test_fourier_adaptation_takes_low_waves_and_keeps_high_ones() -> None:
    column = torch.arange(64) / 64
    low, high = (torch.cos(2 * torch.pi * n * column).expand(3, 64, 64) for n in (1, 20))
    picture = fda.adapt(0.5 + 0.1 * low + 0.2 * high, 0.5 + 0.25 * low, 0.05).float() / 255
    spectrum = torch.fft.rfft(picture[0, 0]).abs() / 32
    assert spectrum[1] == pytest.approx(0.25, abs=0.01)
    assert spectrum[20] == pytest.approx(0.2, abs=0.01)


@pytest.mark.parametrize("plugin", BOTH)
def test_bad_photographs_are_told_in_one_line(plugin: ModuleType, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"no photographs given; add --translator\.photos FOLDER"):
        _build(plugin, None)
    with pytest.raises(ConfigError, match="nowhere: no such folder"):
        _build(plugin, tmp_path / "nowhere")
    (tmp_path / "notes.txt").write_text("none")
    with pytest.raises(ConfigError, match=f"{tmp_path}: there is no photograph in it"):
        _build(plugin, tmp_path)
    (tmp_path / "broken.jpg").write_bytes(b"\xff\xd8\xff\xe0")
    with pytest.raises(ConfigError, match=r"broken\.jpg: .*; take it out of the folder$"):
        _build(plugin, tmp_path)


@pytest.mark.parametrize("plugin", ["reinhard", "fda"])
def test_a_dataset_is_converted_and_its_labels_stay(
    plugin: str, photos: Path, tmp_path: Path
) -> None:
    renders = make_dataset(tmp_path / "renders")
    summary = convert(
        {
            "input": renders.root,
            "output": tmp_path / "out",
            "loader": "folder",
            "translator": {"name": plugin, "photos": str(photos)},
            "checks": ["sanity"],
        }
    )
    assert (summary.done, summary.exit_code) == (3, 0)
    for sample in renders.samples:
        after = tmp_path / "out" / sample.image.relative_to(renders.root)
        assert after.read_bytes() != sample.image.read_bytes()
        mask = Path("masks", *sample.image.relative_to(renders.root).parts[1:])
        assert (tmp_path / "out" / mask).read_bytes() == (renders.root / mask).read_bytes()


def test_black_frames_do_not_become_nan(photos: Path) -> None:
    frame = make_frame(30, 40)
    black = replace(frame, image=torch.zeros_like(frame.image))
    for plugin in BOTH:
        picture = _build(plugin, photos)(make_batch([black]))[0]
        assert picture.float().std((1, 2)).max() < 1  # one colour, the photograph's
