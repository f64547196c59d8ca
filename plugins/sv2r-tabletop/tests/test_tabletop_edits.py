"""Edits of scenes and their truth, with Mitsuba at toy size."""

from __future__ import annotations

import importlib.util
import io
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner
from numpy.typing import NDArray
from PIL import Image
from sv2r_tabletop import render
from sv2r_tabletop.automatic import draw_edits
from sv2r_tabletop.camera import photograph
from sv2r_tabletop.clutter import CROWD
from sv2r_tabletop.command import tabletop
from sv2r_tabletop.dataset import finish, plan, render_all
from sv2r_tabletop.editing import apply
from sv2r_tabletop.edits import KINDS, VERSION, Edit, EditError, read_edits
from sv2r_tabletop.outcome import Labels, compare, measure_outlines, numbered
from sv2r_tabletop.scene import Scene
from sv2r_tabletop.settings import Settings
from sv2r_tabletop.shapes import Extruded, clipped
from sv2r_tabletop.solids import Block
from sv2r_tabletop.stage import cells, depths, overlap
from sv2r_tabletop.styles import STYLES, render_source
from sv2r_tabletop.worlds import WORLDS

from sv2r import ConfigError

needs_mitsuba = pytest.mark.skipif(
    importlib.util.find_spec("mitsuba") is None, reason="sv2r-tabletop[render] is not installed"
)
SIDE = 96
BENIGN = [name for name, model in KINDS.items() if not model.damage]


@pytest.fixture(scope="module")
def scene() -> Scene:
    """A table with a bowl, a mug, a bottle and six things more."""
    return WORLDS["tables"].draw_scene(1_000_006)


@pytest.fixture(scope="module")
def plain(scene: Scene) -> NDArray[np.uint8]:
    """The photograph of the scene without edits."""
    return _photographed(scene)


def _edit(kind: str, **values: Any) -> Edit:
    return KINDS[kind].model_validate({"kind": kind, **values})


def _outcome(scene: Scene, *edits: Edit) -> dict[str, Any]:
    """What edits.json would say, and each instance by its number."""
    stage = apply(scene, edits, SIDE)
    after, numbers = stage.finished()
    was = numbered(render.render_truth(scene, SIDE).labels, range(1, len(scene.objects) + 1))
    now = numbered(render.render_truth(after, SIDE).labels, numbers)
    found = compare(scene, stage, edits, (was, now), 1)
    return {**found, **{str(one["number"]): one for one in found["instances"]}}


def _first(scene: Scene, *categories: str) -> int:
    return next(
        number
        for number, placed in enumerate(scene.objects, 1)
        if placed.thing.category in categories
        and placed.on is None
        and all(other.on != number - 1 for other in scene.objects)
    )


@needs_mitsuba
@pytest.mark.parametrize(("pixels", "direction"), [(3.0, 0.0), (5.0, 90.0), (4.0, 225.0)])
def test_a_thing_goes_as_far_as_it_is_told(scene: Scene, pixels: float, direction: float) -> None:
    number = _first(scene, "ball", "can")
    found = _outcome(scene, _edit("move", instance=number, pixels=pixels, direction=direction))

    one = found[str(number)]
    angle = np.radians(direction)
    assert one["shift"] == pytest.approx([pixels * np.cos(angle), pixels * np.sin(angle)], abs=0.01)
    assert one["displacement"]["p95"] == pytest.approx(pixels, abs=1.5)
    assert one["iou"] < 0.8
    assert (found["damaged"], one["category_holds"], one["edits"]) == (True, True, [0])


@needs_mitsuba
def test_what_is_removed_has_no_overlap_and_no_category(scene: Scene) -> None:
    number = _first(scene, "can")
    one = _outcome(scene, _edit("remove", instance=number))[str(number)]
    assert (one["iou"], one["area_ratio"], one["outline_lost"]) == (0, 0, 1)
    assert (one["category_after"], one["category_holds"]) == (None, False)
    assert one["displacement"] is None is one["shift"]


@needs_mitsuba
@pytest.mark.parametrize("kind", BENIGN)
def test_a_benign_edit_changes_the_photograph_and_no_label(
    scene: Scene, plain: NDArray[np.uint8], kind: str
) -> None:
    needed = {"exposure": {"stops": 1.0}, "shadow": {"how": "new"}}.get(kind, {})
    if "instance" in KINDS[kind].model_fields:
        needed = {"instance": _first(scene, "can")}
    edit = _edit(kind, **needed)
    found = _outcome(scene, edit)
    assert found["damaged"] is False
    assert {one["iou"] for one in found["instances"]} == {1.0}
    assert all(one["category_holds"] for one in found["instances"])
    assert {tuple(one["displacement"].values()) for one in found["instances"]} == {(0.0, 0.0)}
    picture = _photographed(scene, edit)
    assert np.abs(picture.astype(int) - plain).mean() > 0.5


