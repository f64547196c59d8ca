"""The records of a finished output: those of the journal, compared with samples.jsonl."""

from __future__ import annotations

import fcntl
import json
import os
import sqlite3
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any
from urllib.parse import quote

from sv2r.config.resolve import difference, identity_of
from sv2r.errors import ConfigError
from sv2r.output.finished import RUN_FILE, SAMPLES, Finished
from sv2r.output.journal import (
    CHANGED_IDENTITY,
    FOLDER,
    JOURNAL,
    Journal,
    digest_of,
    strange_part,
)
from sv2r.output.records import from_json, line_of
from sv2r.storage.regular import is_own_file
from sv2r.types import Record
from sv2r.verify.findings import Fault

_FINISH = "run the same command again: it continues where it stopped"
_WRITES = "the same sv2r convert writes it anew"


@dataclass(frozen=True)
class Records:
    """Where the records are read from.

    read: begins anew each time. verified: SHA-256 of label files by place, as the run noted them,
    or None where its journal does not tell. identity: what a resumed run must share with this one,
    as the journal has it. damaged: whether the journal must be made again.
    """

    read: Callable[[], Iterator[Record]]
    verified: Mapping[str, str] | None
    identity: Mapping[str, Any] | None = None
    damaged: bool = False
    findings: tuple[Fault, ...] = field(default=())


def open_records(finished: Finished) -> Records:
    """Return the records of the journal, or where it is damaged what samples.jsonl has of them."""
    journal = finished.folder / JOURNAL
    if not journal.is_file():
        return _from_lines(finished, Fault("missing", f"{FOLDER}/{JOURNAL}", "is missing"))
    try:
        with _reading(journal) as database:
            meta = _look_through(database)
    except (sqlite3.DatabaseError, ValueError) as error:
        problem = Fault("changed", f"{FOLDER}/{JOURNAL}", f"is damaged ({error})")
        return _from_lines(finished, problem)
    found = tuple(_against_lines(journal, finished, complete=bool(meta.get("complete"))))
    verified, identity = meta.get("verified") or {}, meta.get("identity")
    return Records(lambda: _journal_records(journal), verified, identity, findings=found)


def _from_lines(finished: Finished, problem: Fault) -> Records:
    """Return the records of the lines that can be read; the pictures of others are made again."""
    place = f"{FOLDER}/{SAMPLES}"
    broken = ["is missing too: no record is left"]
    if (finished.folder / SAMPLES).is_file():
        broken = [line for line in _lines(finished) if isinstance(line, str)]
    found = [problem]
    if broken:
        more = f", and {len(broken) - 1:,} more" if len(broken) > 1 else ""
        found.append(Fault("changed", place, f"{broken[0]}{more}"))
    return Records(lambda: _whole_lines(finished), None, damaged=True, findings=tuple(found))


def _whole_lines(finished: Finished) -> Iterator[Record]:
    return (line for line in _lines(finished) if isinstance(line, Record))


def _lines(finished: Finished) -> Iterator[Record | str]:
    """Yield the records of samples.jsonl, if it is there, and what is wrong with the others."""
    path = finished.folder / SAMPLES
    if not path.is_file():
        return
    seen: set[tuple[str, int]] = set()
    with path.open("rb") as stream:
        for number, line in enumerate(stream, 1):
            try:
                record = from_json(line.decode())
            except ValueError as error:
                yield f"line {number} is not a record ({error})"
                continue
            key = (record.sample, record.variant)
            yield f"line {number} is a second record of {key[0]}" if key in seen else record
            seen.add(key)


def rebuild_journal(
    finished: Finished, records: Records, identity: Mapping[str, Any] | None
) -> Path | None:
    """Write a journal of the records and return where the damaged one, if any, is kept.

    identity: what a resumed run must share with this one, where run.yaml tells it.
    """
    kept = _set_aside(finished.folder)
    with Journal(finished.output) as journal:
        if identity is not None:
            journal.keep_identity(identity)
        for record in records.read():
            for key, name in (("batch_size", "batch_size"), ("model", "model_sha256")):
                if journal.get(key) is None and record.settings.get(name) is not None:
                    journal.keep(key, record.settings[name])
            journal.add(record)
    return kept


def _set_aside(folder: Path) -> Path | None:
    damaged = folder / JOURNAL
    for suffix in ("-wal", "-shm"):
        damaged.with_name(f"{JOURNAL}{suffix}").unlink(missing_ok=True)
    # What is no file is left where it is: opening the journal refuses it by its name.
    own = damaged.exists() and is_own_file(damaged)
    return damaged.replace(folder / f"damaged-{JOURNAL}") if own else None


