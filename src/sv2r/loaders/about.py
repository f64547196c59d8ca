"""What `dataset.json` says, which sv2r's writers leave beside pictures: categories, licences ..."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from sv2r.errors import SampleError
from sv2r.images.picture_file import read_file

DATASET_FILE = "dataset.json"


def read_about(root: Path) -> tuple[Mapping[str, Mapping[str, Any]], dict[str, Any]]:
    """Return what it says of the categories, by name, and of the dataset itself."""
    try:
        found = json.loads(read_file(root / DATASET_FILE, DATASET_FILE))
        own = {entry["name"]: _without(entry, "id", "name") for entry in found["categories"]}
    except (SampleError, ValueError, KeyError, TypeError, RecursionError):
        return {}, {}
    return own, _without(found, "categories")


def _without(entry: Mapping[str, Any], *names: str) -> dict[str, Any]:
    return {key: value for key, value in entry.items() if key not in names}
