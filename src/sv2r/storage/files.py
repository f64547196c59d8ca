"""Files that are never seen half-written."""

from __future__ import annotations

import errno
import hashlib
import os
import re
import secrets
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from io import IOBase
from pathlib import Path

from sv2r.errors import SampleError, StorageError
from sv2r.storage.hashes import sha256_file
from sv2r.storage.regular import open_regular

# Error numbers for an output that can take no more bytes.
_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}

# Linux's ioctl that makes a file a copy of another by sharing its blocks.
_FICLONE = 0x40049409

# A killed run leaves files with this prefix; the next run into the folder removes them.
TEMPORARY = ".sv2r-tmp-"
_TEMPORARY = re.compile(rf"{re.escape(TEMPORARY)}[0-9a-f]{{16}}(\..*)?")


def write_atomically(path: Path, data: bytes, *, sync_folder: bool = True) -> str:
    """Write a file in one step and return the SHA-256 of its bytes.

    Folders are made as needed. A reader sees the old file or the new one, never a part of it, even
    after a crash of the machine.

    sync_folder: see `replacing`.

    Raises:
        StorageError: the output can take no more bytes.
        SampleError: the file cannot be written for another reason.
    """
    with replacing(path, sync_folder=sync_folder) as temporary:
        temporary.write_bytes(data)
    return hashlib.sha256(data).hexdigest()


def copy_atomically(source: Path, target: Path, *, sync_folder: bool = True) -> str:
    """Copy a file's bytes in one step and return the SHA-256 of the copy, read back from disk.

    sync_folder: see `replacing`.

    Raises:
        StorageError: the output can take no more bytes.
        SampleError: the source cannot be read, or the copy differs from it.
    """
    digest = hashlib.sha256()
    with replacing(target, sync_folder=sync_folder) as temporary:
        with open_regular(source) as reader, temporary.open("wb") as writer:
            cloned = _cloned(reader, writer)
            while chunk := reader.read(1 << 20):
                digest.update(chunk)
                if not cloned:
                    writer.write(chunk)
        if sha256_file(temporary) != digest.hexdigest():
            raise SampleError(f"{target}: the copy differs from {source}; check the disk")
    return digest.hexdigest()


def _cloned(source: IOBase, target: IOBase) -> bool:
    """Return whether an open file now shares another's blocks, as some file systems can."""
    try:
        import fcntl

        fcntl.ioctl(target.fileno(), _FICLONE, source.fileno())  # one in an archive has none
    except (ImportError, OSError):
        return False
    return True


def sync_folders(folders: Iterable[Path]) -> None:
    """Fsync these folders; skip missing ones."""
    for folder in folders:
        with suppress(FileNotFoundError, NotADirectoryError):
            _sync(folder)


@contextmanager
def replacing(path: Path, *, sync_folder: bool = True) -> Iterator[Path]:
    """Yield a temporary path next to path; it replaces path when the block ends without an error.

    sync_folder: whether to fsync the folder, so that the new name survives a crash. It costs as
    much as the file itself; after many files, one call of `sync_folders` does it for all.
    """
    try:
        temporary = _empty_beside(path)
        try:
            yield temporary
            _sync(temporary)
            temporary.replace(path)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise
        if sync_folder:
            _sync(path.parent)
    except OSError as error:
        if error.errno in _FULL:
            fix = "free some space, then run the same command again"
            raise StorageError(f"{path}: {str(error.strerror).lower()}; {fix}") from error
        raise SampleError(f"{path}: {(error.strerror or str(error)).lower()}") from error


def _empty_beside(path: Path) -> Path:
    """Return a new, empty file in the folder of path; make the folder if it is missing."""
    temporary = path.parent / f"{TEMPORARY}{secrets.token_hex(8)}{path.suffix}"
    # Not `tempfile`: its files are their owner's alone, and a dataset is for the whole team.
    try:
        handle = os.open(temporary, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666)
    except FileNotFoundError:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle = os.open(temporary, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666)
    os.close(handle)
    return temporary


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def remove_leftovers(output: Path, belongs: Callable[[str], bool]) -> None:
    """Remove the temporary files that a killed run left under the output folder.

    belongs: whether a file of such a name, by its path under the output, is the dataset's own.
    """
    for path in output.rglob(f"{TEMPORARY}*"):
        if is_leftover(path) and not belongs(path.relative_to(output).as_posix()):
            path.unlink(missing_ok=True)


def is_leftover(path: Path) -> bool:
    """Return whether a file has such a name as `replacing` gives; links and folders have not."""
    named = _TEMPORARY.fullmatch(path.name) is not None
    return named and path.is_file() and not path.is_symlink()


def in_bytes(count: int) -> str:
    """Return a number of bytes as people read it."""
    units = iter(("bytes", "kB", "MB", "GB", "TB"))
    size, unit = float(count), next(units)
    while size >= 1000:
        size, unit = size / 1000, next(units)
    return f"{size:.3g} {unit}"
