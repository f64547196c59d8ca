"""A run that is killed anywhere, or that the disk leaves in the lurch, can be resumed."""

from __future__ import annotations

import random
import time

import numpy as np
import pytest
from PIL import Image

from sv2r.output.journal import Journal
from sv2r.storage.files import TEMPORARY
from tests.toys import processes
from tests.toys.datasets import make_coco
from tests.toys.jobs import config_of, files_of


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory, toy_sd15):
    """Return (renders, what an uninterrupted run makes of them)."""
    root = tmp_path_factory.mktemp("whole")
    renders = make_coco(root / "renders")
    assert processes.run(processes.convert, config_of(renders, root / "out", toy_sd15)) == 0
    return renders, files_of(root / "out")


def _comparable(files):
    """What does not name the folder itself."""
    return {k: v for k, v in files.items() if k not in ("sv2r/run.yaml", "sv2r/report.html")}


@pytest.mark.parametrize("step", [1, 2, 3, 4, 5, 6, 8, 11, 15, 19])
def test_killed_at_a_change_of_a_file_and_resumed_ends_with_the_same_bytes(
    uninterrupted, tmp_path, toy_sd15, step
):
    renders, whole = uninterrupted
    config = config_of(renders, tmp_path / "out", toy_sd15)
    assert processes.run(processes.convert_and_die, config, tmp_path / "out", step) == -9
    for path in (tmp_path / "out").rglob("*.png"):
        if not path.name.startswith(TEMPORARY):
            Image.open(path).load()
    assert processes.run(processes.convert, config) == 0
    assert _comparable(files_of(tmp_path / "out")) == _comparable(whole)


def test_killed_at_random_moments_and_resumed_ends_with_the_same_bytes(
    uninterrupted, tmp_path, toy_sd15
):
    renders, whole = uninterrupted
    config = config_of(renders, tmp_path / "out", toy_sd15)
    chance = random.Random(7)
    for _ in range(4):
        process = processes.start(processes.convert, config)
        time.sleep(chance.uniform(0.05, 1.5))
        process.kill()
        process.join()
    assert processes.run(processes.convert, config) == 0
    assert _comparable(files_of(tmp_path / "out")) == _comparable(whole)


def test_what_a_kill_after_the_last_picture_left_is_removed(tmp_path, toy_sd15):
    config = config_of(make_coco(tmp_path / "renders"), tmp_path / "out", toy_sd15)
    assert processes.run(processes.convert, config) == 0
    with Journal(tmp_path / "out") as journal:
        journal.keep("complete", value=False)  # as it is until the very last write
    left = tmp_path / "out" / "sv2r" / f"{TEMPORARY}0123456789abcdef.jsonl"
    left.touch()
    assert processes.run(processes.convert, config) == 0
    assert not left.exists()


def test_a_full_disk_leaves_no_half_file_and_a_run_that_can_be_resumed(tmp_path, toy_sd15):
    renders = make_coco(tmp_path / "renders", ("a.png", "b.png", "z.png"))
    noise = np.random.default_rng(0).integers(0, 256, (300, 300, 3), np.uint8)
    Image.fromarray(noise).save(renders / "z.png")
    text = (renders / "annotations.json").read_text()
    (renders / "annotations.json").write_text(_resized(text, "z.png", 300))
    config = config_of(renders, tmp_path / "out", toy_sd15, batch_size=1)
    assert processes.run(processes.convert_with_small_files, config, 150_000) == 3
    error = (tmp_path / "error.txt").read_text()
    assert error.startswith("StorageError: ")
    assert "free some space, then run the same command again" in error
    names = set(files_of(tmp_path / "out"))
    assert "z.png" not in names
    assert not [name for name in names if TEMPORARY in name]
    assert processes.run(processes.convert, config) == 0
    assert Image.open(tmp_path / "out" / "z.png").size == (300, 300)


def _resized(text: str, name: str, size: int) -> str:
    import json

    data = json.loads(text)
    for image in data["images"]:
        if image["file_name"] == name:
            image.update(height=size, width=size)
    return json.dumps(data)