def _photographed(scene: Scene, *edits: Edit) -> NDArray[np.uint8]:
    stage = apply(scene, edits, 24)
    after, _ = stage.finished()
    jpeg = photograph(render.render_photo(after, 24, 4), after, stage.finish)
    return np.asarray(Image.open(io.BytesIO(jpeg)))


@needs_mitsuba
def test_a_swapped_thing_has_another_category_and_nearly_the_same_outline(scene: Scene) -> None:
    number = _first(scene, "can")
    one = _outcome(scene, _edit("swap", instance=number))[str(number)]
    assert (one["category"], one["category_holds"], one["shift"]) == ("can", False, None)
    assert one["category_after"] in set(WORLDS["tables"].categories) - {"can"}
    assert 0.6 < one["iou"] < 1


@needs_mitsuba
@pytest.mark.parametrize("share", [0.25, 0.6])
def test_as_much_is_cut_off_as_is_told(scene: Scene, share: float) -> None:
    number = _front(scene)
    one = _outcome(scene, _edit("half", instance=number, share=share, direction=0))[str(number)]
    assert one["area_ratio"] == pytest.approx(1 - share, abs=0.08)
    assert one["iou"] == pytest.approx(one["area_ratio"], abs=0.02)  # nothing is anywhere else


def _front(scene: Scene) -> int:
    """The instance that is nearest, which nothing hides."""
    near = [depths(scene.view, placed)[0] for placed in scene.objects]
    return int(np.argmin(near)) + 1


@needs_mitsuba
def test_a_mug_without_its_handle_keeps_its_body(scene: Scene) -> None:
    number = _first(scene, "mug")
    one = _outcome(scene, _edit("part", instance=number))[str(number)]
    assert 0.6 < one["iou"] < 1
    assert one["area_ratio"] < 1
    assert one["category_holds"]


def test_what_was_behind_is_in_front_and_its_outline_stays(scene: Scene) -> None:
    rear, front = _hidden(scene)
    stage = apply(scene, [_edit("order", instance=rear, before=front)], SIDE)
    body = stage.body(rear)
    assert body is not None
    assert depths(scene.view, body.placed)[1] < depths(scene.view, scene.objects[front - 1])[0]
    before = cells(scene.view, scene.objects[rear - 1])
    assert overlap(before, cells(scene.view, body.placed)) > 0.9


def _hidden(scene: Scene) -> tuple[int, int]:
    """Two instances, of which the second hides a part of the first."""
    for rear, one in enumerate(scene.objects, 1):
        for front, other in enumerate(scene.objects, 1):
            shared = np.intersect1d(cells(scene.view, one), cells(scene.view, other))
            behind = depths(scene.view, one)[0] > depths(scene.view, other)[0]
            if len(shared) > 10 and behind:
                return rear, front
    raise AssertionError("nothing hides anything")


@needs_mitsuba
def test_what_is_added_has_no_label_and_may_hide_others(scene: Scene) -> None:
    number = _first(scene, "can")
    found = _outcome(scene, _edit("add", instance=number, category="box", beside=0))
    assert [one["category"] for one in found["added"]] == ["box"]
    assert found["added"][0]["area"] > 0
    assert found[str(number)]["iou"] < 1


@needs_mitsuba
def test_a_copy_beside_it_leaves_the_instance_as_it_was(scene: Scene) -> None:
    number = _first(scene, "ball")
    found = _outcome(scene, _edit("duplicate", instance=number))
    assert [one["category"] for one in found["added"]] == ["ball"]
    assert found[str(number)]["shift"] == [0.0, 0.0]
    assert found[str(number)]["category_holds"]


def test_the_outlines_of_a_square_moved_by_two_pixels() -> None:
    was, now = np.zeros((2, 20, 20), bool)
    was[4:12, 4:12], now[4:12, 6:14] = True, True
    found = measure_outlines(was, now, 1)
    assert found["displacement"] == {"mean": 1.0, "p95": 2.0}
    assert found["outline_lost"] == pytest.approx(12 / 28, abs=1e-4)
    halved = measure_outlines(was, now, 2)["displacement"]
    assert halved == {"mean": 0.5, "p95": 1.0}


