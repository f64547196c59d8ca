"""The measurement of the tabletop world: distances with known answers, AP, and a toy run whole."""

from __future__ import annotations

import json
import math
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from pycocotools import mask as rle

from benchmarks.lib import tableworld
from sv2r.bench import precision
from sv2r.evaluation import looks as realism

SIZE = 64
CATEGORIES = [{"id": 1, "name": "box"}, {"id": 2, "name": "ball"}]


def _pictures(count: int, seed: int) -> torch.Tensor:
    """Return smooth coloured noise, (count, 3, 64, 64) in [0, 1]."""
    rng = torch.Generator().manual_seed(seed)
    coarse = torch.rand(count, 3, 16, 16, generator=rng)
    return torch.nn.functional.interpolate(coarse, (SIZE, SIZE), mode="bilinear")


def test_the_bands_of_a_pyramid_add_up_to_the_picture() -> None:
    pictures = _pictures(2, 0)
    bands = realism.laplacian_pyramid(pictures)
    assert [band.shape[-1] for band in bands] == [64, 32, 16]
    whole = bands[-1]
    for band in reversed(bands[:-1]):
        larger = torch.zeros_like(band)
        larger[..., ::2, ::2] = whole
        whole = band + 4 * realism._filtered(larger)
    torch.testing.assert_close(whole, pictures)


def test_a_flat_picture_has_no_band_but_the_last() -> None:
    bands = realism.laplacian_pyramid(torch.full((1, 3, 64, 64), 0.3))
    # At the border, zeros between the samples meet their mirror images.
    assert all(band[..., 4:-4, 4:-4].abs().max() < 1e-6 for band in bands[:-1])
    torch.testing.assert_close(bands[-1], torch.full_like(bands[-1], 0.3))


def test_sets_of_the_same_kind_are_near_and_others_are_far() -> None:
    looks = [realism.Appearance.of(_pictures(24, seed)) for seed in (1, 2)]
    noisy = _pictures(24, 1) + 0.2 * torch.randn(
        24, 3, 64, 64, generator=torch.Generator().manual_seed(0)
    )
    darker = realism.Appearance.of(_pictures(24, 1) * 0.5)
    sets = [looks[0], realism.Appearance.of(noisy.clamp(0, 1)), darker]
    same, noise, dark = realism.distances(sets, looks[1], seed=0)
    assert noise["swd 64"] > 2 * same["swd 64"]
    assert dark["colour"] > 10 * same["colour"]
    assert dark["spectrum"] == pytest.approx(20 * math.log10(2), abs=0.7)
    assert same["spectrum"] < 1
    # Patches are normalised by their own set, so contrast alone is not a distance.
    assert dark["swd 64"] == pytest.approx(same["swd 64"], abs=5)
    assert set(same) == {"swd", "swd 64", "swd 32", "swd 16", "colour", "spectrum"}


def test_the_sliced_distance_of_shifted_points_is_the_mean_projected_shift() -> None:
    generator = torch.Generator().manual_seed(0)
    points = torch.randn(500, 3, generator=generator)
    directions = torch.randn(3, 400, generator=generator)
    shift = torch.tensor([2.0, 0.0, 0.0])
    moved = realism.projected(points + shift, directions)
    still = realism.projected(points, directions)
    assert realism.transport(still, still) == 0
    # The mean of |cos| over a sphere's directions is a half.
    assert realism.transport(moved, still) == pytest.approx(1.0, abs=0.08)


def test_a_wave_has_its_power_at_its_frequency() -> None:
    wave = 0.5 + 0.3 * torch.cos(2 * torch.pi * 12 * torch.arange(64) / 64)
    spectrum = realism.power_spectra(wave.expand(1, 3, 64, 64))[0]
    assert int(spectrum.argmax()) + 1 == 12
    flat = realism.power_spectra(torch.full((1, 3, 64, 64), 0.5))
    assert torch.isfinite(flat).all()
    assert realism.spectrum_distance(flat, flat + 3) == pytest.approx(3)


def _truth() -> dict:
    images = [{"id": n, "height": SIZE, "width": SIZE} for n in (1, 2, 3, 4)]
    annotations = [_entry(n, n, 10 * n) for n in (1, 2, 3, 4)]
    return {"info": {}, "images": images, "annotations": annotations, "categories": CATEGORIES}


