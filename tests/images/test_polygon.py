"""Polygons as OpenCV fills them. The masks below were drawn by cv2.fillPoly 4.13."""

from __future__ import annotations

import numpy as np
import pytest

from sv2r.images.polygon import fill_polygon

CASES = {
    "a triangle": (
        [(1, 1), (6, 2), (2, 5)],
        [
            "........",
            ".###....",
            ".######.",
            ".#####..",
            "..###...",
            "..#.....",
        ],
    ),
    "a bow, whose lobes are both inside": (
        [(0, 0), (7, 5), (7, 0), (0, 5)],
        [
            "#......#",
            "###..###",
            "########",
            "########",
            "###..###",
            "#......#",
        ],
    ),
    "past the right and lower border": (
        [(4, 2), (8, 2), (8, 6), (4, 6)],
        [
            "........",
            "........",
            "....####",
            "....####",
            "....####",
            "....####",
        ],
    ),
    "a corner far outside": (
        [(2, 1), (12, 3), (3, 5)],
        [
            "........",
            "..###...",
            "..######",
            "..######",
            "...#####",
            "...###..",
        ],
    ),
    "a line": (
        [(1, 4), (6, 1)],
        [
            "........",
            "......#.",
            "....##..",
            "..##....",
            ".#......",
            "........",
        ],
    ),
    "a point": (
        [(3, 3)],
        [
            "........",
            "........",
            "........",
            "...#....",
            "........",
            "........",
        ],
    ),
    "outside": (
        [(9, 9), (12, 9), (12, 12)],
        [
            "........",
            "........",
            "........",
            "........",
            "........",
            "........",
        ],
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_the_inside_and_the_outline_are_drawn(name: str) -> None:
    corners, rows = CASES[name]
    mask = fill_polygon(np.array(corners), (6, 8))
    assert ["".join("#" if on else "." for on in row) for row in mask] == rows
