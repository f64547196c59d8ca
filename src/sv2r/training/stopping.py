"""When a run stops before its end: a time that is up, Ctrl-C, a scheduler's SIGTERM."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from sv2r.interrupts import take_interrupts


class Stop:
    """Says whether to stop; a step that has begun is always finished, and its state saved."""

    def __init__(self, max_time: float | None = None) -> None:
        self._deadline = None if max_time is None else time.monotonic() + max_time
        self.asked = False
        self.interrupted = False

    def now(self) -> bool:
        """Return whether to stop after this step; from then on `asked` is true."""
        late = self._deadline is not None and time.monotonic() >= self._deadline
        self.asked = self.asked or late or self.interrupted
        return self.asked

    @contextmanager
    def listening(self) -> Iterator[None]:
        """Take interrupts as a wish to stop while this lasts; a second one is obeyed."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return

        def wish(number: int, frame: FrameType | None) -> None:
            self.interrupted = True
            take_interrupts(signal.default_int_handler)

        give_back = take_interrupts(wish)
        try:
            yield
        finally:
            give_back()
