"""Records as text: a row of the journal, a message of a worker, a line of samples.jsonl."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import fields
from typing import Any

from sv2r.types import Record

_STATUSES = ("done", "rejected", "failed")


def to_json(record: Record) -> str:
    """Return a record as the journal keeps it and as workers send it."""
    data = {k: v for k, v in _plain(record).items() if v not in (None, {}, ())}
    return _text(data)


def _text(data: Any) -> str:
    """Return data as JSON; half of a UTF-16 pair, which is not a text elsewhere, as an escape."""
    text = json.dumps(data, sort_keys=True, ensure_ascii=False)
    try:
        text.encode()
    except UnicodeEncodeError:
        return json.dumps(data, sort_keys=True)
    return text


def _plain(record: Record) -> dict[str, Any]:
    values = {f.name: getattr(record, f.name) for f in fields(record)}
    return {k: dict(v) if isinstance(v, Mapping) else v for k, v in values.items()}


def from_json(text: str) -> Record:
    """Return the record that `to_json` made the text of; keys of a newer version are left out.

    Raises:
        ValueError: it is not a record.
    """
    if not isinstance(text, str):
        raise ValueError("not text")
    try:
        return record_of(json.loads(text))
    except RecursionError:
        raise ValueError("nested too deep") from None


def line_of(record: Record) -> str:
    """Return a record as a line of samples.jsonl: without the seconds, so that runs compare."""
    data = json.loads(to_json(record))
    data.pop("seconds", None)
    return _text(data) + "\n"


def record_of(data: Any) -> Record:
    """Return the record that a line holds; keys that this version does not know are left out.

    Raises:
        ValueError: it is not a record.
    """
    if not isinstance(data, Mapping):
        raise ValueError("not a mapping")
    for key, kind in (("sample", str), ("variant", int), ("status", str)):
        if not isinstance(data.get(key), kind):
            raise ValueError(f"{key} is missing or of the wrong type")
    if data["status"] not in _STATUSES:
        raise ValueError(f"status is {data['status']!r}")
    for key in ("scores", "settings", "drawn", "label_iou"):
        if not isinstance(data.get(key, {}), Mapping):
            raise ValueError(f"{key} is not a mapping")
    for key in ("output", "output_sha256", "input_sha256", "prompt", "negative_prompt", "error"):
        if not isinstance(data.get(key, ""), str):
            raise ValueError(f"{key} is not a text")
    for key in ("normalised", "repairs", "labels", "small", "restored"):
        if not isinstance(data.get(key, []), list):
            raise ValueError(f"{key} is not a list")
    instances = data.get("instances", {})
    if not isinstance(instances, Mapping) or not all(
        isinstance(ids, list) and all(isinstance(id_, int) for id_ in ids)
        for ids in instances.values()
    ):
        raise ValueError("instances is not a mapping of categories to ids")
    known = {f.name for f in fields(Record)}
    lists = {key: tuple(map(str, data.get(key) or ())) for key in ("normalised", "repairs")}
    return Record(**{**{k: v for k, v in data.items() if k in known}, **lists})
