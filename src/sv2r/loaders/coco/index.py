"""Where in a COCO file each picture and its annotations stand: a few numbers each, no objects."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, overload

import msgspec

from sv2r.errors import SampleError
from sv2r.loaders.coco.charset import not_utf8

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

CocoId = int | str


@dataclass(frozen=True)
class IndexEntry:
    """A picture or annotation that cannot be used.

    name: the picture's safe path where it has one, else "". given: what the file calls it.
    message: why, and the fix; the caller puts the COCO file's name before it.
    """

    name: str
    given: str
    message: str


@dataclass(frozen=True)
class CocoTally:
    """What a COCO file holds, counted in passing.

    annotations: all of them. unmasked: those without a segmentation. empty: those whose
    segmentation is an empty list. fields: what the first annotation has.
    boxed: those whose polygons have four numbers, a box. retyped: those whose image_id is a text
    where the picture's id is a number, or the other way round.
    """

    annotations: int = 0
    unmasked: int = 0
    empty: int = 0
    fields: tuple[str, ...] = ()
    boxed: int = 0
    retyped: int = 0


class CocoNames(Sequence[str]):
    """Many short texts in one block of bytes: a text is made when it is asked for."""

    def __init__(self, text: bytes, ends: NDArray[np.int64]) -> None:
        self.text, self.ends = text, ends

    def __len__(self) -> int:
        return len(self.ends)

    @overload
    def __getitem__(self, index: int) -> str: ...
    @overload
    def __getitem__(self, index: slice) -> list[str]: ...
    def __getitem__(self, index: int | slice) -> str | list[str]:
        if isinstance(index, slice):
            return [self[i] for i in range(*index.indices(len(self)))]
        index = range(len(self))[index]
        start = int(self.ends[index - 1]) if index else 0
        return self.text[start : int(self.ends[index])].decode()

    def __iter__(self) -> Iterator[str]:
        start = 0
        for end in self.ends.tolist():
            yield self.text[start:end].decode()
            start = end


@dataclass(frozen=True)
class CocoIndex:
    """Where in a COCO file each usable picture and its annotations stand.

    path: the file. names: the pictures' file names, safe relative paths, each once. folders: those
    that the names lie in. sizes: (n, 2) int32 height and width, 0 where the file does not tell.
    image_at, image_length: the picture's object, in bytes. first: (n + 1) where the annotations of
    each picture begin in annotation_at, annotation_length; within a picture they keep their order.
    categories: name by the file's own id; stuff: those whose "isthing" is 0.
    unusable: what cannot become a sample. details: what a category's object says beside its id and
    name. extra: the file's info and licenses.
    """

    path: Path
    names: CocoNames
    folders: tuple[str, ...]
    sizes: NDArray[np.int32]
    image_at: NDArray[np.int64]
    image_length: NDArray[np.uint32]
    first: NDArray[np.int64]
    annotation_at: NDArray[np.int64]
    annotation_length: NDArray[np.uint32]
    categories: Mapping[CocoId, str]
    stuff: frozenset[CocoId]
    unusable: tuple[IndexEntry, ...]
    tally: CocoTally
    details: Mapping[CocoId, Mapping[str, Any]] = field(default_factory=dict)
    extra: Mapping[str, Any] = field(default_factory=dict)

    @property
    def panoptic(self) -> bool:
        """Return whether the masks are in a PNG per picture and not in the file."""
        return "segments_info" in self.tally.fields

    def image(self, position: int) -> dict[str, Any]:
        """Return a picture's object, read from the file.

        Raises:
            SampleError: the file has changed or cannot be read, or the object is no strict JSON.
        """
        at, length = int(self.image_at[position]), int(self.image_length[position])
        return parse_object(self._read([(at, length)])[0], "image", at)

    def annotations(self, position: int) -> list[dict[str, Any]]:
        """Return the annotations of a picture, read from the file; raises as `image` does."""
        span = slice(int(self.first[position]), int(self.first[position + 1]))
        starts, lengths = self.annotation_at[span].tolist(), self.annotation_length[span].tolist()
        texts = self._read(list(zip(starts, lengths, strict=True)))
        return [
            parse_object(text, "annotation", at) for text, at in zip(texts, starts, strict=True)
        ]

    def _read(self, places: Sequence[tuple[int, int]]) -> list[bytes]:
        texts = []
        try:
            with self.path.open("rb", buffering=0) as stream:
                for at, length in places:
                    stream.seek(at)
                    texts.append(stream.read(length))
        except OSError as error:
            reason = (error.strerror or str(error)).lower()
            raise SampleError(f"{self.path.name} cannot be read ({reason})") from error
        return texts


def parse_object(text: bytes, what: str, at: int) -> dict[str, Any]:
    """Return a JSON object.

    what: how an error calls it. at: where it begins in its file, in bytes.

    Raises:
        SampleError: it is not UTF-8, holds a number that JSON does not have, or is none any more.
    """
    try:
        parsed = msgspec.json.decode(text)
    except UnicodeDecodeError:
        raise SampleError(f"{what} {not_utf8(text, at)}") from None
    except (msgspec.DecodeError, RecursionError):
        lenient = parse_leniently(text)
        if lenient is None:
            fix = "run the command again, and leave the file alone meanwhile"
            raise SampleError(f"the file has changed; {fix}") from None
        if _is_json(lenient):
            return lenient  # it holds half a character, which msgspec does not read
        number = f" {lenient['id']!r}" if "id" in lenient else ""
        raise SampleError(
            f"{what}{number} holds NaN or Infinity, which JSON does not have; write a number"
        ) from None
    if not isinstance(parsed, dict):
        raise SampleError("the file has changed; run the command again")
    return parsed


def _is_json(value: Any) -> bool:
    """Return whether all numbers in it are finite."""
    try:
        json.dumps(value, allow_nan=False)
    except (ValueError, RecursionError):
        return False
    return True


def parse_leniently(text: bytes) -> dict[str, Any] | None:
    """Return a JSON object in which NaN and Infinity may stand, as Python writes them, or None."""
    try:
        parsed = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return parsed if isinstance(parsed, dict) else None


def as_key(value: Any) -> CocoId | None:
    """Return an id as it is compared: 5 and 5.0 are one, 5 and "5" two; None where it is none."""
    if isinstance(value, float) and value.is_integer():
        return int(value)
    return value if isinstance(value, (int, str)) and not isinstance(value, bool) else None


_NUMBER = re.compile(r"[+-]?[0-9]{1,18}")


def as_number(key: CocoId) -> int | None:
    """Return the whole number that an id is or spells ("5", "0005"), or None."""
    if isinstance(key, int):
        return key
    return int(key) if _NUMBER.fullmatch(key.strip()) else None


def find_key(key: CocoId | None, known: Mapping[CocoId, Any]) -> CocoId | None:
    """Return the known id that is meant: the same, or the only one that spells the same number."""
    if key is None or key in known:
        return key
    if (number := as_number(key)) is None:
        return None
    alike = [other for other in known if as_number(other) == number]
    return alike[0] if len(alike) == 1 else None
