"""From a mask's values to instances: ids, palette, colours, binary, one file per instance."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from sv2r.errors import SampleError
from sv2r.images.label_image import LabelImage, read_label_image
from sv2r.images.picture_file import read_file
from sv2r.loaders.folder.keys import Key, Named, named, read_key
from sv2r.types import Instance, Instances

if TYPE_CHECKING:
    from numpy.typing import NDArray

Encoding = Literal["ids", "palette", "colour", "binary"]

LARGEST_ID = 2**31 - 1

MOST_VALUES = 10_000
"""More values than this are a photograph or a mask that was smoothed, not labels."""

# How renderers and simulators spell "no object" where values have names.
_NO_OBJECT = frozenset({"background", "unlabelled", "unlabeled"})


@dataclass(frozen=True)
class Reading:
    """How masks are read.

    guessed: whether `encoding` was found by looking at a few masks: then a binary mask must hold
        nothing but 0 and its largest value.
    background: keys of the values that are no instance; () for 0 alone.
    categories: the user's names of values. category: the name of all others.
    only_named: whether those others are background instead.
    """

    encoding: Encoding
    guessed: bool = False
    background: tuple[Key, ...] = ()
    categories: Named = field(default_factory=lambda: named(()))
    category: str = "object"
    only_named: bool = False


@dataclass(frozen=True)
class Stencil:
    """A file that holds one instance."""

    path: Path
    name: str
    category: str
    source_id: str


@dataclass(frozen=True)
class Names:
    """The categories that a JSON file gives to values, and how an error calls the file."""

    categories: Named
    name: str


def read_mask(reading: Reading, path: Path, name: str, names: Names | None = None) -> Instances:
    """Return the instances of one mask.

    names: what the mask's own JSON file says of its values.

    Raises:
        SampleError: it cannot be read, is in another encoding, or holds a value that cannot be an
            instance or is not named.
    """
    label = read_label_image(path, name)
    if reading.encoding == "binary":
        return _binary(label, reading, name)
    values, colour = _values(label, reading.encoding, name)
    found = distinct(values)
    if len(found) > MOST_VALUES:
        what = "colours" if colour else "ids"
        raise SampleError(f"{name}: holds {len(found):,} different {what}; is it a mask?")
    categories = [_category(value, colour, reading, name, names) for value in found]
    return _instances(values, found, categories, name)


def read_stencils(stencils: Sequence[Stencil], size: tuple[int, int], category: str) -> Instances:
    """Return the instances of one picture that has a file for each, numbered from 1 in order.

    Where some overlap the smaller one is drawn on top; `Instances.overlaps` keeps what it covers.

    size: (height, width) of the picture.

    Raises:
        SampleError: a file cannot be read, or is of another size.
    """
    masks = []
    for stencil in stencils:
        mask = _inside(read_label_image(stencil.path, stencil.name), stencil.name, strict=False)
        if mask.shape != size:
            raise SampleError(
                f"{stencil.name}: the mask is {mask.shape[1]}×{mask.shape[0]}, the picture"
                f" {size[1]}×{size[0]}; render both at one size"
            )
        masks.append(mask)
    labels = np.zeros(size, np.int32)
    for index in sorted(range(len(masks)), key=lambda i: -int(masks[i].sum())):
        labels[masks[index]] = index + 1
    hidden = {i: np.flatnonzero(mask & (labels != i)) for i, mask in enumerate(masks, 1)}
    table = {
        i: Instance(i, stencil.category or category, source_id=stencil.source_id)
        for i, stencil in enumerate(stencils, 1)
    }
    return Instances(labels, table, {i: pixels for i, pixels in hidden.items() if pixels.size})


def read_names(path: Path, name: str) -> Names:
    """Return the categories that a JSON file gives to values, as Omniverse's BasicWriter does.

    It is an object from "(r, g, b, a)" or an id to {"class": "car"} or to "car".

    Raises:
        SampleError: it cannot be read or is something else.
    """
    try:
        entries = json.loads(read_file(path, name))
    except (ValueError, RecursionError) as error:
        raise SampleError(f"{name}: no valid JSON ({error}); write it again") from error
    if not isinstance(entries, dict):
        raise SampleError(f"{name}: must be a JSON object from colours or ids to classes")
    try:
        keys = [(read_key(key), _class_name(value)) for key, value in entries.items()]
    except ValueError as error:
        raise SampleError(f"{name}: {error}") from error
    return Names(named(keys), name)


def _class_name(entry: Any) -> str:
    if isinstance(entry, Mapping):
        entry = entry.get("class", next(iter(entry.values()), None))
    if not isinstance(entry, str) or not entry:
        raise ValueError(f"{entry!r} is not a class name")
    return entry


def is_background(category: str) -> bool:
    """Return whether a name in a JSON file means no object."""
    return category.lower() in _NO_OBJECT


def guess_encoding(label: LabelImage) -> Encoding | None:
    """Return how a mask is most likely encoded, or None where it is all background."""
    values = distinct(label.values)
    if values == [0]:
        return None
    if label.kind == "colour" and not _is_grey(label.values):
        return "colour"
    levels = {value & 0xFF for value in values} if label.kind == "colour" else set(values)
    whites = {0xFF, 0xFFFF} if label.kind != "palette" else set()
    if levels <= {0, max(levels)} and max(levels) in whites:
        return "binary"
    return "palette" if label.kind == "palette" else "ids"


def distinct(values: NDArray[Any]) -> list[int]:
    """Return the values that occur, in ascending order."""
    if values.dtype in (np.uint8, np.uint16):
        occurring = np.flatnonzero(np.bincount(values.ravel(), minlength=1))
    else:
        occurring = np.unique(values)
    return [int(value) for value in occurring.tolist()]


def _is_grey(packed: NDArray[Any]) -> bool:
    low = packed & 0xFF
    return bool((packed == low * 0x010101).all())


def _values(label: LabelImage, encoding: Encoding, name: str) -> tuple[NDArray[Any], bool]:
    """Return a mask's values and whether they are colours; refuse another encoding."""
    if encoding == "colour":
        if label.kind != "colour":
            raise _other_encoding(name, label, "colours")
        return label.values, True
    if encoding == "palette" and label.kind != "palette":
        raise _other_encoding(name, label, "palette indices")
    if label.kind == "colour":
        if not _is_grey(label.values):
            raise _other_encoding(name, label, "ids")
        return label.values & 0xFF, False
    return label.values, False


