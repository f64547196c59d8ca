"""A picture's life, driven by hand: what it wants drawn, and the record that it ends with."""

from __future__ import annotations

import pytest
import torch

from sv2r.config.layers import Layer
from sv2r.config.resolve import resolve
from sv2r.plugin.registry import load_registry
from sv2r.types import CheckResult, Published, Refusal, Task
from sv2r.worker.life import Made, live
from sv2r.worker.parts import Parts
from tests.toys.datasets import make_coco


def publish(sample, variant, image, frame):
    return Published(sample.id, "sum")


def passes(frame, image):
    return CheckResult()


def refuses(frame, image):
    return CheckResult(reason="it is damaged")


def parts(check=passes):
    settings = {"steps": 4}
    return Parts(
        (),
        lambda batch: (),
        lambda *size: size,
        lambda: settings,
        (("c", check),),
        publish,
        lambda: None,
    )


@pytest.fixture
def begin(tmp_path):
    """Starts the life of the first of two pictures of 27 × 43 with two instances."""
    registry = load_registry()
    root = make_coco(tmp_path / "renders", names=("a.png", "b.png"))

    def start(check=passes, **more):
        values = {"input": root, "output": tmp_path / "out", "translator": "sdedit", **more}
        values["translator"] = {"name": "sdedit", "model": "none"}
        config = resolve(registry, [Layer("test", {"loader": "coco", **values})])
        dataset = registry.spec("loader", "coco").build(config.loader.options, None)(root)
        return live(config, dataset, parts(check), Task(0))

    return start


def made(draw, value=100):
    height, width = draw.frame.size
    return Made(torch.full((3, height, width), value, dtype=torch.uint8), {"steps": 4}, 0.5)


def ended(life, answer):
    with pytest.raises(StopIteration) as end:
        life.send(answer)
    return end.value.value


def test_a_picture_that_is_sound_is_drawn_once_and_published(begin):
    life = begin()
    draw = next(life)
    assert (draw.frame.size, draw.prompt.text) == ((27, 43), "a photo of coffee mug and bowl")
    assert (draw.strength_factor, draw.control_factor) == (1.0, 1.0)
    record = ended(life, made(draw))
    assert (record.status, record.output, record.seed) == ("done", "a.png", draw.seed)
    assert (record.settings, record.seconds, record.repairs) == ({"steps": 4}, 0.5, ())


def test_retries_have_seeds_of_their_own_and_grow_gentler(begin):
    life = begin(refuses, damage={"steps": ["retry", "reject"], "retries": 2})
    first = next(life)
    second = life.send(made(first))
    third = life.send(made(second))
    assert len({first.seed, second.seed, third.seed}) == 3
    assert (second.strength_factor, second.control_factor) == (1.0, 1.0)
    assert (third.strength_factor, third.control_factor) == (0.8, 1.2)
    record = ended(life, made(third))
    assert (record.status, record.error) == ("rejected", "a.png: c: it is damaged")
    assert record.repairs == ("retry: made 3 times",)
    assert record.seed == first.seed  # none was better: the first one's record is the one told


def test_small_objects_are_drawn_again_after_the_whole(begin):
    life = begin(small={"cells": 100, "resolution": 64})
    whole = next(life)
    crop = life.send(made(whole))
    assert crop.frame.size == (64, 64)
    assert crop.seed != whole.seed
    other = life.send(made(crop))
    record = ended(life, made(other))
    assert (record.status, record.small) == ("done", (1, 2))


@pytest.mark.parametrize(
    ("refusal", "status"), [(Refusal("unsafe"), "rejected"), (Refusal("broken", True), "failed")]
)
def test_a_refused_crop_leaves_its_pictures_record_as_it_is(begin, refusal, status):
    life = begin(small={"cells": 100, "resolution": 64}, damage={"steps": ["reject"]})
    whole = next(life)
    crop = life.send(made(whole))
    assert crop.prompt.text == "a photo of coffee mug and bowl"
    record = ended(life, Made(refusal, {"steps": 9}, 0.1))
    assert (record.status, record.error) == (status, f"a.png: {refusal.reason}")
    assert (record.seed, record.prompt) == (whole.seed, whole.prompt.text)
    assert (record.settings, record.seconds) == ({"steps": 4}, 0.5)
    assert record.instances == {"coffee_mug": [1], "bowl": [2]}


def test_a_refusal_is_tried_again_and_an_error_is_not(begin):
    life = begin()
    first = next(life)
    second = life.send(Made(Refusal("unsafe"), {}, 0.1))
    assert second.seed != first.seed
    record = ended(life, Made(Refusal("the translator broke", failed=True), {}, 0.1))
    assert (record.status, record.repairs) == ("failed", ("retry: made 2 times",))


def test_an_error_after_a_picture_was_made_ends_with_the_best_of_those(begin):
    life = begin(refuses, damage={"steps": ["retry", "keep"]})
    first = next(life)
    life.send(made(first))
    record = ended(life, Made(Refusal("out of luck", failed=True), {}, 0.1))
    assert (record.status, record.seed) == ("done", first.seed)


@pytest.mark.parametrize("error", [SystemExit(0), KeyError("no"), AssertionError("never")])
def test_whatever_a_check_raises_fails_its_picture_alone(begin, error):
    def broken(frame, image):
        raise error

    life = begin(broken)
    record = ended(life, made(next(life)))
    assert record.status == "failed"
    assert record.error == f"a.png: {type(error).__name__}: {error}"


def test_a_life_that_is_given_up_publishes_nothing(begin):
    life = begin()
    next(life)
    life.close()
    with pytest.raises(StopIteration):
        next(life)


def test_a_picture_that_cannot_be_read_ends_before_it_is_drawn(begin, tmp_path):
    life = begin()
    (tmp_path / "renders/a.png").write_bytes(b"nothing")
    with pytest.raises(StopIteration) as end:
        next(life)
    record = end.value.value
    assert (record.status, record.error) == (
        "failed",
        "a.png: not a picture; give PNG, JPEG, WebP, TIFF or BMP",
    )
