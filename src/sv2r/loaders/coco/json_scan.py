"""A JSON object of any size, read once and in pieces: where the elements of its arrays lie."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, BinaryIO, NoReturn

import numpy as np

from sv2r.errors import ConfigError

if TYPE_CHECKING:
    from numpy.typing import NDArray

# Fits into the second-level cache, where numpy's passes over it are cheapest.
BLOCK = 1 << 20
# No element of a dataset is larger; most likely a bracket or a quote is missing.
LARGEST = 1 << 28

_QUOTE, _BACKSLASH = ord('"'), ord("\\")


@dataclass(frozen=True)
class Elements:
    """Some elements of a top-level array, whole and in order.

    key: the array's name. text: from the first byte of the first element to the last of the last.
    offset: where text begins in the file. starts, ends: of each element, within text.
    """

    key: str
    text: bytes
    offset: int
    starts: NDArray[np.int64]
    ends: NDArray[np.int64]


@dataclass(frozen=True)
class Value:
    """A top-level value, whole. text: None where it was too large to be kept."""

    key: str
    text: bytes | None


def scan(
    stream: BinaryIO,
    name: str,
    *,
    arrays: frozenset[str],
    values: frozenset[str],
    largest_other: int = 0,
) -> Iterator[Elements | Value]:
    """Yield the objects in the named top-level arrays, and the named top-level values, in order.

    Memory is a block and the largest element, however large the file. Elements are cut, not
    parsed: that each is JSON is the reader's to see.

    name: how errors call the file. largest_other: bytes up to which values of other names are
    yielded too, scalars last; 0: they are passed over.

    Raises:
        ConfigError: it is no JSON object, ends too early, or a named array is not an array.
    """
    window = _Window(stream, name)
    seen = set()
    while (key := window.next_value()) is not None:
        if key in seen:
            window.refuse(f"'{key}' is in it twice")
        if key in arrays | values:
            seen.add(key)
        if key in arrays:
            yield from window.elements(key)
        elif key in values:
            yield Value(key, window.whole())
        elif largest_other:
            yield Value(key, window.whole_up_to(largest_other))
        else:
            window.skip()
    window.end()
    for key, scalar in window.scalars.items() if largest_other else ():
        if key not in arrays | values:
            yield Value(key, json.dumps(scalar).encode())


class _Window:
    """The part of the file that is looked at, and how far it is dealt with.

    Up to `done` it is, and there the text is outside of any string and `depth` brackets deep.
    `index` is the first bracket after it. `scalars` are the members met that are neither object nor
    array.
    """

    def __init__(self, stream: BinaryIO, name: str) -> None:
        self._stream, self._name = stream, name
        self._text = stream.read(BLOCK)
        self._base = 0
        self._first = True
        self.scalars: dict[str, Any] = {}
        self._advance(self._beginning(), 0, 0)
        self._found = find_brackets(self._text, 0)
        self._advance(self._done + 1, 1, 1)

    def next_value(self) -> str | None:
        """Return the key of the next object or array, or None where there is none."""
        while self._index == len(self._found.at):
            self._refill()
        at = int(self._found.at[self._index])
        between = self._text[self._done : at]
        if self._found.opens[self._index]:
            key = list(self._members(between + b"null"))[-1]
            self.scalars.pop(key)
            self._first = False
            self._advance(at, self._index, 1)
            return key
        if between.strip():
            self._members(between)
        if self._text[at : at + 1] != b"}":
            self.refuse("a ] closes the object", at)
        self._advance(at + 1, self._index + 1, 0)
        return None

    def elements(self, key: str) -> Iterator[Elements]:
        """Yield the elements of the array that begins here."""
        if self._text[self._done : self._done + 1] != b"[":
            self.refuse(f"'{key}' is not a list")
        self._advance(self._done + 1, self._index + 1, 2)
        separator = b""
        while True:
            end = self._end_of_value()
            if found := self._whole_elements(key, end, separator):
                yield found
                separator = b","
            if end < len(self._found.at):
                break
            self._refill()
        at = int(self._found.at[end])
        if self._text[at : at + 1] != b"]" or self._text[self._done : at].strip():
            self.refuse(f"'{key}' does not end as a list of objects does")
        self._advance(at + 1, end + 1, 1)

    def whole(self) -> bytes:
        """Return the value that begins here."""
        while (end := self._end_of_value()) == len(self._found.at):
            self._refill()
        at = int(self._found.at[end]) + 1
        text = self._text[self._done : at]
        self._advance(at, end + 1, 1)
        return text

    def whole_up_to(self, most: int) -> bytes | None:
        """Return the value that begins here, or None, and it is passed over, where it is larger."""
        while self._end_of_value() == len(self._found.at):
            if len(self._text) - self._done > most:
                self.skip()
                return None
            self._refill()
        text = self.whole()
        return text if len(text) <= most else None

    def skip(self) -> None:
        """Pass over the value that begins here, without keeping it."""
        while (end := self._end_of_value()) == len(self._found.at):
            self._advance(self._found.safe, end, self._found.depth_after)
            self._refill()
        self._advance(int(self._found.at[end]) + 1, end + 1, 1)

    def end(self) -> None:
        """Make sure that nothing but blanks is left."""
        rest = self._text[self._done :]
        while rest:
            if rest.strip():
                self.refuse("something follows the end of the object")
            rest = self._stream.read(BLOCK)

    def refuse(self, reason: str, at: int | None = None) -> NoReturn:
        """Raise the ConfigError that names the file, the reason and the place."""
        place = self._base + (self._done if at is None else at)
        where = f" (byte {place:,})" if place else ""
        raise ConfigError(f"{self._name}: cannot be read as COCO: {reason}{where}")

    def _beginning(self) -> int:
        """Return where the object begins."""
        if self._text.startswith((b"\xff\xfe", b"\xfe\xff")):
            self.refuse("it is UTF-16; save it as UTF-8", 0)
        rest = self._text.removeprefix(b"\xef\xbb\xbf").lstrip()
        if not rest.startswith(b"{"):
            kind = "a list, perhaps of results" if rest.startswith(b"[") else "no JSON object"
            self.refuse(f"it is {kind}; COCO is an object of images, annotations, categories", 0)
        return len(self._text) - len(rest)

    def _end_of_value(self) -> int:
        """Return the index of the bracket that ends the value, or of none: the number of them."""
        floor = self._found.floor
        place = int(np.searchsorted(floor, self._index))
        return int(floor[place]) if place < len(floor) else len(self._found.at)

    def _whole_elements(self, key: str, end: int, separator: bytes) -> Elements | None:
        """Return the elements between here and a bracket, and put them behind."""
        span = slice(self._index, end)
        at, opens, depth = self._found.at[span], self._found.opens[span], self._found.depth[span]
        last = np.flatnonzero(~opens & (depth == 2))
        if not len(last):
            return None
        ends = at[last] + 1
        starts = at[opens & (depth == 3)][: len(ends)]
        first, behind = int(starts[0]), int(ends[-1])
        if self._text[self._done : first].strip() != separator:
            self.refuse(f"'{key}' is not a list of objects")
        text, offset = self._text[first:behind], self._base + first
        self._advance(behind, self._index + int(last[-1]) + 1, 2)
        return Elements(key, text, offset, starts - first, ends - first)

    def _members(self, between: bytes) -> dict[str, Any]:
        """Return some members of the object, none of which is an object or array; keep them."""
        members = between.strip() if self._first else between.strip().removeprefix(b",")
        if not self._first and members == between.strip():
            self.refuse("a comma is missing")
        try:
            found = dict(json.loads(b"{" + members + b"}"))
        except (ValueError, RecursionError):
            found = {}
        if not found:
            self.refuse("this is not a member of an object")
        self.scalars |= found
        return found

    def _advance(self, done: int, index: int, depth: int) -> None:
        self._done, self._index, self._depth = done, index, depth

    def _refill(self) -> None:
        """Drop what is dealt with and read on: a block, or twice what is kept."""
        kept = self._text[self._done :]
        if len(kept) > LARGEST:
            self.refuse(f"what begins here does not end within {LARGEST:,} bytes")
        fresh = self._stream.read(max(BLOCK, len(kept)))  # doubling: each byte is seen twice
        if not fresh:
            self.refuse("the file ends before this does; export it again")
        self._base += self._done
        self._text = kept + fresh
        self._found = find_brackets(self._text, self._depth)
        self._advance(0, 0, self._depth)


@dataclass(frozen=True)
class Brackets:
    """The brackets of a text outside of its strings.

    at: their places. opens: whether each opens. depth: how deep the text is after each.
    floor: indices of those after which it is at most 1 deep. safe: up to where the text is outside
    of a string that does not end in it. depth_after: how deep it is there.
    """

    at: NDArray[np.int64]
    opens: NDArray[np.bool_]
    depth: NDArray[np.int64]
    floor: NDArray[np.int64]
    safe: int
    depth_after: int


def find_brackets(text: bytes, depth: int) -> Brackets:
    """Return the brackets of a text that begins outside of any string, depth brackets deep."""
    data = np.frombuffer(text, np.uint8)
    folded = data | 0x20  # the bit in which [ and { differ, and ] and }
    marks = (folded == ord("{")) | (folded == ord("}")) | (data == _QUOTE)
    at = np.flatnonzero(marks)
    if _BACKSLASH in text:
        at = at[~_is_escaped(data, at)]
    kind = folded[at]
    quote = kind == _QUOTE
    within = np.logical_xor.accumulate(quote)
    safe = int(at[quote][-1]) if len(at) and within[-1] else len(text)
    outside = ~(within | quote)
    at, opens = at[outside], kind[outside] == ord("{")
    depths = depth + np.cumsum(np.where(opens, 1, -1))
    after = int(depths[-1]) if len(depths) else depth
    return Brackets(at, opens, depths, np.flatnonzero(depths <= 1), safe, after)


def _is_escaped(data: NDArray[np.uint8], at: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Return for each place whether an odd number of backslashes stands right before it."""
    slashes = np.flatnonzero(data == _BACKSLASH)
    begins = np.diff(slashes, prepend=-2) > 1
    run = np.maximum.accumulate(np.where(begins, slashes, 0))
    last = np.maximum(np.searchsorted(slashes, at) - 1, 0)
    escaped: NDArray[np.bool_] = (slashes[last] == at - 1) & ((at - run[last]) % 2 == 1)
    return escaped
