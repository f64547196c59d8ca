"""Runs a job on this machine: in this process, or with one worker process per device."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from sv2r.plugin.hookspecs import hookimpl
from sv2r.plugin.options import Options
from sv2r.plugin.specs import Executor, ExecutorSpec, Runtime, Work
from sv2r.types import Record, Task


class LocalOptions(Options):
    """The local executor has no options of its own: --device says where models run."""


class Local:
    """One worker in this process, or one process per device where there are several."""

    def run(self, work: Work, tasks: Iterable[Task]) -> Iterator[Record]:
        """Yield one record per task.

        Raises:
            Sv2rError: every worker process has died.
        """
        if len(work.devices) == 1:
            yield from work.worker(work.devices[0]).run(tasks)
        else:
            from sv2r.executors.crew import Crew

            yield from Crew(work, tasks).run()


def build(options: LocalOptions, runtime: Runtime) -> Executor:
    """Return an executor on this machine."""
    return Local()


@hookimpl
def sv2r_executors() -> Iterable[ExecutorSpec[Any]]:
    """Return the executor that needs nothing but this machine."""
    return [
        ExecutorSpec(
            name="local",
            summary="On this machine: one worker per device of --device.",
            options=LocalOptions,
            build=build,
        )
    ]
