"""Datasets of renders on disk: drawn by several processes, and resumable at any picture.

    OUTPUT/annotations.json      COCO, written last
    OUTPUT/images/000123.png     a synthetic picture (.jpg: a photograph); its name is its seed
    OUTPUT/depth/000123.png      16-bit, millimetres
    OUTPUT/.tabletop/            settings.json, and a picture's annotations once it is whole

A picture's annotations are written after its files, so what is there is whole; a picture of which
a file was removed is made again. Every file depends
on the seed and the settings alone: a run that was stopped and goes on ends with the same bytes.
"""

from __future__ import annotations

import io
import json
import os
import signal
import threading
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from dataclasses import asdict, dataclass
from multiprocessing import get_context, parent_process
from pathlib import Path
from typing import Any

from sv2r import ConfigError, Sv2rError
from sv2r_tabletop.scene import DISTRIBUTION, Scene, draw_scene

DOMAINS = ("synthetic", "photo")
_STATE = ".tabletop"
# Temporary files begin with this; those that a killed run left are removed by the next.
_TEMPORARY = ".part-"


@dataclass(frozen=True)
class Settings:
    """What every file of a dataset depends on, besides its seed. spp: samples per photo pixel."""

    domain: str
    size: int
    spp: int
    first_seed: int
    distribution: int = DISTRIBUTION


@dataclass(frozen=True)
class Task:
    """A seed, and the datasets that get a picture of it: they share one scene and one truth."""

    seed: int
    targets: tuple[tuple[Path, Settings], ...]


def plan(output: Path, settings: Sequence[Settings], count: int) -> list[Task]:
    """Return what is still to be rendered, and make the folders.

    One dataset goes into `output` itself, several into a folder of their domain's name each.

    Raises:
        ConfigError: a folder holds something else, other settings, or more pictures.
    """
    roots = [output / one.domain if len(settings) > 1 else output for one in settings]
    for root, one in zip(roots, settings, strict=True):
        _claim(root, one, count)
    first = settings[0].first_seed
    tasks = []
    for seed in range(first, first + count):
        targets = [
            (root, one)
            for root, one in zip(roots, settings, strict=True)
            if not all(path.is_file() for path in _files(root, seed, one))
        ]
        if targets:
            tasks.append(Task(seed, tuple(targets)))
    return tasks


def finish(output: Path, settings: Sequence[Settings], count: int) -> list[Path]:
    """Write each dataset's COCO file, once all its pictures are there; return their paths."""
    from sv2r_tabletop.labels import coco

    written = []
    for one in settings:
        root = output / one.domain if len(settings) > 1 else output
        seeds = range(one.first_seed, one.first_seed + count)
        fix = "remove it, then run the same command again"
        parts = [_read(_part(root, seed), fix) for seed in seeds]
        _write(root / "annotations.json", _json(coco(one.domain, parts)))
        written.append(root / "annotations.json")
    return written


def render_all(tasks: Sequence[Task], workers: int) -> Iterator[int]:
    """Render by so many processes; yield each seed when its files are on disk.

    Raises:
        ConfigError: Mitsuba is not installed.
    """
    if workers == 1:
        for task in tasks:
            yield render_task(task)
        return
    from sv2r_tabletop.render import mitsuba

    mitsuba()  # told once and here where it is missing, not by every worker
    pool = ProcessPoolExecutor(workers, get_context("spawn"), initializer=_begin_worker)
    try:
        for done in as_completed([pool.submit(render_task, task) for task in tasks]):
            yield done.result()
    except BrokenProcessPool as error:
        raise Sv2rError(
            "a worker died, perhaps for lack of memory; run this again with fewer --workers"
        ) from error
    finally:
        pool.shutdown(cancel_futures=True)


