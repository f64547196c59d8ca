from __future__ import annotations

import numpy as np
import pytest

from sv2r.checks.invention import InventionOptions
from sv2r.checks.invention import build as build_invention
from sv2r.checks.shift import ShiftOptions
from sv2r.checks.shift import build as build_shift
from sv2r.checks.survival import SurvivalOptions
from sv2r.checks.survival import build as build_survival
from sv2r.plugin.specs import Runtime


def test_shift_passes_a_picture_that_lies_on_its_source(make_frame, scene, tensor):
    image, labels = scene()
    result = build_shift(ShiftOptions(), Runtime())(make_frame(image, labels), tensor(255 - image))
    assert result.reason is None
    names = {"dx", "dy", "zoom", "turn", "shift", "sure", "local", "agreement"}
    assert set(result.picture) == names


def test_shift_refuses_with_what_it_measured(make_frame, scene, tensor):
    image, labels = scene()
    moved = tensor(scene(offset=(0, 4))[0])
    result = build_shift(ShiftOptions(), Runtime())(make_frame(image, labels), moved)
    assert result.reason.startswith("the picture is displaced by up to 4.")
    assert "max_shift 1)" in result.reason
    assert (
        build_shift(ShiftOptions(max_shift=6), Runtime())(make_frame(image, labels), moved).reason
        is None
    )


def test_shift_claims_nothing_where_a_new_texture_outvotes_the_outlines(
    make_frame, scene, tensor, striped
):
    image, labels = scene()
    result = build_shift(ShiftOptions(), Runtime())(make_frame(image, labels), tensor(striped))
    assert (result.reason, result.displacement) == (None, None)
    assert result.picture["sure"] == 0
    assert result.picture["shift"] < 0.2


def test_shift_finds_outlines_that_have_moved_under_a_new_texture(
    make_frame, scene, tensor, striped
):
    image, labels = scene()
    moved = tensor(np.roll(striped, (3, -5), (0, 1)))
    result = build_shift(ShiftOptions(), Runtime())(make_frame(image, labels), moved)
    assert result.displacement == pytest.approx((3, -5), abs=0.7)
    assert result.picture["sure"] > 2.5


def test_shift_judges_tiles_only_when_asked(make_frame, scene, tensor):
    image, labels = scene()
    parted = image.copy()
    parted[:, 100:] = scene(offset=(0, 3))[0][:, 100:]
    frame = make_frame(image, labels)
    judged = build_shift(ShiftOptions(max_shift=50, max_local=1), Runtime())(frame, tensor(parted))
    assert judged.reason.startswith("a part of the picture is displaced by ")
    free = build_shift(ShiftOptions(max_shift=50), Runtime())(frame, tensor(parted))
    assert free.reason is None


def test_shift_says_nothing_of_a_flat_source(make_frame, tensor):
    flat = np.full((64, 64, 3), 90, np.uint8)
    result = build_shift(ShiftOptions(), Runtime())(make_frame(flat), tensor(flat))
    assert (result.reason, dict(result.picture)) == (None, {})


def test_survival_names_what_is_lost(make_frame, scene, tensor):
    image, labels = scene()
    check = build_survival(SurvivalOptions(), Runtime())
    result = check(make_frame(image, labels), tensor(scene(without=(2,))[0]))
    assert result.reason.startswith("1 instance has lost the boundary: 2 (0.")
    assert result.picture["damaged"] == 1
    assert set(result.instances[1]) == {
        *("survival", "offset", "moved", "lost", "contrast", "visible")
    }


def test_survival_scores_a_crowd_but_does_not_refuse_it(make_frame, scene, tensor):
    image, labels = scene()
    check = build_survival(SurvivalOptions(), Runtime())
    result = check(make_frame(image, labels, crowds=(2,)), tensor(scene(without=(2,))[0]))
    assert result.reason is None
    assert result.instances[2]["survival"] < 0.1


def test_survival_leaves_an_unscorable_instance_without_a_score(make_frame, scene, tensor):
    image, labels = scene(without=(2,))
    result = build_survival(SurvivalOptions(), Runtime())(make_frame(image, labels), tensor(image))
    assert result.reason is None
    assert set(result.instances[2]) == {"visible"}
    assert result.picture["scored"] == 2


@pytest.mark.parametrize("field", ["min_survival", "min_visible"])
def test_survival_thresholds_are_shares(field):
    with pytest.raises(ValueError, match="less than or equal to 1"):
        SurvivalOptions(**{field: 1.2})


def test_invention_points_at_the_object(make_frame, scene, tensor):
    image, labels = scene()
    invented = image.copy()
    invented[20:44, 90:118] = (230, 220, 40)
    check = build_invention(InventionOptions(), Runtime())
    result = check(make_frame(image, labels), tensor(invented))
    assert result.reason.startswith("new structure around x ")
    assert set(result.picture) == {"invention", "y", "x"}
    same = check(make_frame(image, labels), tensor(image))
    assert (same.reason, dict(same.picture)) == (None, {"invention": 0.0})
