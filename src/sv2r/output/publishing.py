"""A remote output: a run works in a folder on this machine's disk, and all of it is put there too.

A picture is there before its record counts, so that a killed run makes again what may be missing.
The journal and what the end of a run writes follow when the run ends. What the two sides hold alike
is kept beside the folder. For an output that is a plain folder all of this does nothing.
"""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

from sv2r.errors import ConfigError, SampleError, StorageError
from sv2r.output.journal import FOLDER, JOURNAL, Journal
from sv2r.storage.files import TEMPORARY, in_bytes, write_atomically
from sv2r.storage.others import PARTS
from sv2r.storage.paths import safe_relative, url_of
from sv2r.storage.remote import Store, WorkFolder, open_store
from sv2r.types import Record

# Puts at a time: one waits for the network nearly all of its life.
_AT_ONCE = 8
_AHEAD = 64
# What is of use to a run on this machine alone.
_OWN = (f"{FOLDER}/lock", f"{FOLDER}/{JOURNAL}-wal", f"{FOLDER}/{JOURNAL}-shm")

# What the two sides hold alike: a file's size and time of change here, and its stamp there.
_Known = dict[str, tuple[int, int, str]]


def published(output: Path, records: Iterable[Record]) -> Iterator[Record]:
    """Yield records in their order, each once its files are where the output is.

    Raises:
        StorageError: they cannot be put there.
    """
    if not isinstance(output, WorkFolder):
        yield from records
        return
    store, root = open_store(output.url)
    waiting: deque[tuple[Record, list[Future[None]]]] = deque()
    with ThreadPoolExecutor(_AT_ONCE) as threads:
        try:
            for record in records:
                files = _files(record, output) if record.status == "done" else []
                put = [threads.submit(store.put, output / name, f"{root}/{name}") for name in files]
                waiting.append((record, put))
                while waiting and (len(waiting) > _AHEAD or _are_done(waiting[0][1])):
                    yield _settled(waiting)
            while waiting:
                yield _settled(waiting)
        finally:
            threads.shutdown(cancel_futures=True)


def _files(record: Record, output: Path) -> list[str]:
    """Return the files of a record that are final: what is to be packed has no name yet."""
    return [name for name in _named(record) if (output / name).is_file()]


def _named(record: Record) -> list[str]:
    return list(dict.fromkeys(name for name in (record.output, *record.labels) if name))


def _are_done(futures: Iterable[Future[None]]) -> bool:
    return all(future.done() for future in futures)


def _settled(waiting: deque[tuple[Record, list[Future[None]]]]) -> Record:
    record, futures = waiting[0]
    for future in futures:
        future.result()
    waiting.popleft()
    return record


def upload(output: Path) -> None:
    """Put there what differs from what is there, once a run has ended.

    A file that is there and of the same size is taken for the same if it was put there by an
    earlier call, or by `published`.

    Raises:
        StorageError: it cannot be reached, or refuses.
    """
    if not isinstance(output, WorkFolder):
        return
    store, root = open_store(output.url)
    known, there, recorded = _known(output), store.tree(root), _recorded(output)
    wanted = [
        name
        for name in _here(output)
        if name not in there
        or there[name][0] != (output / name).stat().st_size
        or not (name in recorded or _are_alike(output / name, known.get(name), there[name][1]))
    ]
    # The job's own files last: they tell of all others.
    put_files(output, [name for name in wanted if not name.startswith(f"{FOLDER}/")])
    put_files(output, [name for name in wanted if name.startswith(f"{FOLDER}/")])
    for name in there:
        if _is_temporary(name):  # a kill left it
            store.remove(f"{root}/{name}")
    _remember(output, _tree(store, root))


def put_files(output: Path, names: Iterable[str]) -> None:
    """Put these files there, whatever is there.

    Raises:
        StorageError: it cannot be reached, or refuses.
    """
    if not isinstance(output, WorkFolder):
        return
    store, root = open_store(output.url)
    with ThreadPoolExecutor(_AT_ONCE) as threads:
        list(threads.map(lambda name: store.put(output / name, f"{root}/{name}"), names))


def put_first(output: Path, name: str) -> None:
    """Put a job's first file there.

    Raises:
        ConfigError: nothing can be put there.
    """
    try:
        put_files(output, [name])
    except StorageError as error:
        raise ConfigError(str(error)) from error


def withdraw(output: Path, names: set[str]) -> None:
    """Remove files there that were removed here, and the job's own, but for the journal.

    Raises:
        StorageError: it cannot be reached, or refuses.
    """
    if not isinstance(output, WorkFolder):
        return
    store, root = open_store(output.url)
    own = {name for name in _tree(store, root) if name.startswith(f"{FOLDER}/")}
    gone = [f"{root}/{name}" for name in {*names, *own} - {f"{FOLDER}/{JOURNAL}"}]
    with ThreadPoolExecutor(_AT_ONCE) as threads:
        list(threads.map(store.remove, gone))


