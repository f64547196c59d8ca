"""Values of a mask as a user or a JSON file spells them: ids, ranges of ids, colours."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

_RANGE = re.compile(r"(-?\d+)(?:-(\d+))?")
_COLOUR = re.compile(r"\(?\s*([^()]*?)\s*\)?")
_HEX = re.compile(r"#([0-9a-fA-F]{6})")
_CHANNEL = re.compile(r"\*|\d{1,3}")


@dataclass(frozen=True, slots=True)
class Key:
    """Which values are meant.

    colour: whether they are colours, as ``r << 16 | g << 8 | b``, or ids.
    mask: the bits that are compared; all but those of channels written as "*".
    """

    colour: bool
    low: int
    high: int
    mask: int = -1

    def matches(self, value: int) -> bool:
        """Return whether a value (of the kind that `colour` says) is meant."""
        return self.low <= value & self.mask <= self.high


def read_key(text: str) -> Key:
    """Return what "7", "26000-26999", "255,0,0", "(255, 0, 0, 255)", "#ff0000" or "14,*,*" mean.

    A colour's fourth number, its alpha, says nothing.

    Raises:
        ValueError: none of these.
    """
    text = text.strip()
    if found := _RANGE.fullmatch(text):
        low, high = int(found[1]), int(found[2] or found[1])
        if low > high:
            raise ValueError(f"{text!r} ends before it begins; write {high}-{low}")
        return Key(False, low, high)
    if found := _HEX.fullmatch(text):
        colour = int(found[1], 16)
        return Key(True, colour, colour)
    found = _COLOUR.fullmatch(text)
    channels = [part.strip() for part in found[1].split(",")] if found else []
    if len(channels) not in (3, 4) or not all(map(_is_channel, channels)):
        raise ValueError(
            f"{text!r} is not an id (7), range of ids (26000-26999) or colour (255,0,0 or 14,*,*)"
        )
    value = mask = 0
    for channel in channels[:3]:
        given = channel != "*"
        value = value << 8 | (int(channel) if given else 0)
        mask = mask << 8 | (255 if given else 0)
    return Key(True, value, value, mask)


def _is_channel(text: str) -> bool:
    return bool(_CHANNEL.fullmatch(text)) and (text == "*" or int(text) < 256)


@dataclass(frozen=True)
class Named:
    """Categories by key; the first key that matches counts.

    exact: those of a single value, looked up; the others are tried one after the other.
    """

    exact: Mapping[tuple[bool, int], str]
    ranges: tuple[tuple[Key, str], ...]

    def category(self, value: int, *, colour: bool) -> str | None:
        """Return a value's category, or None where no key means it."""
        if (found := self.exact.get((colour, value))) is not None:
            return found
        keys = (name for key, name in self.ranges if key.colour == colour and key.matches(value))
        return next(keys, None)

    def names(self) -> set[str]:
        """Return all categories."""
        return {*self.exact.values(), *(name for _, name in self.ranges)}


def named(categories: Iterable[tuple[Key, str]]) -> Named:
    """Return categories by key, ready to be looked up."""
    exact: dict[tuple[bool, int], str] = {}
    ranges = []
    for key, name in categories:
        if key.low == key.high and key.mask in (-1, 0xFFFFFF):
            exact.setdefault((key.colour, key.low), name)
        else:
            ranges.append((key, name))
    return Named(exact, tuple(ranges))
