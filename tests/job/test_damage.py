"""What is done about pictures that do not fit their labels any more."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import sv2r
from sv2r.config.sections import DamageOptions
from sv2r.images.restore import move_back, restore_instances
from sv2r.job.describe import summary_lines
from sv2r.output.attempts import read_attempts
from sv2r.plugin.discovery import Owner
from sv2r.plugin.options import Options
from sv2r.plugin.registry import Entry, Registry
from sv2r.plugin.specs import TranslatorSpec
from sv2r.testing import make_frame
from sv2r.types import Batch, CheckResult, Frame, Instance, Instances, Refusal, Sample
from sv2r.verify.dataset import verify
from sv2r.worker.damage import judge, restore, undo_shift
from tests.toys.datasets import make_coco


def _registry_with(registry: Registry, damage) -> Registry:
    """Return the registry with a translator `damaging` that gives back damage(frame, batch)."""

    def build(options, runtime):
        return lambda batch: [damage(frame, batch) for frame in batch.frames]

    spec = TranslatorSpec(name="damaging", summary="For tests.", options=Options, build=build)
    entry = Entry("translator", "damaging", Owner("test", "test", "0"), spec)
    return replace(registry, entries=(*registry.entries, entry))


def _levels(frame) -> torch.Tensor:
    return (frame.image * 255).round().to(torch.uint8)


def _erased(frame) -> torch.Tensor:
    """Return the frame's picture with its first instance painted over as the background is made."""
    picture = _levels(frame)
    rows, columns = torch.meshgrid(torch.arange(64), torch.arange(72), indexing="ij")
    behind = torch.stack([40 + 2 * columns, 60 + 2 * rows, 90 + columns + rows]).to(torch.uint8)
    inside = torch.from_numpy(frame.instances.labels.copy()) == min(frame.instances.table)
    picture[:, inside] = behind[:, inside]
    return picture


def _run(tmp_path: Path, registry: Registry, translate, **more):
    source = make_coco(tmp_path / "in", ("a.png", "b.png", "c.png", "d.png"), size=(64, 72))
    config = {
        "input": str(source),
        "output": str(tmp_path / "out"),
        "translator": "damaging",
        "checks": ["survival"],
        "batch_size": 2,
        **more,
    }
    damage = config.get("damage", {})
    damage = damage if isinstance(damage, dict) else {"steps": damage}
    # One of a toy's two instances is half of what is labelled.
    config["damage"] = {"max_restored": 1, **damage}
    summary = sv2r.convert(config, registry=_registry_with(registry, translate))
    return summary, _records(Path(config["output"]))


def _records(output: Path):
    import json

    lines = (output / "sv2r" / "samples.jsonl").read_text().splitlines()
    return {record["sample"]: record for record in map(json.loads, lines)}


def _is_b(frame) -> bool:
    return frame.sample.id == "b.png"


def test_the_damaged_picture_alone_is_restored_and_says_so(tmp_path, registry):
    def damage(frame, batch: Batch):
        return _erased(frame) if _is_b(frame) else _levels(frame)

    summary, records = _run(tmp_path, registry, damage, damage=["restore", "reject"])
    assert summary.done == 4
    assert {name: len(r.get("repairs", ())) for name, r in records.items()} == {
        "a.png": 0,
        "b.png": 1,
        "c.png": 0,
        "d.png": 0,
    }
    assert records["b.png"]["repairs"][0].startswith("restore: instance ")
    share = records["b.png"]["rendered"]
    assert 0 < share < 0.5
    assert (summary.retried, summary.repaired, summary.rendered) == (0, 1, round(share / 4, 6))
    told = f"repairs     1 picture holds pixels of the render: {share / 4:.1%} of all that is done"
    assert told in list(summary_lines(summary))
    red = np.asarray(Image.open(tmp_path / "out" / "b.png"))[10:16, 6:12]
    assert red[..., 0].mean() > red[..., 2].mean() + 80


