"""COCO files that are not UTF-8, read through a copy in UTF-8 that is kept in the cache."""

from __future__ import annotations

import codecs
from pathlib import Path

from sv2r.errors import ConfigError, Sv2rError
from sv2r.storage.files import replacing

# The longer marks first: UTF-32's begins with UTF-16's.
_MARKS = (
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
# How a JSON object begins in them where there is no mark.
_BARE = tuple(
    (start.encode(charset), charset)
    for charset in ("utf-32-le", "utf-32-be", "utf-16-le", "utf-16-be")
    for start in ("{", "\n{", "\r\n{", " {")
)
_HEAD = 12  # bytes that tell
_CHUNK = 1 << 20  # characters


def marked_charset(head: bytes) -> str:
    """Return the charset that a file's first bytes say, "" for UTF-8 and what says nothing."""
    marks = (*_MARKS, *_BARE)
    return next((charset for mark, charset in marks if head.startswith(mark)), "")


def charset_of(path: Path, asked: str) -> str:
    """Return the charset of a file: as asked for, or by its mark; "" for UTF-8."""
    if asked:
        return asked
    with path.open("rb") as stream:
        return marked_charset(stream.read(_HEAD))


def write_as_utf8(source: Path, target: Path, charset: str, name: str) -> None:
    """Write a file's text as UTF-8.

    name: how errors call the source.

    Raises:
        ConfigError: its bytes are not of this charset, or the copy cannot be written.
    """
    try:
        with (
            source.open(encoding=charset, newline="") as text,
            replacing(target) as temporary,
            temporary.open("w", encoding="utf-8", newline="") as copy,
        ):
            while piece := text.read(_CHUNK):
                copy.write(piece)
    except LookupError:
        raise ConfigError(f"--loader.charset {charset}: no such charset; try utf-8, gbk") from None
    except UnicodeError as error:
        told = (
            f"is not {charset} ({error.reason if isinstance(error, UnicodeDecodeError) else error})"
        )
        raise ConfigError(f"{name}: {told}; say what it is with --loader.charset") from error
    except Sv2rError as error:
        fix = "set SV2R_CACHE to a folder that can be written, or save the file as UTF-8"
        raise ConfigError(
            f"{name}: is {charset}, and its copy cannot be kept: {error}; {fix}"
        ) from error


def not_utf8(text: bytes, offset: int) -> str | None:
    """Return why text that begins at an offset of its file is not UTF-8, or None where it is."""
    try:
        text.decode()
    except UnicodeDecodeError as error:
        place = f"byte {offset + error.start:,}"
        return (
            f"is not UTF-8 ({place}); say what it is with --loader.charset, such as gbk or cp1252"
        )
    return None
