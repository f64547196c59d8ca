"""What lies in a folder, by name alone: no file is opened."""

from __future__ import annotations

import unicodedata
from bisect import bisect_left
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from sv2r.errors import ConfigError, SampleError
from sv2r.storage.others import OWN, is_output
from sv2r.storage.paths import inside
from sv2r.storage.source import Listed, is_there, leads_to_folder, list_folder
from sv2r.types import Problem


@dataclass(frozen=True)
class Tree:
    """The names below a folder, relative to it, as POSIX paths in sorted order.

    files: everything that is no folder; folders: all of them. Hidden ones (".name") are left out.
    problems: links that lead out of the folder, links to folders, and names that no record could
        hold; what they name is in neither list.
    """

    root: Path
    files: tuple[str, ...]
    folders: tuple[str, ...]
    problems: tuple[Problem, ...]


def read_tree(root: Path) -> Tree:
    """Return what lies below a folder, without the job's own files where it is a run's output.

    Links to folders are not followed.

    Raises:
        ConfigError: it is missing, no folder, or cannot be listed.
    """
    files: list[str] = []
    folders: list[str] = []
    problems: list[Problem] = []
    waiting = [""]
    own = {OWN} if is_output(root) else set()
    while waiting:
        for name, entry in _entries(root, waiting.pop()):
            if name in own:
                continue
            if fault := _fault(root, name, entry):
                problems.append(Problem(name.encode(errors="replace").decode(), fault))
            elif entry.is_dir(follow_symlinks=False):
                folders.append(name)
                waiting.append(f"{name}/")
            else:
                files.append(name)
    problems.sort(key=lambda problem: problem.id)
    return Tree(root, tuple(sorted(files)), tuple(sorted(folders)), tuple(problems))


def _entries(root: Path, prefix: str) -> Iterator[tuple[str, Listed]]:
    try:
        with list_folder(root / prefix) as entries:
            for entry in entries:
                if not entry.name.startswith("."):
                    yield f"{prefix}{entry.name}", entry
    except FileNotFoundError as error:
        raise ConfigError(f"{root / prefix}: no such folder") from error
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise ConfigError(f"{root / prefix}: cannot be listed ({reason})") from error


def _fault(root: Path, name: str, entry: Listed) -> str | None:
    if not name.isprintable() or "\\" in name:
        return f"{name!a}: the name holds characters that no other system reads; rename it"
    if not entry.is_symlink():
        return None
    if leads_to_folder(entry):
        return f"{name}: a link to a folder, which is not followed; put the folder itself there"
    try:
        inside(root, name)
    except SampleError as error:
        return str(error)
    return None


def below(names: tuple[str, ...], folder: str) -> list[str]:
    """Return the names below a folder ("" for all), relative to it; names are sorted."""
    if not folder:
        return list(names)
    start = f"{folder}/"
    # "0" is what follows "/", so it ends the names that begin with the folder.
    first, last = bisect_left(names, start), bisect_left(names, f"{folder}0")
    return [name[len(start) :] for name in names[first:last]]


def split_name(name: str) -> tuple[str, str, str]:
    """Return a name's folder ("" or "x/y/"), stem and suffix (".PNG")."""
    folder, slash, file = name.rpartition("/")
    stem, dot, suffix = file.rpartition(".")
    return f"{folder}{slash}", stem or file, f"{dot}{suffix}" if stem else ""


class AnyCase:
    """Finds files by names whose case, or way to write accents, differs, as some systems' do."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._listings: dict[str, dict[str, list[str]]] = {}

    def find(self, name: str) -> Path | None:
        """Return the file, that of another case where it is the only one, or None."""
        if is_there(self._root / name):
            return self._root / name
        found = self._spelled(name)
        try:
            return None if found is None else inside(self._root, found)
        except SampleError:  # a link out of the root
            return None

    def _spelled(self, name: str) -> str | None:
        folder, _, last = name.rpartition("/")
        own = self._spelled(folder) if folder else ""
        if own is None:
            return None
        if own not in self._listings:
            self._listings[own] = _by_folded_name(self._root / own)
        alike = self._listings[own].get(_folded(last), [])
        exact = [last] if last in alike else alike
        return f"{own}/{exact[0]}".lstrip("/") if len(exact) == 1 else None


def _folded(name: str) -> str:
    """Return a name without its case, accents as one character each: macOS writes them as two."""
    return unicodedata.normalize("NFC", name).casefold()


def _by_folded_name(folder: Path) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    try:
        with list_folder(folder) as entries:
            for entry in entries:
                found.setdefault(_folded(entry.name), []).append(entry.name)
    except OSError:
        return {}
    return found