def test_the_border_of_the_picture_is_no_outline() -> None:
    was, now = np.zeros((2, 10, 10), bool)
    was[:, :5], now[:, :5] = True, True
    assert measure_outlines(was, now, 1) == {
        "displacement": {"mean": 0.0, "p95": 0.0},
        "outline_lost": 0.0,
    }


@pytest.mark.parametrize(
    ("world", "seed"), [("tables", 1_000_007), ("clutter", 1_000_015), ("street", 1_400_002)]
)
def test_a_seed_is_always_edited_alike_and_every_edit_is_possible(world: str, seed: int) -> None:
    scene = WORLDS[world].draw_scene(seed)
    visible = list(range(1, len(scene.objects) + 1))
    edits = draw_edits(scene, visible, SIDE)
    assert any(edit.damage for edit in edits)
    assert edits == draw_edits(WORLDS[world].draw_scene(seed), visible, SIDE)
    apply(scene, edits, SIDE)


@pytest.mark.parametrize(("world", "seed"), [("clutter", 1_000_015), ("street", 1_400_002)])
def test_things_of_a_world_stand_on_the_ground_and_face_outwards(world: str, seed: int) -> None:
    scene = WORLDS[world].draw_scene(seed)
    assert scene.world == world
    for placed in scene.objects:
        assert abs(placed.points[:, 2].min()) < 0.002
        mesh = placed.mesh
        a, b, c = np.moveaxis(mesh.vertices[mesh.faces], 1, 0)
        assert np.einsum("ij,ij->", a, np.cross(b, c)) > 0


def test_a_crowd_has_eighty_four_things() -> None:
    assert len(WORLDS["clutter"].draw_scene(1_000_102).objects) == CROWD == 84


def test_an_extruded_square_is_as_far_away_as_it_looks() -> None:
    square = Extruded(np.array([[1.0, 1], [-1, 1], [-1, -1], [1, -1]]), 2.0)
    points = np.array([[3.0, 0, 1], [0, 0, 1], [2, 0, 3], [0.5, 0, 1]])
    assert square.distance(points) == pytest.approx([2, -1, np.sqrt(2), -0.5])
    assert np.abs(square.mesh().vertices).max(0).tolist() == [1, 1, 2]


def test_a_clipped_mesh_ends_at_its_plane() -> None:
    mesh = clipped(Block(np.array([1.0, 1, 1]), 0.01).mesh(), np.array([1.0, 0, 0]), 0.25)
    assert mesh.vertices[:, 0].max() == pytest.approx(0.25)
    assert mesh.vertices[:, 0].min() == pytest.approx(-1)


@needs_mitsuba
@pytest.mark.parametrize(("world", "seed"), [("clutter", 1_000_015), ("street", 1_400_002)])
def test_labels_alone_are_those_of_the_truth(world: str, seed: int) -> None:
    scene = WORLDS[world].draw_scene(seed)
    labels = render.render_labels(scene, 48)
    assert (labels == render.render_truth(scene, 48).labels).all()
    assert len(np.unique(labels)) > 3


@needs_mitsuba
def test_the_styles_of_a_source_differ_and_each_is_always_the_same(scene: Scene) -> None:
    pictures = {name: render_source(scene, 24, name) for name in STYLES}
    assert list(pictures) == ["flat", "toon", "game", "noisy"]
    for name, picture in pictures.items():
        assert (picture.shape, picture.dtype) == ((24, 24, 3), np.uint8)
        assert (render_source(scene, 24, name) == picture).all()
    flat = pictures["flat"].astype(int)
    assert all(np.abs(pictures[n] - flat).mean() > 2 for n in ("toon", "game", "noisy"))


def _settings(edits: str, size: int | str = 32, first: int = 1_400_000) -> list[Settings]:
    photo = Settings("photo", size, 4, first, edits=edits, edits_version=VERSION)
    return [Settings("synthetic", size, 0, first), photo]


def _make(output: Path, settings: Sequence[Settings], count: int, workers: int = 1) -> None:
    for _ in render_all(plan(output, settings, count), workers):
        pass
    finish(output, settings, count)


def _bytes(root: Path) -> dict[str, bytes]:
    return {str(p.relative_to(root)): p.read_bytes() for p in root.rglob("*") if p.is_file()}


