from __future__ import annotations

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sv2r.checks import score


def test_a_picture_against_itself_has_lost_nothing(scene):
    image, labels = scene()
    scores = score(image, image, labels)
    assert sorted(scores.instances) == [1, 2, 3]
    assert min(b.survival for b in scores.instances.values()) > 0.95
    assert {b.lost for b in scores.instances.values()} == {0.0}
    assert {b.offset for b in scores.instances.values()} == {0.0}
    assert scores.picture["shift"] == pytest.approx(0, abs=1e-4)
    assert scores.picture["invention"] == 0


def test_an_erased_instance_alone_is_gone(scene):
    image, labels = scene()
    instances = score(image, scene(without=(2,))[0], labels).instances
    assert instances[2].survival < 0.1
    assert instances[2].contrast < 0.1
    assert min(instances[1].survival, instances[3].survival) > 0.99


def test_colours_may_change_as_long_as_boundaries_stay(scene):
    image, labels = scene()
    for look in (255 - image, np.roll(image, 1, axis=2), (image * 0.4 + 120).astype(np.uint8)):
        scores = score(image, look, labels)
        assert min(b.survival for b in scores.instances.values()) > 0.9
        assert scores.picture["shift"] < 0.1


def test_noise_is_no_damage(scene):
    image, labels = scene()
    noise = np.random.default_rng(0).normal(0, 15, image.shape)
    scores = score(image, (image + noise).clip(0, 255).astype(np.uint8), labels)
    assert min(b.survival for b in scores.instances.values()) > 0.8


@pytest.mark.parametrize("grown", [-4, 3, 5])
def test_where_a_boundary_went_is_told_along_its_outward_normal(scene, grown):
    image, labels = scene()
    y, x = np.mgrid[:160, :200]
    moved = scene(without=(1,))[0]
    moved[np.hypot(y - 50, x - 50) < 22.3 + grown] = (200, 60, 50)
    found = score(image, moved, labels).instances[1]
    assert found.offset == pytest.approx(grown, abs=0.5)
    assert found.survival < 0.5


def test_half_an_instance_lost_is_damage(scene):
    image, labels = scene()
    cut = image.copy()
    cut[:, 150:] = scene(without=(3,))[0][:, 150:]
    assert score(image, cut, labels).instances[3].survival < 0.5


def test_a_boundary_that_the_source_does_not_show_is_not_scored(scene):
    image, labels = scene(without=(2,))
    found = score(image, image, labels).instances
    assert found[2].survival is None
    assert found[2].visible == 0
    assert found[1].survival is not None


def test_two_touching_instances_run_into_one_are_damaged():
    labels = np.zeros((96, 96), np.int32)
    labels[30:66, 20:48], labels[30:66, 48:76] = 1, 2
    image = np.full((96, 96, 3), 120, np.uint8)
    image[labels == 1], image[labels == 2] = (210, 60, 60), (60, 60, 200)
    run = image.copy()
    run[labels == 2] = (210, 60, 60)
    found = score(image, run, labels).instances
    assert max(found[1].survival, found[2].survival) < 0.5


def test_an_instance_that_fills_the_picture_has_no_boundary():
    image = np.random.default_rng(0).integers(0, 256, (40, 40, 3), dtype=np.uint8)
    assert score(image, image, np.ones((40, 40), np.int64)).instances == {}


@pytest.mark.parametrize("shift", [(0.3, -0.6), (2.5, 1.25), (-7.4, 11.2)])
def test_a_shift_is_measured_to_a_tenth_of_a_pixel(scene, shift):
    image, labels = scene()
    found = score(image, scene(offset=shift)[0], labels).motion
    assert (found.dy, found.dx) == pytest.approx(shift, abs=0.15)


def test_tiles_tell_where_a_part_has_moved(scene):
    image, labels = scene()
    parted = image.copy()
    parted[:, 100:] = scene(offset=(0, 3))[0][:, 100:]
    tiles = score(image, parted, labels).motion.tiles
    assert tiles.shape[-1] == 2
    assert np.nanmax(tiles[:, -1, 0]) == pytest.approx(3, abs=0.5)
    assert np.nanmin(np.abs(tiles[:, 0, 0])) == pytest.approx(0, abs=0.5)


def test_a_flat_source_has_no_motion(scene):
    flat = np.full((64, 64, 3), 90, np.uint8)
    scores = score(flat, flat, np.zeros((64, 64), np.int32))
    assert scores.motion is None
    assert scores.picture == {"invention": 0.0}


def test_an_invented_object_is_pointed_at(scene):
    image, labels = scene()
    invented = image.copy()
    invented[20:44, 90:118] = (230, 220, 40)
    found = score(image, invented, labels).structure
    assert found.invention > 6
    assert 14 <= found.place[0] <= 50
    assert 84 <= found.place[1] <= 124
    assert found.map.shape == labels.shape


def test_an_object_on_a_soft_edge_of_the_source_is_new():
    height = np.mgrid[:128, :160][0]
    horizon = 60 + 60 / (1 + np.exp((height - 64) / 4))
    image = np.repeat(horizon[..., None], 3, -1).astype(np.uint8)
    invented = image.copy()
    invented[56:74, 72:88] = (145, 45, 50)
    labels = np.zeros((128, 160), np.int32)
    assert score(image, invented, labels).structure.invention > 6


def test_a_cast_shadow_and_a_print_inside_a_label_are_nothing_new(scene):
    image, labels = scene()
    look = image.copy()
    look[10:34, 80:112] = look[10:34, 80:112] // 2
    look[70:90, 140:160] = (250, 240, 200)
    assert score(image, look, labels).structure.invention < 1


