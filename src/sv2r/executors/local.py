"""Runs a job on this machine."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from sv2r.plugin.hookspecs import hookimpl
from sv2r.plugin.options import Options
from sv2r.plugin.specs import Executor, ExecutorSpec, Runtime, Work
from sv2r.types import Record, Task


class LocalOptions(Options):
    """The local executor has no options of its own: see --device."""


class Local:
    """One worker in this process."""

    def run(self, work: Work, tasks: Iterable[Task]) -> Iterator[Record]:
        """Yield one record per task."""
        yield from work.worker(work.devices[0]).run(tasks)


def build(options: LocalOptions, runtime: Runtime) -> Executor:
    """Return an executor in this process."""
    return Local()


@hookimpl
def sv2r_executors() -> Iterable[ExecutorSpec[Any]]:
    """Return the executor that needs nothing but this machine."""
    return [
        ExecutorSpec(name="local", summary="On this machine.", options=LocalOptions, build=build)
    ]
