"""COCO's run-length encoding of all instances of a picture, in one pass over the label map."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sv2r.types import Instances


@dataclass(frozen=True, slots=True)
class MaskRle:
    """One instance's mask. counts: compressed, as COCO JSON has it; size: (height, width).

    area: pixels. bbox: (left, top, width, height) in pixels; all 0 where nothing is left of it.
    """

    id: int
    size: tuple[int, int]
    counts: str
    area: int
    bbox: tuple[int, int, int, int]


def encode_instances(instances: Instances) -> Iterator[MaskRle]:
    """Yield every instance of the table in its order, pixels that others cover included."""
    from pycocotools import mask as coco

    height, width = instances.size
    runs = _runs_by_id(instances.labels)
    for id_ in instances.table:
        if id_ in instances.overlaps:
            starts, lengths = _runs_of(np.asfortranarray(instances.mask(id_)).ravel(order="F"))
        else:
            starts, lengths = runs.get(id_, (_NONE, _NONE))
        counts = _counts(starts, lengths, height * width)
        rle = coco.frPyObjects({"size": [height, width], "counts": counts}, height, width)
        left, top, across, down = (int(v) for v in coco.toBbox(rle))
        yield MaskRle(
            id_,
            (height, width),
            rle["counts"].decode(),
            int(lengths.sum()),
            (left, top, across, down),
        )


_NONE: NDArray[np.int64] = np.zeros(0, np.int64)


def _runs_by_id(
    labels: NDArray[np.int32],
) -> dict[int, tuple[NDArray[np.int64], NDArray[np.int64]]]:
    """Return each label's runs in column-major order, (starts, lengths), background left out."""
    flat = labels.ravel(order="F")
    starts, lengths = _runs_of(flat)
    values = flat[starts]
    order = np.argsort(values, kind="stable")
    ids, first = np.unique(values[order], return_index=True)
    groups = np.split(order, first[1:])
    return {
        int(id_): (starts[group], lengths[group])
        for id_, group in zip(ids, groups, strict=True)
        if id_ != 0
    }


def _runs_of(
    flat: NDArray[np.int32] | NDArray[np.bool_],
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return (starts, lengths) of the runs of equal values; of a mask, those of True alone."""
    starts = np.concatenate(([0], np.flatnonzero(flat[1:] != flat[:-1]) + 1))
    lengths = np.diff(np.append(starts, flat.size))
    if flat.dtype == np.bool_:
        inside = flat[starts]
        return starts[inside], lengths[inside]
    return starts, lengths


def _counts(starts: NDArray[np.int64], lengths: NDArray[np.int64], total: int) -> list[int]:
    """Return COCO's uncompressed counts: background first, then in turn."""
    ends = starts + lengths
    gaps = starts - np.concatenate(([0], ends[:-1])) if starts.size else _NONE
    counts = np.stack((gaps, lengths), 1).ravel().tolist() if starts.size else []
    rest = total - (int(ends[-1]) if starts.size else 0)
    return [*counts, rest] if rest or not counts else counts
