"""Looks at folders: what is in them, and whether a name stays inside."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from sv2r.errors import SampleError
from sv2r.storage.hashes import sha256_file
from sv2r.storage.paths import safe_relative
from sv2r.testing.contract import ContractError, Subject


def tree(folder: Path) -> dict[str, str]:
    """Return the hash of every file under a folder, by relative path."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): sha256_file(path) for path in files}


def tree_difference(one: Mapping[str, str], other: Mapping[str, str]) -> str:
    """Return the names of the first files that differ between two trees, "" where none does."""
    changed = sorted(name for name in {*one, *other} if one.get(name) != other.get(name))
    return ", ".join(changed[:3])


def must_be_safe(subject: Subject, root: Path, name: str) -> Path:
    """Return root/name; raise ContractError unless the name is a safe relative path."""
    try:
        safe_relative(name)
    except SampleError as error:
        raise ContractError(f"{subject} must give safe relative paths: {error}") from None
    return root / name
