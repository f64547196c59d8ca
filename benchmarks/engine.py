"""The whole job with a translator that does nothing: its pace, its memory, and nothing left to do.

    uv run python -m benchmarks.engine [--pictures N] [--samples N ...] [--json FILE]

The pace is held against decode and encode alone: `read_picture` and `encode_picture`, the very
functions that the job calls, on the same files in a pool of as many threads as the job reads and
writes with. That baseline reads no label, checks nothing and writes no file; the job does all of
it, with the sanity check, every file synced to the disk, the journal, the contact sheet and the
report. The pace between the first pictures and the last is told apart from the whole job's, since
what a job costs once weighs less the more pictures it has.

Every figure comes from a process of its own. Memory is that process's peak, torch and all.
"""

from __future__ import annotations

import json
import multiprocessing
import os
import resource
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
from PIL import Image

from benchmarks.lib.photograph import made_photograph
from benchmarks.lib.table import Row, parser, report

if TYPE_CHECKING:
    from torch import Tensor

    from sv2r.job.open import OpenJob
    from sv2r.job.plan import Plan
    from sv2r.job.summary import Summary
    from sv2r.plugin.registry import Registry
    from sv2r.plugin.specs import Phase
    from sv2r.types import Batch, Record

T = TypeVar("T")

_SIDE = 512  # px, of the pictures that the pace is measured on
_SMALL = 32  # px, of the pictures that only count
_DISTINCT = 16  # pictures; the others are hard links to these, of which a file takes 65,000
_OBJECTS = 6  # labelled per picture
_CATEGORIES = ("plate", "bowl", "cup")
_WARM = 20  # the first record of so many, from which on the pace counts as steady
_ROUNDS = 3


@dataclass(frozen=True)
class Figures:
    """What a process measured of itself: wall time, processor time (both in s), peak MB."""

    seconds: float
    cpu: float
    peak: float


@dataclass(frozen=True)
class Job:
    """What a job took: all of it, per second and picture between its ends, and its ends in s."""

    whole: Figures
    rate: float
    cpu: float
    before: float
    after: float


class Stopwatch:
    """Looks on while a job runs, and notes when its pictures came."""

    def __init__(self, pictures: int) -> None:
        self._warm, self._seen = pictures // _WARM, 0
        self.pictures = pictures - self._warm
        self.times: list[tuple[float, float]] = []

    def opened(self, job: OpenJob, plan: Plan) -> None:
        """Note that no picture was made yet."""
        self.note()

    def said(self, line: str) -> None:
        """Do nothing."""

    def recorded(self, record: Record) -> None:
        """Count, and note the first pictures' end and the last's."""
        self._seen += 1
        if self._seen in (self._warm, self._warm + self.pictures):
            self.note()

    def shown(self, phase: Phase, detail: str) -> None:
        """Do nothing."""

    def note(self) -> None:
        """Note wall time and processor time."""
        self.times.append((time.perf_counter(), time.process_time()))


def main() -> None:
    """Measure, print the table and write the JSON."""
    arguments = parser("The whole job with a translator that does nothing.")
    arguments.add_argument("--pictures", type=int, default=1000, help="512² pictures, for the pace")
    arguments.add_argument(
        "--samples", type=int, nargs="*", default=[1000, 10_000, 100_000], help="for the memory"
    )
    arguments.add_argument("--folder", type=Path, help="where to work [the system's own place]")
    options = arguments.parse_args()
    rows = []
    with tempfile.TemporaryDirectory(dir=options.folder) as name:
        os.environ["SV2R_CACHE"] = str(Path(name) / "cache")
        if options.pictures:
            rows += pace_rows(Path(name) / "pace", options.pictures)
        if options.samples:
            rows += memory_rows(Path(name) / "memory", sorted(options.samples))
    report(rows, options.json)