def _entry(number: int, image: int, left: int) -> dict:
    mask = np.zeros((SIZE, SIZE), np.uint8)
    mask[10:30, left : left + 16] = 1
    encoded = rle.encode(np.asfortranarray(mask))
    segmentation = {"size": encoded["size"], "counts": encoded["counts"].decode()}
    return {
        "id": number,
        "image_id": image,
        "category_id": 1 + number % 2,
        "iscrowd": 0,
        "segmentation": segmentation,
        "area": int(mask.sum()),
        "bbox": [left, 10, 16, 20],
    }


def _found(images: tuple[int, ...]) -> list[dict]:
    keys = ("image_id", "category_id", "segmentation")
    right = [entry for entry in _truth()["annotations"] if entry["image_id"] in images]
    return [{**{key: entry[key] for key in keys}, "score": 0.9} for entry in right]


def test_average_precision_over_all_pictures_and_over_a_draw() -> None:
    all_right = precision.scored(_truth(), _found((1, 2, 3, 4)))
    half = precision.scored(_truth(), _found((1, 2)))
    assert all_right.precision() == pytest.approx(1)
    assert half.precision() == pytest.approx(0.5, abs=0.01)
    assert half.precision([0, 1, 1, 0]) == pytest.approx(1)
    assert half.precision([2, 3, 3, 2]) == 0
    assert half.precision() == pytest.approx(0.5, abs=0.01)  # nothing is left of the draws
    assert precision.scored(_truth(), []).precision() == 0


def test_draws_pair_the_pictures_and_draw_the_trainings() -> None:
    best, none = (precision.scored(_truth(), _found(which)) for which in ((1, 2, 3, 4), ()))
    draws = list(precision.draws({"photo": [best, best], "mixed": [best, none]}, 40))
    assert {round(draw["photo"], 3) for draw in draws} == {1}
    assert {round(draw["mixed"], 3) for draw in draws} == {0, 0.5, 1}


