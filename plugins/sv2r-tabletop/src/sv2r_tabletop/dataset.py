"""Datasets of renders on disk: drawn by several processes, and resumable at any picture.

    OUTPUT/annotations.json      COCO, written last
    OUTPUT/images/000123.png     a synthetic picture (.jpg: a photograph); its name is its seed
    OUTPUT/depth/000123.png      16-bit, millimetres
    OUTPUT/truth/, edits.json    with edits: label maps before and after, and what was done
    OUTPUT/.tabletop/            settings.json, and a picture's annotations once it is whole

A picture's annotations are written after its files, so what is there is whole; a picture of which
a file was removed is made again. Every file depends
on the seed and the settings alone: a run that was stopped and goes on ends with the same bytes.
"""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import get_context, parent_process
from pathlib import Path
from typing import Any

from sv2r import ConfigError, Sv2rError
from sv2r_tabletop.edits import EditError
from sv2r_tabletop.files import TEMPORARY, read_json, to_json, write
from sv2r_tabletop.pictures import STATE, Task, files_of, render_task
from sv2r_tabletop.settings import Settings

DOMAINS = ("synthetic", "photo")


def plan(output: Path, settings: Sequence[Settings], count: int) -> list[Task]:
    """Return what is still to be rendered, and make the folders.

    One dataset goes into `output` itself, several into a folder of their domain's name each.

    Raises:
        ConfigError: a folder holds something else, other settings, or more pictures.
    """
    roots = _roots(output, settings)
    for root, one in zip(roots, settings, strict=True):
        _claim(root, one, count)
    first = settings[0].first_seed
    tasks = []
    for seed in range(first, first + count):
        targets = [
            (root, one)
            for root, one in zip(roots, settings, strict=True)
            if not all(path.is_file() for path in files_of(root, seed, one).values())
        ]
        if targets:
            tasks.append(Task(seed, tuple(targets)))
    return tasks


def finish(output: Path, settings: Sequence[Settings], count: int) -> list[Path]:
    """Write each dataset's COCO file, once all its pictures are there; return their paths.

    A dataset with edits gets its edits.json after it.
    """
    from sv2r_tabletop.labels import coco, edits_document

    written = []
    for root, one in zip(_roots(output, settings), settings, strict=True):
        seeds = range(one.first_seed, one.first_seed + count)
        parts = [_part(root, seed) for seed in seeds]
        write(root / "annotations.json", to_json(coco(one.domain, parts, one.world)))
        if one.edits:
            source = next(other.style for other in settings if other.domain == "synthetic")
            write(root / "edits.json", to_json(edits_document(one.world, source, parts)))
        written.append(root / "annotations.json")
    return written


def render_all(tasks: Sequence[Task], workers: int) -> Iterator[int]:
    """Render by so many processes; yield each seed when its files are on disk.

    Raises:
        ConfigError: Mitsuba is not installed.
        EditError: scenes did not allow their edits; raised once all others are on disk.
    """
    refused: list[EditError] = []
    for done in _each(tasks, workers):
        try:
            yield done.result()
        except EditError as error:
            refused.append(error)
        except BrokenProcessPool as error:
            raise Sv2rError(
                "a worker died, perhaps for lack of memory; run this again with fewer --workers"
            ) from error
    if refused:
        more = f" (and {len(refused) - 1} scenes more)" if len(refused) > 1 else ""
        raise EditError(f"{refused[0]}{more}")


def _each(tasks: Sequence[Task], workers: int) -> Iterator[Future[int]]:
    """Yield each task's outcome, as they come."""
    if workers == 1:
        yield from map(_done, tasks)
        return
    from sv2r_tabletop.describe import mitsuba

    mitsuba()  # told once and here where it is missing, not by every worker
    pool = ProcessPoolExecutor(workers, get_context("spawn"), initializer=_begin_worker)
    try:
        yield from as_completed([pool.submit(render_task, task) for task in tasks])
    finally:
        pool.shutdown(cancel_futures=True)


def _done(task: Task) -> Future[int]:
    """Return a task's outcome as a pool would, with the errors that a run goes on after."""
    outcome: Future[int] = Future()
    try:
        outcome.set_result(render_task(task))
    except EditError as error:
        outcome.set_exception(error)
    return outcome


def _roots(output: Path, settings: Sequence[Settings]) -> list[Path]:
    return [output / one.domain if len(settings) > 1 else output for one in settings]


def _claim(root: Path, settings: Settings, count: int) -> None:
    """Make a dataset's folder, or see that the one that is there can go on."""
    state = root / STATE / "settings.json"
    if state.is_file():
        before = read_json(state, f"remove {root}, or give another --output")
        if (what := settings.differs(before)) is not None:
            raise ConfigError(f"{root}: was begun with {what}; give the same or another --output")
        seeds = (int(path.stem) for path in state.parent.glob("[0-9]*.json"))
        there = max(seeds, default=settings.first_seed - 1) - settings.first_seed + 1
        if there > count:
            raise ConfigError(
                f"{root}: holds {there} scenes; give --count {there} or more, or another --output"
            )
        for leftover in root.rglob(f"{TEMPORARY}*"):
            leftover.unlink()
        return
    if root.exists() and (not root.is_dir() or {path.name for path in root.iterdir()} - {STATE}):
        raise ConfigError(f"{root}: is not empty and no tabletop dataset; give another --output")
    write(state, to_json(settings.told()))


def _part(root: Path, seed: int) -> dict[str, Any]:
    fix = "remove it, then run the same command again"
    return read_json(root / STATE / f"{seed:06d}.json", fix)


def _begin_worker() -> None:
    """Leave Ctrl-C to the command, and end when it is killed: a queue would wait forever."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    parent = parent_process()
    if parent is not None:
        threading.Thread(target=_watch, args=(parent,), daemon=True).start()


def _watch(parent: Any) -> None:
    parent.join()
    os._exit(1)
