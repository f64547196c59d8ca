"""What lies in a zip or tar file: read where it is, and guarded as paths are.

An archive is taken or refused as a whole: a name that climbs out, is absolute or stands there twice
makes it no folder. A link in it is listed and never followed.
"""

from __future__ import annotations

import errno
import io
import os
import stat
import struct
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from sv2r.errors import ConfigError, SampleError
from sv2r.storage.paths import safe_relative

if TYPE_CHECKING:
    from tarfile import TarInfo
    from zipfile import ZipFile, ZipInfo

# A file that unpacks to more than so many bytes, and to so many times what it takes, is a bomb.
# Deflate cannot do better than 1,032 times, so no file holds more than that of its archive.
BOMB, RATIO, MOST = 1 << 28, 100, 1100

# What is read at once, and handed over as one piece.
WHOLE = 1 << 26

# How gzip, bzip2, xz, zstandard, 7-Zip and RAR begin.
_WHOLES = (b"\x1f\x8b", b"BZh", b"\xfd7zXZ", b"\x28\xb5\x2f\xfd", b"7z\xbc\xaf", b"Rar!")

COMPRESSED = (
    "is compressed as a whole, so no file in it can be read by itself; "
    "unpack it, or pack it as zip or plain tar"
)
_PACK_AGAIN = "pack the folder itself again"


class Entry(NamedTuple):
    """A file, folder or link of an archive.

    kind: its bits of `stat`. size: in bytes, unpacked. place: where its bytes begin in a tar, and
    its number in a zip.
    fault: why it is not read, or "".
    """

    kind: int
    size: int = 0
    place: int = 0
    fault: str = ""


FOLDER_ENTRY = Entry(stat.S_IFDIR)


@dataclass(frozen=True)
class Archive:
    """An archive's content. path: the file. entries: by name, without the folders' slash.

    children: the names in each folder, "" for the archive itself. status: the file's own.
    """

    path: Path
    entries: Mapping[str, Entry]
    children: Mapping[str, tuple[str, ...]]
    status: os.stat_result
    zipped: bool

    def find(self, name: str) -> Entry | None:
        """Return an entry, a folder for "", or None where there is none of that name."""
        return self.entries.get(name) if name else FOLDER_ENTRY

    def names(self, folder: str) -> tuple[str, ...] | None:
        """Return the names in a folder, or None where it is none."""
        return self.children.get(folder)

    def open(self, name: str) -> io.BufferedIOBase:
        """Return a file's bytes as a stream.

        Raises:
            OSError: there is no such file, it is not to be read, damaged, encrypted, or packed in a
                way that is not known; or the archive has changed.
        """
        entry = self.find(name)
        if entry is None:
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), name)
        if stat.S_ISDIR(entry.kind):
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), name)
        if entry.fault:
            raise OSError(errno.ELOOP, entry.fault, name)
        now = self.path.stat()
        if (now.st_size, now.st_mtime_ns) != (self.status.st_size, self.status.st_mtime_ns):
            raise OSError(errno.EIO, f"{self.path.name} was changed; run the same command again")
        raw: io.RawIOBase = _Zipped(self, entry) if self.zipped else _Slice(self.path, entry)
        if entry.size > WHOLE:
            return io.BufferedReader(raw, 1 << 20)
        with raw:
            return io.BytesIO(raw.readall())


def open_archive(path: Path) -> Archive:
    """Return a zip or tar file's content.

    Raises:
        ConfigError: it is neither, is compressed as a whole, damaged, or holds what no folder can.
    """
    status = path.stat()
    return _opened(path, status.st_size, status.st_mtime_ns)


