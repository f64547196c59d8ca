"""Ctrl-C, and what schedulers and closed terminals send in its place."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterable
from types import FrameType

INTERRUPTS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)

Handler = Callable[[int, FrameType | None], object]


def take_interrupts(
    handler: Handler, numbers: Iterable[signal.Signals] = INTERRUPTS
) -> Callable[[], None]:
    """Let a handler take interrupts, and return what gives them back; for the main thread alone.

    SIGHUP stays ignored where it is, as under nohup. SIGINT is taken even then: a script that
    begins a job in the background has it ignored.
    """
    before = {}
    for number in numbers:
        if number != signal.SIGHUP or signal.getsignal(number) != signal.SIG_IGN:
            before[number] = signal.signal(number, handler)

    def give_back() -> None:
        for number, known in before.items():
            signal.signal(number, known)

    return give_back
