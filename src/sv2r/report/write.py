"""Writes OUT/sv2r/report.html: one page that opens from a file, without a network."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from functools import partial, reduce
from pathlib import Path
from typing import Any

from sv2r.checks.invention import InventionOptions
from sv2r.checks.survival import SurvivalOptions
from sv2r.config.layers import flatten
from sv2r.config.resolve import MAY_DIFFER
from sv2r.errors import ConfigError
from sv2r.job.rebuild import rebuild
from sv2r.output.attempts import Attempt, read_attempts
from sv2r.output.finished import REPORT, Finished, open_dataset, open_finished
from sv2r.output.journal import FOLDER
from sv2r.output.publishing import opened_output, put_files
from sv2r.output.repaired import Repaired
from sv2r.plugin.options import Options
from sv2r.plugin.registry import Registry, load_registry
from sv2r.plugin.specs import Conditioner
from sv2r.report import EMBEDDED, statistics
from sv2r.report.data import page_data
from sv2r.report.entries import ReportEntry, make_entry
from sv2r.report.pictures import Embedded, embed
from sv2r.storage.files import write_atomically
from sv2r.storage.remote import WorkFolder, is_read_only
from sv2r.types import Dataset, Record
from sv2r.worker.threads import in_threads

_PAGE = Path(__file__).parent / "page"


def write_report(
    output: Path,
    dataset: Dataset | None = None,
    *,
    source: Path | None = None,
    embedded: int = EMBEDDED,
    controls: bool = False,
    registry: Registry | None = None,
    watch: Callable[[int, int], None] | None = None,
    say: Callable[[str], None] | None = None,
) -> Path:
    """Write the page of a finished output and return its path; nothing else is written.

    dataset: what the output was made from; opened as run.yaml says if left out. Where it is not
        there any more, the page does without what is known of the input alone.
    source: where the input lies now, if not where run.yaml says.
    embedded: how many entries have small pictures and contours within the page.
    controls: make these pictures' control maps again and put them into the page, too.
    registry: the plugins; those that are installed if left out.
    watch: called now and then with the records looked at, and how many there are.
    say: is told each thing that the page does without, such as a picture that vanished.

    Raises:
        ConfigError: this is not an output of sv2r, or its samples.jsonl is missing or damaged.
        StorageError: the page cannot be written.
    """
    finished = open_finished(opened_output(output))
    notes: list[str] = []
    registry = registry or load_registry()
    if dataset is None:
        dataset = _dataset(finished, registry, source, notes)
    places = {id_: index for index, id_ in enumerate(dataset.ids)} if dataset else {}
    entries = _entries(finished, dataset, places, watch)
    worst = entries[:embedded]
    makers = rebuild(finished, registry, "conditioners", notes) if controls else ()
    carried = list(in_threads(partial(_embed, finished.output, dataset, places, makers), worst))
    path = finished.folder / REPORT
    write_atomically(
        path, render(finished, entries, carried, notes).encode(errors="backslashreplace")
    )
    if not (isinstance(finished.output, WorkFolder) and is_read_only(finished.output.url)):
        put_files(finished.output, [f"{FOLDER}/{REPORT}"])
    if say is not None:
        for line in (*notes, *_missing(carried)):
            say(line)
    return path


def render(
    finished: Finished,
    entries: Sequence[ReportEntry],
    carried: Sequence[Embedded],
    notes: Sequence[str] = (),
) -> str:
    """Return the page. entries: the worst first. carried: what the page holds of the first ones."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined
    from markupsafe import Markup

    environment = Environment(
        loader=FileSystemLoader(_PAGE),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    script = (_PAGE / "report.js").read_text(encoding="utf-8")
    threshold = limit_of(finished, "survival", "min_survival", SurvivalOptions)
    invention = limit_of(finished, "invention", "max_invention", InventionOptions)
    return environment.get_template("report.html.j2").render(
        style=Markup((_PAGE / "report.css").read_text(encoding="utf-8")),  # noqa: S704
        script=Markup(script),  # noqa: S704
        script_hash=base64.b64encode(hashlib.sha256(script.encode()).digest()).decode(),
        data=Markup(_in_script(page_data(entries, carried, threshold, invention))),  # noqa: S704
        notes=[*notes, *_missing(carried)],
        threshold=threshold,
        counts=statistics.status_counts(entries),
        total=len(entries),
        repaired=sum(bool(entry.record.repairs) for entry in entries),
        repairs=reduce(Repaired.plus, (entry.record for entry in entries), Repaired()).words,
        categories=statistics.by_category(entries, threshold),
        survivals=statistics.survival_histogram(entries),
        shifts=statistics.shift_histogram(entries),
        statistics=statistics,
        asked=_asked(finished.settings),
        ran=_ran(entries),
        version=_version(),
    )


def limit_of(finished: Finished, check: str, option: str, model: type[Options]) -> float:
    """Return what the run's check judged by: an option in run.yaml, or its default."""
    options = finished.section("checks").get(check)
    value = options.get(option) if isinstance(options, Mapping) else None
    usual = model.model_fields[option].default
    return float(value if isinstance(value, (int, float)) else usual)


def _dataset(
    finished: Finished, registry: Registry, source: Path | None, notes: list[str]
) -> Dataset | None:
    try:
        return open_dataset(finished, registry, source)
    except ConfigError as error:
        notes.append(f"No pictures from before and no contours: {error}.")
        return None


def _entries(
    finished: Finished,
    dataset: Dataset | None,
    places: Mapping[str, int],
    watch: Callable[[int, int], None] | None,
) -> list[ReportEntry]:
    """Return all entries, the worst first."""
    kept: dict[tuple[str, int], list[tuple[Attempt, Path]]] = {}
    for attempt, picture in read_attempts(finished.output):
        kept.setdefault((attempt.sample, attempt.variant), []).append((attempt, picture))

    def entry(record: Record) -> ReportEntry:
        return make_entry(record, finished.output, dataset, places.get(record.sample), kept)

    records = list(finished.records())
    entries = []
    for number, made in enumerate(in_threads(entry, records), 1):
        entries.append(made)
        if watch and (number % 100 == 0 or number == len(records)):
            watch(number, len(records))
    return sorted(entries, key=lambda entry: entry.rank)


def _embed(
    output: Path,
    dataset: Dataset | None,
    places: Mapping[str, int],
    makers: Sequence[tuple[str, Conditioner]],
    entry: ReportEntry,
) -> Embedded:
    return embed(entry, output, dataset, places.get(entry.record.sample), makers)


def _missing(carried: Sequence[Embedded]) -> list[str]:
    return list(dict.fromkeys(line for one in carried for line in one.missing))


def _in_script(data: Any) -> str:
    """Return data as JSON that ends no script element, whatever its texts hold."""
    text = json.dumps(data, separators=(",", ":"), allow_nan=False)
    return text.replace("&", "\\u0026").replace("<", "\\u003c").replace(">", "\\u003e")


def _asked(settings: Mapping[str, Any]) -> list[tuple[str, list[tuple[str, str]]]]:
    """Return what run.yaml asks for by section, without what is free to differ between runs."""
    general: dict[str, Any] = {}
    sections: dict[str, Mapping[str, Any]] = {}
    for key, value in settings.items():
        if key not in MAY_DIFFER:
            (sections if isinstance(value, Mapping) else general)[key] = value
    groups = [("dataset and run", general), *sections.items()]
    return [(name, _lines(values)) for name, values in groups if values]


def _ran(entries: Sequence[ReportEntry]) -> list[tuple[int, list[tuple[str, str]]]]:
    """Return each distinct set of settings that really ran, with how many pictures it made."""
    groups: dict[str, list[Mapping[str, Any]]] = {}
    for entry in entries:
        if settings := entry.record.settings:
            groups.setdefault(json.dumps(settings, sort_keys=True), []).append(settings)
    ordered = sorted(groups.items(), key=lambda group: (-len(group[1]), group[0]))
    return [(len(group), _lines(group[0])) for _, group in ordered]


def _lines(values: Mapping[str, Any]) -> list[tuple[str, str]]:
    return [(key, _text(value)) for key, value in flatten(values).items()]


def _text(value: Any) -> str:
    if value in (None, "", [], {}):
        return "–"
    if isinstance(value, bool):
        return "yes" if value else "no"
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)


def _version() -> str:
    from importlib.metadata import version

    return version("sv2r")