def test_a_picture_of_which_too_much_would_be_the_render_is_rejected_with_that_reason(
    tmp_path, registry
):
    def damage(frame, batch: Batch):
        return _erased(frame) if _is_b(frame) else _levels(frame)

    damage_options = {"steps": ["restore", "reject"], "max_restored": 0.1}
    summary, records = _run(tmp_path, registry, damage, damage=damage_options)
    assert (summary.done, summary.rejected, summary.overdone) == (3, 1, 1)
    told = "not restored: 50% of the labelled pixels would be the render's, over --max-restored 0.1"
    assert records["b.png"]["repairs"] == [told]
    assert records["b.png"]["error"].endswith(f"; {told}")
    assert not any(line.startswith("advice") for line in summary_lines(summary))


def test_a_job_of_such_pictures_fails_and_says_what_to_try(tmp_path, registry):
    damage_options = {"steps": ["restore", "reject"], "max_restored": 0.1}
    two = {"damage": damage_options, "only": ["b.png", "c.png"]}
    summary, _ = _run(tmp_path, registry, lambda frame, _: _erased(frame), **two)
    assert (summary.done, summary.overdone, summary.exit_code) == (0, 2, 1)
    advice = (
        "advice      2 pictures would hold too much of the render: the model does not draw what "
        "is labelled. Try less --strength, a control that holds it (--preset controlnet-canny), "
        "or another --model"
    )
    assert advice in list(summary_lines(summary))


def test_a_retry_gets_another_seed_and_more_care_and_is_published(tmp_path, registry):
    seen = []

    def damage(frame, batch: Batch):
        if _is_b(frame):
            seen.append((batch.seeds[batch.frames.index(frame)], batch.strength_factor))
            return _levels(frame) if batch.strength_factor < 1 else _erased(frame)
        return _levels(frame)

    summary, records = _run(tmp_path, registry, damage, damage=["retry", "reject"])
    assert summary.done == 4
    factors = list(dict.fromkeys(factor for _, factor in seen))
    assert factors == [1.0, 0.8]
    assert len({seed for seed, _ in seen}) == 3
    assert records["b.png"]["repairs"] == ["retry: made 3 times"]
    assert (summary.retried, summary.repaired, summary.rendered) == (1, 0, 0.0)
    assert "repairs     1 picture made again" in list(summary_lines(summary))
    assert records["b.png"]["seed"] == seen[-1][0]


def test_what_cannot_be_fixed_is_rejected_with_its_reason(tmp_path, registry):
    def damage(frame, batch: Batch):
        return _erased(frame) if _is_b(frame) else _levels(frame)

    summary, records = _run(tmp_path, registry, damage, damage="retry,reject")
    assert (summary.done, summary.rejected, summary.exit_code) == (3, 1, 1)
    assert "survival: 1 instance has lost the boundary" in records["b.png"]["error"]
    assert not (tmp_path / "out" / "b.png").exists()


def test_where_all_is_rejected_the_summary_still_says_where_to_look(tmp_path, registry):
    summary, _ = _run(tmp_path, registry, lambda frame, batch: _erased(frame), damage="reject")
    assert (summary.done, summary.exit_code) == (0, 1)
    assert f"look        {tmp_path / 'out' / 'sv2r' / 'report.html'}" in summary_lines(summary)


def test_keep_publishes_with_the_scores(tmp_path, registry):
    def damage(frame, batch: Batch):
        return _erased(frame) if _is_b(frame) else _levels(frame)

    summary, records = _run(tmp_path, registry, damage, damage="keep")
    assert summary.done == 4
    assert records["b.png"]["scores"]["survival"]["picture"]["damaged"] == 1


def test_a_damaged_instance_alone_is_drawn_again_with_what_stands_around_it(tmp_path, registry):
    drawn = []

    def damage(frame, batch: Batch):
        if _is_b(frame) and tuple(frame.size) == (64, 72):
            return _erased(frame)
        if _is_b(frame):
            drawn.append((frame, batch.strength_factor, batch.control_factor))
        return _levels(frame)

    summary, records = _run(tmp_path, registry, damage, damage="redo,reject")
    assert summary.done == 4
    first = min(drawn[0][0].instances.table)
    assert records["b.png"]["repairs"] == [f"redo: instance {first}"]
    assert "rendered" not in records["b.png"]
    assert {(frame.size, *factors) for frame, *factors in drawn} == {((64, 64), 0.7, 1.3)}


