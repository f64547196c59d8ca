"""Reading files that others wrote: regular ones alone, since a pipe or device may never end."""

from __future__ import annotations

import errno
import os
import stat
from io import BufferedIOBase
from pathlib import Path

from sv2r.storage.source import SourcePath


def open_regular(path: Path) -> BufferedIOBase:
    """Return a file opened for reading its bytes; links are followed.

    Raises:
        OSError: it cannot be opened, or is a pipe, a socket, a device or a folder.
    """
    if not stat.S_ISREG(path.stat().st_mode):  # to open a device may already do something
        raise _not_regular(path)
    if isinstance(path, SourcePath):
        return path.open_bytes()
    handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    if not stat.S_ISREG(os.fstat(handle).st_mode):
        os.close(handle)
        raise _not_regular(path)
    return os.fdopen(handle, "rb")


def _not_regular(path: Path) -> OSError:
    return OSError(errno.EINVAL, "not a regular file", str(path))


def read_text(path: Path) -> str:
    """Return a file's text, which is UTF-8.

    Raises:
        OSError: as `open_regular`. UnicodeDecodeError: it is not UTF-8.
    """
    with open_regular(path) as stream:
        return stream.read().decode("utf-8")


def is_own_file(path: Path) -> bool:
    """Return whether a path is free or holds a regular file itself, not a link to one."""
    try:
        return stat.S_ISREG(path.lstat().st_mode)
    except FileNotFoundError:
        return True
    except OSError:
        return False