def test_the_gap_closed_and_its_interval() -> None:
    assert precision.gap_closed(0.3, 0.2, 0.4) == pytest.approx(0.5)
    assert precision.gap_closed(0.1, 0.2, 0.4) == pytest.approx(-0.5)
    assert math.isnan(precision.gap_closed(0.3, 0.4, 0.4))
    assert precision.interval(list(range(1001))) == (25, 975)
    assert precision.interval([0.5] * 9 + [math.nan]) == (-math.inf, 0.5)


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A world of flat boxes, whose photographs are noisy and warm."""
    root = tmp_path_factory.mktemp("world")
    parts = {"synthetic-train": 0, "photo-train": 100, "photo-ceiling": 300}
    parts |= {"test/synthetic": 200, "test/photo": 200}
    for part, first in parts.items():
        _write_part(root / part, first, photo="photo" in part)
    return root


def _write_part(folder: Path, first: int, *, photo: bool) -> None:
    images, annotations = [], []
    for number in range(first + 1, first + 5):
        rng = np.random.default_rng(number)
        pixels = np.full((SIZE, SIZE, 3), 90, np.uint8)
        left = int(rng.integers(4, 40))
        pixels[10:30, left : left + 16] = (200, 60, 60)
        if photo:
            noise = np.random.default_rng(number + 1).normal(0, 8, pixels.shape)
            pixels = (pixels * [1.0, 0.9, 0.7] + noise).clip(0, 255).astype(np.uint8)
        for name, array in (("images", pixels), ("depth", np.full((SIZE, SIZE), 900, np.uint16))):
            (folder / name).mkdir(parents=True, exist_ok=True)
            Image.fromarray(array).save(folder / name / f"{number:06}.png")
        images.append(
            {"id": number, "file_name": f"images/{number:06}.png", "height": SIZE, "width": SIZE}
        )
        annotations.append(_entry(number, number, left))
    document = {"images": images, "annotations": annotations, "categories": CATEGORIES}
    (folder / "annotations.json").write_text(json.dumps(document))


def test_a_part_is_read_without_the_pictures_that_are_missing(world: Path, tmp_path: Path) -> None:
    _write_part(tmp_path, 0, photo=False)
    whole = tableworld.read(tmp_path)
    (tmp_path / "images" / "000002.png").unlink()
    less = tableworld.read(tmp_path)
    assert [p.entry["id"] for p in less.pictures] == [1, 3, 4]
    assert [p.entry["id"] for p in tableworld.read(tmp_path, 2).pictures] == [1]
    assert whole.fingerprint() != less.fingerprint()
    assert less.pictures[0].labels().max() == 1


def test_missing_parts_are_told_with_the_commands_that_render_them(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from benchmarks import tabletop

    world = tmp_path / "a world"
    assert tabletop.main(["--world", str(world), "--methods", "fda"]) == 2
    told = capsys.readouterr().err
    assert "not all of it is rendered" in told
    assert f"--domain both --count 100 --seed 500000 --output '{world}/test'\n" in told
    assert ["--output", str(world / "photo-ceiling")] == tableworld.commands(world)[2][-2:]


@pytest.mark.parametrize("stage", ["realism", "downstream", "fidelity"])
def test_a_stage_before_the_translation_says_what_to_run(
    stage: str, world: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from benchmarks import tabletop

    words = ["--world", str(world), "--work", str(tmp_path), "--methods", "fda", "--stages", stage]
    assert tabletop.main(words) == 2
    assert "fda has not been translated; run --stages translate first" in capsys.readouterr().err


def test_a_translation_with_failed_pictures_is_told_and_not_measured(
    world: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from benchmarks import tabletop

    broken = tmp_path / "world"
    shutil.copytree(world, broken)
    (broken / "test/synthetic/images/000202.png").write_bytes(b"no picture")
    words = ["--world", str(broken), "--work", str(tmp_path / "work"), "--methods", "reinhard"]
    assert tabletop.main([*words, "--stages", "translate"]) == 0
    assert "WARNING: reinhard test/synthetic: 1 pictures failed" in capsys.readouterr().out
    assert tabletop.main([*words, "--stages", "fidelity"]) == 2
    assert "1 pictures failed; sv2r/report.html there says why" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("option", "value"),
    [("--draws", "1"), ("--seeds", "0"), ("--workers", "0"), ("--count", "0"), ("--steps", "0")],
)
def test_numbers_that_measure_nothing_are_refused(
    option: str, value: str, capsys: pytest.CaptureFixture[str]
) -> None:
    from benchmarks import tabletop

    with pytest.raises(SystemExit):
        tabletop.main(["--world", "world", option, value])
    assert f"argument {option}: {value} is below" in capsys.readouterr().err


def test_the_measurement_runs_whole_and_goes_on_where_it_was(world: Path, tmp_path: Path) -> None:
    pytest.importorskip("torchvision", reason="the segmenter needs torchvision (extra `measure`)")
    from benchmarks import tabletop

    preset = tmp_path / "stand-in.yaml"
    photos = world / "photo-train" / "images"
    preset.write_text(f"translator: {{name: reinhard, photos: '{photos}'}}\nchecks: [sanity]\n")
    words = ["--world", world, "--work", tmp_path / "work", "--preset", preset, "--quick"]
    words += ["--seeds", "2", "--json", tmp_path / "rows.json"]

    assert tabletop.main([str(word) for word in words]) == 0
    rows = {row["name"]: row["value"] for row in json.loads((tmp_path / "rows.json").read_text())}
    kept = {p: p.stat().st_mtime_ns for p in (tmp_path / "work").glob("*/*.json")}
    assert tabletop.main([str(word) for word in words]) == 0
    again = {row["name"]: row["value"] for row in json.loads((tmp_path / "rows.json").read_text())}

    assert rows.keys() == again.keys()
    assert {p: p.stat().st_mtime_ns for p in (tmp_path / "work").glob("*/*.json")} == kept
    assert len([path for path in kept if path.parent.name == "downstream"]) == 12 + 1
    assert rows["instances still there, reinhard"] == 1
    assert rows["colour, translated"] < rows["colour, synthetic"]
    assert {"mask AP, mixed", "gap closed, translated", "swd, photo, low"} <= rows.keys()
