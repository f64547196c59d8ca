"""Carries label files over, their bytes as they are."""

from __future__ import annotations

from pathlib import Path

from sv2r.errors import SampleError
from sv2r.storage.files import copy_atomically
from sv2r.storage.hashes import sha256_file
from sv2r.storage.regular import is_own_file


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
