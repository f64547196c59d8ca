"""What an export costs per picture, with each writer: time, memory, and bytes on disk.

    uv run python -m benchmarks.exports [--sizes 250,1000] [--only coco,hf] [--json FILE]
    uv run --with datumaro python -m benchmarks.exports     # and Datumaro's exporters beside ours

Pictures of 512 x 512 as PNG with eight ellipses each, that hide parts of one another, made here.
Every export is a process of its own, `sv2r export`; its memory is the process's peak. The baseline
of a row is the same writer's row for the smallest size: what is flat per picture has a ratio of 1.

Where Datumaro is installed, both also read the same COCO dataset and write the layouts that both
have. The baseline of these rows is Datumaro's: a ratio above 1 is ours, faster.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import numpy as np
from PIL import Image

from benchmarks.lib.table import Row, parser, report

WRITERS = ("mirror", "coco", "folder", "yolo", "voc", "cityscapes", "webdataset", "hf")
_SIDE, _SHAPES = 512, 8
# Layouts that both write, by our writer's name.
DATUMARO = {
    "coco": "coco_instances",
    "voc": "voc_instance_segmentation",
    "cityscapes": "cityscapes",
}
_DATUMARO = """
import sys
from datumaro import Dataset
source, layout, output = sys.argv[1:]
Dataset.import_from(source, "coco_instances").export(output, layout, save_media=True)
"""


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
        rows += list(beside_datumaro(Path(place), sizes[-1], options.only.split(",")))
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
    return cost_of(_ours(place / str(size), writer, place / f"{writer}-{size}"), size)


def _ours(source: Path, writer: str, output: Path) -> list[str]:
    words = [sys.executable, "-m", "sv2r", "export", str(source)]
    return [*words, "--writer", writer, "--output", str(output)]


def beside_datumaro(place: Path, size: int, writers: list[str]) -> Iterator[Row]:
    """Yield a row for each layout that both write, from the same COCO dataset."""
    if find_spec("datumaro") is None:
        print("Datumaro is left out: it is not installed; add --with datumaro", file=sys.stderr)
        return
    source = place / "coco-of-both"
    make_coco_of_both(place / str(size), source)
    for writer in (one for one in writers if one in DATUMARO):
        output = place / f"datumaro-{writer}"
        words = [sys.executable, "-c", _DATUMARO, str(source), DATUMARO[writer], str(output)]
        theirs = cost_of(words, size)
        ours = cost_of(_ours(source, writer, place / f"beside-{writer}"), size)
        for key, unit in (("wall", "ms"), ("processor", "ms"), ("peak", "MB")):
            told = f"{writer} beside Datumaro, {size:,} pictures: {key}"
            yield Row.against(told, ours[key], unit, baseline=theirs[key])


def make_coco_of_both(folder: Path, target: Path) -> None:
    """Write pictures and masks as COCO in the one layout that Datumaro knows."""
    made = target.with_name(f"{target.name}-made")
    cost_of(_ours(folder, "coco", made), 1)
    told = json.loads((made / "annotations.json").read_text())
    (target / "annotations").mkdir(parents=True)
    shutil.copytree(made / "images", target / "images" / "train")
    (target / "annotations" / "instances_train.json").write_text(json.dumps(told))


def cost_of(words: list[str], size: int) -> dict[str, float]:
    """Return milliseconds per picture and the peak memory in MB of a command."""
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
