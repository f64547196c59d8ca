"""Folders packed as zip and tar files."""

from __future__ import annotations

import tarfile
import zipfile
from pathlib import Path


def pack(folder: Path, archive: Path) -> Path:
    """Pack a folder's content; the archive's suffix says how. Return the archive."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    archive.parent.mkdir(parents=True, exist_ok=True)
    if archive.suffix == ".zip":
        with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as zipped:
            for path in files:
                zipped.write(path, path.relative_to(folder))
    else:
        with tarfile.open(archive, "w") as tar:
            for path in files:
                tar.add(path, path.relative_to(folder))
    return archive
