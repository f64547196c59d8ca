"""The entries as the page's script reads them: compact, each text that repeats kept once."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from sv2r.report.entries import ReportEntry, Row
from sv2r.report.pictures import Embedded

STATUSES = ("done", "rejected", "failed")
# Instances that are listed one by one; beyond, an entry has its worst survival alone.
_ROWS = 400_000


class _Index:
    """Numbers for texts, in the order in which they come."""

    def __init__(self) -> None:
        self.numbers: dict[str, int] = {}

    def __call__(self, text: str) -> int:
        return self.numbers.setdefault(text, len(self.numbers))

    def texts(self) -> list[str]:
        return list(self.numbers)


def page_data(
    entries: Sequence[ReportEntry], carried: Sequence[Embedded], threshold: float, invention: float
) -> dict[str, Any]:
    """Return all that the script needs, as JSON values; its keys are explained in report.js."""
    prompts, settings = _Index(), _Index()
    counts = Counter(name for entry in entries for name in entry.categories)
    categories = {name: number for number, name in enumerate(sorted(counts))}
    columns = _names(row.scores for entry in entries for row in entry.rows)
    figures = _names(entry.scores for entry in entries)
    items, left = [], _ROWS
    for entry in entries:
        left -= len(entry.rows)
        item = _item(entry, categories, figures)
        item["p"] = None if entry.record.prompt is None else prompts(entry.record.prompt)
        if entry.record.settings:
            item["x"] = settings(json.dumps(dict(entry.record.settings), sort_keys=True))
        if left >= 0 and columns:
            item["g"] = [_row(row, categories, columns) for row in entry.rows]
        items.append({key: value for key, value in item.items() if value not in (None, [], {})})
    return {
        "threshold": threshold,
        "invention": invention,
        "statuses": STATUSES,
        "categories": [[name, counts[name]] for name in categories],
        "columns": columns,
        "figures": figures,
        "prompts": prompts.texts(),
        "settings": [json.loads(text) for text in settings.texts()],
        "items": items,
        "pictures": [_pictures(one) for one in carried],
    }


def _item(
    entry: ReportEntry, categories: Mapping[str, int], figures: Sequence[str]
) -> dict[str, Any]:
    record = entry.record
    return {
        "i": record.sample,
        "v": record.variant if record.variant > 0 else None,
        "s": STATUSES.index(record.status),
        "b": entry.before,
        "a": entry.after,
        "z": entry.size,
        "d": record.seed,
        "e": record.error,
        "r": list(record.repairs),
        "n": list(record.normalised),
        "y": dict(record.drawn),
        "c": [categories[name] for name in entry.categories],
        "k": [_short(entry.scores.get(name)) for name in figures] if entry.scores else None,
        "w": _short(entry.worst),
        "t": _short(entry.shift),
        "o": list(record.restored),
        "m": [
            [url, one.number, one.seed, int(one.best), list(one.reasons)]
            for one, url in entry.attempts
        ],
    }


def _row(row: Row, categories: Mapping[str, int], columns: Sequence[str]) -> list[Any]:
    category = -1 if row.category is None else categories[row.category]
    scores = [_short(row.scores.get(name)) for name in columns]
    return [row.id, category, _short(row.survival), *scores]


def _pictures(one: Embedded) -> dict[str, Any]:
    return {
        "b": one.before,
        "a": one.after,
        "c": dict(one.controls),
        "z": one.size,
        "grid": one.grid,
        "contours": None if one.contours is None else list(one.contours.items()),
    }


def _names(groups: Any) -> list[str]:
    return list(dict.fromkeys(name for scores in groups for name in scores))


def _short(number: float | None) -> float | None:
    """Return a number with four significant digits, which is more than the page shows."""
    return None if number is None else float(f"{number:.4g}")
