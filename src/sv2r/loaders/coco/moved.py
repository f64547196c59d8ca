"""File names that begin in a place of another computer, found again in the input."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from itertools import islice
from pathlib import Path, PurePosixPath

from sv2r.loaders.coco.find import are_unlike, search_folders
from sv2r.loaders.coco.index import CocoIndex
from sv2r.loaders.tree import AnyCase

# Folders that are looked for, and pictures in each of them.
_FOLDERS, _PROBES = 100, 5


def whereabouts(root: Path, annotations: str, index: CocoIndex) -> Mapping[str, str]:
    """Return where the folders of all names of a COCO file lie in the input, for `remapped`.

    Label Studio's names are of this kind, an upload's: ``/data/upload/1/a.png``,
    ``../../label-studio/media/upload/4/a.png``, ``images/1/a.png``. A folder is found where all
    that is looked for lies at the same end of its name. Nothing is, where one of them is nowhere,
    or where two places have other pictures of these names.
    """
    given = list(islice(index.names, _FOLDERS * _PROBES)) or [e.given for e in index.unusable]
    inner: dict[str, list[str]] = {}
    for name in given:
        folder, _, last = name.replace("\\", "/").rpartition("/")
        if len(probes := inner.setdefault(folder, [])) < _PROBES:
            probes.append(last)
        if len(inner) > _FOLDERS:
            return {}
    bases = list(search_folders(root, PurePosixPath(annotations)))
    tree = AnyCase(root)
    found = {folder: _place(tree, bases, folder, probes) for folder, probes in inner.items()}
    places = {folder: place for folder, place in found.items() if folder and place is not None}
    if len(places) < len(inner) or _meet(given, places):
        return {}
    return dict(sorted(places.items(), key=lambda item: -len(item[0])))


def _meet(given: Sequence[str], places: Mapping[str, str]) -> bool:
    """Return whether two names would be one picture, which is then none of one of them."""
    names = (name.replace("\\", "/").rpartition("/") for name in set(given))
    found = [(places[folder], last) for folder, _, last in names]
    return len(set(found)) < len(found)


def _place(tree: AnyCase, bases: Sequence[str], folder: str, probes: Sequence[str]) -> str | None:
    for end in _ends(folder):
        places = dict.fromkeys("/".join(part for part in (base, end) if part) for base in bases)
        found = [place for place in places if _holds(tree, place, probes)]
        if found:
            first, *others = (tree.find(f"{place}/{probes[0]}".lstrip("/")) for place in found)
            return None if any(map(partial(are_unlike, first), others)) else found[0] or "."
    return None


def _holds(tree: AnyCase, place: str, probes: Sequence[str]) -> bool:
    names = [f"{place}/{probe}".lstrip("/") for probe in probes]
    return all(map(_is_plain, names)) and all(map(tree.find, names))


def _ends(folder: str) -> Iterator[str]:
    """Yield a folder's last parts, the most first, down to none."""
    parts = [part for part in folder.split("/") if part]
    for start in range(1, len(parts) + 1):
        yield "/".join(parts[start:])


def _is_plain(name: str) -> bool:
    return bool(name) and name.isprintable() and ".." not in name.split("/")
