"""Reading COCO files of many sizes, against pycocotools.

    uv run python -m benchmarks.index [--sizes 10000,100000,1000000] [--json FILE]

The files are made here, always the same: ten annotations a picture, each a polygon of as many
points as COCO's have, about 0.5 GB per 100,000 pictures. Every measurement is a process of its own,
which reads the file from the system's cache; memory is that process's peak. pycocotools runs under
limits of memory and time, and a row without a baseline says that it did not come through.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import random
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any

from benchmarks.lib.table import Row, parser, report

_ANNOTATIONS = 10
_CATEGORIES = 80
_BYTES_PER_PICTURE = 5600
_LABELS_OF = 200
_FILE = "coco.json"


def main() -> None:
    """Measure, print the table and write the JSON."""
    arguments = parser("COCO files against pycocotools.")
    arguments.add_argument("--sizes", default="10000,100000", help="pictures, comma-separated")
    arguments.add_argument("--folder", type=Path, help="where the files are made, then deleted")
    arguments.add_argument("--limit-gb", type=float, default=12, help="memory for pycocotools")
    arguments.add_argument("--limit-s", type=float, default=600, help="seconds for pycocotools")
    arguments.add_argument("--measure", choices=sorted(MEASURES), help=argparse.SUPPRESS)
    options = arguments.parse_args()
    if options.measure:
        print(json.dumps(MEASURES[options.measure](options.folder)))
        return
    rows: list[Row] = []
    for pictures in (int(size) for size in options.sizes.split(",")):
        rows += measured(pictures, options)
    report(rows, options.json)


def measured(pictures: int, options: argparse.Namespace) -> Iterator[Row]:
    """Yield the rows for one size."""
    with tempfile.TemporaryDirectory(prefix="sv2r-index-", dir=options.folder) as name:
        folder = Path(name)
        if shutil.disk_usage(folder).free < 1.2 * _BYTES_PER_PICTURE * pictures:
            sys.exit(f"{folder}: too little space; name another with --folder")
        write_coco(folder / _FILE, pictures)
        ours = run("sv2r", folder)
        again = run("sv2r", folder)
        rival = run("pycocotools", folder, options.limit_gb, options.limit_s)
    size = f"{pictures:,} pictures"
    if rival is None:
        limits = f"{options.limit_gb:g} GB and {options.limit_s:g} s"
        print(f"{size}: pycocotools did not come through within {limits}")
    yield row(f"{size}: read", ours, rival, "seconds", "s")
    yield row(f"{size}: its processor time", ours, rival, "processor", "s")
    yield row(f"{size}: peak memory", ours, rival, "megabytes", "MB")
    yield row(f"{size}: open in a second process", again, rival, "seconds", "s")
    yield row(f"{size}: its peak memory", again, rival, "megabytes", "MB")
    yield row(f"{size}: labels of one", again, rival, "labels", "ms")


def row(name: str, ours: Any, rival: Any, key: str, unit: str) -> Row:
    """Return one figure against pycocotools' own."""
    if rival is None:
        return Row(name, ours[key], unit)
    return Row.against(name, ours[key], unit, rival[key])


def run(measure: str, folder: Path, gigabytes: float = 0, seconds: float = 0) -> Any:
    """Return what a fresh process measured, or None where it broke one of its limits."""
    command = [
        sys.executable,
        "-m",
        "benchmarks.index",
        "--measure",
        measure,
        "--folder",
        str(folder),
    ]
    environment = {**os.environ, "SV2R_CACHE": str(folder / "cache")}

    def limit() -> None:
        if gigabytes:
            resource.setrlimit(resource.RLIMIT_AS, (int(gigabytes * 2**30),) * 2)

    try:
        done = subprocess.run(
            command,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
            timeout=seconds or None,
            preexec_fn=limit,
        )
    except subprocess.TimeoutExpired:
        return None
    if done.returncode and (not gigabytes or "MemoryError" not in done.stderr):
        sys.exit(f"{measure} ended with {done.returncode}: {done.stderr.strip()[-2000:]}")
    return None if done.returncode else json.loads(done.stdout.splitlines()[-1])


def measure_sv2r(folder: Path) -> dict[str, float]:
    """Return what loading costs with sv2r, and what the labels of one picture cost then."""
    import sv2r.loaders.coco.cache
    import sv2r.loaders.coco.samples  # noqa: F401 - imported before the clock starts
    from sv2r.loaders.coco.loader import CocoOptions, load

    options = CocoOptions.model_validate({"annotations": _FILE, "images": "."})
    clock = Clock()
    dataset = load(folder, options)
    costs = clock.costs()

    def labels(index: int) -> None:
        _ = dataset.samples[index].load_instances().labels  # drawn when asked for

    return costs | {"labels": median_milliseconds(labels, len(dataset.samples))}


