"""COCO segmentations as runs, checked before pycocotools, which trusts them, sees any."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from sv2r.errors import SampleError
from sv2r.images.rasterise import runs_of

if TYPE_CHECKING:
    from numpy.typing import NDArray

MaskSize = tuple[int, int]

# pycocotools walks an outline in fifths of a pixel and keeps every step in memory.
LONGEST_OUTLINE = 2_000_000
# A point may lie outside of the frame, where renderers put what they have not clipped, but a point
# that is many frames away is a unit mistaken or a division by nearly zero.
FARTHEST_FRAMES, FARTHEST_PIXELS = 10, 1000
# Seven characters of five bits hold any count that a picture can have.
LONGEST_COUNT = 7


@dataclass(frozen=True, slots=True)
class Shape:
    """What a segmentation covers, known to be right.

    area: in pixels. runs: returns them as (n, 2) column-major [start, end).
    """

    area: int
    runs: Callable[[], NDArray[np.int64]]


def segmentation_shape(segmentation: Any, size: MaskSize) -> Shape:
    """Return what an annotation's segmentation covers.

    Its runs are what pycocotools' ``annToMask`` sets, bit for bit. What lies outside the frame is
    clipped. Where all polygons have four numbers they are boxes, [x, y, width, height], as they are
    to pycocotools. An empty list covers nothing, and neither does a polygon of one or two points
    next to longer ones (specks that contour finders leave): it encloses no area.

    size: (height, width) of the picture.

    Raises:
        SampleError: anything else that is not a mask of this size; the text names the fix and
            leaves it to the caller to name the annotation.
    """
    if isinstance(segmentation, Mapping):
        counts = _rle_counts(segmentation, size)
        return Shape(int(counts[1::2].sum()), lambda: runs_of(counts))
    if isinstance(segmentation, list):
        return _polygon_shape(segmentation, size)
    kind = type(segmentation).__name__
    raise SampleError(f"segmentation is of type {kind}; COCO has a list of polygons or an RLE")


def rle_size(rle: Mapping[str, Any]) -> MaskSize:
    """Return an RLE's own (height, width).

    Raises:
        SampleError: its "size" is not two positive whole numbers.
    """
    size = rle.get("size")
    if not (isinstance(size, list) and len(size) == 2 and all(map(_is_count, size)) and all(size)):
        raise SampleError(f"RLE size is {size!r}; it must be [height, width]")
    return size[0], size[1]


def _rle_counts(rle: Mapping[str, Any], size: MaskSize) -> NDArray[np.int64]:
    height, width = size
    if (own := rle_size(rle)) != size:
        raise SampleError(
            f"RLE size is {own[0]} × {own[1]} but the picture is {height} × {width} (height × "
            "width); export the mask at the picture's size"
        )
    counts = _counts(rle.get("counts"))
    total = int(counts.sum())
    if total != height * width:
        raise SampleError(
            f"RLE counts add up to {total}, not to {height} × {width} = {height * width}; "
            "export the mask again"
        )
    return counts


def _counts(counts: Any) -> NDArray[np.int64]:
    if isinstance(counts, str):
        return decode_counts(counts)
    if not isinstance(counts, list):
        raise SampleError("RLE counts are missing; they are a list of numbers or a COCO string")
    # The bound, there and in `decode_counts`, keeps the sum of any list within 64 bits.
    wrong = [c for c in counts if not _is_count(c) or c >= 2**31]
    if wrong:
        text = f"RLE counts hold {wrong[0]!r}; each is a whole number of pixels, 0 or more"
        raise SampleError(text)
    return np.array(counts, np.int64)


def decode_counts(text: str | bytes) -> NDArray[np.int64]:
    """Return the counts in COCO's compressed RLE string.

    Each count is written in groups of five bits, lowest first, one character per group (48 added,
    32 more where another follows), with a sign; from the fourth on, it is the difference to the
    count two before. This is ``rleFrString`` of cocoapi's maskApi.c, with the checks that it lacks.

    Raises:
        SampleError: the text is malformed.
    """
    raw = text.encode(errors="replace") if isinstance(text, str) else text
    groups = np.frombuffer(raw, np.uint8).astype(np.int64) - 48
    if not len(groups):
        return groups
    strange = np.flatnonzero((groups < 0) | (groups > 63))
    if len(strange):
        at = int(strange[0]) + 1
        raise SampleError(f"RLE counts: character {at} is none of COCO's; export the mask again")
    last = np.flatnonzero(groups < 32)
    first = np.concatenate([[0], last + 1])[: len(last)]
    if groups[-1] >= 32 or np.any(last - first >= LONGEST_COUNT):
        raise SampleError("RLE counts: a number does not end; export the mask again")
    place = 5 * (np.arange(len(groups)) - np.repeat(first, last - first + 1))
    values = np.add.reduceat((groups & 31) << place, first)
    values -= np.where(groups[last] & 16, 32 << place[last], 0)
    counts = _undo_differences(values)
    if np.any((counts < 0) | (counts >= 2**31)):
        raise SampleError("RLE counts: a count is no number of pixels; export the mask again")
    return counts


def _undo_differences(values: NDArray[np.int64]) -> NDArray[np.int64]:
    counts = values.copy()
    counts[1::2] = np.cumsum(values[1::2])
    counts[2::2] = np.cumsum(values[2::2])
    return counts


def _polygon_shape(polygons: Sequence[Any], size: MaskSize) -> Shape:
    from pycocotools import mask

    checked = [_polygon(value, f"polygon {n}", size) for n, value in enumerate(polygons, start=1)]
    boxes = all(len(polygon) == 4 for polygon in checked)
    solid = [polygon for polygon in checked if boxes or len(polygon) >= 6]
    if not solid:
        return Shape(0, lambda: np.zeros((0, 2), np.int64))
    drawn = np.array(solid, float) if boxes else solid
    merged = mask.merge(mask.frPyObjects(drawn, *size))
    return Shape(int(mask.area(merged)), lambda: runs_of(decode_counts(merged["counts"])))


def _polygon(value: Any, name: str, size: MaskSize) -> list[float]:
    if not isinstance(value, list) or not set(map(type, value)) <= {int, float}:
        raise SampleError(f"{name} is not a flat list of numbers; COCO has [x, y, x, y, ...]")
    if len(value) % 2:
        raise SampleError(
            f"{name} has {len(value)} numbers, so one coordinate is missing; export it again"
        )
    far = max(FARTHEST_FRAMES * max(size), FARTHEST_PIXELS)
    wrong = next((x for x in value if not -far <= x <= far), None)
    if wrong is not None and abs(wrong) < math.inf:
        raise SampleError(
            f"{name} has the coordinate {wrong!s:.20}, more than {far} pixels away; "
            "coordinates are pixels of the picture"
        )
    if wrong is not None:
        raise SampleError(f"{name} holds NaN or infinity; export it again")
    outline = _outline(value)
    if outline > LONGEST_OUTLINE:
        raise SampleError(
            f"{name} has an outline of {outline:,.0f} pixels, more than {LONGEST_OUTLINE:,}; "
            "write such a mask as RLE"
        )
    return value


def _outline(polygon: list[float]) -> float:
    """Return a closed polygon's length as pycocotools walks it: the longer side of each edge."""
    points = np.array(polygon, float).reshape(-1, 2)
    edges = np.abs(np.diff(points, axis=0, append=points[:1]))
    return float(edges.max(axis=1, initial=0).sum())


def _is_count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0
