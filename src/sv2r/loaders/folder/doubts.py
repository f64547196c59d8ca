"""Doubts about what masks were taken for: each with its numbers and the option that settles it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from sv2r.loaders.folder.encodings import Encoding, spell
from sv2r.loaders.folder.evidence import MaskEvidence, MaskValue
from sv2r.loaders.folder.keys import Key, Named

# From which shares on evidence counts.
_BLENDED = 0.6
_SCATTERED = 3.0
_ALONG = 0.7
_GROUND = 0.4
_MOST = 2 / 3
# Values in specks, of a mask, that make it a smoothed one.
_SPECKS, _COUNTLESS = 3, 100
# A class of which few instances are in several pieces.
_PIECES, _BROKEN = 2.0, 0.4
_LEAST = 30  # px: smaller areas say nothing of pieces
# How classes and instances are packed into one number, and how many instances of a class there are.
_BASES = ((1000, 125), (256, 32))
_LARGEST_CLASS = 64


def is_smoothed(seen: Sequence[MaskEvidence]) -> bool:
    """Return whether masks have edges that were smoothed: anti-aliased, resized, or once JPEG."""
    specks = [value for one in seen for value in one.specks]
    areas = [value for one in seen for value in one.values.values() if value.fills]
    if not specks or len(specks) < max(_SPECKS * len(seen), len(areas)):
        return False
    scattered = sum(value.pieces for value in specks) / len(specks)
    countless = len(specks) >= max(_COUNTLESS * len(seen), 10 * len(areas))
    return countless or _blended(seen) >= _BLENDED or scattered >= _SCATTERED


def is_black_and_white(seen: Sequence[MaskEvidence]) -> bool:
    """Return whether all that fills an area is black or white."""
    areas = {value.number for one in seen for value in one.values.values() if value.fills}
    return areas <= {0, 255} and 255 in areas


def doubts(
    seen: Sequence[MaskEvidence],
    encoding: Encoding,
    *,
    bits: int,
    background: Sequence[Key],
    categories: Named,
) -> Iterator[str]:
    """Yield what speaks against what masks were taken for, but for what options settle."""
    if not seen:
        return
    colour = encoding == "colour"
    if is_smoothed(seen):
        yield _smoothed(seen, encoding)
        return
    settled = {key.low for key in background if key.colour == colour}

    def open_(number: int) -> bool:
        return number not in settled and categories.category(number, colour=colour) is None

    along = next((v for v in _thin(seen) if open_(v)), None)
    if along is not None:
        yield _along(seen, along, colour)
    elif not colour and encoding != "binary" and open_(top := (1 << bits) - 1):
        yield from _ignored(seen, top)
    ground = _ground(seen)
    if ground is not None and open_(ground):
        yield _of_ground(seen, ground, colour)
    if encoding != "binary" and not categories.names():
        if not colour:
            yield from _packed(seen)
        yield from _classes(seen, along, colour)


def _blended(seen: Sequence[MaskEvidence]) -> float:
    """Return the share of all pixels in specks that lie between the areas around them."""
    pixels = [sum(value.pixels for value in one.specks) for one in seen]
    return sum(n * one.blended for n, one in zip(pixels, seen, strict=True)) / max(1, sum(pixels))


def _smoothed(seen: Sequence[MaskEvidence], encoding: Encoding) -> str:
    worst = max(seen, key=lambda one: len(one.specks))
    told = (
        f"{worst.name}: {len(worst.specks):,} of {len(worst.values):,} values lie in specks along "
        f"edges, {_blended(seen):.0%} of their pixels between the areas on both sides, as in masks "
        "that were anti-aliased, resized or once JPEG"
    )
    if encoding == "binary":
        return f"{told}; taken as black and white, cut at half: --loader.encoding binary settles it"
    return (
        f"{told}: each such value becomes an instance; write masks without smoothing, or settle it "
        f"with --loader.encoding {encoding}"
    )


def _thin(seen: Sequence[MaskEvidence]) -> list[int]:
    """Return the values that lie along the borders of all others, as VOC's void does."""
    counts: dict[int, list[int]] = {}
    for one in seen:
        for value in one.objects:
            areas = {v.number for v in one.objects if v.fills} - {value.number}
            alike = value.thin and one.borders.get(value.number, 0) >= _ALONG
            if alike and areas and areas <= one.neighbours[value.number]:
                counts.setdefault(value.number, []).append(len(areas))
    enough = _MOST * sum(bool(one.objects) for one in seen)
    return [n for n, areas in counts.items() if len(areas) >= enough and sum(areas) >= 2]


def _along(seen: Sequence[MaskEvidence], number: int, colour: bool) -> str:
    shares = [one.borders[number] for one in seen if number in one.values]
    value = spell(number, colour)
    return (
        f"value {value} is nowhere wider than a line and takes part in "
        f"{sum(shares) / len(shares):.0%} of all borders in {_of(len(shares), seen)}, as a line "
        f"between objects does; "
        f"{_settle(number, colour)}"
    )


