"""Paths from data files, kept inside their root."""

from __future__ import annotations

import os
import re
from pathlib import Path, PurePosixPath, PureWindowsPath

from sv2r.errors import SampleError

# Bytes of a file's name, as nearly all file systems have it.
LONGEST_NAME = 255


# Names that need no further look, which takes longer than all else that is done with a name.
_PLAIN = re.compile(r"(?!\.\.?(?:/|$))[^/\\:\0]+(?:/(?!\.\.?(?:/|$))[^/\\:\0]+)*")


# A URL, with one slash of its two where it has been a path. One letter is a drive of Windows.
_URL = re.compile(r"([A-Za-z][A-Za-z0-9+.-]+):/+(.*)", re.DOTALL)
_LOCAL = ("file", "local")


# How files end that hold many pictures, spelled as folders of these.
_SHARDS = (".tar", ".parquet")


def shard_of(name: str) -> str | None:
    """Return the shard that a name lies in: "data/0.tar" of "data/0.tar/a.jpg"."""
    parts = name.split("/")
    ends = (n for n, part in enumerate(parts[:-1], 1) if part.lower().endswith(_SHARDS))
    end = next(ends, None)
    return "/".join(parts[:end]) if end else None


def url_of(path: Path | str) -> str | None:
    """Return a place that is no folder of this machine as ``scheme://name``, else None.

    A path keeps one of the two slashes, which is enough to know one: ``s3:/bucket/renders``.
    """
    found = _URL.fullmatch(os.fspath(path))
    if found is None or found[1].lower() in _LOCAL:
        return None
    return f"{found[1].lower()}://{found[2].strip('/')}"


def without_file_scheme(path: Path) -> Path:
    """Return the path that a ``file://`` URL names, any other as it is."""
    found = _URL.fullmatch(os.fspath(path))
    return Path("/", found[2]) if found and found[1].lower() in _LOCAL else path


def from_home(path: Path) -> Path:
    """Return a path whose ~ is put in place.

    Raises:
        ValueError: nobody has that home folder.
    """
    try:
        return path.expanduser()
    except RuntimeError:
        raise ValueError(f"{path}: there is no such user here") from None


def cache_folder() -> Path:
    """Return where copies and indexes are kept that can be made again.

    That is SV2R_CACHE, else ``sv2r`` in XDG_CACHE_HOME, else ``~/.cache/sv2r``.
    """
    own, shared = os.environ.get("SV2R_CACHE"), os.environ.get("XDG_CACHE_HOME")
    return Path(own) if own else Path(shared or "~/.cache").expanduser() / "sv2r"


def usable(path: Path) -> Path:
    """Return a path that a user gave, if there can be such a file; made for pydantic.

    Raises:
        ValueError: it holds a NUL character, or a name in it is too long.
    """
    if "\0" in str(path):
        raise ValueError(f"holds a NUL character: {str(path)!r}")
    if any(len(os.fsencode(part)) > LONGEST_NAME for part in path.parts):
        raise ValueError(f"has a name of more than {LONGEST_NAME} bytes: {str(path)[:60]}…")
    return path


def safe_relative(name: str) -> PurePosixPath:
    """Return a name from a data file as a relative path, or say why it is not one.

    Raises:
        SampleError: it is empty, absolute or climbs out by "..".
    """
    if _PLAIN.fullmatch(name) and name.isascii():
        return PurePosixPath(name)
    path = PurePosixPath(name.replace("\\", "/"))
    if not name or not path.parts:
        raise SampleError("the file name is empty; name a file inside the input folder")
    if path.is_absolute() or PureWindowsPath(name).drive:
        raise SampleError(f"{name}: the path is absolute; make it relative to the input folder")
    if ".." in path.parts:
        raise SampleError(f"{name}: the path climbs out by '..'; keep it inside the input folder")
    if "\0" in name:
        raise SampleError(f"{name!r}: the path holds a NUL character; rename the file")
    try:
        os.fsencode(name)
    except UnicodeEncodeError:
        raise SampleError(f"{name!r}: no file can have such a name; rename it") from None
    return path


def inside(root: Path, name: str) -> Path:
    """Return root/name, made sure to lie inside root also when links are followed.

    Raises:
        SampleError: as `safe_relative`, or a link on the way leads out of root.
    """
    relative = safe_relative(name)
    path = root / relative
    if not _has_link(root, relative):
        return path
    try:
        place = path.resolve()
    except (OSError, RuntimeError):
        raise SampleError(f"{name}: a link leads to itself; put the file itself there") from None
    if not place.is_relative_to(root.resolve()):
        raise SampleError(
            f"{name}: a link leads out of the input folder; put the file itself there"
        )
    return path


def _has_link(root: Path, relative: PurePosixPath) -> bool:
    """Return whether a link is on the way: to resolve 100,000 names without one takes 20 s."""
    text = os.fspath(root)
    for part in relative.parts:
        text = f"{text}{os.sep}{part}"
        if os.path.islink(text):  # noqa: PTH114
            return True
    return False


def under(root: Path, name: str) -> Path | None:
    """Return root/name where that lies under root, whatever links are on the way; else None.

    For names out of a job's own files, which somebody may have changed: the last part may be a link
    itself, which is removed or replaced as one.
    """
    try:
        path = root / safe_relative(name)
        parent = path.parent.resolve()
    except (SampleError, OSError, RuntimeError, ValueError):
        return None
    return path if parent.is_relative_to(root.resolve()) else None


def relative_name(path: Path, root: Path) -> str | None:
    """Return a path relative to root, with "/" between its parts, or None where it is not inside.

    The same as pathlib's answer, for which a job of 100,000 pictures would wait for seconds.
    """
    text, start = os.fspath(path), os.path.join(root, "")  # noqa: PTH118  # keeps the last "/"
    return text[len(start) :].replace(os.sep, "/") if text.startswith(start) else None
