"""What a person sees while a job runs, on a terminal and elsewhere."""

from __future__ import annotations

import os
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import TYPE_CHECKING

import click

from sv2r.cli.lines import plain
from sv2r.job.describe import header_lines, summary_lines
from sv2r.job.open import OpenJob
from sv2r.job.plan import Plan
from sv2r.job.summary import Summary
from sv2r.plugin.specs import Phase
from sv2r.types import Record

if TYPE_CHECKING:
    from rich.progress import Progress as Bar
    from rich.progress import TaskID

# Seconds between two lines where there is no terminal to redraw.
_EVERY = 30.0
# Seconds in which pictures come as one batch.
_BURST = 1.0


class Progress:
    """Counts, and prints lines on stderr; what both kinds of output share.

    It can watch several jobs, one after the other: what runs is said of the first alone.
    """

    def __init__(self, doing: str = "converting") -> None:
        self._doing = doing
        self._jobs = 0
        self._total = 0
        self._ended = 0
        self._troubled = 0
        self._restored = 0
        self._told: set[str] = set()  # variants of one picture fail alike
        self._phase: tuple[Phase, str] = ("loading", "")
        self._first = self._since = 0.0  # when the first pictures were there
        self._before = 0  # how many they were

    def __enter__(self) -> Progress:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        return None

    def opened(self, job: OpenJob, plan: Plan) -> None:
        """Say what is about to run."""
        for line in () if self._jobs else header_lines(job, plan):
            self.said(line)
        self._jobs += 1
        self._total, self._restored = len(plan.tasks), plan.restored
        self._ended = self._before = 0
        self._first = self._since = 0.0

    def said(self, line: str) -> None:
        """Print a line."""
        click.echo(plain(line), err=True)

    def recorded(self, record: Record) -> None:
        """Count a record; a failed or rejected one is told at once."""
        if record.variant >= 0:
            self._ended += 1
            self._begin_counting(time.monotonic())
        if record.status != "done":
            self._troubled += 1
            line = f"{record.status:<11} {record.error}"
            if line not in self._told:
                self.said(line)
            self._told.add(line)

    def shown(self, phase: Phase, detail: str) -> None:
        """Take what is done at the moment."""
        self._phase = (phase, detail)

    def _begin_counting(self, now: float) -> None:
        """Note when the first batch is there: what comes before it is loading, no pace."""
        self._first = self._first or now
        if now - self._first < _BURST:
            self._since, self._before = now, self._ended

    def rate(self) -> float:
        """Return pictures per second since the first batch; 0 while that cannot be told."""
        now = time.monotonic()
        if self._ended > self._before:
            return (self._ended - self._before) / (now - self._since)
        return (self._ended - 1) / (now - self._first) if self._ended > 1 else 0.0

    def summarise(self, summary: Summary) -> None:
        """Print how the job ended, without the failures that were told when they came."""
        for line in summary_lines(summary):
            if line not in self._told:
                click.echo(plain(line))


def watcher(doing: str = "converting") -> Progress:
    """Return what fits stderr: a bar on a terminal, lines elsewhere."""
    return Screen(doing) if sys.stderr.isatty() else Plain(doing)


class Plain(Progress):
    """A line now and then: for logs and pipes."""

    def __init__(self, doing: str = "converting") -> None:
        super().__init__(doing)
        self._over = threading.Event()

    def opened(self, job: OpenJob, plan: Plan) -> None:
        """Say what is about to run, and from then on how far it is."""
        super().opened(job, plan)
        if self._jobs == 1:
            threading.Thread(target=self._keep_telling, daemon=True).start()

    def shown(self, phase: Phase, detail: str) -> None:
        """Say what is done before pictures are drawn."""
        if phase != "drawing" and (phase, detail) != self._phase:
            self.said(f"{phase:<11} {detail}")
        super().shown(phase, detail)

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._over.set()

    def _keep_telling(self) -> None:
        while not self._over.wait(_EVERY):
            self.said(self._how_far())

    def _how_far(self) -> str:
        """Return a line: pictures, pace and time left; before the first, what is done."""
        counts = f"{self._doing:<11} {self._ended:,}/{self._total:,}"
        if not (rate := self.rate()):
            return f"{counts}  {': '.join(filter(None, self._phase))}"
        left = time.strftime("%H:%M:%S", time.gmtime((self._total - self._ended) / rate))
        return f"{counts}  {brief(rate)} pictures/s  {left} left"


