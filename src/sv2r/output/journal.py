"""The result of every task, in one sqlite file that only the driver writes."""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import sqlite3
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

from sv2r.errors import ConfigError, Sv2rError
from sv2r.output.records import from_json, to_json
from sv2r.storage.files import sync_folders
from sv2r.storage.regular import is_own_file
from sv2r.types import Record, Status

FOLDER = "sv2r"  # the job's own files, under the output folder
JOURNAL = "journal.sqlite3"
_SCHEMA = """
CREATE TABLE IF NOT EXISTS meta (key TEXT PRIMARY KEY, value TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS records (
    sample TEXT NOT NULL, variant INTEGER NOT NULL, status TEXT NOT NULL, data TEXT NOT NULL,
    PRIMARY KEY (sample, variant)
);
CREATE INDEX IF NOT EXISTS by_status ON records (status, sample, variant);
"""
# After a kill, records that were not committed are made again: the same pictures, bit for bit.
_COMMIT_RECORDS = 64
_COMMIT_SECONDS = 1.0
# What comes of damaged bytes; SQLite's own words about them may hold some that are no text.
_DAMAGE = (sqlite3.DatabaseError, UnicodeDecodeError)

CHANGED_IDENTITY = "the settings in it are not those that were stored"


def digest_of(identity: Any) -> str:
    """Return the SHA-256 of a run's identity, as hexadecimal digits."""
    return hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()


class Journal:
    """The journal of one output folder, locked against a second run while it is open.

    Files reach the disk before the records that name them: their folders are fsynced once for all
    records of a commit.
    """

    def __init__(self, output: Path) -> None:
        """Open the journal, making it where there is none.

        Raises:
            ConfigError: another run holds it, or it is damaged.
        """
        folder = output / FOLDER
        _make(folder)
        require_own_files(folder)
        self._lock = _take_lock(folder)
        self._path = folder / JOURNAL
        self._output = output
        self._unsynced: set[Path] = set()
        self._waiting = 0
        self._committed = time.monotonic()
        try:
            self._db = sqlite3.connect(self._path, isolation_level=None, check_same_thread=False)
            self._db.execute("PRAGMA journal_mode=WAL")
            self._db.execute("PRAGMA synchronous=NORMAL")
            self._db.executescript(_SCHEMA)
            strange = strange_part(self._db)
            wrong = None if strange else self._db.execute(_OTHER_TYPES).fetchone()
        except _DAMAGE as error:
            self._lock.close()
            if getattr(error, "sqlite_errorname", "") in _UNWRITABLE:
                raise ConfigError(f"{self._path}: {error}; {_WRITABLE}") from None
            raise self._damaged(error) from None
        if strange or wrong is not None:
            self.close()
            raise self._damaged(strange or "columns of other types")

    def __enter__(self) -> Journal:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Commit pending records and release the folder."""
        try:
            self.commit()
        finally:
            self._db.close()
            self._lock.close()

    def _damaged(self, error: object) -> ConfigError:
        return ConfigError(f"{self._path}: the journal is damaged ({error}); {_FIX}")

    def get(self, key: str) -> Any:
        """Return a value of the run (its identity, its batch size), or None.

        Raises:
            ConfigError: the journal is damaged.
        """
        row = next(self._rows("SELECT value FROM meta WHERE key = ?", (key,)), None)
        try:
            return json.loads(row[0]) if row else None
        except (ValueError, RecursionError) as error:
            raise self._damaged(error) from None

    def keep(self, key: str, value: Any) -> None:
        """Store a value of the run and commit."""
        text = json.dumps(value, sort_keys=True)
        self._write("INSERT OR REPLACE INTO meta VALUES (?, ?)", (key, text))
        self.commit()

    def keep_identity(self, identity: Mapping[str, Any]) -> None:
        """Store what a resumed run must share with this one, so that a change of it is seen."""
        for key, value in (("identity", identity), ("identity_sha256", digest_of(identity))):
            row = (key, json.dumps(value, sort_keys=True))
            self._write("INSERT OR REPLACE INTO meta VALUES (?, ?)", row)
        self.commit()

    def identity(self) -> Any:
        """Return what `keep_identity` stored, or None.

        Raises:
            ConfigError: the journal is damaged.
        """
        identity, digest = self.get("identity"), self.get("identity_sha256")
        if digest not in (None, digest_of(identity)):
            raise self._damaged(CHANGED_IDENTITY)
        return identity

    def add(self, record: Record) -> None:
        """Store a record, replacing an earlier one of the same task; commit now and then."""
        row = (record.sample, record.variant, record.status, to_json(record))
        self._write("INSERT OR REPLACE INTO records VALUES (?, ?, ?, ?)", row)
        for name in (record.output, *record.labels):
            if name is not None:
                self._unsynced.add((self._output / name).parent)
        self._waiting += 1
        if self._waiting >= _COMMIT_RECORDS or time.monotonic() - self._committed > _COMMIT_SECONDS:
            self.commit()

    def commit(self) -> None:
        """Commit everything that was added."""
        if self._db.in_transaction:
            sync_folders(self._unsynced)
            self._unsynced.clear()
            self._write("COMMIT", ())
        self._waiting = 0
        self._committed = time.monotonic()

    def settled(self) -> set[tuple[str, int]]:
        """Return the (sample, variant) of every task that need not be done again."""
        query = "SELECT sample, variant FROM records WHERE status IN ('done', 'rejected')"
        return set(self._rows(query))

    def records(self, status: Status | None = None) -> Iterator[Record]:
        """Yield the records by sample id and variant, of one status or all."""
        where = "" if status is None else "WHERE status = ?"
        query = f"SELECT data FROM records {where} ORDER BY sample, variant"  # noqa: S608
        for (data,) in self._rows(query, () if status is None else (status,)):
            yield self._read(data)

    def _read(self, data: str) -> Record:
        try:
            return from_json(data)
        except ValueError as error:
            raise self._damaged(f"a record that is none: {error}") from None

    def record(self, sample: str, variant: int) -> Record:
        """Return the record of one task; raises KeyError where there is none."""
        query = "SELECT data FROM records WHERE sample = ? AND variant = ?"
        row = next(self._rows(query, (sample, variant)), None)
        if row is None:
            raise KeyError((sample, variant))
        return self._read(row[0])

    def statuses(self) -> Iterator[tuple[str, int, Status]]:
        """Yield (sample, variant, status) of every record, without reading more of it."""
        query = "SELECT sample, variant, status FROM records ORDER BY status, sample, variant"
        yield from self._rows(query)

    def keep_problems(self, records: Sequence[Record]) -> bool:
        """Keep these records in place of the problems kept before; return whether any differs."""
        texts = {(r.sample, r.variant): to_json(r) for r in records}
        query = "SELECT sample, variant, data FROM records WHERE status = 'failed'"
        before = {(sample, variant): data for sample, variant, data in self._rows(query)}
        gone = [key for key in before if key[1] < 0 and key not in texts]
        fresh = [r for r in records if before.get((r.sample, r.variant)) != to_json(r)]
        for key in gone:
            self._write("DELETE FROM records WHERE sample = ? AND variant = ?", key)
        for record in fresh:
            self.add(record)
        self.commit()
        return bool(gone or fresh)

    def clear(self) -> None:
        """Forget every record and value."""
        self._write("DELETE FROM records", ())
        self._write("DELETE FROM meta", ())
        self.commit()

    def _rows(self, query: str, values: tuple[Any, ...] = ()) -> Iterator[Any]:
        """Yield what a query finds.

        Raises:
            ConfigError: the journal is damaged there.
        """
        try:
            yield from self._db.execute(query, values)
        except _DAMAGE as error:
            raise self._damaged(error) from None

    def _write(self, statement: str, values: tuple[Any, ...]) -> None:
        try:
            if statement != "COMMIT" and not self._db.in_transaction:
                self._db.execute("BEGIN")
            self._db.execute(statement, values)
        except sqlite3.OperationalError as error:
            fix = "free some space, then run the same command again"
            raise Sv2rError(f"{self._path}: {error}; {fix}") from None
        except _DAMAGE as error:
            raise self._damaged(error) from None


_FIX = "sv2r verify --fix rebuilds it"


_WRITABLE = "check that the folder can be written"
_UNWRITABLE = ("SQLITE_CANTOPEN", "SQLITE_READONLY", "SQLITE_PERM", "SQLITE_READONLY_DIRECTORY")
# What somebody else's database may have under the same names.
_OTHER_TYPES = """
SELECT 1 FROM records WHERE typeof(sample) != 'text' OR typeof(variant) != 'integer'
    OR typeof(status) != 'text' OR typeof(data) != 'text'