def pace_rows(folder: Path, pictures: int) -> list[Row]:
    """Return pictures per second and processor time per picture, medians of alternate rounds."""
    source = folder / "in"
    make_dataset(source, pictures, _SIDE)
    alone, job = [], []
    for number in range(_ROUNDS):
        alone.append(in_process(decode_and_encode, source))
        job.append(in_process(run_job, source, folder / f"out{number}", pictures))

    def median(of: Callable[[Any], float], runs: list[Any]) -> float:
        return statistics.median(map(of, runs))

    alone_rate = pictures / median(lambda run: run.seconds, alone)
    alone_cpu = 1000 * median(lambda run: run.cpu, alone) / pictures
    rate, cpu = median(lambda run: run.rate, job), 1000 * median(lambda run: run.cpu, job)
    whole = pictures / median(lambda run: run.whole.seconds, job)
    whole_cpu = 1000 * median(lambda run: run.whole.cpu, job) / pictures
    title, all_of_it = f"{_SIDE}² PNG to PNG", f"whole job of {pictures:,}"
    return [
        Row.against(f"{title}, between the ends", rate, "pictures/s", alone_rate),
        Row.against(f"{title}, {all_of_it}", whole, "pictures/s", alone_rate),
        Row.against("processor time per picture, between the ends", cpu, "ms", alone_cpu),
        Row.against(f"processor time per picture, {all_of_it}", whole_cpu, "ms", alone_cpu),
        Row("opening and planning", median(lambda run: run.before, job), "s"),
        Row("after the last picture", median(lambda run: run.after, job), "s"),
    ]


def memory_rows(folder: Path, counts: Sequence[int]) -> list[Row]:
    """Return the peak memory of a job, and the time of the same job again, for each count."""
    peaks: dict[int, float] = {}
    again: dict[int, float] = {}
    for count in counts:
        source, output = folder / f"in{count}", folder / f"out{count}"
        make_dataset(source, count, _SMALL)
        peaks[count] = in_process(run_job, source, output, count).whole.peak
        start = time.perf_counter()
        in_process(run_job_again, source, output)
        again[count] = time.perf_counter() - start
    fewest = peaks[counts[0]]
    rows = [
        Row.against(f"peak memory, {count:,} samples", peaks[count], "MB", fewest)
        for count in counts
    ]
    more = f"{counts[-1]:,} samples against {counts[0]:,}"
    rows.append(Row(f"more memory, {more}", peaks[counts[-1]] - fewest, "MB"))
    return rows + [
        Row(f"nothing left to do, {count:,} samples", again[count], "s") for count in counts
    ]


def in_process(work: Callable[..., T], *arguments: object) -> T:
    """Return what a function returns in a fresh process."""
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, mp_context=context) as pool:
        return pool.submit(work, *arguments).result()


def decode_and_encode(source: Path) -> Figures:
    """Decode every picture and encode it again, in memory."""
    from sv2r.config.sections import JobOptions
    from sv2r.images.decode import read_picture
    from sv2r.images.encode import encode_picture

    def recode(file: Path) -> int:
        return len(encode_picture(read_picture(file, file.name).pixels, file.suffix))

    fields = JobOptions.model_fields
    files = sorted((source / "images").iterdir())
    with ThreadPoolExecutor(fields["readers"].default + fields["writers"].default) as pool:
        pool.submit(recode, files[0]).result()
        return measured(lambda: sum(pool.map(recode, files)))


def run_job(source: Path, output: Path, pictures: int) -> Job:
    """Make every picture. What is imported is not timed; opening and finishing are."""
    import torch  # noqa: F401

    registry, watch = with_nothing(), Stopwatch(pictures)
    start = time.perf_counter()
    whole = measured(lambda: convert(source, output, registry, watch))
    (opened, _), (first, first_cpu), (last, last_cpu) = watch.times
    return Job(
        whole,
        rate=watch.pictures / (last - first),
        cpu=(last_cpu - first_cpu) / watch.pictures,
        before=opened - start,
        after=start + whole.seconds - last,
    )


def run_job_again(source: Path, output: Path) -> None:
    """Run the same job once more, imports and all."""
    if (restored := convert(source, output, with_nothing()).restored) != len(names_in(source)):
        raise RuntimeError(f"only {restored} samples had been settled")


