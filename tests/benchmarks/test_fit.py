from __future__ import annotations

import numpy as np
import torch

from benchmarks.diffused import WAYS, _changed, _robust
from benchmarks.fit import trained
from benchmarks.lib.edited import Edited, _shared
from benchmarks.lib.fitdata import Base, features, write
from benchmarks.lib.fittrain import items
from benchmarks.lib.partial import Changed
from benchmarks.lib.scenes import generated


def _items(folder):
    picture = generated(3, (64, 64))
    base = Base("train-one", picture, {"": Changed(picture.image, picture.labels)}, {})
    write(folder / "train-one.npz", features(base, generated(4, (64, 64)), 3))
    return items(folder, ("train-",))


def _scene(seed: int) -> Edited:
    picture = generated(seed, (96, 96))
    numbers = np.unique(picture.labels[picture.labels > 0]).tolist()
    truth = {number: {"iou": 1.0, "outline_lost": 0.0, "edits": []} for number in numbers}
    labels = picture.labels
    return Edited(f"one-{seed}", "", "", "", picture, picture.image, labels, labels, 1, (), truth)


def test_a_training_that_was_stopped_goes_on_to_the_same_bits(tmp_path):
    found = _items(tmp_path)
    whole = trained(found, [], tmp_path / "whole.pt", 4)
    path = tmp_path / "parts.pt"
    trained(found, [], path, 2, of=4)
    parts = trained(found, [], path, 4)
    assert parts.step == whole.step == 4
    for one, two in zip(parts.mean.parameters(), whole.mean.parameters(), strict=True):
        assert torch.equal(one, two)


def test_the_share_of_an_outline_that_borders_on_another():
    labels = np.zeros((8, 8), np.int32)
    labels[2:4, 2:4], labels[2:4, 4:6] = 1, 2
    assert _shared(labels, 1, 2) == 0.25
    assert _shared(labels, 1, 3) == 0


def test_a_handle_is_no_robust_part():
    mug = np.zeros((32, 32), bool)
    mug[8:24, 4:20] = True
    assert _robust(mug)
    mug[11:13, 20:28] = mug[19:21, 20:28] = mug[11:21, 26:28] = True
    assert not _robust(mug)


def test_of_what_strong_translation_was_not_told_nothing_is_said():
    scene, other = _scene(5), _scene(6)
    cut = next(way for way in WAYS if way.name == "cut")
    made = _changed(scene, other, cut)
    for number in np.unique(scene.source.labels[scene.source.labels > 0]).tolist():
        before, after = scene.source.labels == number, made.after == number
        kept = (before & after).sum() / (before | after).sum()
        assert kept < 0.9 or number in made.doubtful | made.gone | made.hurt
    assert (made.image != scene.source.image).any()


def test_an_edited_scene_is_learnt_from_as_photograph_and_as_render():
    base = _scene(7).base()
    assert sorted(base.pictures) == ["photo", "render"]
    assert (base.pictures["render"].image == base.source.image).all()
