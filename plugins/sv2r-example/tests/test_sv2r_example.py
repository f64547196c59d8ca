from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import sv2r_example as example
import torch
from kornia.color import rgb_to_lab
from PIL import Image

from sv2r import Batch, ConfigError, Runtime, convert
from sv2r.testing import check_plugin, check_translator, make_batch, make_dataset, make_frame

NO_TARGET = "grade needs photographs, --translator.reference FOLDER, or --translator.mean and .std"


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """A folder with a warm and a cold photograph, one in a subfolder, and a text file."""
    folder = tmp_path / "photos"
    (folder / "winter").mkdir(parents=True)
    _photograph((180, 130, 60)).save(folder / "a warm one.JPG", quality=95)
    _photograph((70, 110, 190)).save(folder / "winter" / "cold.png")
    (folder / "LICENSE.txt").write_text("ours")
    return folder


def _photograph(colour: tuple[int, int, int]) -> Image.Image:
    picture = Image.linear_gradient("L").resize((40, 30))
    return Image.composite(Image.new("RGB", (40, 30), colour), Image.new("RGB", (40, 30)), picture)


def _grade(batch: Batch, **options: object) -> list[torch.Tensor]:
    return list(example.build_grade(example.GradeOptions(**options), Runtime())(batch))  # type: ignore[arg-type]


def test_everything_that_the_plugin_brings_keeps_the_contracts(photos: Path) -> None:
    checked = check_plugin("example", options={"grade": {"reference": photos}})
    assert checked == ["conditioner 'sobel'", "translator 'grade'"]


def test_grade_keeps_the_contract_when_it_draws_a_photograph_per_picture(photos: Path) -> None:
    check_translator(example.GRADE, {"reference": photos, "toward": "one", "strength": 0.5})


def test_sobel_draws_a_step_of_brightness_and_nothing_else() -> None:
    image = torch.zeros(3, 3, 6)
    image[:, :, 3:] = 0.5
    frame = replace(make_frame(3, 6), image=image)
    condition = example.build_sobel(example.SobelOptions(gain=2.0), Runtime())

    control = condition(frame)

    # kornia divides Sobel's weights by 8: a step of 0.5 is a gradient of 0.25, twice that is 0.5.
    row = torch.tensor([0, 0, 0.5, 0.5, 0, 0])
    torch.testing.assert_close(control.image, row.expand(3, 3, 6), atol=0.002, rtol=0)


def test_grade_meets_the_mean_and_std_that_were_asked_for() -> None:
    batch = make_batch([make_frame(64, 80)])

    picture = _grade(batch, mean=(55, 4, 8), std=(12, 2, 3), max_gain=10)[0]

    lab = rgb_to_lab(picture.float() / 255)
    torch.testing.assert_close(lab.mean((1, 2)), torch.tensor([55.0, 4, 8]), atol=0.3, rtol=0)
    torch.testing.assert_close(lab.std((1, 2)), torch.tensor([12.0, 2, 3]), atol=0.3, rtol=0)


def test_grade_leaves_a_picture_that_has_the_colours_already() -> None:
    frame = make_frame(30, 40)
    lab = rgb_to_lab(frame.image)
    own = {
        "mean": tuple(lab.mean((1, 2)).tolist()),
        "std": tuple(lab.std((1, 2), correction=0).tolist()),
    }

    picture = _grade(make_batch([frame]), **own)[0]

    assert (picture.float() - frame.image * 255).abs().max() <= 1


def test_contrast_grows_by_max_gain_at_most() -> None:
    frame = make_frame(30, 40)
    flat = replace(frame, image=0.5 + 0.02 * (frame.image - 0.5))

    picture = _grade(make_batch([flat]), mean=(50, 0, 0), std=(30, 0, 0), max_gain=2)[0]

    before, after = rgb_to_lab(flat.image)[0].std(), rgb_to_lab(picture.float() / 255)[0].std()
    assert after / before == pytest.approx(2, rel=0.1)


def test_all_photographs_together_are_warmer_than_the_cold_one(photos: Path) -> None:
    batch = make_batch([make_frame(30, 40)])

    common = _grade(batch, reference=photos)[0].float()
    cold = _grade(batch, reference=photos / "winter")[0].float()

    redness, cold_redness = (float(p[0].mean() - p[2].mean()) for p in (common, cold))
    assert cold_redness + 10 < redness


def test_the_seed_draws_the_photograph(photos: Path) -> None:
    frames = [make_frame(30, 40)] * 8
    batch = make_batch(frames, seeds=[1, 2, 3, 4, 5, 6, 7, 8])

    pictures = _grade(batch, reference=photos, toward="one")

    distinct = {picture.numpy().tobytes() for picture in pictures}
    assert len(distinct) == 2


def test_the_record_says_how_many_targets_there_were(photos: Path) -> None:
    options = example.GradeOptions(reference=photos, toward="one")
    assert example.build_grade(options, Runtime()).settings() == {"targets": 2, "device": "cpu"}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, NO_TARGET),
        ({"mean": (50, 0, 0)}, NO_TARGET),
        (
            {"mean": (50, 0, 0), "std": (9, 1, 1), "reference": "photos"},
            "grade takes --translator.reference, or mean and std, not both",
        ),
    ],
)
def test_a_target_is_asked_for_before_anything_is_read(
    options: dict[str, object], message: str
) -> None:
    with pytest.raises(ConfigError) as caught:
        example.GRADE.preflight(example.GradeOptions(**options), [(64, 64)])  # type: ignore[arg-type]
    assert str(caught.value) == message


def test_a_folder_without_photographs_is_named(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("none")
    with pytest.raises(ConfigError, match=f"no photographs .* in reference folder {tmp_path}"):
        example.GRADE.preflight(example.GradeOptions(reference=tmp_path), ())


def test_a_photograph_that_cannot_be_read_is_named(photos: Path) -> None:
    (photos / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    with pytest.raises(ConfigError, match=r"broken\.png: .*; take it out of the folder"):
        example.build_grade(example.GradeOptions(reference=photos), Runtime())


def test_a_dataset_takes_on_the_colours_of_a_folder_of_photographs(
    photos: Path, tmp_path: Path
) -> None:
    renders = make_dataset(tmp_path / "renders")
    translator = {"name": "grade", "reference": str(photos), "toward": "one"}
    summary = convert(
        {
            "input": renders.root,
            "output": tmp_path / "real",
            "loader": "folder",
            "conditioners": ["sobel"],
            "translator": translator,
            "checks": ["sanity"],
        }
    )

    assert (summary.done, summary.exit_code) == (3, 0)
    for sample in renders.samples:
        after = tmp_path / "real" / sample.image.relative_to(renders.root)
        with Image.open(sample.image) as old, Image.open(after) as new:
            assert new.size == old.size
            assert new.tobytes() != old.tobytes()
    for mask in (renders.root / "masks").rglob("*.png"):
        copy = tmp_path / "real" / mask.relative_to(renders.root)
        assert copy.read_bytes() == mask.read_bytes()
