from __future__ import annotations

import numpy as np
import pytest
import torch

from sv2r.checks import fit, score
from sv2r.checks.bands import bands, read
from sv2r.checks.edges import levels, smoothed
from sv2r.checks.fit import SHA256, WEIGHTS, checked, network
from sv2r.checks.fitnet import HINTS, of_one_picture
from sv2r.checks.perimeter import perimeters
from sv2r.errors import ConfigError


def test_a_square_is_walked_around_in_order_with_normals_outward():
    labels = np.zeros((20, 24), np.uint8)
    labels[4:12, 6:14] = 7
    found = perimeters(labels)
    assert (found.ids.tolist(), found.length.tolist()) == ([7], [32])
    y, x = found.y[0].ravel(), found.x[0].ravel()
    assert np.hypot(np.diff(y), np.diff(x)).max() < 1.5
    assert ((y - 7.5) * found.ny[0].ravel() + (x - 9.5) * found.nx[0].ravel()).min() > 2
    assert set(found.neighbour.ravel().tolist()) == {0}


def test_the_picture_s_border_is_no_outline_and_a_hole_is():
    labels = np.zeros((16, 16), np.int32)
    labels[:8, :8] = 1
    labels[2:5, 2:5] = 0
    labels[8:, 8:] = 2
    found = perimeters(labels)
    assert found.length.tolist() == [16 + 12, 16]
    assert (found.y.max(), found.x.max()) < (15.5, 15.5)


def test_two_pixels_that_touch_by_a_corner_are_two_outlines():
    labels = np.zeros((8, 8), np.int32)
    labels[2, 2] = labels[3, 3] = 5
    found = perimeters(labels)
    assert found.length.tolist() == [8]
    assert np.isfinite(found.y).all()


def test_what_lies_across_an_outline_is_known_as_far_as_the_neighbour_goes(scene):
    labels = np.zeros((40, 40), np.int32)
    labels[10:30, 10:20], labels[10:30, 20:24] = 1, 2
    band = bands(labels)
    beside = band.neighbour[0] > 0.5
    assert 0.2 < float(beside.float().mean()) < 0.5
    known = band.known[0][beside].mean(0)
    assert known[:10].mean() > 0.8  # ten px into the first
    assert known[13] > 0.8  # 3 px beyond is the second ...
    assert known[17:].max() < 0.2  # ... and 7 px are not


def test_gradients_flow_from_a_probability_to_the_picture(scene):
    image, labels = scene()
    band, source = bands(labels), smoothed(levels(image), 1.0)
    picture = levels(scene(without=(2,))[0]).requires_grad_()
    seen = of_one_picture(
        read(source, band), read(smoothed(picture, 1.0), band), band, torch.zeros(3, HINTS)
    )
    network()(seen).fits.sigmoid().sum().backward()
    assert picture.grad.isfinite().all()
    near, away = picture.grad[:, 85:135, 45:95], picture.grad[:, :20, 120:]
    assert near.abs().mean() > 0
    assert away.abs().max() == 0


def test_the_same_pictures_give_the_same_bits(scene):
    image, labels = scene()
    look = np.roll(image, 2, 1)
    first, again = (score(image, look, labels).instances for _ in range(2))
    assert [one.survival for one in first.values()] == [one.survival for one in again.values()]
    assert (first[1].stretches.lost == again[1].stretches.lost).all()


def test_two_pictures_in_one_batch_give_what_each_gives_alone(scene):
    image, labels = scene()
    band, source = bands(labels), smoothed(levels(image), 1.0)
    looks = [smoothed(levels(look), 1.0) for look in (255 - image, scene(without=(2,))[0])]
    alone = [
        of_one_picture(read(source, band), read(look, band), band, torch.zeros(3, HINTS))
        for look in looks
    ]
    both = fit.joined(alone)
    with torch.inference_mode():
        expected = torch.cat([network()(one).fits for one in alone])
        assert network()(both).fits.tolist() == pytest.approx(expected.tolist(), abs=1e-4)


def test_a_lost_part_is_pointed_at(scene):
    image, labels = scene()
    cut = image.copy()
    cut[:, 150:] = scene(without=(3,))[0][:, 150:]
    found = score(image, cut, labels).instances[3]
    lost = found.stretches.lost > 0.5
    assert found.lost == pytest.approx(0.5, abs=0.2)
    assert found.stretches.x[lost].min() > 130
    assert found.stretches.x[~lost].max() < 170


def test_weights_that_are_missing_or_altered_are_refused_by_name(tmp_path):
    assert len(checked(WEIGHTS, SHA256)) < 1_000_000
    altered = tmp_path / "survival.safetensors"
    with pytest.raises(
        ConfigError, match=r"survival\.safetensors: no such file or directory; inst"
    ):
        checked(altered, SHA256)
    altered.write_bytes(WEIGHTS.read_bytes()[:-1] + b"\0\0")
    with pytest.raises(ConfigError, match=r"survival\.safetensors: altered \(SHA-256 [0-9a-f]{12}"):
        checked(altered, SHA256)