def test_what_drawing_again_does_not_help_is_restored_and_its_pixels_are_counted(
    tmp_path, registry
):
    def damage(frame, batch: Batch):
        if frame.size != (64, 72):
            return torch.full_like(_levels(frame), 90)
        return _erased(frame) if _is_b(frame) else _levels(frame)

    _, records = _run(tmp_path, registry, damage, damage="redo,restore,reject")
    steps = [step.partition(":")[0] for step in records["b.png"]["repairs"]]
    assert steps == ["restore"]
    assert 0.02 < records["b.png"]["rendered"] < 0.3


def test_restored_pixels_take_on_the_grain_and_the_softness_around_them(make_one):
    labels = (_disc(20).numpy() > 0.5).astype(np.int32)
    frame = make_one(_scene_of(_disc(20)) / 255, labels)
    noise = torch.randn(3, 96, 96, generator=torch.Generator().manual_seed(1)) * 8
    grainy = (_scene_of(torch.zeros(96, 96)) + noise).clamp(0, 255).byte()
    mended = restore_instances(grainy, frame, [1], feather=2).float()
    inside = mended[:, 40:56, 32:48]
    assert inside.std((1, 2)).mean() == pytest.approx(8, abs=2.5)
    even = restore_instances(_scene_of(torch.zeros(96, 96)).byte(), frame, [1]).float()
    assert even[:, 40:56, 32:48].std((1, 2)).mean() < 3


def test_restoring_changes_no_other_instance_and_no_distant_pixel():
    frame = make_frame(60, 80, instances=3)
    picture = torch.full((3, 60, 80), 90, dtype=torch.uint8)
    ids = sorted(frame.instances.table)
    fixed = restore_instances(picture, frame, ids[1:2], feather=3)
    labels = torch.from_numpy(frame.instances.labels.copy())
    changed = (fixed != picture).any(0)
    assert changed[labels == ids[1]].any()
    assert not changed[(labels == ids[0]) | (labels == ids[2])].any()
    assert isinstance(frame.instances, Instances)


def test_a_whole_pixel_shift_is_undone_exactly_inside():
    picture = _levels(make_frame(40, 50))
    moved = torch.roll(picture, (2, -3), (1, 2))
    back = move_back(moved, 2.0, -3.0)
    inner = (slice(None), slice(4, -4), slice(5, -5))
    assert torch.equal(back[inner], picture[inner])


@pytest.mark.parametrize(
    ("steps", "told"),
    [
        ("keep,reject", "must name one of reject and keep, not both"),
        ([], "must name at least one step"),
        ("fix", "must be some of undo, retry, redo, restore, reject, keep, not 'fix'"),
    ],
)
def test_steps_that_make_no_sense_are_refused(steps, told):
    with pytest.raises(ValueError, match=told):
        DamageOptions(steps=steps)


def test_what_is_left_is_rejected_though_no_one_says_so(tmp_path, registry):
    def damage(frame, batch: Batch):
        return _erased(frame) if _is_b(frame) else _levels(frame)

    summary, records = _run(tmp_path, registry, damage, damage="undo")
    assert (summary.done, summary.rejected) == (3, 1)
    assert records["b.png"]["status"] == "rejected"


def test_keep_after_other_steps_publishes_the_best_that_they_gave(tmp_path, registry):
    def damage(frame, batch: Batch):
        worse = batch.strength_factor < 1
        if not _is_b(frame):
            return _levels(frame)
        return torch.zeros_like(_levels(frame)) if worse else _erased(frame)

    checks = ["sanity", "survival"]
    summary, records = _run(tmp_path, registry, damage, damage="retry,keep", checks=checks)
    assert (summary.done, summary.rejected) == (4, 0)
    assert records["b.png"]["repairs"] == ["retry: made 3 times"]
    assert records["b.png"]["scores"]["survival"]["picture"]["damaged"] == 1
    assert np.asarray(Image.open(tmp_path / "out" / "b.png")).std() > 5