def forget(output: Path, tasks: Mapping[tuple[str, int], str]) -> None:
    """Mark tasks as failed, each with a reason, so that the next run does them again."""
    with Journal(output) as journal:
        for (sample, variant), reason in sorted(tasks.items()):
            before = journal.record(sample, variant)
            gone = replace(before, status="failed", output=None, output_sha256=None, error=reason)
            journal.add(gone)
        journal.keep("complete", value=False)


def against_settings(finished: Finished, records: Records) -> Iterator[Fault]:
    """Yield how run.yaml differs from what the journal says that ran."""
    place = f"{FOLDER}/{RUN_FILE}"
    if not (finished.folder / RUN_FILE).is_file():
        yield Fault("missing", place, f"is missing; {_WRITES}")
    elif not finished.settings:
        yield Fault("changed", place, f"says nothing; {_WRITES}")
    elif records.identity is not None and (
        what := difference(records.identity, identity_of(finished.settings))
    ):
        yield Fault("changed", place, f"not what ran: {what}")


@contextmanager
def no_run_at_work(finished: Finished) -> Iterator[None]:
    """Hold the folder's shared lock, if there is one.

    Raises:
        ConfigError: a run writes to the folder.
    """
    lock = finished.folder / "lock"
    if not lock.is_file():
        yield
        return
    with lock.open() as handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except OSError:
            raise ConfigError(
                f"{finished.output}: a run writes to it; wait for it to end"
            ) from None
        yield


@contextmanager
def _reading(path: Path) -> Iterator[sqlite3.Connection]:
    """Yield the journal for reading; nothing is written where its last run ended well."""
    waiting = path.with_name(f"{path.name}-wal")
    mode = "mode=ro" if waiting.is_file() and waiting.stat().st_size else "immutable=1"
    uri = f"file:{quote(os.fsencode(path.absolute()))}?{mode}"
    with closing(sqlite3.connect(uri, uri=True)) as database:
        yield database


def _look_through(database: sqlite3.Connection) -> dict[str, Any]:
    """Return the run's values, once the file is sound and each of its records can be read."""
    verdict = database.execute("PRAGMA integrity_check(1)").fetchone()[0]
    if verdict != "ok":
        raise ValueError(" ".join(str(verdict).split()))
    if strange := strange_part(database):
        raise ValueError(strange)
    columns = "sample, variant, status, data"
    for sample, variant, status, data in database.execute(f"SELECT {columns} FROM records"):  # noqa: S608
        record = from_json(data)
        if (record.sample, record.variant, record.status) != (sample, variant, status):
            raise ValueError(f"the columns of {sample!r} are not what its record says")
    try:
        values = database.execute("SELECT key, value FROM meta")
        meta = {key: json.loads(text) for key, text in values}
    except (TypeError, RecursionError) as error:
        raise ValueError(str(error)) from None
    if meta.get("identity_sha256") not in (None, digest_of(meta.get("identity"))):
        raise ValueError(CHANGED_IDENTITY)
    if not isinstance(meta.get("verified") or {}, Mapping):
        raise ValueError("what it notes of label files is not a mapping")
    return meta


def _journal_records(path: Path) -> Iterator[Record]:
    with _reading(path) as database:
        query = "SELECT data FROM records ORDER BY sample, variant"
        for (data,) in database.execute(query):
            yield from_json(data)


def _against_lines(journal: Path, finished: Finished, *, complete: bool) -> Iterator[Fault]:
    """Yield what is missing of the job's own files, or not as the journal says."""
    lines = finished.folder / SAMPLES
    if not lines.is_file():
        yield Fault("missing", f"{FOLDER}/{SAMPLES}", f"is missing; {_WRITES}")
        return
    if not complete:
        yield Fault("record", ".", f"the last run was not finished; {_FINISH}")
        return
    found = list(_lines(finished))
    theirs = {(r.sample, r.variant): line_of(r) for r in found if isinstance(r, Record)}
    place = f"{FOLDER}/{SAMPLES}"
    if broken := [line for line in found if isinstance(line, str)]:
        more = f", and {len(broken) - 1:,} more" if len(broken) > 1 else ""
        yield Fault("changed", place, f"{broken[0]}{more}; {_WRITES}")
    for record in _journal_records(journal):
        task = (record.sample, record.variant)
        if theirs.pop(task, None) != line_of(record):
            # Which of the two was changed cannot be told, so the picture is made again.
            text = f"its line is not as the journal has {record.sample}"
            yield Fault("changed", place, text, *task)
    if theirs:
        first = min(theirs)[0]
        text = f"{len(theirs):,} records that the journal has not, the first is {first}; {_WRITES}"
        yield Fault("changed", place, text)
