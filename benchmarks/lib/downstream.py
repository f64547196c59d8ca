"""What pictures are worth as training data: one segmenter, equal steps on each set."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import asdict, dataclass
from multiprocessing import get_context
from pathlib import Path

import torch

from benchmarks.lib import segmenter, tableworld
from benchmarks.lib.bench import MIXED, PHOTO, SYNTHETIC, Bench, Figure
from benchmarks.lib.tableworld import PHOTO_CEILING, TEST_PHOTO
from benchmarks.lib.translated import BASELINES, DIFFUSION
from sv2r import write_atomically
from sv2r.bench import precision
from sv2r.bench.precision import gap_closed, interval


def figures(bench: Bench) -> list[Figure]:
    """Train on each set with each seed, and return AP on test photographs and the gaps closed."""
    jobs = _trainings(bench)
    _run(bench, [job for job in jobs if not job.result.is_file()])
    truth = tableworld.read(bench.world / TEST_PHOTO, bench.translation.limit).truth()
    runs: dict[str, list[precision.Scored]] = {}
    for job in jobs:
        found = json.loads(job.result.read_bytes())["detections"]
        runs.setdefault(job.name, []).append(precision.scored(truth, found))
    whole = {n: sum(r.precision() for r in of) / len(of) for n, of in runs.items()}
    key = [str(job.result.name) for job in jobs]
    draws = bench.kept(
        "downstream/bootstrap",
        [key, 20 * bench.draws],
        lambda: list(precision.draws(runs, 20 * bench.draws)),
    )
    return [*_precisions(whole, draws), *_gaps(whole, draws)]


def _precisions(whole: Mapping[str, float], draws: Sequence[Mapping[str, float]]) -> list[Figure]:
    return [
        Figure(f"mask AP, {name}", ap, *interval([draw[name] for draw in draws]))
        for name, ap in whole.items()
    ]


def _gaps(whole: Mapping[str, float], draws: Sequence[Mapping[str, float]]) -> list[Figure]:
    """Return the share of the gap that each set closes, and its lead over the best baseline."""
    found = []
    for name in whole:
        if name in {SYNTHETIC, PHOTO}:
            continue
        gaps = [gap_closed(draw[name], draw[SYNTHETIC], draw[PHOTO]) for draw in draws]
        value = gap_closed(whole[name], whole[SYNTHETIC], whole[PHOTO])
        found.append(Figure(f"gap closed, {name}", value, *interval(gaps)))
    baselines = [name for name in (SYNTHETIC, *BASELINES) if name in whole]
    for name in (DIFFUSION, MIXED):
        if name in whole:
            leads = [draw[name] - max(draw[b] for b in baselines) for draw in draws]
            value = whole[name] - max(whole[b] for b in baselines)
            found.append(Figure(f"AP above the best baseline, {name}", value, *interval(leads)))
    return found


@dataclass(frozen=True)
class Training:
    """One training: of which set, with what seed, and the file that its detections go to."""

    name: str
    folders: tuple[Path, ...]
    seed: int
    count: int
    test: Path
    test_count: int | None
    recipe: segmenter.Recipe
    device: str
    threads: int | None
    result: Path


def _trainings(bench: Bench) -> list[Training]:
    """Return all trainings, seed by seed, so that a run cut short has all sets of some seeds."""
    recipe = segmenter.Recipe() if bench.steps is None else segmenter.Recipe(steps=bench.steps)
    sets = bench.trained_on()
    if DIFFUSION in sets:
        sets[MIXED] = sets[SYNTHETIC] + sets[DIFFUSION]
    sets[PHOTO] = [bench.world / PHOTO_CEILING]
    test, limit, count = bench.world / TEST_PHOTO, bench.translation.limit, bench.count()
    prints = {
        folder: tableworld.read(folder, count).fingerprint()
        for of in sets.values()
        for folder in of
    }
    aim = tableworld.read(test, limit).fingerprint()
    jobs = []
    for seed in range(bench.seeds):
        for name, folders in sets.items():
            key = [[prints[folder] for folder in folders], aim, asdict(recipe), seed]
            jobs.append(
                Training(
                    *(name, tuple(folders), seed, count, test, limit, recipe, bench.device),
                    threads=1 if bench.workers > 1 else None,
                    result=bench.place(f"downstream/{name}-{seed}", key),
                )
            )
    return jobs


def _run(bench: Bench, jobs: Sequence[Training]) -> None:
    """Do the trainings that are left, in so many processes."""
    if bench.workers == 1:
        for done, job in enumerate(jobs, 1):
            print(f"downstream {done}/{len(jobs)}: {_train(job)}", flush=True)
        return
    pool = ProcessPoolExecutor(bench.workers, get_context("spawn"))
    try:
        for done, future in enumerate(as_completed([pool.submit(_train, job) for job in jobs]), 1):
            print(f"downstream {done}/{len(jobs)}: {future.result()}", flush=True)
    finally:
        pool.shutdown(cancel_futures=True)


def _train(job: Training) -> str:
    """Train, detect on the test photographs, write the detections; return a line on it."""
    if job.threads:
        torch.set_num_threads(job.threads)
    start = time.process_time()
    parts = [tableworld.read(folder, job.count) for folder in job.folders]
    pictures = [picture for part in parts for picture in part.pictures]
    model = segmenter.train(pictures, len(parts[0].categories), job.recipe, job.seed, job.device)
    test = tableworld.read(job.test, job.test_count)
    detections = segmenter.detect(model, test.pictures, job.device)
    seconds = time.process_time() - start
    result = {
        "set": job.name,
        "pictures": len(pictures),
        "seconds": seconds,
        "detections": detections,
    }
    write_atomically(job.result, json.dumps(result).encode())
    return (
        f"{job.name}, seed {job.seed}, {len(pictures)} pictures, {seconds:.0f} s of processor time"
    )
