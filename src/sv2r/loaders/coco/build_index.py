"""Reads a COCO file of any size once, and keeps an index of it."""

from __future__ import annotations

from array import array
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np

from sv2r.errors import ConfigError, SampleError
from sv2r.loaders.coco.entries import (
    NO_KEY,
    AnnotationEntry,
    Categories,
    ImageEntry,
    Keys,
    Reader,
    labelled_size,
    lenient_annotation,
    lenient_image,
    read_categories,
    safe_name,
)
from sv2r.loaders.coco.index import CocoIndex, CocoNames, CocoTally, IndexEntry, parse_leniently
from sv2r.loaders.coco.json_scan import Elements, Value, scan

if TYPE_CHECKING:
    from numpy.typing import NDArray

# Bytes of what a file says of itself (info, licenses, videos ...), each, that are kept.
_EXTRA = 4 << 20

# Pictures that annotations name but nothing lists: more of them than this are told as one.
MOST_UNLISTED = 1000

# Keys looked up at a time: what numpy needs for that is small next to the index.
_SLICE = 1 << 20


def build_index(path: Path, name: str, remap: Mapping[str, str] | None = None) -> CocoIndex:
    """Return the index of a COCO file, read in one pass.

    name: how errors call the file. remap: see `entries.remapped`.

    Raises:
        ConfigError: it cannot be read, or is no COCO file.
    """
    keys = Keys()
    images, annotations = _Images(name, keys, remap or {}), _Annotations(name, keys)
    categories: Categories | None = None
    arrays, values = frozenset({"images", "annotations"}), frozenset({"categories"})
    extra: dict[str, Any] = {}
    try:
        with path.open("rb", buffering=0) as stream:
            for part in scan(stream, name, arrays=arrays, values=values, largest_other=_EXTRA):
                if isinstance(part, Value) and part.key == "categories":
                    categories = read_categories(part.text or b"", name)
                elif isinstance(part, Value):
                    extra[part.key] = _parsed(part.text)
                elif part.key == "images":
                    images.add(part)
                else:
                    annotations.add(part)
            if not images.seen:
                raise ConfigError(f"{name}: lists no pictures; a COCO file has them in 'images'")
            if categories is None and annotations.seen:
                raise ConfigError(f"{name}: has no 'categories'; give every category id its name")
            pictures = images.finish()
            places = annotations.finish(pictures, stream)
    except OSError as error:
        raise ConfigError(f"{name}: {(error.strerror or str(error)).lower()}") from error
    return CocoIndex(
        path=path,
        names=pictures.names,
        folders=tuple(sorted({file.rpartition("/")[0] for file in pictures.names})),
        sizes=pictures.sizes,
        image_at=pictures.at,
        image_length=pictures.length,
        first=places.first,
        annotation_at=places.at,
        annotation_length=places.length,
        categories=categories.names if categories else {},
        stuff=categories.stuff if categories else frozenset(),
        unusable=(*pictures.unusable, *places.unusable),
        tally=annotations.tally(),
        details=categories.details if categories else {},
        extra=extra,
    )


def _parsed(text: bytes | None) -> Any:
    """Return a value, or None for what is too large or no JSON."""
    found = parse_leniently(b'{"value":%s}' % text) if text is not None else None
    return found["value"] if found else None


@dataclass(frozen=True)
class _Pictures:
    """The usable pictures in the file's order, and what is wrong with the others.

    keys: the numbers of their ids. others: the numbers of the ids of the others.
    """

    names: CocoNames
    sizes: NDArray[np.int32]
    at: NDArray[np.int64]
    length: NDArray[np.uint32]
    keys: NDArray[np.int64]
    others: NDArray[np.int64]
    unusable: tuple[IndexEntry, ...]

    def without(self, unusable: Mapping[int, str]) -> _Pictures:
        """Return them without those at some positions, for which a message says why."""
        if not unusable:
            return self
        keep = np.ones(len(self.keys), bool)
        keep[list(unusable)] = False
        kept = [self.names[i].encode() for i in np.flatnonzero(keep).tolist()]
        ends = np.cumsum(np.array([len(name) for name in kept], np.int64))
        entries = [
            IndexEntry(self.names[i], "", f"{self.names[i]} {unusable[i]}") for i in unusable
        ]
        return _Pictures(
            CocoNames(b"".join(kept), ends),
            self.sizes[keep],
            self.at[keep],
            self.length[keep],
            self.keys[keep],
            np.concatenate([self.others, self.keys[~keep]]),
            (*self.unusable, *entries),
        )


