"""What trainers find, looked at before anything is computed of it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from sv2r.plugin.specs import Detections


def require_detections(found: Any, test: Path) -> Detections:
    """Return COCO results of the pictures of a COCO folder.

    Raises:
        ValueError: they are none; names the first that is wrong.
    """
    truth = json.loads((test / "annotations.json").read_text(encoding="utf-8"))
    pictures = {one["id"] for one in truth["images"]}
    categories = {one["id"] for one in truth["categories"]}
    if not isinstance(found, list):
        raise ValueError(f"a list of detections, not {type(found).__name__}")
    for one in found:
        if not (isinstance(one, Mapping) and _is_detection(one, pictures, categories)):
            raise ValueError(f"{str(one)[:100]} is no detection in a test picture")
    return found


def _is_detection(one: Mapping[str, Any], pictures: set[int], categories: set[int]) -> bool:
    score, mask = one.get("score"), one.get("segmentation")
    number = isinstance(score, (int, float)) and not isinstance(score, bool)
    known = one.get("image_id") in pictures and one.get("category_id") in categories
    if not isinstance(mask, Mapping):
        return False
    coded = isinstance(mask.get("counts"), str) and len(mask.get("size", ())) == 2
    return number and known and coded
