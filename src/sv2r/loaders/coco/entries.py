"""What the index of a COCO file takes from each of its objects, right or wrong as they may be."""

from __future__ import annotations

import re
import types
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import PureWindowsPath
from typing import TYPE_CHECKING, Any, Generic, TypeVar

import msgspec
import numpy as np

from sv2r.errors import ConfigError, SampleError
from sv2r.loaders.coco.charset import not_utf8
from sv2r.loaders.coco.index import CocoId, as_key, as_number, parse_leniently
from sv2r.loaders.coco.json_scan import Elements
from sv2r.storage.paths import safe_relative

if TYPE_CHECKING:
    from numpy.typing import NDArray

# Names that `safe_relative` would return as they are: it takes longer than all else per picture.
_PLAIN = re.compile(r"(?!\.\.?(?:/|$))[^/\\:\0]+(?:/(?!\.\.?(?:/|$))[^/\\:\0]+)*")

_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+://")

# The number of an id that is missing, and those that stand for themselves.
NO_KEY = -(2**63)
_LARGEST_KEY = 2**62

StructT = TypeVar("StructT", bound=msgspec.Struct)


class ImageEntry(msgspec.Struct, gc=False):
    """What the index takes from an element of 'images'; None where it is missing or wrong."""

    id: CocoId | None = None
    file_name: str | None = None
    height: int | None = None
    width: int | None = None


class AnnotationEntry(msgspec.Struct, gc=False):
    """What the index takes from an element of 'annotations'; None where it is missing or wrong."""

    image_id: CocoId | None = None
    # The parts stay undecoded: this tells only empty and missing ones from the others.
    segmentation: list[msgspec.Raw] | dict[str, msgspec.Raw] | None = None


class Keys:
    """Numbers for ids: a number stands for itself, anything else for one that no id has."""

    def __init__(self) -> None:
        self._others: dict[CocoId, int] = {}

    def number(self, key: CocoId | None) -> int:
        """Return the number of one id, NO_KEY for none."""
        if key is None:
            return NO_KEY
        if isinstance(key, int) and -_LARGEST_KEY < key < _LARGEST_KEY:
            return key
        return self._others.setdefault(key, -_LARGEST_KEY - len(self._others))

    def spelled(self) -> dict[int, int]:
        """Return the whole number that each text spells, by the text's own number."""
        texts = {key: number for key, number in self._others.items() if isinstance(key, str)}
        found = ((number, as_number(key)) for key, number in texts.items())
        return {number: value for number, value in found if value is not None}

    def numbers(self, keys: Sequence[CocoId | None]) -> NDArray[np.int64]:
        """Return the numbers of many ids."""
        if set(map(type, keys)) == {int}:
            with suppress(OverflowError):
                numbers = np.array(keys, np.int64)
                if np.all((numbers > -_LARGEST_KEY) & (numbers < _LARGEST_KEY)):
                    return numbers
        return np.fromiter(map(self.number, keys), np.int64, len(keys))


class Reader(Generic[StructT]):
    """Decodes elements: all at once where they are as they should be, else one by one.

    lenient: makes the struct from an object that is none of it, with None for what is wrong.
    """

    def __init__(
        self, struct: type[StructT], lenient: Callable[[dict[str, Any]], StructT], name: str
    ) -> None:
        many: type[list[StructT]] = types.GenericAlias(list, (struct,))  # type: ignore[assignment]
        self._all = msgspec.json.Decoder(many)
        self._one = msgspec.json.Decoder(struct)
        self._lenient, self._name = lenient, name

    def read(self, part: Elements) -> list[StructT]:
        """Return a struct per element.

        Raises:
            ConfigError: an element is no JSON object, even where NaN and Infinity are let pass.
        """
        try:
            return self._all.decode(b"[" + part.text + b"]")
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            return [self._read_one(part, index) for index in range(len(part.starts))]

    def _read_one(self, part: Elements, index: int) -> StructT:
        start, end = int(part.starts[index]), int(part.ends[index])
        text, place = part.text[start:end], part.offset + start
        if index and part.text[int(part.ends[index - 1]) : start].strip() != b",":
            raise ConfigError(
                f"{self._name}: '{part.key}' is not a list of objects before byte {place:,}"
            )
        try:
            return self._one.decode(text)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            found = parse_leniently(text)
        if found is None and (why := not_utf8(text, place)):
            raise ConfigError(f"{self._name}: {why}")
        if found is None:
            raise ConfigError(f"{self._name}: what begins at byte {place:,} is no JSON object")
        return self._lenient(found)


