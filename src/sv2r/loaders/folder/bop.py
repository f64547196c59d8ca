"""BOP: a file per instance, <image>_<n>.png, whose object scene_gt.json names.

T. Hodaň et al., BOP: Benchmark for 6D Object Pose Estimation, ECCV 2018.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

from sv2r.errors import SampleError
from sv2r.images.picture_file import read_file
from sv2r.loaders.folder.pairs import Pair

SCENE = "scene_gt.json"


def with_objects(root: Path, pairs: Iterable[Pair]) -> Iterator[Pair]:
    """Yield pairs whose instances have the category that a BOP scene gives them, where one does."""
    scene = cache(lambda name: _scene(root, name))
    for pair in pairs:
        if pair.place.naming.mask is not None or any(mask.category for mask in pair.masks):
            yield pair
            continue
        folder = pair.place.images.rpartition("/")[0]
        objects = scene(f"{folder}/{SCENE}" if folder else SCENE).get(_number(pair.image), [])
        yield replace(
            pair,
            masks=tuple(
                replace(mask, category=_category(objects, mask.number)) for mask in pair.masks
            ),
        )


def _scene(root: Path, name: str) -> dict[str, Any]:
    """Return what a scene says of its pictures, nothing where there is no such file."""
    if not (root / name).is_file():
        return {}
    try:
        found = json.loads(read_file(root / name, name))
    except (ValueError, RecursionError, SampleError):
        return {}
    return found if isinstance(found, dict) else {}


def _number(image: str) -> str:
    """Return a picture's number as the scene's keys have it: without zeros before it."""
    stem = Path(image).stem
    return str(int(stem)) if stem.isdecimal() else stem


def _category(objects: Any, number: int) -> str:
    entry = objects[number] if isinstance(objects, list) and number < len(objects) else None
    own = entry.get("obj_id") if isinstance(entry, dict) else None
    return "" if own is None else f"obj_{own}"
