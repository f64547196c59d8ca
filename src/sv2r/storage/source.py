"""Where a dataset is read from: a folder, or an archive that is read as if it were one.

A loader sees a path and nothing else. Inside an archive that is a `SourcePath`, spelled as if the
archive were a folder (``renders.zip/train/0001.png``): it opens, lists and tells as any path does.
In a place that is no disk of this machine (``s3://bucket/renders``) it is a `RemotePath`.
What asks the system itself (`os.scandir`, a library that wants a file's name) goes through
`list_folder` and `on_disk`, which take both kinds.
"""

from __future__ import annotations

import errno
import io
import os
import shutil
import stat
import tempfile
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from fnmatch import fnmatchcase
from functools import lru_cache
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Protocol

from sv2r.errors import ConfigError, StorageError
from sv2r.storage.archive import Archive, Entry, is_archive, open_archive
from sv2r.storage.paths import inside, shard_of, url_of

if TYPE_CHECKING:
    from sv2r.storage.remote import Store

    _Path = Path
else:
    _Path = type(Path())  # which of the two a system has; Path itself is none before 3.12


class Listed(Protocol):
    """What a listing says of a name: the part of `os.DirEntry` that is asked for."""

    @property
    def name(self) -> str:
        """Return its name in the folder."""

    def is_dir(self, *, follow_symlinks: bool = True) -> bool:
        """Return whether it is a folder."""

    def is_file(self, *, follow_symlinks: bool = True) -> bool:
        """Return whether it is a file."""

    def is_symlink(self) -> bool:
        """Return whether it is a link."""

    def stat(self, *, follow_symlinks: bool = True) -> os.stat_result:
        """Return its size and times."""


def leads_to_folder(entry: Listed) -> bool:
    """Return whether it is a folder or a link to one; a link that goes in circles is neither."""
    try:
        return entry.is_dir()
    except OSError:
        return False


def leads_to_file(entry: Listed) -> bool:
    """Return whether it is a file or a link to one; a link that goes in circles is neither."""
    try:
        return entry.is_file()
    except OSError:
        return False


def as_source(path: Path) -> Path:
    """Return a path to read from: of an archive, or what lies in one, a `SourcePath`; else itself.

    A URL is a `RemotePath`, or a `SourcePath` where it is or leads into an archive.

    Raises:
        ConfigError: it is an archive that cannot be read as a folder, or a URL that is of no known
            kind or cannot be reached.
    """
    if url := url_of(path):
        return _remote_source(url, afresh=not isinstance(path, SourcePath))
    if isinstance(path, SourcePath):
        return path
    file = next((place for place in (path, *path.parents) if place.is_file()), None)
    if file is None or not is_archive(file):
        return path
    open_archive(file)
    return SourcePath(path)


def _remote_source(url: str, *, afresh: bool) -> SourcePath:
    from sv2r.storage.remote import archive_in, open_store, require_readable

    try:
        store, name = open_store(url)
        if afresh:
            require_readable(url)
            store.forget(name)
        archive = archive_in(store, name)
        store.find(name)
    except (StorageError, FileNotFoundError) as error:
        raise ConfigError(str(error)) from error
    if archive is None or not is_archive(archive[0]):
        return RemotePath(url)
    open_archive(archive[0])
    return SourcePath(url)


def published_file(output: Path, name: str) -> Path:
    """Return a file that a job has published, also where it lies in a shard.

    Raises:
        SampleError: as `inside`. ConfigError: the shard cannot be read.
    """
    path = inside(output, name)
    return as_source(path) if shard_of(name) else path


@contextmanager
def list_folder(folder: Path) -> Generator[Iterator[Listed]]:
    """Yield what lies in a folder, as `os.scandir` does.

    Raises:
        OSError: as `os.scandir`.
    """
    if isinstance(folder, SourcePath):
        yield folder.scan()
        return
    with os.scandir(folder) as entries:
        yield entries


def names_in(folder: Path) -> list[str]:
    """Return the names in a folder, for 100,000 of which a listing would take longer.

    Raises:
        OSError: as `os.listdir`.
    """
    if isinstance(folder, SourcePath):
        return [entry.name for entry in folder.scan()]
    return os.listdir(folder)  # noqa: PTH208


def is_there(path: Path) -> bool:
    """Return whether something has that name, also a link to nothing."""
    if isinstance(path, SourcePath):
        return path.exists(follow_symlinks=False)
    return os.path.lexists(path)


