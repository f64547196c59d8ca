"""A COCO file with other names for its pictures, every other byte as it was."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path, PurePosixPath

from sv2r.errors import SampleError
from sv2r.images.picture_file import read_file
from sv2r.loaders.coco.samples import Part

_DECODER = json.JSONDecoder()
_BLANKS = " \t\r\n"


def renamed(parts: Sequence[Part], file: Path, names: Mapping[str, str]) -> bytes:
    """Return the bytes of one of a dataset's COCO files in which some pictures have new names.

    Only the file_name of their entries in 'images' changes, and of it only the suffix where that is
    all that differs: what a panoptic PNG or any other field is called stays.

    names: the picture's new path by its id, both relative to the dataset's root.

    Raises:
        SampleError: the file has changed since it was read, or is none of the dataset's.
    """
    part = next((part for part in parts if part.source == file), None)
    if part is None:
        raise SampleError(f"{file}: is none of the dataset's COCO files")
    data = read_file(part.index.path, part.name)
    pieces, done = [], 0
    for at, length, old, new in _changes(part, names):
        text = data[at : at + length].decode()
        first, last = _span(text, "file_name", part.name)
        pieces += [
            data[done:at],
            (text[:first] + _named(text[first:last], old, new, part)).encode(),
        ]
        pieces.append(text[last:].encode())
        done = at + length
    changed = b"".join([*pieces, data[done:]])
    return changed.decode().encode(part.charset) if part.charset else changed


def _changes(part: Part, names: Mapping[str, str]) -> Iterator[tuple[int, int, str, str]]:
    """Yield where each entry to change begins, its length, and the picture's old and new id."""
    index = part.index
    places = sorted((int(index.image_at[i]), int(i)) for i in part.positions)
    for at, position in places:
        id_ = part.id(position)
        if (new := names.get(id_, id_)) != id_:
            yield at, int(index.image_length[position]), id_, new


def _span(text: str, key: str, name: str) -> tuple[int, int]:
    """Return where the value of a JSON object's key begins and ends; of several, the last."""
    found, at = None, text.index("{") + 1
    try:
        while (at := _skip(text, at)) < len(text) and text[at] != "}":
            own, at = _DECODER.raw_decode(text, at)
            start = _skip(text, _skip(text, at) + 1)
            _, at = _DECODER.raw_decode(text, start)
            if own == key:
                found = start, at
            at = _skip(text, at)
            at += text[at] == ","
    except (ValueError, IndexError):
        found = None
    if found is None:
        raise SampleError(f"{name}: has changed since it was read; run the command again")
    return found


def _skip(text: str, at: int) -> int:
    while at < len(text) and text[at] in _BLANKS:
        at += 1
    return at


def _named(literal: str, old: str, new: str, part: Part) -> str:
    """Return a file_name's JSON text with the new name; the way it is written stays."""
    before, after = PurePosixPath(old), PurePosixPath(new)
    if before.with_suffix("") == after.with_suffix(""):
        given, suffix = json.loads(literal), before.suffix
        kept = literal[1 : len(literal) - 1 - len(suffix)]
        if json.loads(f'"{kept}"') + given[len(given) - len(suffix) :] == given:
            return f'"{kept}{after.suffix}"'
    inner = new.removeprefix(f"{part.folder}/") if part.folder else new
    return json.dumps(inner, ensure_ascii=literal.isascii())
