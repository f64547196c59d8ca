"""Work on many things in a few threads, a bounded number of them at a time."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from itertools import islice
from typing import TypeVar

ItemT = TypeVar("ItemT")
ResultT = TypeVar("ResultT")


THREADS = min(16, os.cpu_count() or 1)


def in_threads(
    work: Callable[[ItemT], ResultT],
    items: Iterable[ItemT],
    first: Callable[[], None] | None = None,
) -> Iterator[ResultT]:
    """Yield work(item) in the items' order, a few of them begun ahead, by THREADS threads.

    first: what each thread calls before its work.
    """
    with ThreadPoolExecutor(THREADS, "sv2r-look", first) as pool:
        yield from work_ahead(pool, work, items, 4 * THREADS)


def work_ahead(
    pool: ThreadPoolExecutor,
    work: Callable[[ItemT], ResultT],
    items: Iterable[ItemT],
    depth: int,
) -> Iterator[ResultT]:
    """Yield work(item) in the items' order, at most depth of them begun ahead by a pool."""
    source = iter(items)
    begun = deque(pool.submit(work, item) for item in islice(source, depth))
    try:
        while begun:
            yield begun.popleft().result()
            begun.extend(pool.submit(work, item) for item in islice(source, 1))
    finally:
        for future in begun:
            future.cancel()


@contextmanager
def share_cores(threads: int) -> Iterator[Callable[[], None]]:
    """Yield what each of so many threads calls first, so that torch takes its part of the cores.

    Otherwise each of them has a team of its own as large as the machine, and the teams wait for
    each other in busy loops. The calling thread keeps what it has.
    """
    import torch

    cores = torch.get_num_threads()
    try:
        yield partial(torch.set_num_threads, max(1, cores // threads))
    finally:
        torch.set_num_threads(cores)  # for threads to come: those it was called in keep their own
