"""Trains one segmenter on each arm with each seed, and compares what they find with the truth."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from queue import SimpleQueue
from typing import Any, Protocol

from sv2r.bench.precision import Scored, coco_figures, scored
from sv2r.bench.sets import CocoFolder, LabelledSet, labelled_set, shared_pictures, write_coco
from sv2r.bench.verdict import Difference, compare_arms
from sv2r.errors import ConfigError, Sv2rError
from sv2r.job.describe import duration
from sv2r.plugin.options import Options
from sv2r.plugin.registry import Registry, load_registry
from sv2r.plugin.specs import Runtime, Training
from sv2r.storage.files import write_atomically
from sv2r.storage.regular import read_text
from sv2r.storage.strict_yaml import write_yaml
from sv2r.trainers.detections import require_detections

DATA, RUNS, RESULT, BENCH_FILE = "sets", "runs", "result.json", "bench.yaml"
_REAL, _ERROR = "real-test", "error.txt"


@dataclass(frozen=True)
class Comparison:
    """What to compare.

    real: labelled photographs that no arm trains on. arms: datasets or finished runs by the arm's
    name, the first one the one that others are held against. categories: what a category of an arm
    is called in `real`; None leaves it out. trainer, options: who trains.
    """

    real: Path
    arms: Mapping[str, tuple[Path, ...]]
    categories: Mapping[str, str | None]
    trainer: str
    options: Options
    seeds: int


@dataclass(frozen=True)
class ArmResult:
    """What came of an arm. figures: COCO's, means over the seeds, by "mask AP", "box AP50" ...

    losses: (step, loss) of each training. trained: seeds that are done.
    """

    name: str
    data: CocoFolder
    figures: Mapping[str, float]
    losses: tuple[tuple[tuple[int, float], ...], ...]
    trained: int


@dataclass(frozen=True)
class Benched:
    """A comparison. differences: of each arm to the first. left: trainings that are not done."""

    folder: Path
    truth: CocoFolder
    arms: tuple[ArmResult, ...]
    differences: tuple[Difference, ...]
    categories: tuple[str, ...]
    left: int


class BenchWatcher(Protocol):
    """Is told what happens."""

    def said(self, line: str) -> None:
        """Take a line for the user."""

    def stepped(self, arm: str, seed: int, step: int, steps: int, loss: float) -> None:
        """Take how far a training is."""


@dataclass(frozen=True)
class _Job:
    """One training: of which arm, with what seed, where its result goes, and what it hangs on."""

    arm: str
    seed: int
    folder: Path
    train: Path
    key: str

    @property
    def result(self) -> Path:
        return self.folder / RESULT


def run_bench(
    folder: Path,
    asked: Comparison,
    *,
    devices: Sequence[str] = ("cpu",),
    max_seconds: float | None = None,
    registry: Registry | None = None,
    watch: BenchWatcher,
) -> Benched:
    """Do the trainings that are not done yet, and compare the arms.

    folder: for all that is written; what an earlier run of the same comparison did is kept.
    devices: one training at a time on each. max_seconds: no training is begun after that.

    Raises:
        ConfigError: sets that cannot be compared, or a training that fails.
    """
    registry = registry or load_registry()
    since = time.monotonic()
    real = labelled_set(asked.real, registry)
    sets = {
        name: [labelled_set(place, registry) for place in places]
        for name, places in asked.arms.items()
    }
    for name, of in sets.items():
        _check_categories(name, of, real.categories, asked.categories)
    _require_own(folder)
    truth = write_coco(folder / DATA / _REAL, [real], real.categories, {})
    if not truth.counts:
        raise ConfigError(f"{asked.real}: has no instance to find; AP needs labelled photographs")
    data = {
        name: write_coco(folder / DATA / name, of, real.categories, asked.categories)
        for name, of in sets.items()
    }
    for name, of_arm in data.items():
        _check_overlap(name, of_arm, truth)
        counts = ", ".join(f"{category} {count:,}" for category, count in of_arm.counts.items())
        watch.said(f"{'arm':<11} {name}: {of_arm.pictures:,} pictures · {counts or 'no instance'}")
    _write_asked(folder, asked)
    jobs = _jobs(folder, asked, data, truth)
    todo = [job for job in jobs if not _is_done(job)]
    watch.said(
        f"{'plan':<11} {len(todo)} of {len(jobs)} trainings to do · {asked.trainer} · tried on "
        f"{truth.pictures:,} photographs"
    )
    until = None if max_seconds is None else since + max_seconds
    bench = _Bench(asked.trainer, asked.options, truth, real.categories)
    _train_all(todo, bench, registry, devices, until, watch)
    return _judged(folder, jobs, data, truth, real.categories)


def _require_own(folder: Path) -> None:
    """Make the folder of a comparison.

    Raises:
        ConfigError: it holds files that are not of one: they might be replaced.
    """
    if folder.is_dir() and not (folder / BENCH_FILE).is_file():
        first = min((path.name for path in folder.iterdir()), default=None)
        if first is not None:
            what = f"holds files that no sv2r bench made, such as {first}"
            raise ConfigError(f"{folder}: {what}; give a folder that is empty or new")
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigError(f"{folder}: cannot be made ({str(error.strerror).lower()})") from None
    if not (folder / BENCH_FILE).is_file():
        write_atomically(folder / BENCH_FILE, b"{}\n")


def _check_categories(
    arm: str,
    sets: Sequence[LabelledSet],
    real: Sequence[str],
    names: Mapping[str, str | None],
) -> None:
    """Raise ConfigError where a category of an arm has no meaning on the real side."""
    found = {category for one in sets for category in one.categories}
    unknown = sorted(
        category for category in found if names.get(category, category) not in {*real, None}
    )
    if unknown:
        raise ConfigError(
            f"--arm {arm}: the category {unknown[0]!r} is none of the real set's "
            f"({', '.join(real)}); say in a --categories file what it is there, as "
            f"`{unknown[0]}: NAME`, or `{unknown[0]}: null` to leave it out"
        )
    if all(names.get(category, category) is None for category in found):
        raise ConfigError(f"--arm {arm}: --categories leaves no category to learn")


def _check_overlap(arm: str, of_arm: CocoFolder, truth: CocoFolder) -> None:
    """Raise ConfigError where an arm trains on pictures that it is to be tried on."""
    same, alike = shared_pictures(truth, of_arm)
    if same or alike:
        what = f"{same} with equal bytes" if same else "nearly equal ones"
        raise ConfigError(
            f"--arm {arm}: {max(same, alike)} of the {truth.pictures} pictures of --real are in it "
            f"too ({what}); AP on pictures that were trained on says nothing: take them out of one"
        )


def _write_asked(folder: Path, asked: Comparison) -> None:
    told = {
        "real": str(asked.real),
        "arms": {name: [str(one) for one in places] for name, places in asked.arms.items()},
        "categories": dict(asked.categories),
        "trainer": {"name": asked.trainer, **asked.options.model_dump(mode="json")},
        "seeds": asked.seeds,
    }
    write_atomically(folder / BENCH_FILE, write_yaml(told).encode())


def _jobs(
    folder: Path, asked: Comparison, data: Mapping[str, CocoFolder], truth: CocoFolder
) -> list[_Job]:
    """Return all trainings, seed by seed: however few are done, the arms are even."""
    how = json.dumps([asked.trainer, asked.options.model_dump(mode="json")], sort_keys=True)
    return [
        _Job(
            name,
            seed,
            folder / RUNS / f"{name}-{seed}",
            of_arm.folder,
            f"{how} {seed} {of_arm.key} {truth.key}",
        )
        for seed in range(asked.seeds)
        for name, of_arm in data.items()
    ]


def _result_of(job: _Job) -> dict[str, Any] | None:
    """Return what a training found, None where it is not done, or was of other data."""
    try:
        found = json.loads(read_text(job.result))
    except (OSError, ValueError):
        return None
    return found if isinstance(found, dict) and found.get("key") == job.key else None


def _is_done(job: _Job) -> bool:
    return _result_of(job) is not None


@dataclass(frozen=True)
class _Bench:
    """What all trainings share."""

    trainer: str
    options: Options
    truth: CocoFolder
    categories: tuple[str, ...]


def _train_all(
    jobs: Sequence[_Job],
    bench: _Bench,
    registry: Registry,
    devices: Sequence[str],
    until: float | None,
    watch: BenchWatcher,
) -> None:
    """Do the trainings, one at a time on each device; none is begun after `until`."""

    def is_late() -> bool:
        return until is not None and time.monotonic() >= until

    if len(devices) == 1:
        for job in jobs:
            if not is_late():
                _train(job, bench, registry, devices[0], watch)
        return
    free: SimpleQueue[str] = SimpleQueue()
    for device in devices:
        free.put(device)

    def train(job: _Job) -> None:
        device = free.get()
        try:
            if not is_late():
                _in_process(job, bench, device, watch)
        finally:
            free.put(device)

    with ThreadPoolExecutor(len(devices)) as pool:
        for _ in pool.map(train, jobs):
            pass


def _in_process(job: _Job, bench: _Bench, device: str, watch: BenchWatcher) -> None:
    """Do a training in a process of its own: torch's random numbers belong to a process."""
    process = get_context("spawn").Process(target=_train_here, args=(job, bench, device))
    process.start()
    process.join()
    found = _result_of(job)
    if found is None:
        told = job.folder / _ERROR
        reason = read_text(told) if told.is_file() else f"exit code {process.exitcode}"
        raise ConfigError(f"{job.arm}, seed {job.seed}: {reason}")
    watch.said(_told(job, bench, found))


