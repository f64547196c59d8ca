"""Finds the batch size that makes the most pictures per second and fits into memory."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from sv2r.devices import unless_full
from sv2r.types import Batch

BATCH_SIZES = (1, 2, 4, 8, 16, 32, 64)

# A larger batch must be this much faster per picture to be worth its memory and its wait.
_GAIN = 0.03
# The share of a GPU's memory beyond which no larger batch is tried.
_FULL = 0.9


def pick_batch_size(
    make_batch: Callable[[int], Batch],
    translate: Callable[[Batch], Any],
    device: str,
    candidates: Sequence[int] = BATCH_SIZES,
    *,
    clock: Callable[[], float] = time.perf_counter,
) -> int:
    """Return the candidate with the least time per picture, tried on real pictures, smallest first.

    It stops at the first size that does not fit and after two that were no faster: a batch that
    falls out of a CPU's cache, or a GPU that is busy already, does not get faster with more.
    Each size runs twice; the second time counts, so that one-time costs do not count.

    make_batch: gives a batch of a size. candidates: ascending.

    Raises whatever the smallest raises; see `sv2r.devices.is_out_of_memory` where it does not fit.
    """
    best, least, misses = candidates[0], float("inf"), 0
    for size in candidates:
        work = partial(_seconds, translate, make_batch(size), clock)
        # The smallest must fit, or its error be told.
        seconds = work() if size == candidates[0] else unless_full(work)
        if seconds is None:
            break
        if seconds / size < least * (1 - _GAIN):
            best, least, misses = size, seconds / size, 0
        else:
            misses += 1
        if misses == 2 or _is_full(device):
            break
    return best


def _seconds(translate: Callable[[Batch], Any], batch: Batch, clock: Callable[[], float]) -> float:
    """Return how long a batch takes after one-time costs."""
    translate(batch)
    start = clock()
    translate(batch)  # ends with the pictures on the CPU, so nothing is left in flight
    return clock() - start


def _is_full(device: str) -> bool:
    import torch

    if not device.startswith("cuda"):
        return False
    free, total = torch.cuda.mem_get_info(device)
    reserved = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
    return free + reserved < (1 - _FULL) * total
