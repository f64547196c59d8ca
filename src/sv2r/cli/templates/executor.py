"""The executor my-plugin: one worker in this process."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from sv2r import ExecutorSpec, Options, Record, Runtime, Task, hookimpl
from sv2r.plugin.specs import Work


class MyPluginOptions(Options):
    """Options of the executor: none yet."""


class MyPlugin:
    """Runs a job's tasks; `work.config` is all that a worker elsewhere needs to be sent."""

    def __init__(self, options: MyPluginOptions, runtime: Runtime) -> None:
        self._options = options

    def run(self, work: Work, tasks: Iterable[Task]) -> Iterator[Record]:
        """Yield one record per task, in any order."""
        yield from work.worker(work.devices[0]).run(tasks)


@hookimpl
def sv2r_executors() -> Iterable[ExecutorSpec[Any]]:
    """Return the executor."""
    return [
        ExecutorSpec(
            name="my-plugin",
            summary="One worker in this process.",
            options=MyPluginOptions,
            build=MyPlugin,
        )
    ]