def measure_pycocotools(folder: Path) -> dict[str, float]:
    """Return what loading costs with pycocotools, and a label map of its masks then."""
    import numpy as np
    from pycocotools.coco import COCO

    clock = Clock()
    with redirect_stdout(sys.stderr):
        dataset = COCO(folder / _FILE)
    costs = clock.costs()
    ids = dataset.getImgIds()

    def labels(index: int) -> None:
        image = dataset.imgs[ids[index]]
        drawn = np.zeros((image["height"], image["width"]), np.int32)
        for annotation in dataset.loadAnns(dataset.getAnnIds(ids[index])):
            drawn[dataset.annToMask(annotation) > 0] = annotation["id"]

    return costs | {"labels": median_milliseconds(labels, len(ids))}


MEASURES: dict[str, Callable[[Path], dict[str, float]]] = {
    "sv2r": measure_sv2r,
    "pycocotools": measure_pycocotools,
}


class Clock:
    """Time since it was made."""

    def __init__(self) -> None:
        self._wall, self._processor = time.perf_counter(), time.process_time()

    def costs(self) -> dict[str, float]:
        """Return wall and processor seconds since then, and the process's peak memory."""
        return {
            "seconds": time.perf_counter() - self._wall,
            "processor": time.process_time() - self._processor,
            "megabytes": peak_megabytes(),
        }


def median_milliseconds(call: Callable[[int], None], length: int) -> float:
    """Return the median time of a call for pictures spread over a dataset, in milliseconds."""
    call(0)
    times = []
    for index in range(0, length, max(1, length // _LABELS_OF)):
        start = time.perf_counter()
        call(index)
        times.append(time.perf_counter() - start)
    return 1000 * statistics.median(times)


def peak_megabytes() -> float:
    """Return the largest memory that this process has held so far, in MB of 10**6 bytes."""
    status = Path("/proc/self/status")
    if status.exists():
        lines = status.read_text().splitlines()
        return int(next(line for line in lines if line.startswith("VmHWM")).split()[1]) * 1024 / 1e6
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 1e6


def write_coco(path: Path, pictures: int) -> None:
    """Write a COCO file as large as asked for, without holding it."""
    shapes = polygons(random.Random(0), 2000)
    with path.open("w", buffering=1 << 22) as stream:
        stream.write(
            '{"info": {"description": "made for a benchmark"}, "licenses": [], "images": ['
        )
        for index in range(pictures):
            stream.write(
                f'{", " if index else ""}{{"license": 4, "file_name": "train/{index:09d}.jpg", '
                f'"coco_url": "", "height": 480, "width": 640, "date_captured": "", '
                f'"flickr_url": "", "id": {index + 1}}}'
            )
        stream.write('], "annotations": [')
        for index in range(pictures * _ANNOTATIONS):
            stream.write(
                f'{", " if index else ""}{{"segmentation": [[{shapes[index * 7919 % 2000]}]], '
                f'"area": 702.1, "iscrowd": 0, "image_id": {index // _ANNOTATIONS + 1}, '
                f'"bbox": [473.07, 395.93, 38.65, 28.67], '
                f'"category_id": {index % _CATEGORIES + 1}, "id": {index + 1}}}'
            )
        names = (f'{{"id": {n + 1}, "name": "category {n + 1}"}}' for n in range(_CATEGORIES))
        stream.write(f'], "categories": [{", ".join(names)}]}}')


def polygons(chance: random.Random, count: int) -> list[str]:
    """Return outlines as JSON has them: blobs of 4 to some 100 points, most about 22."""
    made = []
    for _ in range(count):
        points = max(4, int(chance.lognormvariate(3.1, 0.6)))
        x, y, radius = chance.uniform(0, 640), chance.uniform(0, 480), chance.uniform(8, 90)
        numbers = []
        for step in range(points):
            angle, reach = 2 * math.pi * step / points, radius * chance.uniform(0.7, 1.3)
            numbers += [x + reach * math.cos(angle), y + reach * math.sin(angle)]
        made.append(", ".join(f"{number:.2f}" for number in numbers))
    return made


if __name__ == "__main__":
    main()