class _Images:
    """Collects the pictures; the columns of the usable ones are in step."""

    def __init__(self, name: str, keys: Keys, remap: Mapping[str, str]) -> None:
        self._reader = Reader(ImageEntry, lenient_image, name)
        self._remap = remap
        self._number = keys.number
        self._keys, self._others = array("q"), array("q")
        self._at, self._length, self._sizes = array("q"), array("I"), array("i")
        self._names, self._ends = bytearray(), array("q")
        self._unusable: list[IndexEntry] = []
        self.seen = 0

    def add(self, part: Elements) -> None:
        """Keep what some elements of 'images' say."""
        lengths = (part.ends - part.starts).tolist()
        places = (part.starts + part.offset).tolist()
        for image, at, length in zip(self._reader.read(part), places, lengths, strict=True):
            self._add(image, at, length)
            self.seen += 1

    def _add(self, image: ImageEntry, at: int, length: int) -> None:
        name = ""
        try:
            name = safe_name(image.file_name, self._remap)
            if image.id is None:
                raise SampleError(f"{name} has no id; annotations find their picture by it")
        except SampleError as error:
            given = image.file_name or ""
            given = given if given.isprintable() else ascii(given)
            self._unusable.append(IndexEntry(name, given, f"images[{self.seen}]: {error}"))
            self._others.append(self._number(image.id))
            return
        self._keys.append(self._number(image.id))
        self._at.append(at)
        self._length.append(length)
        self._sizes.extend(labelled_size(image))
        self._names += name.encode()
        self._ends.append(len(self._names))

    def finish(self) -> _Pictures:
        """Return the pictures; of those listed twice, only what is beyond doubt."""
        pictures = _Pictures(
            CocoNames(bytes(self._names), np.array(self._ends, np.int64)),
            np.array(self._sizes, np.int32).reshape(-1, 2),
            np.array(self._at, np.int64),
            np.array(self._length, np.uint32),
            np.array(self._keys, np.int64),
            np.array(self._others, np.int64),
            tuple(self._unusable),
        )
        again = "is listed twice; keep one of its entries in 'images'"
        pictures = pictures.without({i: again for i, _ in repeated_names(pictures.names)})
        shared = "has its id in common with another picture; give each its own in 'images'"
        return pictures.without(dict.fromkeys(_sharing(pictures.keys), shared))


@dataclass(frozen=True)
class _Places:
    """Where the annotations stand, picture by picture, and those that belong to none."""

    first: NDArray[np.int64]
    at: NDArray[np.int64]
    length: NDArray[np.uint32]
    unusable: tuple[IndexEntry, ...]


class _Annotations:
    """Collects where the annotations stand and which picture each names."""

    def __init__(self, name: str, keys: Keys) -> None:
        self._reader = Reader(AnnotationEntry, lenient_annotation, name)
        self._known = keys
        self._keys: list[NDArray[np.int64]] = []
        self._at: list[NDArray[np.int64]] = []
        self._length: list[NDArray[np.uint32]] = []
        self._unmasked = self._empty = self._boxed = self._retyped = 0
        self._fields: tuple[str, ...] = ()
        self.seen = 0

    def add(self, part: Elements) -> None:
        """Keep what some elements of 'annotations' say."""
        read = self._reader.read(part)
        self._keys.append(self._known.numbers([annotation.image_id for annotation in read]))
        self._at.append(part.starts + part.offset)
        self._length.append((part.ends - part.starts).astype(np.uint32))
        bare = [annotation.segmentation for annotation in read if not annotation.segmentation]
        self._unmasked += bare.count(None)
        self._empty += len(bare) - bare.count(None)
        self._boxed += sum(map(_is_boxed, read))
        if not self.seen:
            self._fields = tuple(parse_leniently(part.text[: int(part.ends[0])]) or ())
        self.seen += len(read)

    def tally(self) -> CocoTally:
        """Return what has been counted."""
        seen, fields = self.seen, self._fields
        return CocoTally(seen, self._unmasked, self._empty, fields, self._boxed, self._retyped)

    def finish(self, pictures: _Pictures, stream: BinaryIO) -> _Places:
        """Return the places, sorted by picture, and forget what was collected."""
        keys, at, length = _join(self._keys), _join(self._at), _join(self._length)
        position = _positions(keys, pictures.keys)
        self._retype(keys, position, pictures.keys)
        lost = np.flatnonzero(position < 0)
        unlisted = lost[~np.isin(keys[lost], pictures.others)]
        unusable = _unlisted(keys[unlisted], at[unlisted], length[unlisted], stream)
        del keys
        if len(lost) or np.any(position[1:] < position[:-1]):
            order = np.argsort(position, kind="stable")[len(lost) :]
            position, at, length = position[order], at[order], length[order]
        first = np.searchsorted(position, np.arange(len(pictures.keys) + 1))
        return _Places(first, at, length, tuple(unusable))

    def _retype(
        self, keys: NDArray[np.int64], position: NDArray[np.int32], known: NDArray[np.int64]
    ) -> None:
        """Give annotations whose picture is not found that of the id that spells their number."""
        spelled = self._known.spelled()
        lost = np.flatnonzero(position < 0)
        if not spelled or not len(lost):
            return
        values, group = np.unique(keys[lost], return_inverse=True)
        wanted = np.array([spelled.get(value, value) for value in values.tolist()], np.int64)
        ids = np.array([spelled.get(key, key) for key in known.tolist()], np.int64)
        shared = ids[_sharing(ids)]  # "1" and "01": nobody can tell which is meant
        found = np.where(np.isin(wanted, shared), -1, _positions(wanted, ids))
        position[lost] = found[group]
        self._retyped = int(np.count_nonzero(position[lost] >= 0))


