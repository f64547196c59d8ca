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
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from sv2r.errors import Sv2rError
from sv2r.plugin.hookspecs import hookimpl
from sv2r.plugin.options import Options
from sv2r.plugin.specs import Executor, ExecutorSpec, Runtime, Work
from sv2r.types import Record, Task

if TYPE_CHECKING:
    from sv2r.job.work import LocalWork
    from sv2r.job.worker import LocalWorker

    # What the driver sends: a task, a batch size, or the end of a round.
    _Inbox = queue.SimpleQueue[Task | int | None]

# Tasks that a worker process is given before it asks for more: enough to begin reading at once.
_AT_FIRST = 8
# Seconds between two looks at whether the user wants to stop.
_PULSE = 0.2
# Seconds that a worker process has to leave by itself once the driver has hung up.
_LEAVING = 5.0


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

    tasks: what it has in hand. credit: how many more it wants.
    state: open takes tasks; ending has been told the end of its round and finishes the batches
    that are not full; idle has done so.
    sized: whether it knows the batch size. told: to stop.
    """

    device: str
    process: BaseProcess
    pipe: Connection
    sized: bool
    tasks: dict[Task, None] = field(default_factory=dict)
    credit: int = _AT_FIRST
    state: Literal["open", "ending", "idle"] = "idle"
    told: bool = False


class _Crew:
    """The driver's side of several worker processes.

    Tasks go out in rounds: a worker that is told the end of a round finishes the batches that are
    not full. A dead worker's tasks make a new round for the others. Where the batch size is not
    known, the first worker finds it out with a round of one picture, for all of them.
    """

    def __init__(self, work: Work, tasks: Iterable[Task]) -> None:
        self._work = work
        self._fresh = iter(tasks)
        self._again: deque[Task] = deque()
        self._dry = False
        self._batch_size = work.batch_size
        self._hands: list[_Hand] = []
        self._died = False

    def run(self) -> Iterator[Record]:
        """Yield the records of all workers as they come."""
        try:
            for device in self._work.devices:
                self._hands.append(self._hire(device))
            while self._hands:
                for hand in self._hands:
                    self._feed(hand)
                if self._is_over():
                    return
                for hand in self._heard():
                    yield from self._listen(hand)
        finally:
            _dismiss(self._hands)
            if self._died:
                _clear_up(Path(self._work.config["output"]))
        raise Sv2rError("every worker process has died; the same command goes on where it was")

    def _hire(self, device: str) -> _Hand:
        # A worker must inherit neither threads nor a GPU's state: it is forked from a server
        # that has neither.
        context = multiprocessing.get_context("forkserver")
        ours, theirs = context.Pipe()
        share = self._work.devices.count(device)
        setup = (dict(self._work.config), device, share, self._work.batch_size, self._work.model)
        process = context.Process(target=_serve, args=(theirs, *setup), name=f"sv2r {device}")
        process.start()
        theirs.close()
        return _Hand(device, process, ours, sized=self._batch_size is not None)

    def _feed(self, hand: _Hand) -> None:
        """Give a worker what it asks for; where there is no more, the end of its round."""
        if self._work.stop.is_set():
            if not hand.told:
                _send(hand, ("stop", None))
                hand.told = True
            return
        if self._batch_size is None and hand is not self._hands[0]:
            return
        while hand.state != "ending" and hand.credit:
            if (task := self._next()) is None:
                if hand.state == "open":
                    self._end_round(hand)
                return
            self._give(hand, task)

    def _give(self, hand: _Hand, task: Task) -> None:
        if not hand.sized and self._batch_size is not None:
            _send(hand, ("batch size", self._batch_size))
            hand.sized = True
        hand.tasks[task] = None
        hand.credit -= 1
        hand.state = "open"
        _send(hand, ("task", task))
        if self._batch_size is None:
            self._end_round(hand)

    def _end_round(self, hand: _Hand) -> None:
        _send(hand, ("end", None))
        hand.state = "ending"

    def _next(self) -> Task | None:
        if self._again:
            return self._again.popleft()
        task = next(self._fresh, None)
        self._dry = task is None
        return task

    def _is_over(self) -> bool:
        begun = any(hand.tasks for hand in self._hands)
        return not begun and (self._work.stop.is_set() or (self._dry and not self._again))

    def _heard(self) -> list[_Hand]:
        """Return the workers that have something to say, the dead among them."""
        sources: dict[object, _Hand] = {hand.pipe: hand for hand in self._hands}
        sources |= {hand.process.sentinel: hand for hand in self._hands}
        ready = wait([*sources], timeout=_PULSE)  # type: ignore[list-item]
        return list({id(sources[one]): sources[one] for one in ready}.values())

    def _listen(self, hand: _Hand) -> Iterator[Record]:
        """Yield the records that a worker has sent; see to its tasks where it has died."""
        alive = hand.process.is_alive()
        try:
            while hand.pipe.poll():
                yield from self._take(hand, *hand.pipe.recv())
        except (EOFError, OSError):
            alive = False
        if not alive:
            self._bury(hand)

    def _take(self, hand: _Hand, what: str, value: Any) -> Iterator[Record]:
        from sv2r.job.journal import from_json

        if what == "record":
            task, record = value[0], from_json(value[1])
            hand.tasks.pop(task, None)
            self._note_batch_size(hand, record)
            yield record
        elif what == "took":
            hand.credit += 1
        elif what == "dropped":
            hand.tasks.clear()
        elif what == "round":
            hand.state = "idle"
        elif what == "said":
            self._work.say(value)
        elif what == "error":
            raise value

    def _note_batch_size(self, hand: _Hand, record: Record) -> None:
        found = record.settings.get("batch_size")
        if self._batch_size is None and found:
            self._batch_size = int(found)
            hand.sized = True

    def _bury(self, hand: _Hand) -> None:
        """Hand a dead worker's tasks to the others."""
        self._died = True
        self._hands.remove(hand)
        hand.pipe.close()
        hand.process.join()
        self._again.extend(hand.tasks)
        code = hand.process.exitcode or 0
        how = f"killed by signal {-code}" if code < 0 else f"exit code {code}"
        count = len(hand.tasks)
        what = f"{count} sample{'' if count == 1 else 's'} that it had begun"
        where = f"; the others do the {what}" if self._hands and count else ""
        self._work.say(f"the worker on {hand.device} died ({how}){where}")