class Screen(Progress):
    """A bar with rate and time left: for terminals."""

    def __init__(self, doing: str = "converting") -> None:
        super().__init__(doing)
        self._bar: Bar | None = None
        self._task: TaskID | None = None

    def opened(self, job: OpenJob, plan: Plan) -> None:
        """Say what is about to run and show the bar."""
        if self._bar is not None:
            self._bar.stop()
        super().opened(job, plan)
        if not plan.tasks:
            return
        self._bar = _bar(f"{self._doing:<11}", "{task.fields[rate]}", "{task.fields[notes]}")
        total, notes = len(plan.tasks), self._notes()
        self._task = self._bar.add_task("", total=total, rate="", notes=notes)
        self._bar.start()

    def said(self, line: str) -> None:
        """Print a line above the bar."""
        if self._bar is None:
            super().said(line)
        else:
            self._bar.console.print(line, markup=False, highlight=False)

    def recorded(self, record: Record) -> None:
        """Move the bar."""
        super().recorded(record)
        if self._bar is not None and self._task is not None and record.variant >= 0:
            pace = f"{brief(rate)} pictures/s" if (rate := self.rate()) else ""
            self._bar.update(self._task, advance=1, rate=pace, notes=self._notes())

    def shown(self, phase: Phase, detail: str) -> None:
        """Show at the bar's end what is done at the moment."""
        super().shown(phase, detail)
        if self._bar is not None and self._task is not None:
            self._bar.update(self._task, notes=self._notes())

    def _notes(self) -> str:
        counts = ((self._restored, "done earlier"), (self._troubled, "failed or rejected"))
        told = [f"{count:,} {what}" for count, what in counts if count]
        return "  ".join([*told, ": ".join(filter(None, self._phase))])

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._bar is not None:
            self._bar.stop()


class TrainProgress:
    """Shows a training on stderr: a bar on a terminal, a line now and then elsewhere."""

    def __init__(self) -> None:
        self._bar: Bar | None = None
        self._tasks: dict[str, TaskID] = {}
        self._silent = os.environ.get("RANK", "0") != "0"
        self._when = time.monotonic()

    def __enter__(self) -> TrainProgress:
        if sys.stderr.isatty() and not self._silent:
            self._bar = _bar("{task.description:<11}", "{task.fields[notes]}")
            self._bar.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._bar is not None:
            self._bar.stop()

    def said(self, line: str) -> None:
        """Print a line."""
        if self._bar is not None:
            self._bar.console.print(line, markup=False, highlight=False)
        elif not self._silent:
            click.echo(line, err=True)

    def counted(self, what: str, done: int, total: int) -> None:
        """Show how far something is that comes before the first step."""
        self._shown(what, done, total, "")

    def stepped(self, name: str, step: int, steps: int, loss: float, rate: float) -> None:
        """Show how far the steps are."""
        self._shown(name, step, steps, f"loss {loss:.4g} · {brief(rate)} pictures/s")

    def _shown(self, what: str, done: int, total: int, notes: str) -> None:
        if self._bar is not None:
            if what not in self._tasks:
                self._tasks[what] = self._bar.add_task(what, total=total, notes=notes)
            self._bar.update(self._tasks[what], completed=done, notes=notes)
        elif time.monotonic() - self._when >= _EVERY:
            self._when = time.monotonic()
            self.said(f"{what:<11} {done:,}/{total:,}{f'  {notes}' if notes else ''}")


@contextmanager
def watching(what: str) -> Iterator[Callable[[int, int], None] | None]:
    """Yield what draws a bar on stderr where that is a terminal."""
    if not sys.stderr.isatty():
        yield None
        return
    from rich.console import Console
    from rich.progress import Progress as Bar

    with Bar(console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(what, total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)


def brief(number: float) -> str:
    """Return a rate with three digits that count, and never with an exponent."""
    return f"{number:,.0f}" if number >= 100 else f"{number:.3g}"


def _bar(what: str, *notes: str) -> Bar:
    """Return a bar on stderr: what, the count, notes and the time left; in rich's markup."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
    from rich.progress import Progress as Bar

    first, *more = map(TextColumn, notes)
    return Bar(
        TextColumn(what),
        BarColumn(),
        MofNCompleteColumn(),
        first,
        TimeRemainingColumn(),
        *more,
        console=Console(stderr=True),
    )