@lru_cache(maxsize=16)
def _opened(path: Path, size: int, modified: int) -> Archive:
    import tarfile
    import zipfile

    if _is_parquet(path):
        return _of_parquet(path, size)
    zipped = zipfile.is_zipfile(path)
    # RuntimeError is also a version or a way of packing that is not implemented.
    wrong: tuple[type[Exception], ...] = (OSError, zipfile.BadZipFile, tarfile.TarError, EOFError)
    wrong += (ValueError, RuntimeError, struct.error, LookupError, OverflowError)
    try:
        listed = list(_zip_entries(path) if zipped else _tar_entries(path))
    except wrong as error:
        detail = " ".join(str(error).split()) or type(error).__name__
        raise ConfigError(f"{path}: cannot be read as an archive ({detail})") from error
    entries = _checked(path, listed, size)
    return Archive(path, entries, _children(entries), path.stat(), zipped)


def _of_parquet(path: Path, size: int) -> Archive:
    from sv2r.storage.parquet import ParquetArchive, parquet_entries

    try:
        listed = parquet_entries(path)
    except (OSError, ValueError) as error:
        detail = " ".join(str(error).split()) or type(error).__name__
        raise ConfigError(f"{path}: cannot be read as Parquet ({detail})") from error
    entries = _checked(path, listed, size)
    return ParquetArchive(path, entries, _children(entries), path.stat(), zipped=False)


def _is_parquet(path: Path) -> bool:
    """Return whether a file is Parquet, by its name and its first bytes."""
    if path.suffix.lower() != ".parquet":
        return False
    with path.open("rb") as stream:
        return stream.read(4) == b"PAR1"


def is_archive(path: Path) -> bool:
    """Return whether a file is a zip, a tar or Parquet, by its bytes; compressed tars by name.

    Raises:
        ConfigError: it is a tar that is compressed as a whole.
    """
    import tarfile
    import zipfile

    if zipfile.is_zipfile(path):
        return True
    if path.suffix.lower() == ".parquet":
        return _is_parquet(path)
    try:
        with path.open("rb") as stream:
            head = stream.read(512)
    except OSError:
        return False
    if head[257:262] == b"ustar":
        return True
    if head.startswith(_WHOLES):
        raise ConfigError(f"{path}: {COMPRESSED}")
    return path.suffix.lower() == ".tar" and tarfile.is_tarfile(path)


def _zip_entries(path: Path) -> Iterator[tuple[str, Entry]]:
    from zipfile import ZipFile

    with ZipFile(path) as archive:
        for place, info in enumerate(archive.infolist()):
            yield info.filename, _zip_entry(info, place)


def _zip_entry(info: ZipInfo, place: int) -> Entry:
    kind = stat.S_IFMT(info.external_attr >> 16) if info.create_system == 3 else 0
    if info.is_dir():
        return FOLDER_ENTRY
    if kind not in (0, stat.S_IFREG):
        return _no_file(kind)
    if info.flag_bits & 1:
        fault = "is encrypted; pack it without a password"
        return Entry(stat.S_IFREG, info.file_size, place, fault)
    fault = ""
    if info.file_size > BOMB and info.file_size > RATIO * max(1, info.compress_size):
        times = info.file_size // max(1, info.compress_size)
        fault = f"would unpack to {info.file_size:,} bytes, {times:,} times what it takes"
    return Entry(stat.S_IFREG, info.file_size, place, fault)


def _tar_entries(path: Path) -> Iterator[tuple[str, Entry]]:
    import tarfile

    with tarfile.open(path, "r:") as tar:  # never unpacks: no filter is needed
        for info in tar:
            yield info.name, _tar_entry(info)
            tar.members.clear()  # type: ignore[attr-defined]  # else a second copy of all headers stays


def _tar_entry(info: TarInfo) -> Entry:
    if info.isdir():
        return FOLDER_ENTRY
    if info.issym():
        return _no_file(stat.S_IFLNK)
    if not info.isreg() or info.issparse():
        return _no_file(0)
    return Entry(stat.S_IFREG, info.size, info.offset_data)


