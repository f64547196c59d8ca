"""The only way into a plugin's code: what it raises is one line that names it, and it cannot print.

    with guard(owner, "build"):
        component = spec.build(options, runtime)

Errors meant for the user (`Sv2rError`) and Ctrl-C pass. All else, `SystemExit` included, becomes a
`PluginError` that names the plugin, its distribution and the stage: no plugin can end sv2r, or make
it end with exit code 0. What a plugin prints goes to stderr, since stdout is for results.
"""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from copy import copy
from functools import wraps
from typing import TYPE_CHECKING, Any, ParamSpec, TextIO, TypeVar

from sv2r.errors import PluginError, Sv2rError

if TYPE_CHECKING:
    import click

P = ParamSpec("P")
R = TypeVar("R")
T = TypeVar("T")


# What a plugin's code may raise: what it has to tell the user, and what is not its own.
_PASSING = (Sv2rError, KeyboardInterrupt)


class Guard:
    """See `guard`; a class, since each picture enters several."""

    __slots__ = ("_owner", "_passing", "_prints", "_stage")

    def __init__(
        self,
        owner: object,
        stage: str,
        *,
        prints: bool = False,
        passing: tuple[type[BaseException], ...] = (),
    ) -> None:
        self._owner, self._stage, self._prints, self._passing = owner, stage, prints, passing

    def __enter__(self) -> None:
        if not self._prints:
            _stdout.turn()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: object
    ) -> None:
        if not self._prints:
            _stdout.turn_back()
        if error is not None and not isinstance(error, (*_PASSING, *self._passing)):
            raise PluginError(str(self._owner), self._stage, one_line(error)) from error


def guard(owner: object, stage: str) -> Guard:
    """Return what a block of a plugin's code is run in.

    owner: whose code it is; its str() names the plugin and its distribution.
    stage: what the plugin is asked to do ("import", "build", "call", "publish" ...).

    Raises:
        PluginError: the block raised something that is no `Sv2rError` and no Ctrl-C.
    """
    return Guard(owner, stage)


def guarded(owner: object, stage: str, call: Callable[P, R]) -> Callable[P, R]:
    """Return a plugin's function such that each call of it is guarded."""

    @wraps(call)
    def guarded_call(*args: P.args, **kwargs: P.kwargs) -> R:
        with guard(owner, stage):
            return call(*args, **kwargs)

    return guarded_call


def guarded_items(owner: object, stage: str, items: Iterator[T]) -> Iterator[T]:
    """Yield what a plugin's iterator yields; each step of it is guarded, what lies between is not.

    Closing this closes the plugin's iterator, guarded as well.
    """
    try:
        while True:
            with guard(owner, stage):
                try:
                    item = next(items)
                except StopIteration:
                    return
            yield item
    finally:
        close = getattr(items, "close", None)
        if close is not None:
            with guard(owner, stage):
                close()


def guard_command(owner: object, command: click.Command) -> click.Command:
    """Return a plugin's command that is guarded while it reads its arguments and while it runs.

    It may print, and end as click's commands do: by a result, `click.Context.exit` or an error of
    click's.
    """
    import click

    passing = (click.ClickException, click.Abort, click.exceptions.Exit, BrokenPipeError)
    shell = copy(command)

    def guarded_method(name: str) -> Callable[..., Any]:
        method = getattr(type(command), name)

        def call(*args: Any, **kwargs: Any) -> Any:
            with Guard(owner, "command", prints=True, passing=passing):
                return method(shell, *args, **kwargs)

        return call

    for name in ("make_context", "invoke"):
        setattr(shell, name, guarded_method(name))
    return shell


def one_line(error: BaseException) -> str:
    """Return an error's type and message in one line, whatever its own text is made of."""
    try:
        message = " ".join(str(error).split())
    except Exception:  # a plugin's error class whose __str__ fails
        message = ""
    return f"{type(error).__name__}: {message}".rstrip(": ")


class _Stdout:
    """While it is turned, stdout leads to stderr: for Python, for libraries in C, for children.

    stdout belongs to the process, not to a thread. So it is turned once, by the first who comes
    from any thread, and turned back by the last who leaves.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._inside = 0
        self._stream: TextIO | None = None
        self._descriptor: int | None = None

    def turn(self) -> None:
        """Let stdout lead to stderr until `turn_back` was called as often as this."""
        with self._lock:
            self._inside += 1
            if self._inside > 1:
                return
            _flush(sys.stdout)
            self._stream, sys.stdout = sys.stdout, sys.stderr
            with suppress(OSError):  # one of the two is closed
                self._descriptor = os.dup(1)
                os.dup2(2, 1)

    def turn_back(self) -> None:
        """Undo a `turn`."""
        with self._lock:
            self._inside -= 1
            if self._inside:
                return
            _flush(sys.stdout)
            if self._stream is not None:
                sys.stdout, self._stream = self._stream, None
            if self._descriptor is not None:
                os.dup2(self._descriptor, 1)
                os.close(self._descriptor)
                self._descriptor = None


def _flush(stream: TextIO | None) -> None:
    with suppress(OSError, ValueError):  # nobody reads any more, or it is closed
        if stream is not None:
            stream.flush()


_stdout = _Stdout()