def _send(hand: _Hand, message: tuple[str, object]) -> None:
    with suppress(OSError):  # it has died; _listen finds that out and sees to its tasks
        hand.pipe.send(message)


def _dismiss(hands: Iterable[_Hand]) -> None:
    for hand in hands:
        hand.pipe.close()
    for hand in hands:
        hand.process.join(_LEAVING)
        if hand.process.is_alive():
            hand.process.kill()
            hand.process.join()


def _clear_up(output: Path) -> None:
    """Remove what dead workers were writing; nobody writes any more."""
    from sv2r.job.plan import remove_leftovers

    remove_leftovers(output)


def _serve(
    pipe: Connection,
    config: Mapping[str, Any],
    device: str,
    share: int,
    batch_size: int | None,
    model: str | None,
) -> None:
    """Do what the driver sends until it hangs up: the main function of a worker process.

    share: how many workers there are on the device.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the driver decides what Ctrl-C means
    from sv2r.job.journal import to_json
    from sv2r.job.work import open_work

    lock = threading.Lock()

    def tell(what: str, value: object) -> None:
        with lock:
            pipe.send((what, value))

    try:
        work = open_work(config, (device,), batch_size, model, lambda line: tell("said", line))
        inbox = _listen_to_driver(pipe, work.stop)
        if device == "cpu":
            _take_share(share)
        worker = work.worker(device)
        while True:
            known: dict[tuple[str, int], Task] = {}
            for record in worker.run(_round(inbox, work, worker, known, tell)):
                task = known.pop((record.sample, record.variant))
                tell("record", (task, to_json(record)))
            if work.stop.is_set():
                tell("dropped", None)
            tell("round", None)
    except Sv2rError as error:
        tell("error", error)


def _take_share(share: int) -> None:
    """Let torch use this worker's part of the cores alone."""
    import torch

    torch.set_num_threads(max(1, torch.get_num_threads() // share))


def _listen_to_driver(pipe: Connection, stop: threading.Event) -> _Inbox:
    """Return a queue that a thread fills with what the driver sends; None ends a round."""
    inbox: _Inbox = queue.SimpleQueue()

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
    inbox: _Inbox,
    work: LocalWork,
    worker: LocalWorker,
    known: dict[tuple[str, int], Task],
    tell: Callable[[str, object], None],
) -> Iterator[Task]:
    """Yield the tasks of a round as the worker asks for them."""
    while (item := inbox.get()) is not None and not work.stop.is_set():
        if isinstance(item, int):
            worker.batch_size = item
        else:
            tell("took", None)
            known[work.sample_id(item.index), item.variant] = item
            yield item


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
