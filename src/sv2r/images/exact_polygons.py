"""COCO polygons of masks, of those that come back to the pixel."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from sv2r.images.outlines import contour_paths
from sv2r.images.rle import MaskRle
from sv2r.types import Instances

if TYPE_CHECKING:
    from sv2r.images.outlines import Point


def exact_polygons(instances: Instances, codes: Sequence[MaskRle]) -> dict[int, list[list[int]]]:
    """Return the polygons, [x, y, x, y ...] along the edges of pixels, of masks without holes.

    codes: the same instances' run-length codes. An instance is left out where what pycocotools
    makes of its polygons is not its code.
    """
    import numpy as np

    shown = contour_paths(instances.labels)
    found = {}
    for code in codes:
        paths = shown.get(code.id, [])
        if code.id in instances.overlaps:
            mask = instances.mask(code.id).astype(np.int32)
            paths = contour_paths(mask).get(1, [])
        polygons = [[part for corner in path for part in corner] for path in paths]
        if polygons and _code_of(paths, polygons, code.size) == code.counts:
            found[code.id] = polygons
    return found


def _code_of(
    paths: Sequence[Sequence[Point]], polygons: list[list[int]], size: tuple[int, int]
) -> str:
    """Return the run-length code of polygons; "" where one of them is a hole."""
    from pycocotools import mask

    if any(_turning(path) < 0 for path in paths):
        return ""
    code: str = mask.merge(mask.frPyObjects(polygons, *size))["counts"].decode()
    return code


def _turning(path: Sequence[Point]) -> int:
    """Return twice the area of a path, below 0 where it runs counter-clockwise on screen."""
    after = [*path[1:], path[0]]
    return sum(x0 * y1 - x1 * y0 for (x0, y0), (x1, y1) in zip(path, after, strict=True))
