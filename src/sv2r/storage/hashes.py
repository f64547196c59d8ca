"""SHA-256 of files."""

from __future__ import annotations

import hashlib
from pathlib import Path

from sv2r.storage.regular import open_regular


def sha256_file(path: Path) -> str:
    """Return the SHA-256 of a file's bytes, as hexadecimal digits."""
    with open_regular(path) as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
