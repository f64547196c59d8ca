"""The small files of a dataset: JSON that is read with care, and writes that leave no half."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from sv2r import ConfigError, Sv2rError

# Temporary files begin with this; those that a killed run left are removed by the next.
TEMPORARY = ".part-"


def read_json(path: Path, fix: str) -> dict[str, Any]:
    """Return a JSON object that `to_json` wrote.

    Raises:
        ConfigError: the file is damaged.
    """
    try:
        value = json.loads(path.read_bytes())
    except ValueError:
        value = None
    if not isinstance(value, dict):
        raise ConfigError(f"{path}: is damaged; {fix}")
    return value


def to_json(value: object) -> bytes:
    """Return a value as JSON without spaces."""
    return json.dumps(value, separators=(",", ":")).encode()


def write(path: Path, data: bytes) -> None:
    """Write a file in one step: whoever looks sees all of it or nothing.

    Raises:
        Sv2rError: the disk does not take it.
    """
    temporary = path.with_name(f"{TEMPORARY}{os.getpid()}-{path.name}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with temporary.open("wb") as stream:
            stream.write(data)
            stream.flush()
            os.fsync(stream.fileno())
        temporary.replace(path)
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise Sv2rError(f"{path}: {reason}; fix that, then run the same command again") from error
