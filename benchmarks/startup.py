"""How much processor time commands take to start, against `python -c "import click"`.

    uv run python -m benchmarks.startup [--runs N] [--json FILE]

The commands and the baseline take turns, so that a busy machine slows all of them alike. The ratio
says how many times as long as the baseline a command takes. Plugins next to sv2r's own are named,
since they can make it slower.
"""

from __future__ import annotations

import resource
import statistics
import subprocess
import sys
from collections.abc import Sequence
from importlib.metadata import entry_points
from pathlib import Path

from benchmarks.lib.table import Row, parser, report

_BASELINE = (sys.executable, "-c", "import click")
_COMMANDS = (
    ("--help",),
    ("--version",),
    ("convert", "--help"),
    ("plugins",),
    ("config", "list"),
)


def main() -> None:
    """Measure, print the table and write the JSON."""
    arguments = parser('Start-up time against python -c "import click".')
    arguments.add_argument("--runs", type=int, default=15, metavar="N", help="of each command")
    options = arguments.parse_args()
    sv2r = Path(sys.executable).with_name("sv2r")
    if not sv2r.exists():
        sys.exit(f"{sv2r} is missing; install sv2r into this Python's environment")
    asked = [_BASELINE, *((str(sv2r), *command) for command in _COMMANDS)]
    baseline, *times = (1000 * seconds for seconds in median_times(asked, options.runs))
    rows = [
        Row(f"sv2r {' '.join(command)}", value, "ms", baseline, value / baseline)
        for command, value in zip(_COMMANDS, times, strict=True)
    ]
    print(f"plugins next to sv2r's own: {', '.join(other_plugins()) or 'none'}")
    report(rows, options.json)


def median_times(commands: Sequence[Sequence[str]], runs: int) -> list[float]:
    """Return the median processor seconds of each command, after one run that warms caches."""
    times: list[list[float]] = [[] for _ in commands]
    for turn in range(runs + 1):
        for command, taken in zip(commands, times, strict=True):
            seconds = run_once(command)
            if turn:
                taken.append(seconds)
    return [statistics.median(taken) for taken in times]


def run_once(command: Sequence[str]) -> float:
    """Return the processor time that a command takes, in seconds; stop where it fails."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    seconds = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    if result.returncode:
        sys.exit(f"{' '.join(command)} ended with {result.returncode}: {result.stderr.strip()}")
    return seconds


def other_plugins() -> list[str]:
    """Return the distributions next to sv2r that bring plugins."""
    owners = {point.dist.name for point in entry_points(group="sv2r") if point.dist is not None}
    return sorted(owners - {"sv2r"})


if __name__ == "__main__":
    main()
