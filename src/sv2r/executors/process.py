"""The worker's side of several worker processes: what runs in each."""

from __future__ import annotations

import os
import queue
import signal
import threading
from collections.abc import Callable, Iterator, Mapping
from multiprocessing.connection import Connection
from typing import TYPE_CHECKING, Any

from sv2r.errors import Sv2rError
from sv2r.interrupts import INTERRUPTS
from sv2r.types import Task

if TYPE_CHECKING:
    from sv2r.worker.batcher import Batcher
    from sv2r.worker.copying import Copier
    from sv2r.worker.work import LocalWork

    # What the driver sends: a task, a batch size, or the end of a round.
    _Inbox = queue.SimpleQueue[Task | int | None]


def serve(
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
    for number in INTERRUPTS:
        signal.signal(number, signal.SIG_IGN)  # the driver decides what Ctrl-C means
    from tqdm import tqdm

    from sv2r.output.records import to_json
    from sv2r.worker.work import open_work

    # tqdm's own lock is a semaphore of the system, which a worker that is killed leaves behind.
    tqdm.set_lock(threading.RLock())
    lock = threading.Lock()

    def tell(what: str, value: object) -> None:
        with lock:
            pipe.send((what, value))

    try:
        work = open_work(
            config,
            (device,),
            batch_size,
            model,
            say=lambda line: tell("said", line),
            show=lambda phase, detail: tell("shown", (phase, detail)),
        )
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
    worker: Batcher | Copier,
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