def convert(
    source: Path, output: Path, registry: Registry, watch: Stopwatch | None = None
) -> Summary:
    """Return how the job ended: well, or the figures would mean nothing."""
    import sv2r

    config = {"input": source, "output": output, "loader": "coco", "translator": "nothing"}
    summary = sv2r.convert({**config, "checks": ["sanity"]}, registry=registry, watch=watch)
    if summary.exit_code:
        raise RuntimeError(summary.troubles[0].error)
    return summary


def with_nothing() -> Registry:
    """Return what is installed, and a translator that does nothing."""
    from sv2r.plugin.discovery import Owner
    from sv2r.plugin.options import Options
    from sv2r.plugin.registry import Entry, Registry, load_registry
    from sv2r.plugin.specs import TranslatorSpec

    spec = TranslatorSpec(
        name="nothing",
        summary="The frames' own pixels.",
        options=Options,
        build=lambda *_: do_nothing,
    )
    installed = load_registry()
    entry = Entry("translator", "nothing", Owner("engine", "benchmarks", "0"), spec)
    return Registry((*installed.entries, entry), installed.failures)


def do_nothing(batch: Batch) -> list[Tensor]:
    """Return each frame's own pixels as (3, H, W) uint8."""
    return [frame.pixels for frame in batch.frames]


def measured(work: Callable[[], object]) -> Figures:
    """Return what a call took, and the most memory that its process ever had."""
    wall, cpu = time.perf_counter(), time.process_time()
    work()
    seconds, cpu = time.perf_counter() - wall, time.process_time() - cpu
    return Figures(seconds, cpu, peak_memory())


def peak_memory() -> float:
    """Return this process's peak resident memory in MB.

    Linux hands getrusage's figure on from a parent process; that of /proc is the process's own.
    """
    status = Path("/proc/self/status")
    if status.exists():
        line = next(x for x in status.read_text().splitlines() if x.startswith("VmHWM:"))
        return int(line.split()[1]) * 1024 / 1e6
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 1e6


def make_dataset(folder: Path, count: int, side: int) -> None:
    """Write a COCO dataset of square PNGs, with some polygons on each."""
    pictures = folder / "images"
    pictures.mkdir(parents=True)
    whole = made_photograph(_SIDE)
    for number in range(count):
        file = pictures / f"{number:06}.png"
        if number < _DISTINCT:
            rolled = np.roll(whole, 31 * number, axis=(0, 1))[:side, :side]
            Image.fromarray(rolled).save(file)
        else:
            file.hardlink_to(pictures / f"{number % _DISTINCT:06}.png")
    images = [
        {"id": i + 1, "file_name": f"images/{i:06}.png", "height": side, "width": side}
        for i in range(count)
    ]
    annotations = [polygon(i, k, side) for i in range(count) for k in range(_OBJECTS)]
    categories = [{"id": i + 1, "name": name} for i, name in enumerate(_CATEGORIES)]
    data = {"images": images, "annotations": annotations, "categories": categories}
    (folder / "annotations.json").write_text(json.dumps(data), encoding="utf-8")


def polygon(picture: int, number: int, side: int) -> dict[str, Any]:
    """Return the annotation of a 24-cornered disc."""
    turn = 2 * np.pi * (number + picture / 7) / _OBJECTS
    centre = side / 2 + 0.3 * side * np.array([np.cos(turn), np.sin(turn)])
    angles = 2 * np.pi * np.arange(24) / 24
    radius = side * (0.06 + 0.02 * (number % 3))
    corners = centre + radius * np.stack([np.cos(angles), np.sin(angles)], 1)
    left, top = (float(x) for x in corners.min(0))
    return {
        "id": picture * _OBJECTS + number + 1,
        "image_id": picture + 1,
        "category_id": 1 + number % len(_CATEGORIES),
        "segmentation": [corners.ravel().round(2).tolist()],
        "bbox": [round(left, 2), round(top, 2), round(2 * radius, 2), round(2 * radius, 2)],
        "area": round(float(np.pi * radius**2), 2),
        "iscrowd": 0,
    }


def names_in(source: Path) -> list[str]:
    """Return the names of a dataset's pictures."""
    return [file.name for file in (source / "images").iterdir()]


if __name__ == "__main__":
    main()
