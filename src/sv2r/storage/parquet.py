"""Pictures in a Parquet file, as Hugging Face's datasets keep them: an archive of its rows.

Column ``image`` has ``bytes`` and ``path``. A row is there as two files: the picture by its path,
and beside it a JSON of all other columns. Nothing is read but what is asked for: the paths when the
file is opened, then groups of rows, of which the last few are kept.
"""

from __future__ import annotations

import errno
import io
import json
import os
import stat
from functools import lru_cache
from pathlib import Path, PurePosixPath
from typing import Any

from sv2r.errors import ConfigError
from sv2r.storage.archive import Archive, Entry

_NEEDED = "needs the pyarrow package; pip install sv2r[hf]"
# Column for the picture's bytes, and that for its name.
_BYTES, _PATH = "image.bytes", "image.path"
# The size of a file in it is not known before it is read.
_SOME = 1


def parquet_entries(path: Path) -> list[tuple[str, Entry]]:
    """Return the files of a Parquet file's rows.

    Raises:
        ConfigError: pyarrow is not installed, or the file has no pictures.
        OSError, ValueError: it is damaged.
    """
    with open_parquet(path) as file:
        columns = set(leaf_columns(file))
        if not {_BYTES, _PATH} <= columns:
            raise ConfigError(f"{path}: has no column image with bytes and path")
        paths = file.read(columns=[_PATH]).column("image").combine_chunks().field("path")
    names = [str(name) for name in paths.to_pylist()]
    rows = [Entry(stat.S_IFREG, _SOME, row) for row in range(len(names))]
    return [*zip(names, rows, strict=True), *zip(map(json_beside, names), rows, strict=True)]


def leaf_columns(file: Any) -> list[str]:
    """Return the names of an open Parquet file's columns, "objects.bbox.list.element" for one."""
    return [file.schema.column(index).path for index in range(len(file.schema))]


def json_beside(name: str) -> str:
    """Return the name of the JSON of a picture's row."""
    return f"{PurePosixPath(name).with_suffix('')}.json"


class ParquetArchive(Archive):
    """The content of a Parquet file with pictures."""

    def open(self, name: str) -> io.BufferedIOBase:
        """Return a file's bytes as a stream.

        Raises:
            OSError: there is no such file, or it cannot be read.
        """
        entry = self.find(name)
        if entry is None:
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), name)
        if stat.S_ISDIR(entry.kind):
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), name)
        text = name.endswith(".json")
        columns = _others(self.path, self.status.st_mtime_ns) if text else (_BYTES,)
        row = parquet_row(self.path, self.status.st_mtime_ns, entry.place, columns)
        if text:
            return io.BytesIO(json.dumps(row, ensure_ascii=False).encode())
        return io.BytesIO(row["image"]["bytes"])


def parquet_row(path: Path, modified: int, row: int, columns: tuple[str, ...]) -> dict[str, Any]:
    """Return some columns of a row, nested ones as dicts. modified: the file's time of change.

    Raises:
        OSError: they cannot be read.
    """
    for group, start, count in _groups(path, modified):
        if row < start + count:
            table = _group(path, modified, group, columns)
            found: dict[str, Any] = table.slice(row - start, 1).to_pylist()[0]
            return found
    raise OSError(errno.EIO, f"{path.name} was changed; run the same command again")


def open_parquet(path: Path) -> Any:
    """Return an open Parquet file, to be closed.

    Raises:
        ConfigError: pyarrow is not installed. OSError, ValueError: it cannot be read.
    """
    if not stat.S_ISREG(path.stat().st_mode):  # it would wait for the writer of a pipe
        raise OSError(errno.EINVAL, "not a regular file", str(path))
    try:
        from pyarrow import parquet
    except ImportError:
        raise ConfigError(f"{path}: reading Parquet {_NEEDED}") from None
    from sv2r.storage.source import at_hand

    return parquet.ParquetFile(at_hand(path), memory_map=True)


@lru_cache(maxsize=64)
def _others(path: Path, modified: int) -> tuple[str, ...]:
    """Return the columns at the top but the picture."""
    with open_parquet(path) as file:
        return tuple(name for name in file.schema_arrow.names if name != "image")


@lru_cache(maxsize=64)
def _groups(path: Path, modified: int) -> tuple[tuple[int, int, int], ...]:
    """Return each group of rows: its number, its first row and how many it has."""
    found, start = [], 0
    with open_parquet(path) as file:
        for group in range(file.num_row_groups):
            count = file.metadata.row_group(group).num_rows
            found.append((group, start, count))
            start += count
    return tuple(found)


@lru_cache(maxsize=6)
def _group(path: Path, modified: int, group: int, columns: tuple[str, ...]) -> Any:
    with open_parquet(path) as file:
        try:
            return file.read_row_group(group, columns=list(columns))
        except Exception as error:  # pyarrow's errors are of several kinds
            raise OSError(errno.EIO, f"{path.name} is damaged ({error})") from error