@needs_mitsuba
def test_a_dataset_with_edits_has_the_labels_of_the_scenes_before(tmp_path: Path) -> None:
    _make(tmp_path, _settings("auto"), 2)
    before, after = (
        json.loads((tmp_path / domain / "annotations.json").read_bytes())
        for domain in ("synthetic", "photo")
    )
    assert before["annotations"] == after["annotations"]
    document = json.loads((tmp_path / "photo/edits.json").read_bytes())
    assert (document["version"], document["world"], document["style"]) == (1, "tables", "flat")
    assert [one["split"] for one in document["pictures"]] == ["edits-test"] * 2
    for picture in document["pictures"]:
        _require_whole(tmp_path / "photo", picture, after)
    # Rendered again after a file is gone, by two processes: the same bytes.
    there = _bytes(tmp_path)
    (tmp_path / "photo/truth/1400001-after.png").unlink()
    _make(tmp_path, _settings("auto"), 2, workers=2)
    assert _bytes(tmp_path) == there


def _require_whole(root: Path, picture: dict[str, Any], document: dict[str, Any]) -> None:
    """Assert that a picture's files are there and its truth is that of its label maps."""
    assert (root / picture["source"]).is_file()
    assert (root / picture["file_name"]).is_file()
    maps: list[Labels] = [np.asarray(Image.open(root / picture[n])) for n in ("before", "after")]
    scale = picture["truth_scale"]
    assert maps[0].shape == (32 * scale, 32 * scale)
    labelled = [a["id"] for a in document["annotations"] if a["image_id"] == picture["image_id"]]
    assert [one["annotation_id"] for one in picture["instances"]] == labelled
    for one in picture["instances"]:
        was, now = (labels == one["number"] for labels in maps)
        assert one["iou"] == pytest.approx((was & now).sum() / (was | now).sum(), abs=1e-4)


@needs_mitsuba
def test_a_scene_that_does_not_allow_an_edit_does_not_stop_the_others(tmp_path: Path) -> None:
    text = json.dumps({"all": [], "1400001": [{"kind": "remove", "instance": 99}]})
    settings = _settings(text)
    with pytest.raises(EditError) as error:
        _make(tmp_path, settings, 3)
    assert str(error.value) == (
        "scene 1400001: edit 1 (remove of instance 99): the scene has 9 instances; name one of them"
    )
    names = sorted(path.name for path in (tmp_path / "photo/images").iterdir())
    assert names == ["1400000.jpg", "1400002.jpg"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("- {kind: melt}", "edit 1: kind must be one of move, turn, scale, remove"),
        ("- {kind: move, instance: 1}", r"edit 1\.pixels is missing: how far its middle goes"),
        (
            "- {kind: move, instance: 1, pixels: -2}",
            r"edit 1\.pixels must be greater than 0, not -2",
        ),
        (
            "- {kind: remove, instance: 1, px: 2}",
            r"no option .*: edit 1\.px \(the README of sv2r-tabletop lists all\)",
        ),
        ("- remove", r"edit 1 is no mapping; write \{kind: remove, instance: 1\}"),
        ("kind: remove", "'kind' is no seed; write a whole number"),
        ("1400000: {kind: remove}", "seed 1400000, has no list of edits; write"),
        ("- {kind: [", "edits.yaml: while parsing"),
        ("", "edits.yaml: has no list of edits"),
    ],
)
def test_a_wrong_file_of_edits_is_told_in_one_line(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "edits.yaml"
    path.write_text(text)
    with pytest.raises(ConfigError, match=message) as error:
        read_edits(path)
    assert "\n" not in str(error.value)


@needs_mitsuba
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--domain", "synthetic", "--edits", "auto"], "--edits: the scene after edits is photog"),
        (["--domain", "photo", "--edits", "nowhere.yaml"], "--edits nowhere.yaml: no such file"),
        (["--domain", "photo", "--world", "street"], "--world street: is to test with alone"),
    ],
)
def test_a_wrong_command_is_told_in_one_line(
    tmp_path: Path, arguments: list[str], message: str
) -> None:
    shared = ["--count", "1", "--seed", "1000000", "--output", str(tmp_path / "out")]
    result = CliRunner().invoke(tabletop, ["render", *arguments, *shared])
    assert isinstance(result.exception, ConfigError)
    assert str(result.exception).startswith(message)
    assert not (tmp_path / "out").exists()


def test_mixed_sizes_are_mostly_small_and_always_the_same() -> None:
    settings = Settings("photo", "mixed", 9, 1_000_000)
    sizes = [settings.size_of(seed) for seed in range(1_000_000, 1_001_000)]
    assert (min(sizes), max(sizes)) == (96, 512)
    assert 0.84 < np.mean([size <= 144 for size in sizes]) < 0.92
    assert sizes[:4] == [settings.size_of(seed) for seed in range(1_000_000, 1_000_004)]
    assert settings.spp_of(sizes.index(512) + 1_000_000) == 4
