"""How many functions in how many files a conversion of one picture enters: what a reader follows.

    uv run python -m benchmarks.entered [--json FILE]

A profiler watches every thread while one picture is converted by a translator that changes
nothing, without checks. The same conversion has run once before, so that imports and caches do not
count. Comprehensions, lambdas and module bodies are no functions.
"""

from __future__ import annotations

import sys
import tempfile
import threading
from dataclasses import replace
from pathlib import Path
from types import FrameType
from typing import Any

import numpy as np

import sv2r
from benchmarks.lib.table import Row, parser, report
from sv2r.images.png import encode_png
from sv2r.plugin.discovery import Owner
from sv2r.plugin.options import Options
from sv2r.plugin.registry import Entry, Registry, load_registry
from sv2r.plugin.specs import TranslatorSpec

_ROOT = Path(sv2r.__file__).parent


class NoOptions(Options):
    """The translator has none."""


def main() -> None:
    """Count, print the table and write the JSON."""
    options = parser("Functions and files that one picture enters.").parse_args()
    with tempfile.TemporaryDirectory() as name:
        entered = watch_conversion(Path(name))
    files = {file for file, _ in entered}
    report(
        [Row("functions entered", len(entered), ""), Row("files entered", len(files), "")],
        options.json,
    )


def watch_conversion(folder: Path) -> set[tuple[str, str]]:
    """Return the file and the name of every function that the second of two conversions enters."""
    masks, pictures = folder / "in" / "masks", folder / "in" / "images"
    random = np.random.default_rng(0)
    labels = np.zeros((96, 128), np.uint8)
    labels[10:60, 10:60] = 1
    for place, pixels in (
        (pictures, random.integers(0, 255, (96, 128, 3), np.uint8)),
        (masks, labels),
    ):
        place.mkdir(parents=True)
        (place / "a.png").write_bytes(encode_png(pixels))
    registry = _registry()
    entered: set[tuple[str, str]] = set()

    def note(frame: FrameType, event: str, _: Any) -> None:
        code = frame.f_code
        ours = code.co_filename.startswith(str(_ROOT)) and not code.co_name.startswith("<")
        if event == "call" and ours:
            entered.add((code.co_filename, code.co_qualname))

    _convert(folder / "in", folder / "first", registry)
    threading.setprofile(note)
    sys.setprofile(note)
    try:
        _convert(folder / "in", folder / "second", registry)
    finally:
        sys.setprofile(None)
        threading.setprofile(None)
    return entered


def _convert(source: Path, output: Path, registry: Registry) -> None:
    config = {"input": source, "output": output, "translator": "keep", "checks": []}
    summary = sv2r.convert({**config, "batch_size": 1, "loader": "folder"}, registry=registry)
    if summary.done != 1:
        raise SystemExit(f"the picture was not made: {summary.troubles}")


def _registry() -> Registry:
    """Return the installed plugins and a translator that changes nothing."""
    spec = TranslatorSpec(
        name="keep",
        summary="Changes nothing.",
        options=NoOptions,
        build=lambda _options, _runtime: lambda batch: [frame.pixels for frame in batch.frames],
    )
    entry = Entry("translator", "keep", Owner("keep", "benchmarks", "0"), spec)
    registry = load_registry()
    return replace(registry, entries=(*registry.entries, entry))


if __name__ == "__main__":
    main()
