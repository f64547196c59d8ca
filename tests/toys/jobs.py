"""Conversions with a toy model: their options, their records, their files."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any


def config_of(renders: Path, output: Path, model: Path, **more: Any) -> dict[str, Any]:
    """Return the options of a quick conversion with a toy model."""
    return {
        "input": str(renders),
        "output": str(output),
        "loader": "coco",
        "translator": {"name": "sdedit", "model": str(model), "steps": 4, "strength": 0.5},
        "checks": ["sanity"],  # a toy keeps no object in place
        "batch_size": 2,
        **more,
    }


def records_of(output: Path) -> dict[str, dict[str, Any]]:
    """Return the lines of `samples.jsonl` by their sample."""
    lines = (output / "sv2r" / "samples.jsonl").read_text().splitlines()
    return {json.loads(line)["sample"]: json.loads(line) for line in lines}


def files_of(folder: Path) -> dict[str, bytes]:
    """Return every file but the journal, whose bytes tell of time, by relative path."""
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and "journal.sqlite3" not in path.name
    }
