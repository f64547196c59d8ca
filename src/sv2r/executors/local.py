"""Runs a job on this machine: in this process, or with one worker process per device."""

from __future__ import annotations

import multiprocessing
import os
import queue
import signal
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from typing import Any, Literal

from sv2r.errors import ConfigError, StorageError, Sv2rError
from sv2r.plugin.hookspecs import hookimpl
from sv2r.plugin.options import Options
from sv2r.plugin.specs import Executor, ExecutorSpec, Runtime, Work
from sv2r.types import Record, Task

# Tasks that a worker process has in hand: enough for it to read ahead while a batch runs.
_IN_HAND = 64
# Seconds between two looks at whether the user wants to stop.
_PULSE = 0.2


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
            yield from _Crew(work, tasks).run()


@dataclass
class _Hand:
    """A worker process as the driver sees it.

    tasks: what it has in hand. state: open takes tasks; ending has been told the end of its round
    and finishes the batches that are not full; idle has done so. told: to stop.
    """

    device: str
    process: BaseProcess
    pipe: Connection
    tasks: dict[Task, None] = field(default_factory=dict)
    state: Literal["open", "ending", "idle"] = "open"
    told: bool = False


class _Crew:
    """The driver's side of several worker processes.

    Tasks go out in rounds: a worker that is told the end of a round finishes the batches that are
    not full. A dead worker's tasks make a new round for the others.
    """

    def __init__(self, work: Work, tasks: Iterable[Task]) -> None:
        self._work = work
        self._fresh = iter(tasks)
        self._again: deque[Task] = deque()
        self._dry = False

    def run(self) -> Iterator[Record]:
        """Yield the records of all workers as they come."""
        hands = [self._hire(device) for device in self._work.devices]
        try:
            while hands:
                for hand in hands:
                    self._feed(hand)
                if self._is_over(hands):
                    return
                for hand in self._heard(hands):
                    yield from self._listen(hand, hands)
        finally:
            for hand in hands:
                _dismiss(hand)
        raise Sv2rError("every worker process has died; the same command goes on where it was")

    def _hire(self, device: str) -> _Hand:
        context = multiprocessing.get_context("spawn")
        ours, theirs = context.Pipe()
        setup = (dict(self._work.config), device, self._work.batch_size, self._work.model)
        process = context.Process(target=_serve, args=(theirs, *setup), name=f"sv2r {device}")
        process.start()
        theirs.close()
        return _Hand(device, process, ours)

    def _feed(self, hand: _Hand) -> None:
        """Give a worker what it can hold; where there is no more, the end of its round."""
        if self._work.stop.is_set():
            if not hand.told:
                _send(hand, ("stop", None))
                hand.told = True
            return
        if hand.state == "idle" and self._again:
            hand.state = "open"
        while hand.state == "open" and len(hand.tasks) < _IN_HAND:
            if (task := self._next()) is None:
                _send(hand, ("end", None))
                hand.state = "ending"
            else:
                hand.tasks[task] = None
                _send(hand, ("task", task))

    def _next(self) -> Task | None:
        if self._again:
            return self._again.popleft()
        task = next(self._fresh, None)
        self._dry = task is None
        return task

    def _is_over(self, hands: list[_Hand]) -> bool:
        begun = any(hand.tasks for hand in hands)
        return not begun and (self._work.stop.is_set() or (self._dry and not self._again))

    def _heard(self, hands: list[_Hand]) -> list[_Hand]:
        """Return the workers that have something to say, the dead among them."""
        sources: dict[object, _Hand] = {hand.pipe: hand for hand in hands}
        sources |= {hand.process.sentinel: hand for hand in hands}
        ready = wait([*sources], timeout=_PULSE)  # type: ignore[list-item]
        return list({id(sources[one]): sources[one] for one in ready}.values())

    def _listen(self, hand: _Hand, hands: list[_Hand]) -> Iterator[Record]:
        """Yield the records that a worker has sent; see to its tasks where it has died."""
        try:
            while hand.pipe.poll():
                yield from self._take(hand, *hand.pipe.recv())
        except (EOFError, ConnectionResetError):
            hands.remove(hand)
            self._bury(hand, hands)

    def _take(self, hand: _Hand, what: str, value: Any) -> Iterator[Record]:
        if what == "record":
            task, record = value
            hand.tasks.pop(task, None)
            yield record
        elif what == "dropped":
            hand.tasks.clear()
        elif what == "round":
            hand.state = "idle"
        elif what == "said":
            self._work.say(value)
        elif what == "error":
            raise value

    def _bury(self, hand: _Hand, hands: list[_Hand]) -> None:
        """Hand a dead worker's tasks to the others."""
        hand.process.join()
        self._again.extend(hand.tasks)
        code = hand.process.exitcode or 0
        how = f"killed by signal {-code}" if code < 0 else f"exit code {code}"
        left = f"; its {len(hand.tasks)} samples go to the others" if hands else ""
        self._work.say(f"the worker on {hand.device} died ({how}){left}")


def _send(hand: _Hand, message: tuple[str, object]) -> None:
    with suppress(OSError):  # it has died; _listen finds that out and sees to its tasks
        hand.pipe.send(message)


def _dismiss(hand: _Hand) -> None:
    hand.pipe.close()
    hand.process.join(timeout=5)
    if hand.process.is_alive():
        hand.process.terminate()
        hand.process.join()


def _serve(
    pipe: Connection,
    config: Mapping[str, Any],
    device: str,
    batch_size: int | None,
    model: str | None,
) -> None:
    """Do what the driver sends until it hangs up: the main function of a worker process."""
    from sv2r.job.work import open_work

    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the driver decides what Ctrl-C means
    lock = threading.Lock()

    def tell(what: str, value: object) -> None:
        with lock:
            pipe.send((what, value))

    try:
        work = open_work(config, (device,), batch_size, model, lambda line: tell("said", line))
        inbox = _listen_to_driver(pipe, work.stop)
        worker = work.worker(device)
        while True:
            known: dict[tuple[str, int], Task] = {}
            for record in worker.run(_round(inbox, work.sample_id, known)):
                tell("record", (known.pop((record.sample, record.variant)), record))
            if work.stop.is_set():
                tell("dropped", None)
            tell("round", None)
    except (ConfigError, StorageError, Sv2rError) as error:
        tell("error", error)


def _listen_to_driver(pipe: Connection, stop: threading.Event) -> queue.SimpleQueue[Task | None]:
    """Return a queue that a thread fills with what the driver sends; None ends a round."""
    inbox: queue.SimpleQueue[Task | None] = queue.SimpleQueue()

    def listen() -> None:
        try:
            while True:
                what, value = pipe.recv()
                if what == "stop":
                    stop.set()
                inbox.put(value)
        except (EOFError, OSError):
            os._exit(0)  # the driver is gone, and with it whoever could keep a record

    threading.Thread(target=listen, name="sv2r-listen", daemon=True).start()
    return inbox


def _round(
    inbox: queue.SimpleQueue[Task | None],
    sample_id: Callable[[int], str],
    known: dict[tuple[str, int], Task],
) -> Iterator[Task]:
    while (task := inbox.get()) is not None:
        known[sample_id(task.index), task.variant] = task
        yield task


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
