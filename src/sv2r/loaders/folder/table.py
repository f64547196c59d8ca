"""What the `folder` writer says of its masks' values, categories and pictures."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

from sv2r.errors import ConfigError, SampleError
from sv2r.images.picture_file import read_file
from sv2r.types import Instance, Instances

TABLE, ABOUT = "instances.jsonl", "dataset.json"

Rows = Mapping[int, Mapping[str, Any]]
NO_ROWS: Rows = MappingProxyType({})


def read_table(root: Path) -> dict[str, Rows]:
    """Return what a table says of each picture's values, {} where there is no table.

    Raises:
        ConfigError: it is there and cannot be read, or a line of it is none of the writer's.
    """
    if not (root / TABLE).is_file():
        return {}
    found: dict[str, Rows] = {}
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
            found[entry["image"]] = rows
        except (ValueError, KeyError, TypeError, RecursionError):
            told = f"{TABLE} line {number}: is none of the folder writer's"
            raise ConfigError(f"{told}; export it again, or rename the file") from None
    return found


def read_about(root: Path) -> tuple[Mapping[str, Mapping[str, Any]], dict[str, Any]]:
    """Return what dataset.json says of the categories, by name, and of the dataset itself."""
    try:
        found = json.loads(read_file(root / ABOUT, ABOUT))
        own = {entry["name"]: _without(entry, "id", "name") for entry in found["categories"]}
    except (SampleError, ValueError, KeyError, TypeError, RecursionError):
        return {}, {}
    return own, _without(found, "categories")


def _without(entry: Mapping[str, Any], *names: str) -> dict[str, Any]:
    return {key: value for key, value in entry.items() if key not in names}


def categories_of(table: Mapping[str, Rows]) -> list[str]:
    """Return the categories in a table, in its order."""
    return list(dict.fromkeys(r["category"] for rows in table.values() for r in rows.values()))


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
        extra=extra if isinstance(extra, Mapping) else MappingProxyType({}),
    )


def renamed_table(file: Path, names: Mapping[str, str]) -> bytes:
    """Return a label file's bytes in which pictures have new names."""
    if file.name == ABOUT:
        return read_file(file, ABOUT)
    lines = []
    for line in read_file(file, TABLE).decode().splitlines():
        entry = json.loads(line)
        entry["image"] = names.get(entry["image"], entry["image"])
        lines.append(json.dumps(entry, ensure_ascii=False) + "\n")
    return "".join(lines).encode()
