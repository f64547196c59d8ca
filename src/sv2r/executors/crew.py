"""The driver's side of several worker processes."""

from __future__ import annotations

import multiprocessing
from collections import Counter, deque
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any, Literal

from sv2r.errors import Sv2rError
from sv2r.executors.process import serve
from sv2r.plugin.specs import Work
from sv2r.types import Record, Task

# Tasks that a worker process is given before it asks for more: enough to begin reading at once.
_AT_FIRST = 8
# Seconds between two looks at whether the user wants to stop.
_PULSE = 0.2
# Seconds that a worker process has to leave by itself once the driver has hung up.
_LEAVING = 5.0


@dataclass
class _Hand:
    """A worker process as the driver sees it.

    tasks: what it has in hand. credit: how many more it wants.
    alone: whether it was given one task that must not die with others.
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
    alone: bool = False


class Crew:
    """Worker processes, and what each has in hand.

    Tasks go out in rounds: a worker that is told the end of a round finishes the batches that are
    not full. A dead worker's tasks make a new round for the others. Where the batch size is not
    known, the first worker finds it out with a round of one picture, for all of them.

    A task that was in hand when two workers died may be what they died of. A new worker takes the
    place of the second and does such tasks one by one: what kills it then is failed by name.
    """

    def __init__(self, work: Work, tasks: Iterable[Task]) -> None:
        self._work = work
        self._fresh = iter(tasks)
        self._again: deque[Task] = deque()
        self._suspects: deque[Task] = deque()
        self._deaths: Counter[Task] = Counter()
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
                _clear_up(Path(self._work.config["output"]), Path(self._work.config["input"]))
        raise Sv2rError("every worker process has died; run the same command again to continue")

    def _hire(self, device: str) -> _Hand:
        # A worker must inherit neither threads nor a GPU's state: it is forked from a server
        # that has neither.
        context = multiprocessing.get_context("forkserver")
        ours, theirs = context.Pipe()
        share = self._work.devices.count(device)
        setup = (dict(self._work.config), device, share, self._batch_size, self._work.model)
        process = context.Process(target=serve, args=(theirs, *setup), name=f"sv2r {device}")
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
        if self._suspects and hand.state == "idle" and hand.credit:
            hand.alone = True
            self._give(hand, self._suspects.popleft())
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
        if self._batch_size is None or hand.alone:
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
        waiting = self._again or self._suspects
        return not begun and (self._work.stop.is_set() or (self._dry and not waiting))

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
            yield from self._bury(hand)

    def _take(self, hand: _Hand, what: str, value: Any) -> Iterator[Record]:
        from sv2r.output.records import from_json

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
            hand.state, hand.alone = "idle", False
        elif what == "said":
            self._work.say(value)
        elif what == "shown":
            self._work.show(*value)
        elif what == "error":
            raise value

    def _note_batch_size(self, hand: _Hand, record: Record) -> None:
        found = record.settings.get("batch_size")
        if self._batch_size is None and found:
            self._batch_size = int(found)
            hand.sized = True

    def _bury(self, hand: _Hand) -> Iterator[Record]:
        """Hand a dead worker's tasks to the others; yield the record of what it died of alone."""
        self._died = True
        self._hands.remove(hand)
        hand.pipe.close()
        hand.process.join()
        code = hand.process.exitcode or 0
        how = f"killed by signal {-code}" if code < 0 else f"exit code {code}"
        if hand.alone and hand.tasks:
            for task in hand.tasks:
                yield self._given_up(task, how)
        self._deaths.update([*hand.tasks])  # a mapping would be taken for counts
        again = [] if hand.alone else [*hand.tasks]
        suspects = [task for task in again if self._deaths[task] > 1]
        self._suspects.extend(suspects)
        self._again.extend(task for task in again if self._deaths[task] == 1)
        if suspects or (hand.alone and hand.tasks):
            self._hands.append(self._hire(hand.device))
        what = f"{len(again)} sample{'' if len(again) == 1 else 's'} that it had begun"
        where = f"; the others do the {what}" if self._hands and again else ""
        where = f"; a new one tries the {what} one by one" if suspects else where
        self._work.say(f"the worker on {hand.device} died ({how}){where}")

    def _given_up(self, task: Task, how: str) -> Record:
        id_ = self._work.sample_id(task.index)
        what = f"the process that worked on it died three times ({how}), the last time on it alone"
        fix = "render it again, or leave it out with --only"
        return Record(id_, task.variant, "failed", error=f"{id_}: {what}; {fix}")


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


def _clear_up(output: Path, source: Path) -> None:
    """Remove what dead workers were writing; nobody writes any more."""
    from sv2r.storage.files import remove_leftovers

    remove_leftovers(output, lambda name: (source / name).exists())
