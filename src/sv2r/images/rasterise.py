"""Runs of many instances to one label map, in one pass over the runs and not over the pixels."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray


def runs_of(counts: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the (n, 2) runs [start, end) that are set in a run-length encoding.

    counts: how many pixels are clear, set, clear ... in column-major order, as COCO has them.
    """
    ends = np.cumsum(counts)
    runs = np.stack([ends[:-1:2], ends[1::2]], axis=1)
    return runs[runs[:, 0] < runs[:, 1]]


def rasterise(
    size: tuple[int, int], shapes: Sequence[NDArray[np.int64]], ids: Sequence[int]
) -> tuple[NDArray[np.int32], dict[int, NDArray[np.int64]]]:
    """Return the (H, W) int32 label map and, by id, the pixels that another instance hides.

    size: (height, width). shapes: per instance, bottom first, the (n, 2) runs [start, end) of
    column-major pixel indices that it covers, none empty, none overlapping. ids: theirs, > 0.
    The hidden pixels are flat row-major indices, in no particular order.

    All runs are cut at all their ends. On the pieces, far fewer than pixels, the topmost instance
    is found by one assignment; only then is anything as large as the picture made.
    """
    height, width = size
    runs = np.concatenate([np.zeros((0, 2), np.int64), *shapes])
    counts = np.array([len(shape) for shape in shapes], np.int64)
    rank = np.repeat(np.arange(1, len(shapes) + 1, dtype=np.int32), counts)
    cuts = np.sort(np.concatenate([runs.ravel(), [0, height * width]]))
    cuts = cuts[np.diff(cuts, prepend=-1) > 0]  # np.unique takes ten times as long
    first, last = np.searchsorted(cuts, runs[:, 0]), np.searchsorted(cuts, runs[:, 1])
    piece, owner = _ranges(first, last), np.repeat(rank, last - first)
    top = np.zeros(len(cuts) - 1, np.int32)
    top[piece] = owner  # owners ascend, and of several values for one index numpy keeps the last
    painted = np.array([0, *ids], np.int32)[top]
    columns = np.repeat(painted, np.diff(cuts)).reshape(width, height)
    hidden = top[piece] != owner
    return np.ascontiguousarray(columns.T), _hidden(piece[hidden], owner[hidden], cuts, size, ids)


def _hidden(
    piece: NDArray[np.int64],
    owner: NDArray[np.int32],
    cuts: NDArray[np.int64],
    size: tuple[int, int],
    ids: Sequence[int],
) -> dict[int, NDArray[np.int64]]:
    """Return the pixels of hidden pieces by their owner's id; owner ascends."""
    height, width = size
    pixels = {}
    for rank in np.unique(owner).tolist():
        start, end = np.searchsorted(owner, [rank, rank + 1])
        mine = piece[start:end]
        down = _ranges(cuts[mine], cuts[mine + 1])
        column = down // height
        pixels[ids[rank - 1]] = (down - column * height) * width + column
    return pixels


def _ranges(starts: NDArray[np.int64], ends: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return start, start + 1 ... end - 1 of every pair, one after the other."""
    lengths = ends - starts
    before = np.cumsum(lengths) - lengths
    steps: NDArray[np.int64] = np.repeat(starts - before, lengths) + np.arange(lengths.sum())
    return steps
