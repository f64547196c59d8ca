"""Paths from data files, kept inside their root."""

from __future__ import annotations

import os
from pathlib import Path, PurePosixPath, PureWindowsPath

from sv2r.errors import SampleError


def safe_relative(name: str) -> PurePosixPath:
    """Return a name from a data file as a relative path, or say why it is not one.

    Raises:
        SampleError: it is empty, absolute or climbs out by "..".
    """
    path = PurePosixPath(name.replace("\\", "/"))
    if not name or not path.parts:
        raise SampleError("the file name is empty; name a file inside the input folder")
    if path.is_absolute() or PureWindowsPath(name).drive:
        raise SampleError(f"{name}: the path is absolute; make it relative to the input folder")
    if ".." in path.parts:
        raise SampleError(f"{name}: the path climbs out by '..'; keep it inside the input folder")
    if "\0" in name:
        raise SampleError(f"{name!r}: the path holds a NUL character; rename the file")
    return path


def inside(root: Path, name: str) -> Path:
    """Return root/name, made sure to lie inside root also when links are followed.

    Raises:
        SampleError: as `safe_relative`, or a link on the way leads out of root.
    """
    path = root / safe_relative(name)
    if not path.resolve().is_relative_to(root.resolve()):
        raise SampleError(
            f"{name}: a link leads out of the input folder; put the file itself there"
        )
    return path


def relative_name(path: Path, root: Path) -> str | None:
    """Return a path relative to root, with "/" between its parts, or None where it is not inside.

    The same as pathlib's answer, for which a job of 100,000 pictures would wait for seconds.
    """
    text, start = os.fspath(path), os.path.join(root, "")  # noqa: PTH118  # keeps the last "/"
    return text[len(start) :].replace(os.sep, "/") if text.startswith(start) else None
