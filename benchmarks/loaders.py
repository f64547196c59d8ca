"""What it costs to plan a dataset of each format: open it, and make every sample.

    uv run python -m benchmarks.loaders [--sizes 1000,100000] [--only kitti] [--json FILE]

The trees are made here of hard links to a few files of 2 x 3 pixels, since no picture or mask is
read while a dataset is planned. Every measurement is a process of its own; its memory is the
process's peak. The baseline of a row is the same loader's row for the smallest size.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
import zipfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from benchmarks.lib.table import Row, parser, report

# A file system allows some 65,000 links to a file.
_LINKS = 50_000

Tree = Callable[[int], Iterator[tuple[str, str]]]


def main() -> None:
    """Measure, print the table and write the JSON."""
    arguments = parser("Planning a dataset of each format.")
    arguments.add_argument("--sizes", default="1000,100000", help="frames, comma-separated")
    arguments.add_argument("--only", default=",".join(TREES), help="formats, comma-separated")
    arguments.add_argument("--folder", type=Path, help="where the trees are made, then deleted")
    arguments.add_argument("--measure", help=argparse.SUPPRESS)
    options = arguments.parse_args()
    if options.measure:
        print(json.dumps(measure(options.measure.partition("-")[0], options.folder)))
        return
    rows: list[Row] = []
    for name in options.only.split(","):
        found = [run(name, int(size), options.folder) for size in options.sizes.split(",")]
        for size, cost in zip(options.sizes.split(","), found, strict=True):
            for key, unit in (("seconds", "s"), ("processor", "s"), ("megabytes", "MB")):
                told = f"{name}, {int(size):,} frames: {key}"
                rows.append(Row(told, cost[key], unit, baseline=found[0][key]))
    report(rows, options.json)


def run(name: str, frames: int, folder: Path | None) -> dict[str, float]:
    """Return what a fresh process measured on a tree of so many frames."""
    with tempfile.TemporaryDirectory(prefix="sv2r-loaders-", dir=folder) as place:
        root = make(Path(place), TREES[name], frames)
        if name.endswith("-zip"):
            root = packed(root, Path(place) / "x.zip")
        command = [sys.executable, "-m", "benchmarks.loaders", "--measure", name]
        command += ["--folder", str(root)]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        cost: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
        return cost


def measure(name: str, folder: Path) -> dict[str, float]:
    """Return the seconds to open a dataset and make its samples, and the process's peak memory."""
    from sv2r.plugin.options import validate_options
    from sv2r.plugin.registry import load_registry
    from sv2r.plugin.specs import Runtime
    from sv2r.storage.source import as_source

    spec = load_registry().spec("loader", name)
    start, began = time.perf_counter(), time.process_time()
    root = as_source(folder)
    options = validate_options(spec.options, {}, where="--loader")
    dataset = spec.build(options, Runtime(input=root))(root)
    made = sum(bool(sample.id) for sample in dataset.samples)
    seconds, processor = time.perf_counter() - start, time.process_time() - began
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3
    return {"seconds": seconds, "processor": processor, "megabytes": peak, "samples": made}


def make(place: Path, tree: Tree, frames: int) -> Path:
    """Make a tree of hard links; return its root."""
    root, originals = place / "tree", place / "originals"
    originals.mkdir()
    links: dict[str, int] = {}
    folders: set[Path] = set()
    for name, content in tree(frames):
        path = root / name
        if path.parent not in folders:
            path.parent.mkdir(parents=True, exist_ok=True)
            folders.add(path.parent)
        number = links[content] = links.get(content, -1) + 1
        original = originals / f"{content}-{number // _LINKS}"
        if not original.exists():
            original.write_bytes(CONTENT[content]())
        path.hardlink_to(original)
    return root


def packed(root: Path, archive: Path) -> Path:
    """Return a zip of a tree."""
    with zipfile.ZipFile(archive, "w") as zipped:
        for path in sorted(root.rglob("*")):
            if path.is_file():
                zipped.write(path, path.relative_to(root))
    return archive


def _png(values: object, kind: str) -> bytes:
    import io

    import numpy as np
    from PIL import Image

    file = io.BytesIO()
    Image.fromarray(np.array(values, kind)).save(file, "PNG")
    return file.getvalue()


def _hdf5() -> bytes:
    import io

    import h5py
    import numpy as np

    file = io.BytesIO()
    with h5py.File(file, "w") as made:
        made["colors"] = np.zeros((2, 3, 3), np.uint8)
        made["instance_segmaps"] = np.ones((2, 3), np.int64)
        made["instance_attribute_maps"] = np.bytes_('[{"idx": 1, "category_id": 1}]')
    return file.getvalue()


_CARLA = [[(1, 9, 0), (14, 7, 0), (24, 44, 1)]] * 2

CONTENT: Mapping[str, Callable[[], bytes]] = {
    "rgb": lambda: _png([[(9, 9, 9)] * 3] * 2, "uint8"),
    "ids": lambda: _png([[0, 1, 2]] * 2, "uint8"),
    "mots": lambda: _png([[0, 1001, 2001]] * 2, "uint16"),
    "carla": lambda: _png(_CARLA, "uint8"),
    "hdf5": _hdf5,
    "row": lambda: b"0 0.1 0.1 0.9 0.1 0.9 0.9\n",
    "yaml": lambda: b"names: [mug]\n",
}


def _pairs(first: str, second: str, content: str) -> Tree:
    def tree(frames: int) -> Iterator[tuple[str, str]]:
        for number in range(frames):
            yield first.format(number), "rgb"
            yield second.format(number), content

    return tree


def _yolo(frames: int) -> Iterator[tuple[str, str]]:
    yield "data.yaml", "yaml"
    yield from _pairs("images/train/{:06}.png", "labels/train/{:06}.txt", "row")(frames)


def _blenderproc(frames: int) -> Iterator[tuple[str, str]]:
    yield from ((f"{number}.hdf5", "hdf5") for number in range(frames))


TREES: Mapping[str, Tree] = {
    "folder": _pairs("images/{:06}.png", "masks/{:06}.png", "ids"),
    "kitti": _pairs("images/0001/{:06}.png", "instances/0001/{:06}.png", "mots"),
    "carla": _pairs("rgb/{:06}.png", "instance/{:06}.png", "carla"),
    "yolo": _yolo,
    "blenderproc": _blenderproc,
    "yolo-zip": _yolo,
    "blenderproc-zip": _blenderproc,
}


if __name__ == "__main__":
    main()