def test_a_background_of_noise_or_of_another_scene_is_not_the_source_s(scene):
    image, labels = scene()
    y, x = np.mgrid[:160, :200]
    room = image.copy()
    room[(labels == 0) & (y + x // 4 < 60)] = (60, 50, 90)
    other = image.copy()
    other[(labels == 0) & (x > 100) & (y < 140)] = (170, 150, 90)
    noise = np.random.default_rng(0).integers(0, 256, image.shape)
    noisy = np.where((labels > 0)[..., None], image, noise).astype(np.uint8)
    found = [score(room, look, labels).ground.background for look in (255 - room, other, noisy)]
    assert found[0] > 0.9
    assert found[1] < 0.2
    assert found[2] == 0


def test_light_from_elsewhere_is_nothing_new(scene):
    image, labels = scene()
    light = np.linspace(0.5, 1.5, 200)[:, None]
    lit = (image * light).clip(0, 255).astype(np.uint8)
    assert score(image, lit, labels).structure.invention < 1


def test_ids_may_be_large(scene):
    image, labels = scene()
    big = np.where(labels > 0, labels.astype(np.int64) + 2**31 - 10, 0)
    assert sorted(score(image, image, big).instances) == [2**31 - 9, 2**31 - 8, 2**31 - 7]


@pytest.mark.parametrize(
    ("source", "translated"),
    [
        (np.zeros((8, 8, 3), np.float32), np.zeros((8, 8, 3), np.uint8)),
        (np.zeros((8, 8, 3), np.uint8), np.zeros((8, 9, 3), np.uint8)),
        (np.zeros((8, 8), np.uint8), np.zeros((8, 8, 3), np.uint8)),
    ],
)
def test_arrays_that_do_not_fit_are_named(source, translated):
    with pytest.raises(ValueError, match=r"(source|translated): .*, expected 8x8x3 uint8"):
        score(source, translated, np.zeros((8, 8), np.int32))


@pytest.mark.parametrize(
    ("labels", "told"),
    [
        (np.zeros((8, 8), np.float32), "labels: float32, expected integers; give whole numbers"),
        (np.zeros((8, 8), bool), "labels: bool, expected integers"),
        (np.full((8, 8), -1), "labels: an id of -1, expected 0 = background and ids above 0"),
        (np.zeros((8, 8, 1), int), "labels: 8x8x1, expected height x width"),
    ],
)
def test_labels_that_are_no_map_of_ids_are_refused(labels, told):
    picture = np.zeros((8, 8, 3), np.uint8)
    with pytest.raises(ValueError, match=told):
        score(picture, picture, labels)


def test_scores_do_not_hang_on_what_is_scored_beside(scene):
    image, labels = scene()
    looks = [np.roll(image, 1, 1), scene(without=(2,))[0], 255 - image] * 2
    alone = [_flat(score(image, look, labels)) for look in looks]
    with ThreadPoolExecutor(3) as threads:
        beside = list(threads.map(lambda look: _flat(score(image, look, labels)), looks))
    assert beside == alone


def _flat(scores) -> list[float | None]:
    boundaries = [scores.instances[id_] for id_ in sorted(scores.instances)]
    found = [(b.survival, b.offset, b.moved, b.contrast, b.visible) for b in boundaries]
    return [*scores.picture.values(), *(number for group in found for number in group)]


def test_an_instance_of_one_pixel_is_unscorable_and_three_hundred_are_all_scored():
    labels = np.zeros((512, 512), np.int32)
    for number in range(300):
        y, x = divmod(number, 18)
        labels[28 * y + 3 : 28 * y + 23, 28 * x + 3 : 28 * x + 23] = number + 1
    labels[510, 510] = 301
    colours = np.random.default_rng(0).integers(130, 255, (302, 3))
    colours[0] = 60
    image = colours[labels].astype(np.uint8)
    erased = image.copy()
    erased[labels == 150] = 60
    found = score(image, erased, labels).instances
    assert found[301].survival is None
    assert [i for i in range(1, 301) if found[i].survival < 0.5] == [150]


@settings(max_examples=25, deadline=None)
@given(st.integers(1, 60), st.integers(1, 60), st.integers(0, 5), st.integers(0, 2**32 - 1))
def test_any_size_and_any_labels_give_finite_scores(height, width, instances, seed):
    rng = np.random.default_rng(seed)
    image, look = rng.integers(0, 256, (2, height, width, 3), dtype=np.uint8)
    labels = rng.integers(0, instances + 1, (height, width))
    scores = score(image, look, labels)
    assert np.isfinite(list(scores.picture.values())).all()
    for boundary in scores.instances.values():
        assert boundary.survival is None or 0 <= boundary.survival <= 1
        assert 0 <= boundary.visible <= 1


def test_importing_the_checks_leaves_torch_and_numpy_alone():
    names = "sanity", "shift", "survival", "invention", "background", "judge", "second_opinion"
    code = "import sys, sv2r.checks\n"
    code += "".join(f"import sv2r.checks.{name}\n" for name in names)
    code += "assert not {'torch', 'numpy', 'transformers'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_a_small_picture_that_has_not_changed_has_not_moved():
    rng = np.random.default_rng(0)
    for side in ((27, 43), (20, 20), (40, 64)):
        image = np.full((*side, 3), 90, np.uint8)
        image[5:18, 4:15] = (200, 60, 40)
        image = (image + rng.integers(0, 20, image.shape)).astype(np.uint8)
        motion = score(image, image, np.zeros(side, np.int32)).motion
        assert motion is not None
        assert motion.shift < 0.5


def test_pictures_that_are_lists_are_refused_by_their_type():
    picture, labels = np.zeros((8, 8, 3), np.uint8), np.zeros((8, 8), np.int32)
    with pytest.raises(ValueError, match="translated: 8x8x3 int64, expected 8x8x3 uint8"):
        score(picture, picture.tolist(), labels)
