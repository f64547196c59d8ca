"""The index of a COCO file, cached for the user, so that a worker need not read the file.

One uncompressed ``.npz`` per COCO file: no pickle, and the zip's own checksums tell damage. It is
an aid and never a need: what is stale, damaged or cannot be written is made anew.
"""

from __future__ import annotations

import hashlib
import os
import zipfile
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np

from sv2r.errors import ConfigError, Sv2rError
from sv2r.loaders.coco.build_index import build_index
from sv2r.loaders.coco.charset import write_as_utf8
from sv2r.loaders.coco.index import CocoId, CocoIndex, CocoNames, CocoTally, IndexEntry
from sv2r.storage.files import replacing
from sv2r.storage.paths import cache_folder
from sv2r.storage.source import SourcePath

if TYPE_CHECKING:
    from numpy.typing import NDArray

# A smaller file is read again as fast as its index would be.
SMALLEST = 4 << 20

_FORMAT = 5
_ARRAYS = ("sizes", "image_at", "image_length", "first", "annotation_at", "annotation_length")


class _Stamp(msgspec.Struct, frozen=True):
    """What must be as it was for an index to hold."""

    format: int
    path: str
    remap: tuple[tuple[str, str], ...]
    charset: str
    size: int
    modified: int
    changed: int


class _Rest(msgspec.Struct, frozen=True):
    """All of an index that is no array."""

    stamp: _Stamp
    folders: tuple[str, ...]
    categories: tuple[tuple[CocoId, str], ...]
    stuff: frozenset[CocoId]
    unusable: tuple[IndexEntry, ...]
    tally: CocoTally
    details: tuple[tuple[CocoId, dict[str, Any]], ...]
    extra: dict[str, Any]


def open_index(
    path: Path, name: str, remap: Mapping[str, str] | None = None, charset: str = ""
) -> CocoIndex:
    """Return the index of a COCO file: the kept one where it holds, else a new one, which is kept.

    name: how errors call the file. remap: see `entries.remapped`. charset: what the file is where
    it is not UTF-8; the index is then that of a copy, kept next to it, as it is for a file in an
    archive, which cannot be read from any place in it.

    Raises:
        ConfigError: the file cannot be read, or is no COCO file.
    """
    names = remap or {}
    try:
        stamp = _stamp(path, names, charset)
    except OSError as error:
        raise ConfigError(f"{name}: {(error.strerror or str(error)).lower()}") from error
    if charset or isinstance(path, SourcePath):
        copy = cache_file(path).with_suffix(".json")
        write_as_utf8(path, copy, charset or "utf-8", name)
        return build_index(copy, name, names)
    if stamp.size < SMALLEST:
        return build_index(path, name, names)
    file = cache_file(path)
    if found := _load(file, path, stamp):
        return found
    index = build_index(path, name, names)
    _save(file, index, stamp)
    return index


def cache_file(path: Path) -> Path:
    """Return where the index of a COCO file is kept: see `cache_folder`."""
    digest = hashlib.sha256(os.fsencode(path.resolve())).hexdigest()[:32]
    return cache_folder() / "coco" / f"{digest}.npz"


def _stamp(path: Path, remap: Mapping[str, str], charset: str) -> _Stamp:
    status = path.stat()
    times = status.st_size, status.st_mtime_ns, status.st_ctime_ns
    return _Stamp(_FORMAT, str(path.resolve()), tuple(remap.items()), charset, *times)


def _load(file: Path, path: Path, stamp: _Stamp) -> CocoIndex | None:
    """Return the kept index, or None where there is none that holds."""
    try:
        with np.load(file, allow_pickle=False) as kept:
            rest = msgspec.json.decode(kept["rest"].tobytes(), type=_Rest)
            if rest.stamp != stamp:
                return None
            arrays = {name: kept[name] for name in _ARRAYS}
            names = CocoNames(kept["names"].tobytes(), kept["ends"])
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile, msgspec.MsgspecError):
        return None
    return CocoIndex(
        path=path,
        names=names,
        folders=rest.folders,
        categories=dict(rest.categories),
        stuff=rest.stuff,
        unusable=rest.unusable,
        tally=rest.tally,
        details=dict(rest.details),
        extra=rest.extra,
        **arrays,
    )


def _save(file: Path, index: CocoIndex, stamp: _Stamp) -> None:
    """Keep an index, unless the file has changed meanwhile or the folder takes nothing."""
    rest = _Rest(
        stamp,
        index.folders,
        tuple(index.categories.items()),
        index.stuff,
        index.unusable,
        index.tally,
        tuple((key, dict(more)) for key, more in index.details.items()),
        dict(index.extra),
    )
    arrays: dict[str, NDArray[Any]] = {name: getattr(index, name) for name in _ARRAYS}
    arrays["names"] = np.frombuffer(index.names.text, np.uint8)
    arrays["ends"] = index.names.ends
    arrays["rest"] = np.frombuffer(msgspec.json.encode(rest), np.uint8)
    with suppress(OSError, Sv2rError):
        if _stamp(index.path, dict(stamp.remap), stamp.charset) != stamp:
            return
        with replacing(file) as temporary, temporary.open("wb") as stream:
            np.savez(stream, allow_pickle=False, **arrays)