def _train_here(job: _Job, bench: _Bench, device: str) -> None:
    """Train in a new process; why it could not stands in a file then."""
    (job.folder / _ERROR).unlink(missing_ok=True)
    try:
        _train(job, bench, load_registry(), device, _Nobody())
    except Sv2rError as error:
        job.folder.mkdir(parents=True, exist_ok=True)
        write_atomically(job.folder / _ERROR, str(error).encode())


class _Nobody:
    """A watcher that tells nobody."""

    def said(self, line: str) -> None:
        """Take a line."""

    def stepped(self, arm: str, seed: int, step: int, steps: int, loss: float) -> None:
        """Take a step."""


def _train(job: _Job, bench: _Bench, registry: Registry, device: str, watch: BenchWatcher) -> None:
    losses: list[tuple[int, float]] = []

    def show(step: int, steps: int, loss: float) -> None:
        losses.append((step, loss))
        watch.stepped(job.arm, job.seed, step, steps, loss)

    job.folder.mkdir(parents=True, exist_ok=True)
    trainer = registry.spec("trainer", bench.trainer).build(bench.options, Runtime(device))
    since, test = time.monotonic(), bench.truth.folder
    training = Training(job.train, test, bench.categories, job.seed, job.folder, device, show)
    try:
        found = require_detections(trainer.detect(training), test)
    except ValueError as error:
        raise ConfigError(f"trainer {bench.trainer} on {job.arm}: gave {error}") from None
    seconds = time.monotonic() - since
    result = {"key": job.key, "seconds": seconds, "losses": losses, "detections": found}
    write_atomically(job.result, json.dumps(result).encode())
    watch.said(_told(job, bench, result))