def _is_boxed(annotation: AnnotationEntry) -> bool:
    """Return whether all polygons of an annotation have four numbers: pycocotools draws a box."""
    parts = annotation.segmentation
    if not parts or not isinstance(parts, list):
        return False
    return all(bytes(part).count(b",") == 3 for part in parts)


def _join(blocks: list[NDArray[Any]]) -> NDArray[Any]:
    """Return the blocks as one array, and empty the list, so that they are not held twice."""
    joined = np.concatenate(blocks) if blocks else np.zeros(0, np.int64)
    blocks.clear()
    return joined


def _positions(keys: NDArray[np.int64], known: NDArray[np.int64]) -> NDArray[np.int32]:
    """Return where each key stands among the known ones, -1 where it does not."""
    order = np.argsort(known)
    ascending = np.append(known[order], np.int64(2**63 - 1))
    order = np.append(order, -1)
    found = np.empty(len(keys), np.int32)
    for start in range(0, len(keys), _SLICE):
        wanted = keys[start : start + _SLICE]
        place = np.searchsorted(ascending, wanted)
        found[start : start + _SLICE] = np.where(ascending[place] == wanted, order[place], -1)
    return found


def _unlisted(
    keys: NDArray[np.int64], at: NDArray[np.int64], length: NDArray[np.uint32], stream: BinaryIO
) -> Iterator[IndexEntry]:
    """Yield what is wrong, one entry for all annotations of one picture that is not listed."""
    groups, firsts, counts = np.unique(keys, return_index=True, return_counts=True)
    for index in np.argsort(firsts)[:MOST_UNLISTED].tolist():
        stream.seek(int(at[firsts[index]]))
        annotation = parse_leniently(stream.read(int(length[firsts[index]]))) or {}
        more = f" and {counts[index] - 1:,} more" if counts[index] > 1 else ""
        what = f"annotation {annotation.get('id')!r}{more}"
        picture = annotation.get("image_id")
        reason = f"for picture {picture!r}, which 'images' does not list; add it to 'images'"
        if groups[index] == NO_KEY:
            reason = f"without a picture: image_id is {picture!r}; give a picture's id"
        yield IndexEntry("", "", f"{what}: {reason}")
    if len(groups) > MOST_UNLISTED:
        more = f"{len(groups) - MOST_UNLISTED:,}"
        yield IndexEntry(
            "", "", f"annotations for {more} more pictures that 'images' does not list"
        )


def repeated_names(names: Sequence[str]) -> Iterator[tuple[int, int]]:
    """Yield the position of each name that stands there before, and where it does first."""
    hashes = np.fromiter(map(hash, names), np.int64, len(names))
    first: dict[str, int] = {}
    for position in _sharing(hashes):
        before = first.setdefault(names[position], position)
        if before != position:
            yield position, before


def _sharing(numbers: NDArray[np.int64]) -> list[int]:
    """Return the positions, ascending, of all numbers that are there more than once."""
    order = np.argsort(numbers)
    same = np.flatnonzero(numbers[order[1:]] == numbers[order[:-1]])
    positions: list[int] = np.unique(np.concatenate([order[same], order[same + 1]])).tolist()
    return positions
