"""What the benchmarks have in common: a row, a table of rows, JSON, a median time.

Needs Python's standard library alone, so that a benchmark also runs where little is installed.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

_TIMES = ("s", "ms", "us")


@dataclass(frozen=True)
class Row:
    """One figure and what it is measured against, both from the same run.

    unit: "ms", "MB", "pictures/s" ... baseline: in the same unit, or None.
    ratio: how many times as fast for a time (baseline / value), else value / baseline.
    """

    name: str
    value: float
    unit: str
    baseline: float | None = None
    ratio: float | None = None

    @classmethod
    def against(cls, name: str, value: float, unit: str, baseline: float) -> Row:
        """Return a row with its ratio worked out as `Row` says."""
        ratio = baseline / value if unit in _TIMES else value / baseline
        return cls(name, value, unit, baseline, ratio)


def parser(description: str) -> argparse.ArgumentParser:
    """Return a command line that has --json FILE."""
    result = argparse.ArgumentParser(description=description)
    result.add_argument("--json", type=Path, metavar="FILE", help="write the rows there as JSON")
    return result


def report(rows: Sequence[Row], json_file: Path | None = None) -> None:
    """Print the machine and the rows; write the rows to the file where one is named."""
    print(machine())
    print_table(rows)
    if json_file is not None:
        write_json(rows, json_file)


def print_table(rows: Sequence[Row]) -> None:
    """Print rows as a Markdown table whose columns line up."""
    lines = [("", "value", "unit", "baseline", "ratio")]
    lines += [
        (row.name, _figure(row.value), row.unit, _figure(row.baseline), _figure(row.ratio, "x"))
        for row in rows
    ]
    widths = [max(len(line[column]) for line in lines) for column in range(5)]
    dashes = [tuple("-" * width for width in widths)]
    for cells in [*lines[:1], *dashes, *lines[1:]]:
        first, *rest = (
            cell.ljust(width) if column in (0, 2) else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(cells, widths, strict=True))
        )
        print(f"| {first} | {' | '.join(rest)} |")


def write_json(rows: Sequence[Row], file: Path) -> None:
    """Write rows as a JSON list of {name, value, unit, baseline, ratio}."""
    file.write_text(json.dumps([asdict(row) for row in rows], indent=2) + "\n", encoding="utf-8")


def median_seconds(call: Callable[[], object], *, repeats: int = 9, warm_up: int = 1) -> float:
    """Return the median wall time of a call, in seconds, after warm-up calls that do not count."""
    for _ in range(warm_up):
        call()
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        call()
        times.append(time.perf_counter() - start)
    return statistics.median(times)


def machine() -> str:
    """Return one line: processor, usable cores, Python."""
    python = platform.python_version()
    return f"{_processor()}, {_cores()} cores, {platform.system()}, Python {python}"


def _processor() -> str:
    info = Path("/proc/cpuinfo")
    if info.exists():
        names = [line for line in info.read_text().splitlines() if line.startswith("model name")]
        if names:
            return names[0].partition(":")[2].strip()
    return platform.processor() or platform.machine()


def _cores() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _figure(value: float | None, unit: str = "") -> str:
    """Return three significant digits, thousands separated, or "" where there is no figure."""
    if value is None:
        return ""
    decimals = next((n for n, limit in enumerate((100, 10, 1, 0.1)) if abs(value) >= limit), 4)
    return f"{value:,.{decimals}f}{unit}"
