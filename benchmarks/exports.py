"""What an export costs per picture, with each writer: time, memory, and bytes on disk.

    uv run python -m benchmarks.exports [--sizes 250,1000] [--only coco,hf] [--json FILE]

Pictures of 512 x 512 as PNG with eight ellipses each, that hide parts of one another, made here.
Every export is a process of its own, `sv2r export`; its memory is the process's peak. The baseline
of a row is the same writer's row for the smallest size: what is flat per picture has a ratio of 1.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from PIL import Image

from benchmarks.lib.table import Row, parser, report

WRITERS = ("mirror", "coco", "folder", "yolo", "voc", "cityscapes", "webdataset", "hf")
_SIDE, _SHAPES = 512, 8


def main() -> None:
    """Measure, print the table and write the JSON."""
    arguments = parser("Exporting a dataset with each writer.")
    arguments.add_argument("--sizes", default="250,1000", help="pictures, comma-separated")
    arguments.add_argument("--only", default=",".join(WRITERS), help="writers, comma-separated")
    arguments.add_argument("--folder", type=Path, help="where it is all made, then deleted")
    options = arguments.parse_args()
    sizes = [int(size) for size in options.sizes.split(",")]
    rows: list[Row] = []
    with tempfile.TemporaryDirectory(prefix="sv2r-exports-", dir=options.folder) as place:
        for size in sizes:
            make(Path(place, str(size)), size)
        for writer in options.only.split(","):
            found = [export(Path(place), writer, size) for size in sizes]
            for size, cost in zip(sizes, found, strict=True):
                for key, unit in (("wall", "ms"), ("processor", "ms"), ("peak", "MB")):
                    told = f"{writer}, {size:,} pictures: {key}"
                    rows.append(Row.against(told, cost[key], unit, baseline=found[0][key]))
    report(rows, options.json)


def make(root: Path, count: int) -> None:
    """Make a folder of pictures and masks of ids."""
    for name in ("images", "masks"):
        (root / name).mkdir(parents=True)
    rows, columns = np.mgrid[:_SIDE, :_SIDE]
    for number in range(count):
        random = np.random.default_rng(number)
        mask = np.zeros((_SIDE, _SIDE), np.uint16)
        for id_ in range(1, _SHAPES + 1):
            y, x, high, wide = random.integers((40, 40, 20, 20), (470, 470, 90, 90))
            mask[((rows - y) / high) ** 2 + ((columns - x) / wide) ** 2 < 1] = id_
        colours = random.integers(40, 220, (_SHAPES + 1, 3)).astype(np.uint8)
        Image.fromarray(colours[mask]).save(root / "images" / f"{number:06}.png")
        Image.fromarray(mask).save(root / "masks" / f"{number:06}.png")


def export(place: Path, writer: str, size: int) -> dict[str, float]:
    """Return milliseconds per picture and the peak memory in MB of one export."""
    words = [sys.executable, "-m", "sv2r", "export", str(place / str(size))]
    words += ["--writer", writer, "--output", str(place / f"{writer}-{size}")]
    began = time.perf_counter()
    process = subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    _, status, used = os.wait4(process.pid, 0)
    if status:
        raise SystemExit(f"failed: {' '.join(words)}")
    wall, processor = time.perf_counter() - began, used.ru_utime + used.ru_stime
    each = {"wall": 1e3 * wall / size, "processor": 1e3 * processor / size}
    return {**each, "peak": used.ru_maxrss / 1e3}


if __name__ == "__main__":
    main()