UNION ALL SELECT 1 FROM meta WHERE typeof(key) != 'text' OR typeof(value) != 'text' LIMIT 1
"""


# A trigger or a view of somebody else's would change records behind the run's back.
_STRANGE = """
SELECT type || ' ' || name FROM sqlite_master
WHERE (type NOT IN ('table', 'index') OR name NOT IN ('meta', 'records', 'by_status'))
    AND name NOT GLOB 'sqlite_autoindex_*' LIMIT 1
"""


def strange_part(database: sqlite3.Connection) -> str | None:
    """Return what a journal holds that no run makes, as a reason, or None."""
    found = database.execute(_STRANGE).fetchone()
    return f"the {found[0]}, which no run makes" if found else None


def _make(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        what = (error.strerror or str(error)).lower()
        raise ConfigError(f"{folder}: cannot be made ({what}); give another --output") from None


def require_own_files(folder: Path) -> None:
    """Raise ConfigError where a job's folder, or a file in it, is a link, a pipe or a device.

    An output may come from anybody, and what is written through a link lands somewhere else.
    """
    if folder.is_symlink():
        raise ConfigError(f"{folder}: is a link, which no run makes; remove it")
    for path in sorted(folder.iterdir()):
        if not is_own_file(path) and not (path.is_dir() and not path.is_symlink()):
            raise ConfigError(f"{path}: is a link or no file, which no run makes; remove it")


def _take_lock(folder: Path) -> Any:
    handle = os.fdopen(
        os.open(folder / "lock", os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o666), "r+"
    )
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        handle.close()
        raise ConfigError(
            f"{folder.parent}: another run writes to it; wait for it to end"
        ) from None
    return handle