def render_task(task: Task) -> int:
    """Render one seed into its datasets and return it."""
    from sv2r_tabletop.labels import annotate, depth_png, image_entry
    from sv2r_tabletop.render import render_truth

    scene = draw_scene(task.seed)
    size = task.targets[0][1].size
    truth = render_truth(scene, size)
    annotations, depth = annotate(scene, truth), depth_png(truth)
    for root, settings in task.targets:
        picture, depth_map, part = _files(root, task.seed, settings)
        _write(picture, _picture(scene, settings))
        _write(depth_map, depth)
        entry = image_entry(scene, picture.relative_to(root).as_posix(), size)
        _write(part, _json({"image": entry, "annotations": annotations}))
    return task.seed


def _picture(scene: Scene, settings: Settings) -> bytes:
    """Return a picture's file."""
    from PIL import Image

    from sv2r_tabletop.camera import photograph
    from sv2r_tabletop.render import render_photo, render_synthetic

    if settings.domain == "photo":
        return photograph(render_photo(scene, settings.size, settings.spp), scene)
    out = io.BytesIO()
    Image.fromarray(render_synthetic(scene, settings.size)).save(out, "PNG")
    return out.getvalue()


def _claim(root: Path, settings: Settings, count: int) -> None:
    """Make a dataset's folder, or see that the one that is there can go on."""
    state = root / _STATE / "settings.json"
    if state.is_file():
        _require_same(root, _read(state, f"remove {root}, or give another --output"), settings)
        seeds = (int(path.stem) for path in state.parent.glob("[0-9]*.json"))
        there = max(seeds, default=settings.first_seed - 1) - settings.first_seed + 1
        if there > count:
            raise ConfigError(
                f"{root}: holds {there} scenes; give --count {there} or more, or another --output"
            )
        for leftover in root.rglob(f"{_TEMPORARY}*"):
            leftover.unlink()
        return
    if root.exists() and (not root.is_dir() or {path.name for path in root.iterdir()} - {_STATE}):
        raise ConfigError(f"{root}: is not empty and no tabletop dataset; give another --output")
    _write(state, _json(asdict(settings)))


def _require_same(root: Path, before: Mapping[str, Any], settings: Settings) -> None:
    names = {"first_seed": "seed"}
    for name, value in asdict(settings).items():
        if before.get(name) != value:
            raise ConfigError(
                f"{root}: was begun with {names.get(name, name)} {before.get(name)}, not {value}; "
                "give the same or another --output"
            )


def _files(root: Path, seed: int, settings: Settings) -> tuple[Path, Path, Path]:
    """Return where a seed's picture, depth, and annotations go, in the order of writing."""
    suffix = ".jpg" if settings.domain == "photo" else ".png"
    name = f"{seed:06d}"
    return root / "images" / (name + suffix), root / "depth" / f"{name}.png", _part(root, seed)


def _part(root: Path, seed: int) -> Path:
    return root / _STATE / f"{seed:06d}.json"


def _read(path: Path, fix: str) -> dict[str, Any]:
    """Return a JSON object that `_json` wrote.

    Raises:
        ConfigError: the file is damaged.
    """
    try:
        value = json.loads(path.read_bytes())
    except ValueError:
        value = None
    if not isinstance(value, dict):
        raise ConfigError(f"{path}: is damaged; {fix}")
    return value


def _json(value: object) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode()


def _write(path: Path, data: bytes) -> None:
    """Write a file in one step: whoever looks sees all of it or nothing."""
    temporary = path.with_name(f"{_TEMPORARY}{os.getpid()}-{path.name}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with temporary.open("wb") as stream:
            stream.write(data)
            stream.flush()
            os.fsync(stream.fileno())
        temporary.replace(path)
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise Sv2rError(f"{path}: {reason}; fix that, then run the same command again") from error


def _begin_worker() -> None:
    """Leave Ctrl-C to the command, and end when it is killed: a queue would wait forever."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    parent = parent_process()
    if parent is not None:
        threading.Thread(target=_watch, args=(parent,), daemon=True).start()


def _watch(parent: Any) -> None:
    parent.join()
    os._exit(1)