@contextmanager
def on_disk(path: Path) -> Iterator[Path]:
    """Yield a file for a library that wants its name: itself, or a copy that goes afterwards.

    Raises:
        OSError: it cannot be read.
    """
    if not isinstance(path, SourcePath):
        yield path
        return
    with tempfile.NamedTemporaryFile(prefix="sv2r-", suffix=path.suffix) as copy:
        with path.open("rb") as stream:
            shutil.copyfileobj(stream, copy)
        copy.flush()
        yield Path(copy.name)


class SourcePath(_Path):
    """A path into an archive; all that only reads works as on other paths, nothing is written."""

    def __str__(self) -> str:
        text = super().__str__()
        return text if text.startswith(os.sep) else url_of(text) or text

    def _within(self) -> tuple[Archive | Store, str] | None:
        """Return the archive and the name in it; None for a path above the archive."""
        text = os.fspath(self)
        if url := url_of(text):
            return _in_remote_archive(url)
        home = _home(os.path.dirname(text)) or _home(text)  # noqa: PTH120  # few folders are kept
        return (open_archive(Path(home)), text[len(home) :].strip("/")) if home else None

    def _entry(self) -> Entry | None:
        found = self._within()
        return found[0].find(found[1]) if found else None

    def stat(self, *, follow_symlinks: bool = True) -> os.stat_result:
        """Return what there is to say of it: kind, size and the archive's own times.

        Raises:
            OSError: there is no such file, or it is a link, which is not followed.
        """
        found = self._within()
        if found is None:
            return super().stat(follow_symlinks=follow_symlinks)
        archive, name = found
        entry = archive.find(name)
        if entry is None:
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), os.fspath(self))
        if stat.S_ISLNK(entry.kind) and follow_symlinks:
            raise OSError(errno.ELOOP, entry.fault, os.fspath(self))
        return _status(archive, entry)

    def exists(self, *, follow_symlinks: bool = True) -> bool:
        """Return whether there is such a file or folder; a link leads to none."""
        try:
            self.stat(follow_symlinks=follow_symlinks)
        except OSError:
            return False
        return True

    def is_file(self, *, follow_symlinks: bool = True) -> bool:
        """Return whether it is a file."""
        return self._is(stat.S_ISREG)

    def is_dir(self, *, follow_symlinks: bool = True) -> bool:
        """Return whether it is a folder, as the archive itself is."""
        return self._is(stat.S_ISDIR)

    def is_symlink(self) -> bool:
        """Return whether it is a link."""
        return self._is(stat.S_ISLNK)

    def _is(self, kind: Any) -> bool:
        try:
            return bool(kind(self.stat(follow_symlinks=False).st_mode))
        except OSError:
            return False

    def open(  # type: ignore[override]
        self,
        mode: str = "r",
        buffering: int = -1,
        encoding: str | None = None,
        errors: str | None = None,
        newline: str | None = None,
    ) -> IO[Any]:
        """Return its content, as `Path.open` does.

        Raises:
            OSError: there is no such file, it cannot be read, or is to be written.
        """
        if set(mode) - set("rbt"):
            raise OSError(errno.EROFS, os.strerror(errno.EROFS), os.fspath(self))
        stream: Any = self.open_bytes()
        return stream if "b" in mode else io.TextIOWrapper(stream, encoding, errors, newline)

    def open_bytes(self) -> io.BufferedIOBase:
        """Return its bytes as a stream.

        Raises:
            OSError: there is no such file, or it cannot be read.
        """
        found = self._within()
        if found is None:
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), os.fspath(self))
        return found[0].open(found[1])

    def read_bytes(self) -> bytes:
        """Return its bytes."""
        with self.open_bytes() as stream:
            return stream.read()

    def scan(self) -> Iterator[Listed]:
        """Yield what lies in it.

        Raises:
            OSError: it is no folder.
        """
        found = self._within()
        names = found[0].names(found[1]) if found else None
        if found is None or names is None:
            if self.is_dir():
                return
            raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), os.fspath(self))
        for name in names:
            entry = found[0].find(f"{found[1]}/{name}" if found[1] else name)
            yield _Listed(name, found[0], entry or Entry(0))

    def iterdir(self) -> Iterator[SourcePath]:  # type: ignore[override]
        """Yield the paths in it."""
        yield from (self / entry.name for entry in self.scan())

    def glob(self, pattern: str, **_: Any) -> Iterator[SourcePath]:  # type: ignore[override]
        """Yield what matches a pattern, such as ``*/*.json`` or ``**/*.png``."""
        yield from self._matching(pattern.split("/"))

    def rglob(self, pattern: str, **_: Any) -> Iterator[SourcePath]:  # type: ignore[override]
        """Yield what matches a pattern in any folder below."""
        yield from self._matching(["**", *pattern.split("/")])

    def _matching(self, parts: list[str]) -> Iterator[SourcePath]:
        first, *rest = parts
        if first == "**":
            yield from self._matching(rest) if rest else iter((self,))
        for entry in self.scan():
            inner = self / entry.name
            if first == "**" and entry.is_dir():
                yield from inner._matching(parts)
            elif first != "**" and fnmatchcase(entry.name, first):
                if not rest:
                    yield inner
                elif entry.is_dir():
                    yield from inner._matching(rest)

    def absolute(self) -> SourcePath:
        """Return it as it is where it is a URL, else with the working folder before it."""
        return self if url_of(self) else super().absolute()

    def resolve(self, strict: bool = False) -> SourcePath:
        """Return it with the links to the archive followed; in the archive none is."""
        if url_of(self):
            return self
        found = self._within()
        if found is None:
            return type(self)(Path(os.fspath(self)).resolve(strict=strict))
        archive, name = found
        own = archive.path if isinstance(archive, Archive) else self
        return type(self)(own.resolve(strict=strict)) / name