def _no_file(kind: int) -> Entry:
    what = "a link" if kind in (0, stat.S_IFLNK) else "no regular file"
    fault = f"is {what}, which is not followed in an archive; put the file itself there"
    return Entry(stat.S_IFLNK, fault=fault)


def _checked(path: Path, listed: list[tuple[str, Entry]], size: int) -> dict[str, Entry]:
    """Return the entries by plain names, with the folders that only files' names tell."""
    entries: dict[str, Entry] = {}
    total = 0
    for given, entry in listed:
        try:
            name = safe_relative(given).as_posix() if given.strip("./") else ""
        except SampleError as error:
            raise ConfigError(f"{path}: {error} ({_PACK_AGAIN})") from error
        if not name:
            continue
        if entries.setdefault(name, entry) is not entry and entry is not FOLDER_ENTRY:
            raise ConfigError(f"{path}: {name} is in it twice; {_PACK_AGAIN}")
        total += entry.size
    if total > MOST * size:
        raise ConfigError(f"{path}: would unpack to {total:,} bytes, which no honest archive does")
    for name in list(entries):
        while (name := name.rpartition("/")[0]) and entries.setdefault(
            name, FOLDER_ENTRY
        ) is FOLDER_ENTRY:
            pass
        if name:
            raise ConfigError(f"{path}: {name} is a file and a folder in it; {_PACK_AGAIN}")
    return entries


def _children(entries: Mapping[str, Entry]) -> dict[str, tuple[str, ...]]:
    found: dict[str, list[str]] = {"": []}
    for name in entries:
        folder, _, last = name.rpartition("/")
        found.setdefault(folder, []).append(last)
    return {folder: tuple(names) for folder, names in found.items()}


@lru_cache(maxsize=16)
def _zip_file(path: Path, process: int, modified: int) -> ZipFile:
    """Return an open zip file; each process has its own, since a handle's place is shared."""
    from zipfile import ZipFile

    return ZipFile(path)


class _Slice(io.RawIOBase):
    """A file's bytes in a tar, read at their place."""

    def __init__(self, path: Path, entry: Entry) -> None:
        self._file = path.open("rb", buffering=0)
        self._start, self._size, self._at = entry.place, entry.size, 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        base = {os.SEEK_SET: 0, os.SEEK_CUR: self._at, os.SEEK_END: self._size}[whence]
        self._at = max(0, base + offset)
        return self._at

    def readinto(self, buffer: bytearray) -> int:  # type: ignore[override]
        view = memoryview(buffer)[: max(0, self._size - self._at)]
        self._file.seek(self._start + self._at)
        count = self._file.readinto(view) if len(view) else 0
        if len(view) and not count:
            raise OSError(errno.EIO, "the archive ends before the file does")
        self._at += count or 0
        return count or 0

    def close(self) -> None:
        self._file.close()
        super().close()


class _Zipped(io.RawIOBase):
    """A file's bytes in a zip, unpacked as they are read; what is wrong with them is an OSError."""

    def __init__(self, archive: Archive, entry: Entry) -> None:
        with _told():
            opened = _zip_file(archive.path, os.getpid(), archive.status.st_mtime_ns)
            self._file = opened.open(opened.infolist()[entry.place])

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        with _told():
            return self._file.seek(offset, whence)

    def readinto(self, buffer: bytearray) -> int:  # type: ignore[override]
        with _told():
            data = self._file.read(len(buffer))
        buffer[: len(data)] = data
        return len(data)

    def close(self) -> None:
        self._file.close()
        super().close()


@contextmanager
def _told() -> Iterator[None]:
    """Turn what the zip reader raises for a damaged or unknown file into an OSError."""
    from zipfile import BadZipFile

    wrong = (BadZipFile, zlib.error, EOFError, RuntimeError, ValueError)  # also not implemented
    try:
        yield
    except wrong as error:
        detail = " ".join(str(error).split()) or type(error).__name__
        raise OSError(errno.EIO, f"damaged or unknown in the archive: {detail}") from error
