"""Carries label files over: their bytes as they are, and at most the names in them fixed."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from pathlib import Path, PurePosixPath

from sv2r.errors import SampleError
from sv2r.storage.files import copy_atomically, write_atomically
from sv2r.storage.hashes import sha256_file
from sv2r.storage.regular import is_own_file

_FILE_NAME = re.compile(rb'("file_name"\s*:\s*)("(?:[^"\\]|\\.)*")')


def copy_labels(source: Path, target: Path) -> str:
    """Copy a label file and return the SHA-256 that both files have.

    A copy that is there already, and equal, is left alone.

    Raises:
        SampleError: the source cannot be read, or the copy differs from it.
    """
    try:
        digest = sha256_file(source)
    except OSError as error:
        raise SampleError(f"{source}: {str(error.strerror).lower()}") from error
    # A link to an equal file is none: whoever changes that file would change the labels.
    if is_own_file(target) and target.is_file() and sha256_file(target) == digest:
        return digest
    if copy_atomically(source, target) != digest:
        raise SampleError(f"{source}: changed while it was copied; run the same command again")
    return digest


def rewrite_file_names(
    source: Path,
    target: Path,
    made: Mapping[str, bool],
    rename: Callable[[PurePosixPath], PurePosixPath],
) -> str:
    """Copy a COCO JSON with its pictures' file_names renamed; return the SHA-256 of the copy.

    made: whether there is a picture, by its whole name and by its base name. The file_name of one
    that was not made stays, and any other (a panoptic mask's). So does every byte outside of names.
    """

    def replaced(match: re.Match[bytes]) -> bytes:
        name = PurePosixPath(json.loads(match[2]))
        if not made.get(str(name), made.get(name.name, False)):
            return match[0]
        return match[1] + json.dumps(str(rename(name)), ensure_ascii=False).encode()

    return write_atomically(target, _FILE_NAME.sub(replaced, source.read_bytes()))