def _other_encoding(name: str, label: LabelImage, expected: str) -> SampleError:
    kind = {"ids": "a grey picture", "palette": "a palette picture", "colour": "a colour picture"}
    return SampleError(
        f"{name}: {kind[label.kind]}, where masks are read as {expected};"
        " choose with --loader.encoding"
    )


def _binary(label: LabelImage, reading: Reading, name: str) -> Instances:
    colour = label.kind == "colour"
    found = distinct(label.values)
    if keys := _own_keys(reading.background, colour):
        others = [value for value in found if not _meant(keys, value)]
        inside = np.isin(label.values, others)
    else:
        inside = _inside(label, name, strict=reading.guessed)
    given = (reading.categories.category(value, colour=colour) for value in reversed(found))
    category = next(filter(None, given), reading.category)
    table = {1: Instance(1, category)} if inside.any() else {}
    return Instances(inside.astype(np.int32), table)


def _inside(label: LabelImage, name: str, *, strict: bool) -> NDArray[np.bool_]:
    """Return where a black and white mask is at least half as bright as its brightest pixel."""
    values = label.values
    if label.kind == "colour":
        values = np.maximum(np.maximum(values >> 16, values >> 8 & 0xFF), values & 0xFF)
    brightest = int(values.max())
    if int(values.min()) < 0:
        raise SampleError(f"{name}: holds negative values; write 0 for background, 1 for object")
    if strict and (others := [v for v in distinct(values) if v not in (0, 0xFF, 0xFFFF)]):
        raise SampleError(
            f"{name}: holds {others[0]}, where other masks hold black and white alone;"
            " choose --loader.encoding ids or binary"
        )
    inside: NDArray[np.bool_] = values >= max(1, (brightest + 1) // 2)
    return inside


def _category(
    value: int, colour: bool, reading: Reading, name: str, names: Names | None
) -> str | None:
    """Return a value's category, or None where it is background."""
    if keys := _own_keys(reading.background, colour):
        if _meant(keys, value):
            return None
    elif value == 0:
        return None
    if given := reading.categories.category(value, colour=colour):
        return given
    if names is None:
        return None if reading.only_named else reading.category
    category = names.categories.category(value, colour=colour)
    if category is None:
        raise SampleError(f"{name}: holds {spell(value, colour)}, which {names.name} does not name")
    return None if reading.only_named or is_background(category) else category


def _own_keys(keys: Sequence[Key], colour: bool) -> list[Key]:
    return [key for key in keys if key.colour == colour]


def _meant(keys: Sequence[Key], value: int) -> bool:
    return any(key.matches(value) for key in keys)


def spell(value: int, colour: bool) -> str:
    """Return a value as a user writes it: "26001" or "(255, 0, 0)"."""
    if not colour:
        return str(value)
    return f"({value >> 16}, {value >> 8 & 0xFF}, {value & 0xFF})"


def _instances(
    values: NDArray[Any], found: Sequence[int], categories: Sequence[str | None], name: str
) -> Instances:
    """Return an instance per value with a category; one whose value is 0 gets the next free id."""
    table: dict[int, Instance] = {}
    targets = []
    for value, category in zip(found, categories, strict=True):
        id_ = 0 if category is None else value or max(found[-1], 0) + 1
        if not 0 <= id_ <= LARGEST_ID:
            raise SampleError(
                f"{name}: holds id {value}; ids go from 0 to {LARGEST_ID} (what is no instance can"
                f" be named with --loader.background {value})"
            )
        targets.append(id_)
        if category is not None:
            table[id_] = Instance(id_, category, source_id=None if value else "0")
    return Instances(_remapped(values, found, targets), table)


def _remapped(
    values: NDArray[Any], found: Sequence[int], targets: Sequence[int]
) -> NDArray[np.int32]:
    if list(found) == list(targets):
        return values.astype(np.int32)
    known = np.array(found, values.dtype)
    return np.array(targets, np.int32)[np.searchsorted(known, values)]
