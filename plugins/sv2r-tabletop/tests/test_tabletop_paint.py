"""Textures, the light of a room, and the camera: numpy alone."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image
from sv2r_tabletop.camera import photograph
from sv2r_tabletop.colour import lamp, linear, srgb
from sv2r_tabletop.looks import CHOICES, Look
from sv2r_tabletop.room import paint_room
from sv2r_tabletop.scene import draw_scene
from sv2r_tabletop.textures import PAINTERS, noise, paint, paint_around, paint_faces

GREY = (0.5, 0.4, 0.3)


def _look(pattern: str, seed: int = 1) -> Look:
    return Look("any", pattern, GREY, (0.2, 0.3, 0.8), 0.5, seed)


@pytest.mark.parametrize("pattern", list(PAINTERS))
def test_a_texture_is_a_picture_that_its_seed_decides(pattern: str) -> None:
    picture = paint(_look(pattern))
    assert picture.shape[2] == 3
    assert 0 < picture.min() < picture.max() < 1
    assert picture.tobytes() == paint(_look(pattern)).tobytes()
    assert picture.tobytes() != paint(_look(pattern, seed=2)).tobytes()


def test_every_pattern_that_can_be_drawn_can_be_painted() -> None:
    patterns = {name.split("/")[1] for choices in CHOICES.values() for name in choices}
    assert patterns - set(PAINTERS) == {"print", "label"}  # these go around things


def test_print_lies_in_its_band_and_the_cap_has_the_second_tone() -> None:
    picture = paint_around(_look("label"), {"side": (0.25, 0.5), "cap": (0.75, 1.0)})
    rows = len(picture)
    assert (picture[: rows // 4] == GREY).all()
    assert (picture[-1] == (0.2, 0.3, 0.8)).all()
    assert len(np.unique(picture[rows // 4 : rows // 2].reshape(-1, 3), axis=0)) > 3


def test_the_six_faces_of_a_box_are_printed() -> None:
    picture = paint_faces(_look("print"))
    height, width = picture.shape[:2]
    assert (height / 2) == (width / 3)
    for row, column in np.ndindex(2, 3):
        face = picture[row * height // 2 :, column * width // 3 :][: height // 2, : width // 3]
        assert face.std() > 0.01


def test_noise_repeats_without_a_seam() -> None:
    field = noise(np.random.default_rng(0), 1.8)
    assert field.mean() == pytest.approx(0, abs=1e-9)
    assert field.std() == pytest.approx(1)
    seam, inside = np.abs(field[:, 0] - field[:, -1]), np.abs(np.diff(field, axis=1))
    assert seam.mean() < 1.5 * inside.mean()


def test_colour_goes_there_and_back() -> None:
    values = np.linspace(0, 1, 33)
    assert srgb(linear(values)) == pytest.approx(values, abs=1e-6)
    assert linear(np.array([0.5]))[0] == pytest.approx(0.21404, abs=1e-4)


def test_a_warm_lamp_is_red_and_a_cold_one_blue() -> None:
    assert lamp(6504) == pytest.approx(np.ones(3), abs=0.06)  # D65 is sRGB's white
    assert lamp(2800)[0] > 2 * lamp(2800)[2]
    assert lamp(9500)[2] > lamp(9500)[0]


def test_a_room_has_a_mean_of_one_and_bright_windows() -> None:
    room = paint_room(3)
    assert room.shape == (64, 128, 3)
    assert room.min() > 0
    assert room.max() > 4
    assert room.tobytes() == paint_room(3).tobytes()


def test_a_photograph_is_exposed_noisy_and_decided_by_its_seed() -> None:
    scene = draw_scene(2)
    light = np.full((64, 64, 3), 40.0)
    light[:, 32:] = 120.0

    data = photograph(light, scene)

    pixels = np.asarray(Image.open(io.BytesIO(data)), np.float64)
    assert pixels.shape == (64, 64, 3)
    assert 40 < pixels.mean() < 220
    assert pixels[:, 40:].mean() > pixels[:, :24].mean() + 20
    assert pixels[24:40, 4:20].std(axis=(0, 1)).min() > 0.3
    assert data == photograph(light, scene)
    assert data != photograph(light, draw_scene(3))
