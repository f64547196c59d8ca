"""What the `folder` writer says of its masks' values, categories and pictures."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

from sv2r.errors import ConfigError, SampleError
from sv2r.images.picture_file import read_file
from sv2r.loaders.about import DATASET_FILE
from sv2r.types import Instance, Instances

TABLE = "instances.jsonl"

Rows = Mapping[int, Mapping[str, Any]]
_NOTHING: Mapping[Any, Any] = MappingProxyType({})


@dataclass(frozen=True)
class TableLine:
    """What a table says of a picture. rows: of its mask's values. extra: of the picture besides."""

    rows: Rows = field(default_factory=lambda: _NOTHING)
    extra: Mapping[str, Any] = field(default_factory=lambda: _NOTHING)


NO_LINE = TableLine()


def read_table(root: Path) -> dict[str, TableLine]:
    """Return what a table says of each picture, {} where there is no table.

    Raises:
        ConfigError: it is there and cannot be read, or a line of it is none of the writer's.
    """
    if not (root / TABLE).is_file():
        return {}
    found: dict[str, TableLine] = {}
    try:
        lines = read_file(root / TABLE, TABLE).decode().splitlines()
    except (SampleError, UnicodeDecodeError) as error:
        raise ConfigError(f"{TABLE}: cannot be read ({error}); export it again") from error
    for number, line in enumerate(lines, 1):
        try:
            entry = json.loads(line)
            rows = {row["value"]: row for row in entry["instances"]}
            if not all(isinstance(row["category"], str) for row in rows.values()):
                raise TypeError
            extra = entry.get("extra")
            found[entry["image"]] = TableLine(rows, extra if isinstance(extra, dict) else _NOTHING)
        except (ValueError, KeyError, TypeError, RecursionError):
            told = f"{TABLE} line {number}: is none of the folder writer's"
            raise ConfigError(f"{told}; export it again, or rename the file") from None
    return found


def categories_of(table: Mapping[str, TableLine]) -> list[str]:
    """Return the categories in a table, in its order."""
    rows = (row for line in table.values() for row in line.rows.values())
    return list(dict.fromkeys(row["category"] for row in rows))


def with_rows(instances: Instances, rows: Rows) -> Instances:
    """Return instances with the category and crowd of their rows, and those without a pixel."""
    known = {id_: one for id_, one in instances.table.items() if id_ not in rows}
    told = {id_: _instance(id_, row, instances.table.get(id_)) for id_, row in rows.items()}
    return replace(instances, table={**told, **known})


def _instance(id_: int, row: Mapping[str, Any], drawn: Instance | None) -> Instance:
    own = row.get("id")
    source = drawn.source_id if drawn else None
    source = source if own in (None, id_) else str(own)
    extra = row.get("extra")
    return Instance(
        id_,
        str(row["category"]),
        bool(row.get("crowd")),
        source,
        extra=extra if isinstance(extra, Mapping) else _NOTHING,
    )


def renamed_table(file: Path, names: Mapping[str, str]) -> bytes:
    """Return a label file's bytes in which pictures have new names."""
    if file.name == DATASET_FILE:
        return read_file(file, DATASET_FILE)
    lines = []
    for line in read_file(file, TABLE).decode().splitlines():
        entry = json.loads(line)
        entry["image"] = names.get(entry["image"], entry["image"])
        lines.append(json.dumps(entry, ensure_ascii=False) + "\n")
    return "".join(lines).encode()
