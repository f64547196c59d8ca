"""Tables that several label formats are read and written by."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

# cityscapesscripts/helpers/labels.py, by id. Only ids that an instance's class can have: 0 would
# give instance ids below 1000.
CITYSCAPES: Mapping[int, str] = MappingProxyType(
    dict(
        enumerate(
            (
                *("ego vehicle", "rectification border", "out of roi", "static", "dynamic"),
                *("ground", "road", "sidewalk", "parking", "rail track", "building", "wall"),
                *("fence", "guard rail", "bridge", "tunnel", "pole", "polegroup"),
                *("traffic light", "traffic sign", "vegetation", "terrain", "sky", "person"),
                *("rider", "car", "truck", "bus", "caravan", "trailer", "train", "motorcycle"),
                "bicycle",
            ),
            start=1,
        )
    )
)


def voc_colours(count: int) -> list[int]:
    """Return VOC's colours of the first indices, r << 16 | g << 8 | b: its devkit's VOCcolormap."""
    found = []
    for index in range(count):
        red = green = blue = 0
        rest = index
        for bit in range(7, -1, -1):
            red |= (rest & 1) << bit
            green |= (rest >> 1 & 1) << bit
            blue |= (rest >> 2 & 1) << bit
            rest >>= 3
        found.append(red << 16 | green << 8 | blue)
    return found
