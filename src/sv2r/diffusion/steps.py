"""Steps of a pipeline's call, counted for whoever watches the job."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

from sv2r.plugin.specs import Phase


def show_steps(pipe: Any, show: Callable[[Phase, str], None]) -> None:
    """Let a diffusers pipeline show its steps where it would draw a bar of its own."""
    pipe.progress_bar = partial(_Steps, show)


class _Steps:
    """What stands in for tqdm's bar: pipelines iterate over it, or update it in a `with`."""

    def __init__(
        self, show: Callable[[Phase, str], None], iterable: Any = None, total: int | None = None
    ) -> None:
        self._show, self._items = show, iterable
        self._total = len(iterable) if total is None and hasattr(iterable, "__len__") else total
        self._done = 0

    def __enter__(self) -> _Steps:
        return self

    def __exit__(self, *_: object) -> None:
        return None

    def __iter__(self) -> Iterator[Any]:
        for item in self._items:
            yield item
            self.update()

    def update(self, n: int = 1) -> None:
        """Count steps."""
        self._done += n
        of = "" if self._total is None else f" of {self._total}"
        self._show("drawing", f"step {self._done}{of}")

    def close(self) -> None:
        """End, as tqdm's bar does: some pipelines close it by hand."""

    def set_description(self, *_: object, **__: object) -> None:
        """Take a text that nobody sees."""

    def set_postfix(self, *_: object, **__: object) -> None:
        """Take figures that nobody sees."""
