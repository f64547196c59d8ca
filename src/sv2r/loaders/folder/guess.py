"""What a few masks tell of all: how they are encoded, what categories there are."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import NamedTuple

from sv2r.errors import ConfigError, SampleError
from sv2r.images.label_image import LabelImage, read_label_image
from sv2r.images.picture_file import LOSSY_SUFFIXES, PICTURE_SUFFIXES
from sv2r.loaders.folder.doubts import doubts, is_black_and_white, is_smoothed
from sv2r.loaders.folder.encodings import (
    Encoding,
    Reading,
    distinct,
    guess_encoding,
    is_background,
    read_names,
    spell,
)
from sv2r.loaders.folder.evidence import numbers_line, weigh
from sv2r.loaders.folder.keys import Key, Named
from sv2r.loaders.folder.layout import Place
from sv2r.loaders.folder.pairs import Pair, passes
from sv2r.loaders.tree import Tree, split_name
from sv2r.storage.paths import inside

_EXPLICIT: Mapping[str, Encoding] = MappingProxyType(
    {"ids": "ids", "palette": "palette", "colour": "colour", "binary": "binary"}
)

# Masks that are looked at: the first, the last and some between.
_LOOK_AT = 5
_SHOWN = 4
# The smallest side of a mask that tells how it was made.
_SMALLEST = 16


class MaskLook(NamedTuple):
    """A mask that was looked at. guess: None where it is all background."""

    name: str
    label: LabelImage
    guess: Encoding | None


class Choice(NamedTuple):
    """How masks are read. notes: what says so and why. doubts: what speaks against it.

    strict: whether a mask in another encoding is refused, since this one was found by looking.
    """

    encoding: Encoding
    notes: tuple[str, ...]
    doubts: tuple[str, ...] = ()
    strict: bool = False


def choose_encoding(
    asked: str, pairs: Sequence[Pair], background: Sequence[Key], categories: Named
) -> Choice:
    """Return how to read masks.

    asked: the option's value; "auto" looks. background, categories: the user's keys, which settle
    what would be a doubt.

    Raises:
        ConfigError: the masks looked at are lossy, or of encodings that do not go together.
    """
    if any(pair.place.naming.mask is None for pair in pairs):
        if mixed := next((p.place for p in pairs if p.place.naming.mask), None):
            raise ConfigError(
                f"{mixed.words()}: other folders hold one file per instance;"
                " choose with --loader.encoding"
            )
        bare = sum(1 for pair in pairs if not pair.masks)
        left = f"; {bare:,} pictures without any are taken as empty" if bare else ""
        return Choice("binary", (f"masks are one file per instance, <image>_<category>_<n>{left}",))
    if asked in _EXPLICIT:
        return Choice(_EXPLICIT[asked], (f"masks are read as {asked}, as asked for",))
    if not pairs:
        return Choice("ids", ("no mask to look at",))
    looks, fault = _look(pairs)
    if not looks:
        if all(split_name(p.masks[0].name)[2].lower() in LOSSY_SUFFIXES for p in pairs):
            raise ConfigError(fault)
        why = f"masks are taken as ids, since those looked at cannot be read ({fault})"
        return Choice("ids", (why,), strict=True)
    encoding = _agreed(looks)
    telling = next((look for look in looks if look.guess), looks[0])
    seen = [weigh(look.name, look.label) for look in looks if _tells(look)]
    smoothed = encoding == "ids" and is_smoothed(seen) and is_black_and_white(seen)
    taken: Encoding = "binary" if smoothed else encoding
    told = f"masks are {_words(telling.label, taken)} ({_holds(telling)})"
    found = doubts(
        seen, taken, bits=telling.label.bits, background=background, categories=categories
    )
    notes = (told, numbers_line(seen)) if seen else (told,)
    return Choice(taken, notes, tuple(found), strict=asked == "auto" and not smoothed)


def _tells(look: MaskLook) -> bool:
    """Return whether a mask is large enough, and holds enough, to tell how it was made."""
    return look.guess is not None and min(look.label.values.shape) >= _SMALLEST


def _look(pairs: Sequence[Pair]) -> tuple[list[MaskLook], str]:
    """Return what some masks look like, and the first fault of those that cannot be read."""
    looks, faults = [], [""]
    last = len(pairs) - 1
    for index in sorted({last * i // (_LOOK_AT - 1) for i in range(_LOOK_AT)}):
        place, mask = pairs[index].place, pairs[index].masks[0].name
        name = place.mask_name(mask)
        try:
            label = read_label_image(place.masks / mask, name)
        except SampleError as error:
            faults.append(str(error))
        else:
            looks.append(MaskLook(name, label, guess_encoding(label)))
    return looks, faults[min(1, len(faults) - 1)]


def _agreed(looks: Sequence[MaskLook]) -> Encoding:
    guesses = {look.guess for look in looks if look.guess}
    if "colour" in guesses:
        grey = next((look for look in looks if look.label.kind != "colour"), None)
        if grey is None:
            return "colour"
        colour = next(look for look in looks if look.guess == "colour")
        raise ConfigError(
            f"{colour.name} is a colour mask and {grey.name} is not; choose with --loader.encoding"
        )
    return next(iter(guesses)) if len(guesses) == 1 else "ids"


def _words(label: LabelImage, encoding: Encoding) -> str:
    if encoding == "colour":
        return "colour codes, each colour one instance"
    alpha = " in alpha, where colours say nothing" if label.alpha else ""
    if encoding == "binary":
        return f"black and white{alpha}, one instance each"
    if encoding == "palette":
        return "palette indices, each one instance"
    grey = " in equal channels" if label.kind == "colour" else ""
    return f"{label.bits}-bit ids{grey}{alpha}"


def _holds(look: MaskLook) -> str:
    values = distinct(look.label.values)
    colour = look.label.kind == "colour"
    shown = [spell(value, colour) for value in values[:_SHOWN]]
    more = f" and {len(values) - _SHOWN:,} more" if len(values) > _SHOWN else ""
    return f"{look.name} holds {', '.join(shown)}{more}"


def category_names(
    root: Path, pairs: Sequence[Pair], reading: Reading, given: Sequence[str]
) -> tuple[str, ...]:
    """Return every category that the dataset can have; JSON files are all read for it."""
    found = dict.fromkeys(given)
    if any(pair.names for pair in pairs):
        if not reading.only_named:
            found.update(dict.fromkeys(_from_json(root, pairs)))
        return tuple(found)
    if any(pair.place.naming.mask is None for pair in pairs):
        found.update(dict.fromkeys(sorted({m.category for p in pairs for m in p.masks} - {""})))
        if not any(not m.category for p in pairs for m in p.masks) and found:
            return tuple(found)
    if not reading.only_named:
        found[reading.category] = None
    return tuple(found)


def _from_json(root: Path, pairs: Sequence[Pair]) -> list[str]:
    """Return the categories in all JSON files; a broken one is told with its own sample."""
    found: set[str] = set()
    for pair in pairs:
        if pair.names:
            try:
                names = read_names(inside(root, pair.names), pair.names)
            except SampleError:
                continue
            found.update(names.categories.names())
    return sorted(name for name in found if not is_background(name))


def layout_notes(tree: Tree, pairs: Sequence[Pair]) -> Iterator[str]:
    """Yield where pictures and masks were found, and what else was left alone."""
    places = list({id(pair.place): pair.place for pair in pairs}.values())
    for place in places[:1]:
        more = f" (and {len(places) - 1} more such folders)" if len(places) > 1 else ""
        yield f"{place.words()}{more}"
    if pairs and pairs[0].names:
        yield f"categories come from JSON files such as {pairs[0].names}"
    beside = [place.image_name(name) for place in places for name in passes(place)]
    if beside:
        yield f"taken as other passes, not as pictures: {len(beside):,}, such as {beside[0]}"
    left = Counter(name.partition("/")[0] for name in _elsewhere(tree, places))
    if left:
        some = ", ".join(f"{folder} ({count:,})" for folder, count in left.most_common(_SHOWN))
        yield f"not taken as pictures: {some}"


def _elsewhere(tree: Tree, places: Sequence[Place]) -> Iterator[str]:
    """Yield pictures that lie in no place: other passes of the renderer, most likely."""
    known = {place.image_name(name) for place in places for name in place.picture_files}
    known |= {place.mask_name(name) for place in places for name in place.mask_files}
    for name in tree.files:
        if name not in known and split_name(name)[2].lower() in PICTURE_SUFFIXES:
            yield name