def _told(job: _Job, bench: _Bench, result: Mapping[str, Any]) -> str:
    ap = 100 * coco_figures(_read_truth(bench.truth), result["detections"])["AP"]
    took = duration(result["seconds"])
    return f"{'trained':<11} {job.arm}, seed {job.seed}: mask AP {ap:.1f} · {took}"


def _read_truth(truth: CocoFolder) -> dict[str, Any]:
    data: dict[str, Any] = json.loads(truth.annotations.read_text(encoding="utf-8"))
    return data


def _judged(
    folder: Path,
    jobs: Sequence[_Job],
    data: Mapping[str, CocoFolder],
    truth: CocoFolder,
    categories: tuple[str, ...],
) -> Benched:
    """Return the comparison of what is done: of the seeds that every arm has."""
    results = [(job, _result_of(job)) for job in jobs]
    done = {(job.arm, job.seed): found for job, found in results if found is not None}
    seeds = sorted({job.seed for job in jobs})
    whole = [seed for seed in seeds if all((name, seed) in done for name in data)]
    document = _read_truth(truth)
    runs: dict[str, list[Scored]] = {name: [] for name in data}
    arms = []
    for name, of_arm in data.items():
        found = [done[name, seed] for seed in whole]
        runs[name] = [scored(document, one["detections"]) for one in found]
        figures = _means(
            {
                f"{kind} {key}": value
                for what, kind in (("segm", "mask"), ("bbox", "box"))
                for key, value in coco_figures(document, one["detections"], what).items()
            }
            for one in found
        )
        losses = tuple(tuple((int(s), float(v)) for s, v in one["losses"]) for one in found)
        arms.append(ArmResult(name, of_arm, figures, losses, len(whole)))
    differences = compare_arms(runs) if whole and len(runs) > 1 else []
    left = len(jobs) - len(done)
    return Benched(folder, truth, tuple(arms), tuple(differences), categories, left)


def _means(of_seeds: Iterator[dict[str, float]]) -> dict[str, float]:
    found: dict[str, list[float]] = {}
    for one in of_seeds:
        for key, value in one.items():
            found.setdefault(key, []).append(value)
    return {key: sum(values) / len(values) for key, values in found.items()}
