"""COCO annotations with exact instance masks, and depth, of what a scene's truth says."""

from __future__ import annotations

import io
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sv2r_tabletop.edits import VERSION
from sv2r_tabletop.render import Truth
from sv2r_tabletop.scene import DISTRIBUTION, Scene, split_of
from sv2r_tabletop.worlds import WORLDS

# More than the most things of a scene: annotation ids are unique over all seeds.
_IDS_PER_SCENE = 100
# What a 16-bit depth says where nothing is.
_NOTHING = 65535


def category_ids(world: str) -> dict[str, int]:
    """Return the id of each of a world's categories, from 1."""
    return {name: number for number, name in enumerate(WORLDS[world].categories, 1)}


def annotation_id(seed: int, number: int) -> int:
    """Return the id of a scene's instance, which no other of any scene has."""
    return seed * _IDS_PER_SCENE + number


def annotate(scene: Scene, truth: Truth) -> list[dict[str, Any]]:
    """Return COCO annotations of the objects that show in at least one pixel, RLE masks."""
    found = []
    ids = category_ids(scene.world)
    for number, placed in enumerate(scene.objects, 1):
        mask = truth.labels == number
        if mask.any():
            found.append(
                {
                    "id": annotation_id(scene.seed, number),
                    "image_id": scene.seed,
                    "category_id": ids[placed.thing.category],
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


def coco(domain: str, parts: Iterable[Mapping[str, Any]], world: str = "tables") -> dict[str, Any]:
    """Return a COCO document of pictures in the given order.

    parts: for each picture its `image` entry and its `annotations`.
    """
    parts = list(parts)
    return {
        "info": {"description": f"sv2r tabletop, {domain}", "version": str(DISTRIBUTION)},
        "images": [part["image"] for part in parts],
        "annotations": [entry for part in parts for entry in part["annotations"]],
        "categories": [
            {"id": number, "name": name} for name, number in category_ids(world).items()
        ],
    }


def edits_document(world: str, style: str, parts: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    """Return edits.json: for each picture its edits, and what they did to each of its labels.

    parts: as for `coco`, with a picture's `edits` entry. style: of the source renders.
    """
    return {
        "version": VERSION,
        "distribution": DISTRIBUTION,
        "world": world,
        "style": style,
        "pictures": [_with_picture(part["image"], part["edits"]) for part in parts],
    }


def _with_picture(image: Mapping[str, Any], edits: Mapping[str, Any]) -> dict[str, Any]:
    """Return a picture's edits, with where it and its source are."""
    shared = {name: image[name] for name in ("file_name", "split", "width", "height")}
    source = f"../synthetic/images/{image['id']:06d}.png"
    return {"image_id": image["id"], **shared, "source": source, **edits}


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