@pytest.mark.parametrize("failed", [False, True])
def test_a_retry_that_gives_no_picture_leaves_the_best_one_before_it(tmp_path, registry, failed):
    made = []

    def damage(frame, batch: Batch):
        if not _is_b(frame):
            return _levels(frame)
        made.append(batch.seeds[batch.frames.index(frame)])
        return _erased(frame) if len(set(made)) == 1 else Refusal("nothing but NaN", failed)

    summary, records = _run(tmp_path, registry, damage, damage="retry,restore")
    assert (summary.done, summary.rejected) == (4, 0)
    assert records["b.png"]["seed"] == made[0]
    assert [step.partition(":")[0] for step in records["b.png"]["repairs"]] == ["retry", "restore"]


def test_a_picture_that_the_model_refuses_is_tried_again_before_it_is_rejected(tmp_path, registry):
    made = []

    def damage(frame, batch: Batch):
        if not _is_b(frame):
            return _levels(frame)
        made.append(batch.seeds[batch.frames.index(frame)])
        return _levels(frame) if len(set(made)) == 3 else Refusal("nothing but NaN")

    summary, records = _run(tmp_path, registry, damage)
    assert (summary.done, records["b.png"]["repairs"]) == (4, ["retry: made 3 times"])
    made[:] = [0, 1, 2]
    summary, records = _run(tmp_path, registry, damage, output=str(tmp_path / "again"))
    assert (summary.done, summary.rejected) == (3, 1)


def _disc(radius: float, softness: float = 0.5) -> torch.Tensor:
    """Return how much of each pixel of 96 x 96 a disc covers."""
    y, x = torch.meshgrid(torch.arange(96.0), torch.arange(96.0), indexing="ij")
    return ((radius - torch.hypot(y - 48, x - 40)) / (2 * softness) + 0.5).clamp(0, 1)


def _scene_of(disc: torch.Tensor) -> torch.Tensor:
    floor = torch.linspace(90, 150, 96).expand(3, 96, 96)
    colour = torch.tensor([230.0, 60.0, 40.0])[:, None, None]
    return floor + disc * (colour - floor)


@pytest.mark.parametrize("harm", ["melted", "grown"])
def test_the_seam_goes_as_far_as_the_damage_and_no_neighbour_changes(make_one, harm):
    labels = np.zeros((96, 96), np.int32)
    labels[_disc(20).numpy() > 0.5] = 1
    labels[30:60, 62:80] = 2  # touches nothing, but lies within reach of the damage
    source = _scene_of(_disc(20))
    source[:, 30:60, 62:80] = 20
    picture = _scene_of(_disc(20, 8) if harm == "melted" else _disc(27))
    picture[:, 30:60, 62:80] = 20
    frame = make_one(source / 255, labels)
    checks = [("survival", _survival())]
    before = judge(frame, picture.byte(), checks)
    assert before.damaged == {1}
    after = restore(frame, before, DamageOptions(steps=("restore",), max_restored=1), checks)
    assert not after.damaged
    assert torch.equal(after.image[:, labels == 2], before.image[:, labels == 2])
    ring = torch.from_numpy((labels == 0) & (_disc(24).numpy() > 0.5))
    error = (after.image.float() - _scene_of(torch.zeros(96, 96)))[:, ring].abs().mean()
    halo = (before.image.float() - _scene_of(torch.zeros(96, 96)))[:, ring].abs().mean()
    assert error < halo / 4


def test_restored_pixels_take_on_the_light_around_them(make_one):
    labels = np.zeros((96, 96), np.int32)
    labels[_disc(16).numpy() > 0.5] = 1
    source = _scene_of(_disc(16))
    light = torch.linspace(0.5, 1.4, 96)[:, None]
    frame = make_one(source / 255, labels)
    lit = source * light
    floor = _scene_of(torch.zeros(96, 96)) * light
    fixed = restore_instances(floor.byte(), frame, [1], feather=2, margin=4).float()
    assert (fixed - lit)[:, _disc(19) > 0.5].abs().mean() < 12


@pytest.fixture
def make_one():
    def make(image: torch.Tensor, labels: np.ndarray) -> Frame:
        table = {int(i): Instance(int(i), "thing") for i in np.unique(labels) if i}
        instances = Instances(labels, table)
        return Frame(Sample("a", Path("a.png"), lambda: instances), image, instances)

    return make


