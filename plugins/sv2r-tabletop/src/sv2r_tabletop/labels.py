"""COCO annotations with exact instance masks, and depth, of what a scene's truth says."""

from __future__ import annotations

import io
from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sv2r_tabletop.objects import CATEGORIES
from sv2r_tabletop.render import Truth
from sv2r_tabletop.scene import DISTRIBUTION, Scene, split_of

CATEGORY_IDS: Mapping[str, int] = MappingProxyType(
    {name: number for number, name in enumerate(CATEGORIES, 1)}
)
# More than the most things of a scene: annotation ids are unique over all seeds.
_IDS_PER_SCENE = 100
# What a 16-bit depth says where nothing is.
_NOTHING = 65535


def annotate(scene: Scene, truth: Truth) -> list[dict[str, Any]]:
    """Return COCO annotations of the objects that show in at least one pixel, RLE masks."""
    found = []
    for number, placed in enumerate(scene.objects, 1):
        mask = truth.labels == number
        if mask.any():
            found.append(
                {
                    "id": scene.seed * _IDS_PER_SCENE + number,
                    "image_id": scene.seed,
                    "category_id": CATEGORY_IDS[placed.thing.category],
                    "iscrowd": 0,
                    **_mask_entry(mask),
                }
            )
    return found


def image_entry(scene: Scene, file_name: str, size: int) -> dict[str, Any]:
    """Return COCO's entry of a picture; its id is the scene's seed."""
    return {
        "id": scene.seed,
        "file_name": file_name,
        "height": size,
        "width": size,
        "split": split_of(scene.seed),
    }


def coco(domain: str, parts: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    """Return a COCO document of pictures in the given order.

    parts: for each picture its `image` entry and its `annotations`.
    """
    parts = list(parts)
    return {
        "info": {"description": f"sv2r tabletop, {domain}", "version": str(DISTRIBUTION)},
        "images": [part["image"] for part in parts],
        "annotations": [entry for part in parts for entry in part["annotations"]],
        "categories": [{"id": number, "name": name} for name, number in CATEGORY_IDS.items()],
    }


def depth_png(truth: Truth) -> bytes:
    """Return depth as a 16-bit grey PNG: millimetres along the direction of view, 65535 nothing."""
    from PIL import Image

    millimetres = (truth.depth * 1000).round().clip(1, _NOTHING)
    out = io.BytesIO()
    Image.fromarray(millimetres.astype(np.uint16)).save(out, "PNG")
    return out.getvalue()


def _mask_entry(mask: NDArray[np.bool_]) -> dict[str, Any]:
    from pycocotools import mask as rle

    encoded = rle.encode(np.asfortranarray(mask, np.uint8))
    return {
        "segmentation": {"size": list(mask.shape), "counts": encoded["counts"].decode()},
        "area": int(mask.sum()),
        "bbox": [int(v) for v in rle.toBbox(encoded)],
    }