def _ignored(seen: Sequence[MaskEvidence], top: int) -> Iterator[str]:
    """Yield what is said of the largest value that fits, next to small ids."""
    held = [one for one in seen if top in one.values]
    others = {value.number for one in seen for value in one.objects} - {top}
    if held and others and max(others) < top / 2:
        yield (
            f"value {top} stands next to {min(others)} to {max(others)} in {_of(len(held), seen)}, "
            f"as one for 'ignore' does; {_settle(top, colour=False)}"
        )


def _ground(seen: Sequence[MaskEvidence]) -> int | None:
    """Return the value that surrounds everything where 0 does not, or None."""
    masks = [one for one in seen if one.objects]
    if not masks:
        return None
    candidates = set.intersection(*({v.number for v in one.objects} for one in masks))
    for number in sorted(candidates):
        if all(_surrounds(one, one.values[number]) for one in masks):
            return number
    return None


def _surrounds(one: MaskEvidence, value: MaskValue) -> bool:
    zero = one.values.get(0)
    framed = value.sides == 4 and (zero is None or not zero.sides)
    return framed and value.pixels >= _GROUND * one.pixels


def _of_ground(seen: Sequence[MaskEvidence], number: int, colour: bool) -> str:
    masks = [one for one in seen if one.objects]
    share = sum(one.values[number].pixels / one.pixels for one in masks) / len(masks)
    value, black = spell(number, colour), spell(0, colour)
    return (
        f"value {value} covers {share:.0%} and reaches all four sides of {_of(len(masks), seen)}, "
        f"{black} none: it looks like the background; {_settle(number, colour)}"
    )


def _packed(seen: Sequence[MaskEvidence]) -> Iterator[str]:
    """Yield what is said of numbers that hold a class and an instance each."""
    numbers = sorted({value.number for one in seen for value in one.objects})
    if all(number % 257 == 0 for number in numbers):
        return  # 8-bit ids that were stretched to 16 bits
    for base, most in _BASES:
        small = [n for n in numbers if n < base]
        large = [n for n in numbers if n >= base]
        alike = len(large) >= 2 and all(n % base < most for n in large)
        if alike and max(small, default=0) <= _LARGEST_CLASS:
            first = next((n for n in large if n % base), large[0])
            kind = first // base
            yield (
                f"{len(large):,} of {len(numbers):,} values look like class × {base} + n, such as "
                f"{first} = {kind} × {base} + {first % base}; name the classes with "
                f"--loader.categories {kind * base + 1}-{kind * base + base - 1}=NAME and "
                "--loader.only_named true"
            )
            return


def _classes(seen: Sequence[MaskEvidence], along: int | None, colour: bool) -> Iterator[str]:
    """Yield what is said of values that are classes: each in several pieces, the same in all."""
    areas = [[v for v in one.objects if v.pixels >= _LEAST and v.number != along] for one in seen]
    values = [value for several in areas for value in several]
    top = max((value.number for value in values), default=0)
    if len(values) < 3 or (top > 255 and not colour):
        return
    mean = sum(value.pieces for value in values) / len(values)
    broken = sum(value.pieces > 1 for value in values) / len(values)
    if mean < _PIECES or broken < _BROKEN or not _alike(areas):
        return
    zero = [one.values[0].pixels / one.pixels for one in seen if 0 in one.values]
    black = spell(0, colour)
    share = f", and {black} ({sum(zero) / len(seen):.0%} of the pixels) is left out" if zero else ""
    void = "" if colour else f" {top} may be void;"
    yield (
        f"values look like classes, not instances: {mean:.1f} pieces each, {broken:.0%} in "
        f"several, the same in most masks{share};{void} name those that are "
        "objects with --loader.categories and --loader.only_named true, or settle it with "
        f"--loader.encoding {'colour' if colour else 'ids'}"
    )


def _alike(areas: Sequence[Sequence[MaskValue]]) -> bool:
    """Return whether masks hold mostly the same values."""
    sets = [{value.number for value in several} for several in areas if several]
    union = set.union(*sets)
    return sum(len(one) for one in sets) >= len(union) * len(sets) / 2


def _of(count: int, seen: Sequence[MaskEvidence]) -> str:
    return f"{count} of {len(seen)} mask{'' if len(seen) == 1 else 's'}"


def _settle(number: int, colour: bool) -> str:
    value = spell(number, colour).replace(" ", "").strip("()")
    zero = "0,0,0" if colour else "0"
    return (
        f"--loader.background {zero} --loader.background {value} leaves it out, "
        f"--loader.categories {value}=NAME keeps it"
    )
