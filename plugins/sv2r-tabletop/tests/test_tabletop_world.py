"""The scenes themselves: no Mitsuba needed."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from sv2r_tabletop.layout import FEWEST, MOST, TOUCHING, gap
from sv2r_tabletop.looks import CHOICES
from sv2r_tabletop.meshes import Mesh, cloud
from sv2r_tabletop.objects import CATEGORIES, draw_thing
from sv2r_tabletop.scene import SPLITS, Scene, draw_scene, split_of
from sv2r_tabletop.solids import Block

MANY = range(700_000, 700_030)


@pytest.fixture(scope="module")
def scenes() -> list[Scene]:
    return [draw_scene(seed) for seed in MANY]


def _edges(mesh: Mesh) -> tuple[set[tuple[int, int]], int]:
    """The directed edges of a mesh with vertices at one place made one, and how many there are."""
    places = np.round(mesh.vertices * 1e7).astype(np.int64)
    corners = np.unique(places, axis=0, return_inverse=True)[1].ravel()[mesh.faces]
    edges = np.concatenate([corners[:, [0, 1]], corners[:, [1, 2]], corners[:, [2, 0]]])
    return {(int(a), int(b)) for a, b in edges}, len(edges)


def _volume(mesh: Mesh) -> float:
    a, b, c = np.moveaxis(mesh.vertices[mesh.faces], 1, 0)
    return float(np.einsum("ij,ij->", a, np.cross(b, c))) / 6


@pytest.mark.parametrize("category", list(CATEGORIES))
@pytest.mark.parametrize("seed", range(6))
def test_a_mesh_is_closed_and_faces_outwards(category: str, seed: int) -> None:
    mesh = draw_thing(category, np.random.default_rng(seed)).mesh

    edges, count = _edges(mesh)

    assert len(edges) == count  # no edge twice in one direction ...
    assert all((b, a) in edges for a, b in edges)  # ... and each once in the other
    assert 1e-5 < _volume(mesh) < 4e-3  # 10 ml to 4 l
    a, b, c = np.moveaxis(mesh.vertices[mesh.faces], 1, 0)
    faces = np.cross(b - a, c - a)
    assert (np.einsum("fj,fkj->fk", faces, mesh.normals[mesh.faces]) > 0).all()
    assert np.allclose(np.linalg.norm(mesh.normals, axis=1), 1)


@pytest.mark.parametrize("category", list(CATEGORIES))
def test_a_thing_stands_on_zero_and_its_distance_is_that_to_its_mesh(category: str) -> None:
    thing = draw_thing(category, np.random.default_rng(5))
    mesh = thing.mesh

    assert mesh.vertices[:, 2].min() == pytest.approx(0, abs=1e-9)
    assert mesh.vertices[:, 2].max() == pytest.approx(thing.height, abs=1e-9)
    outside = mesh.vertices + 0.002 * mesh.normals
    distance = thing.solid.distance(outside)
    assert distance.max() < 0.0021
    if category != "mug":  # a handle's ends lie in the wall
        assert distance.min() > -1e-9


def test_a_block_is_as_far_away_as_it_looks() -> None:
    block = Block(np.array([0.1, 0.2, 0.3]), 0.01)
    points = np.array([[0.15, 0, 0], [0, 0, 0.25], [0.1, 0.2, 0.0]])
    expected = [0.05, -0.05, 0.01 * (np.sqrt(2) - 1)]
    assert block.distance(points) == pytest.approx(expected)


def test_a_cloud_leaves_no_gap_larger_than_its_spacing() -> None:
    mesh = Block(np.array([0.04, 0.03, 0.02]), 0.001).mesh()
    points = cloud(mesh, 0.006)
    probes = cloud(mesh, 0.001)
    nearest = [np.linalg.norm(points - probe, axis=1).min() for probe in probes[::7]]
    assert max(nearest) < 0.006


def test_a_seed_is_a_scene(scenes: list[Scene]) -> None:
    again = draw_scene(MANY[3])
    for one, other in zip(scenes[3].objects, again.objects, strict=True):
        assert one.mesh.vertices.tobytes() == other.mesh.vertices.tobytes()
    assert again.looks == scenes[3].looks
    assert again.view.origin.tobytes() == scenes[3].view.origin.tobytes()
    assert again.light.room == scenes[3].light.room
    assert scenes[4].view.origin.tobytes() != scenes[3].view.origin.tobytes()


def test_a_seed_stands_for_the_scene_it_always_stood_for() -> None:
    # Where this fails, scenes have changed: raise scene.DISTRIBUTION and render everything anew.
    scene = draw_scene(0)
    found = [
        f"{placed.thing.category} of {look.material}"
        for placed, look in zip(scene.objects, scene.looks, strict=True)
    ]
    assert found == [
        "bowl of metal",
        "bowl of metal",
        "box of paper",
        "mug of ceramic",
        "bottle of plastic",
    ]


def test_there_are_three_to_nine_things_of_all_categories(scenes: list[Scene]) -> None:
    counts = [len(scene.objects) for scene in scenes]
    assert (min(counts), max(counts)) == (FEWEST, MOST) == (3, 9)
    seen = {placed.thing.category for scene in scenes for placed in scene.objects}
    assert seen == set(CATEGORIES) == {"mug", "bowl", "bottle", "box", "ball", "can"}


def test_nothing_enters_anything_by_more_than_a_millimetre(scenes: list[Scene]) -> None:
    for scene in scenes[:12]:
        points = [
            cloud(placed.thing.mesh, 0.0025) @ placed.rotation.T + placed.offset
            for placed in scene.objects
        ]
        for i, one in enumerate(scene.objects):
            assert points[i][:, 2].min() > -0.001  # the table
            for j, other in enumerate(scene.objects):
                if i != j and np.linalg.norm(one.ball[0] - other.ball[0]) < 0.3:
                    assert other.distance(points[i]).min() > -0.001, (scene.seed, i, j)


def test_everything_rests_on_the_table_or_on_what_bears_it(scenes: list[Scene]) -> None:
    for scene in scenes:
        for placed in scene.objects:
            if placed.on is None:
                assert abs(placed.points[:, 2].min()) < 0.0005
                continue
            below = scene.objects[placed.on]
            assert 0 < gap(placed, below) < TOUCHING
            # What bears it is under its middle, so that it does not fall over.
            middle, under = placed.ball[0], below.ball
            assert np.hypot(*(middle - under[0])[:2]) < under[1]


def test_things_touch_and_cover_each_other(scenes: list[Scene]) -> None:
    touching = sum(
        any(gap(one, other) < 0.0005 for j, other in enumerate(scene.objects) if i != j)
        for scene in scenes
        for i, one in enumerate(scene.objects)
    )
    assert touching / sum(len(scene.objects) for scene in scenes) > 0.6
    assert any(placed.on is not None for scene in scenes for placed in scene.objects)
    assert any(placed.lying for scene in scenes for placed in scene.objects)


def test_the_middle_of_most_things_is_in_the_picture(scenes: list[Scene]) -> None:
    middles = [
        scene.view.project(placed.ball[0][None])[0][0]
        for scene in scenes
        for placed in scene.objects
    ]
    inside = [(place > 0).all() and (place < 1).all() for place in middles]
    assert np.mean(inside) > 0.97


def test_no_lamp_stands_between_the_camera_and_the_things(scenes: list[Scene]) -> None:
    for scene in scenes:
        view, light = scene.view, scene.light
        ahead = (light.position - view.origin) @ view.axes[2]
        place, _ = view.project(light.position[None])
        assert ahead < 0 or not ((place > 0).all() and (place < 1).all())


def test_splits_share_no_seed() -> None:
    splits = sorted(SPLITS.values(), key=lambda seeds: seeds.start)
    for one, other in pairwise(splits):
        assert one.stop <= other.start
    assert [split_of(seed) for seed in (0, 199_999, 200_000, 300_000, 500_000, 10**9)] == [
        "photo-train",
        "photo-train",
        "synthetic-train",
        "photo-ceiling",
        "test",
        "none",
    ]


def test_the_odds_of_looks_add_up() -> None:
    for what, choices in CHOICES.items():
        assert sum(choices.values()) == pytest.approx(1), what
    assert set(CATEGORIES) < set(CHOICES)