def remapped(name: str, remap: Mapping[str, str]) -> str:
    """Return a file name whose first folders are replaced where `remap` has them."""
    plain = name.replace("\\", "/")
    for start, place in remap.items():
        folder = start.replace("\\", "/").rstrip("/")
        if plain.startswith(f"{folder}/"):
            inner = plain.removeprefix(f"{folder}/").lstrip("/")
            return inner if place in ("", ".") else f"{place.rstrip('/')}/{inner}"
    return name


def safe_name(name: str | None, remap: Mapping[str, str] | None = None) -> str:
    """Return a file name as a safe relative POSIX path.

    remap: see `remapped`.

    Raises:
        SampleError: it is missing, or no such path.
    """
    if not name:
        raise SampleError("file_name is missing; name the picture's file")
    if remap:
        name = remapped(name, remap)
    if is_elsewhere(name):
        folder = name.replace("\\", "/").rpartition("/")[0] or "/"
        kind = "a URL" if _URL.match(name) else "an absolute path"
        raise SampleError(
            f"{name}: is {kind}; say where its pictures lie in the input with "
            f"--loader.remap '{folder}=FOLDER'"
        )
    if not name.isprintable():
        raise SampleError(f"{name!a}: the name holds characters that are not printed; rename it")
    return name if _PLAIN.fullmatch(name) else safe_relative(name).as_posix()


def is_elsewhere(name: str) -> bool:
    """Return whether a file name is absolute, on Windows or elsewhere, or a URL."""
    return name.startswith(("/", "\\")) or bool(_URL.match(name) or PureWindowsPath(name).drive)


def labelled_size(image: ImageEntry) -> tuple[int, int]:
    """Return (height, width), or (0, 0) where they are missing or make no picture."""
    height, width = image.height or 0, image.width or 0
    return (height, width) if 0 < height < 2**31 and 0 < width < 2**31 else (0, 0)


def lenient_image(found: dict[str, Any]) -> ImageEntry:
    """Return what can be taken from an object that is no `ImageEntry` as it stands.

    The size is left out, so that the entry is looked at again, and refused, with the labels.
    """
    name = found.get("file_name")
    return ImageEntry(as_key(found.get("id")), name if isinstance(name, str) else None)


def lenient_annotation(found: dict[str, Any]) -> AnnotationEntry:
    """Return what can be taken from an object that is no `AnnotationEntry` as it stands."""
    segmentation = found.get("segmentation")
    parts = [msgspec.Raw()] if segmentation else segmentation
    return AnnotationEntry(as_key(found.get("image_id")), parts)


@dataclass(frozen=True)
class Categories:
    """The categories' names by their ids, and which of them are stuff ("isthing": 0).

    details: all that is said of each beside id and name.
    """

    names: dict[CocoId, str]
    stuff: frozenset[CocoId]
    details: dict[CocoId, dict[str, Any]]


def read_categories(text: bytes, name: str) -> Categories:
    """Return what the array of categories says.

    Raises:
        ConfigError: one of them has no id or no name, or shares its id.
    """
    found = parse_leniently(b'{"categories":' + text + b"}")
    if found is None and (why := not_utf8(text, 0)):
        raise ConfigError(f"{name}: {why.replace('byte ', 'in categories, byte ')}")
    entries = found["categories"] if found else None
    if not isinstance(entries, list):
        raise ConfigError(f"{name}: 'categories' is not a list of objects with id and name")
    names: dict[CocoId, str] = {}
    stuff: set[CocoId] = set()
    details: dict[CocoId, dict[str, Any]] = {}
    for number, entry in enumerate(entries):
        key = as_key(entry.get("id")) if isinstance(entry, dict) else None
        own = _category_name(entry) if isinstance(entry, dict) else ""
        if key is None or not own:
            raise ConfigError(f"{name}: categories[{number}] must have an id and a name (a text)")
        if names.setdefault(key, own) != own:
            both = f"{names[key]} and {own}"
            raise ConfigError(f"{name}: category id {key!r} stands for {both}; give each its own")
        more = {name: value for name, value in entry.items() if name not in ("id", "name")}
        details[key] = {**details.get(key, {}), **more}
        if entry.get("isthing") == 0:
            stuff.add(key)
    return Categories(names, frozenset(stuff), {key: more for key, more in details.items() if more})


def _category_name(entry: dict[str, Any]) -> str:
    """Return a category's name, a number as its text, "" where it has none."""
    own = as_key(entry.get("name"))
    return "" if own is None else str(own)