def bring_back(
    output: Path, say: Callable[[str], None] | None = None, *, own_alone: bool = False
) -> None:
    """Fetch what an earlier run left there and this machine lacks.

    A file that was changed here since the last call, as by a run that was killed, stays.

    own_alone: fetch the job's own files alone.

    Raises:
        ConfigError: it cannot be reached, or what lies there is of no run of sv2r.
        StorageError: it can no longer be reached.
    """
    if not isinstance(output, WorkFolder):
        return
    store, root = open_store(output.url)
    try:
        there = _tree(store, root)
    except StorageError as error:
        raise ConfigError(str(error)) from error
    if there and not any(name.startswith(f"{FOLDER}/") for name in there):
        what = f"holds files that no run of sv2r made, such as {min(there)}"
        raise ConfigError(f"{output.url}: {what}; give a folder that is empty or new")
    known = _known(output)
    wanted = [
        name
        for name, told in there.items()
        if (not own_alone or name.startswith(f"{FOLDER}/"))
        and _is_newer(output / name, known.get(name), told[1])
    ]
    if f"{FOLDER}/{JOURNAL}" not in {*there, *_here(output)}:
        wanted = []  # of a run that was killed on another machine: all is made again
    if not wanted:
        return
    if say is not None:
        size = in_bytes(sum(there[name][0] for name in wanted))
        say(f"fetching {len(wanted):,} files ({size}) of an earlier run into {output}")
    _get_all(store, root, output, wanted)
    if not own_alone:
        _remember(output, there)


def _tree(store: Store, root: str) -> dict[str, tuple[int, str]]:
    """Return the files there whose names can be kept here."""
    return {name: told for name, told in store.tree(root).items() if _can_be_kept(name)}


def _can_be_kept(name: str) -> bool:
    try:
        return safe_relative(name).as_posix() == name and not _is_temporary(name)
    except SampleError:
        return False


def _is_temporary(name: str) -> bool:
    return name.rpartition("/")[2].startswith(TEMPORARY)


def _recorded(output: Path) -> set[str]:
    """Return the files that are there because a record names them."""
    if not (output / FOLDER / JOURNAL).is_file():
        return set()
    with Journal(output) as journal:
        return {name for one in journal.records("done") for name in _named(one)}


def _are_alike(path: Path, known: tuple[int, int, str] | None, stamp: str) -> bool:
    """Return whether neither side has changed since both were known to be alike."""
    return known == (*_state(path), stamp)


def _state(path: Path) -> tuple[int, int]:
    status = path.stat()
    return status.st_size, status.st_mtime_ns


def _is_newer(path: Path, known: tuple[int, int, str] | None, stamp: str) -> bool:
    """Return whether a file is not here, or has changed there and not here."""
    if not path.is_file():
        return True
    return known is not None and known[:2] == _state(path) and known[2] != stamp


def _get_all(store: Store, root: str, output: Path, names: Iterable[str]) -> None:
    with ThreadPoolExecutor(_AT_ONCE) as threads:
        list(threads.map(lambda name: store.get(f"{root}/{name}", output / name), names))


def opened_output(output: Path) -> Path:
    """Return an output's folder; of a URL the one on this machine, once it is the same as there.

    Raises:
        ConfigError: there is no output of sv2r. StorageError: it cannot be reached.
    """
    if isinstance(output, WorkFolder) or (url := url_of(output)) is None:
        return output
    folder = WorkFolder.of(url, None)
    store, root = open_store(url)
    there = _tree(store, root)
    if not any(name.startswith(f"{FOLDER}/") for name in there):
        raise ConfigError(f"{url}: no output of sv2r; give the URL that --output named")
    for name, known in _known(folder).items():
        path = folder / name
        if name not in there and path.is_file() and known[:2] == _state(path):
            path.unlink()  # somebody removed it there
    bring_back(folder)
    return folder


def _here(output: Path) -> list[str]:
    """Return the files of a work folder that belong to the output."""
    names = (path.relative_to(output).as_posix() for path in output.rglob("*") if path.is_file())
    return [
        name
        for name in names
        if name not in _OWN
        and not name.startswith(f"{FOLDER}/{PARTS}/")
        and not _is_temporary(name)
    ]


def _ledger(output: Path) -> Path:
    return output.with_name(f"{output.name}.json")


def _known(output: Path) -> _Known:
    try:
        told = json.loads(_ledger(output).read_bytes())
        return {str(name): (int(a), int(b), str(c)) for name, (a, b, c) in told.items()}
    except (OSError, ValueError, TypeError, AttributeError):
        return {}


def _remember(output: Path, there: dict[str, tuple[int, str]]) -> None:
    """Note which files are alike now, after all that differed has been carried over."""
    known: _Known = {}
    for name in _here(output):
        size, modified = _state(output / name)
        if name in there and there[name][0] == size:
            known[name] = (size, modified, there[name][1])
    write_atomically(_ledger(output), json.dumps(known).encode())
