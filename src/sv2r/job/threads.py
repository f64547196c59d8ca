"""Work on many things in a few threads, a bounded number of them at a time."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from typing import TypeVar

ItemT = TypeVar("ItemT")
ResultT = TypeVar("ResultT")


def in_threads(work: Callable[[ItemT], ResultT], items: Iterable[ItemT]) -> Iterator[ResultT]:
    """Yield work(item) in the items' order, a few of them begun ahead."""
    source, threads = iter(items), min(16, os.cpu_count() or 1)
    with ThreadPoolExecutor(threads, "sv2r-look") as pool:
        begun = deque(pool.submit(work, item) for item in islice(source, 4 * threads))
        try:
            while begun:
                yield begun.popleft().result()
                begun.extend(pool.submit(work, item) for item in islice(source, 1))
        finally:
            for future in begun:
                future.cancel()