class RemotePath(SourcePath):
    """A path in a remote file system, spelled as its URL; nothing is written."""

    def _within(self) -> tuple[Store, str]:
        from sv2r.storage.remote import open_store

        return open_store(os.fspath(self))


def _in_remote_archive(url: str) -> tuple[Archive, str] | None:
    from sv2r.storage.remote import archive_in, open_store

    found = archive_in(*open_store(url))
    return (open_archive(found[0]), found[1]) if found else None


def at_hand(path: Path) -> Path:
    """Return a file for a library that wants its name and reads it often: itself, or a kept copy.

    Raises:
        FileNotFoundError: there is no such file. StorageError: it cannot be reached.
    """
    if not isinstance(path, RemotePath):
        return path
    store, name = path._within()
    return store.kept(name)


def holds_archives(root: Path) -> bool:
    """Return whether archives in a folder can be opened: not where it is in one itself."""
    return isinstance(root, RemotePath) or not isinstance(root, SourcePath)


class MadePath(SourcePath):
    """A file that lies nowhere and is made when it is read, spelled as where it would lie."""

    _make: Callable[[], bytes] | None = None
    _of: Path | None = None

    @classmethod
    def of(cls, path: Path, source: Path, make: Callable[[], bytes]) -> MadePath:
        """Return the file. path: where it would lie. source: what it is made of.

        make: returns its bytes, the same ones each time; raises SampleError.
        """
        made = cls(path)
        made._make, made._of = make, source
        return made

    def stat(self, *, follow_symlinks: bool = True) -> os.stat_result:
        """Return what there is to say of the file that it is made of.

        Raises:
            OSError: there is no such file.
        """
        return self._of.stat() if self._of else super().stat(follow_symlinks=follow_symlinks)

    def open_bytes(self) -> io.BufferedIOBase:
        """Return its bytes as a stream.

        Raises:
            OSError: as `SourcePath`. SampleError: it cannot be made.
        """
        return io.BytesIO(self._make()) if self._make else super().open_bytes()

    def resolve(  # type: ignore[override]
        self, strict: bool = False
    ) -> SourcePath:
        """Return where it would lie, with links followed."""
        return SourcePath(self.parent).resolve(strict) / self.name


@lru_cache(maxsize=1 << 12)
def _home(folder: str) -> str | None:
    """Return the archive that a folder is or lies in."""
    path = Path(folder)
    return next((str(at) for at in (*reversed(path.parents), path) if at.is_file()), None)


class _Listed:
    """An entry of a listing of an archive."""

    def __init__(self, name: str, archive: Archive | Store, entry: Entry) -> None:
        self.name, self._archive, self._entry = name, archive, entry

    def is_dir(self, *, follow_symlinks: bool = True) -> bool:
        return stat.S_ISDIR(self._entry.kind)

    def is_file(self, *, follow_symlinks: bool = True) -> bool:
        return stat.S_ISREG(self._entry.kind)

    def is_symlink(self) -> bool:
        return stat.S_ISLNK(self._entry.kind)

    def stat(self, *, follow_symlinks: bool = True) -> os.stat_result:
        return _status(self._archive, self._entry)


def _status(archive: Archive | Store, entry: Entry) -> os.stat_result:
    own = archive.status
    times = {"st_mtime_ns": own.st_mtime_ns, "st_ctime_ns": own.st_ctime_ns}
    mode = entry.kind | (0o555 if stat.S_ISDIR(entry.kind) else 0o444)
    plain = (mode, 0, own.st_dev, 1, own.st_uid, own.st_gid, entry.size)
    return os.stat_result((*plain, own.st_atime, own.st_mtime, own.st_ctime), times)