def _survival():
    from sv2r.checks.survival import SurvivalOptions, build
    from sv2r.plugin.specs import Runtime

    return build(SurvivalOptions(), Runtime("cpu"))


def test_a_shift_that_was_mismeasured_is_not_undone(make_one):
    frame = make_one(_scene_of(_disc(20)) / 255, (_disc(20).numpy() > 0.5).astype(np.int32))

    def misled(frame: Frame, picture: torch.Tensor) -> CheckResult:
        same = torch.equal(picture, image)
        return CheckResult("moved", displacement=(6.0, 0.0) if same else (0.0, 0.0))

    image = _scene_of(_disc(20)).byte()
    checks = [("shift", misled), ("survival", _survival())]
    before = judge(frame, image, checks)
    assert undo_shift(frame, before, DamageOptions(), checks) is before


def test_a_shift_is_not_undone_where_another_check_finds_the_picture_worse_for_it(make_one):
    frame = make_one(_scene_of(_disc(20)) / 255, (_disc(20).numpy() > 0.5).astype(np.int32))
    image = torch.roll(_scene_of(_disc(20)).byte(), 4, 1)

    def moved(frame: Frame, picture: torch.Tensor) -> CheckResult:
        same = torch.equal(picture, image)
        return CheckResult("moved", displacement=(4.0, 0.0) if same else None)

    def other(worse: float):
        return lambda frame, picture: CheckResult(merit=1.0 if picture is image else worse)

    for merit, steps in ((0.9, ()), (1.0, ("undo: moved back by 4.00 px",))):
        checks = [("shift", moved), ("other", other(merit))]
        assert (
            undo_shift(frame, judge(frame, image, checks), DamageOptions(), checks).steps == steps
        )


def test_what_is_not_published_is_kept_for_looking(tmp_path, registry):
    def damage(frame, batch: Batch):
        return _erased(frame) if frame.sample.id in ("b.png", "c.png") else _levels(frame)

    asked = {"damage": {"steps": ["retry", "reject"], "retries": 1}}
    _, records = _run(tmp_path, registry, damage, **asked)
    rejected = {name for name, record in records.items() if record["status"] == "rejected"}
    assert rejected == {"b.png", "c.png"}
    kept = list(read_attempts(tmp_path / "out"))
    assert [(one.sample, one.number, one.best) for one, _ in kept] == [
        ("b.png", 0, True),
        ("b.png", 1, False),
        ("c.png", 0, True),
        ("c.png", 1, False),
    ]
    attempt, picture = kept[0]
    assert attempt.reasons[0].startswith("survival: 1 instance ")
    assert attempt.scores == records["b.png"]["scores"]
    seen = np.asarray(Image.open(picture))
    assert np.array_equal(seen, np.asarray(Image.open(kept[1][1])))  # the same damage again
    assert seen[10:16, 6:12, 2].mean() > seen[10:16, 6:12, 0].mean()
    page = (tmp_path / "out/sv2r/report.html").read_text()
    assert page.count(f"attempts/{picture.name}") == 2  # as an attempt, and as the result
    assert verify(tmp_path / "out").findings == ()


def test_what_a_repair_started_from_is_kept_and_no_more_than_asked_for(tmp_path, registry):
    def run(folder: str, keep: int):
        more = {"keep_attempts": keep, "only": ["b.png", "c.png"]}
        return _run(tmp_path / folder, registry, lambda frame, _: _erased(frame), **more)

    _, records = run("all", 100)
    assert {record["status"] for record in records.values()} == {"done"}
    assert all(record["restored"] for record in records.values())
    (tmp_path / "all/out/sv2r/attempts/stranger.json").write_text("[]")
    kept = list(read_attempts(tmp_path / "all/out"))
    assert [one.sample for one, _ in kept if one.best] == ["b.png", "c.png"]
    run("one", 1)
    assert len(list(read_attempts(tmp_path / "one/out"))) == 1
    run("none", 0)
    assert not (tmp_path / "none/out/sv2r/attempts").exists()
