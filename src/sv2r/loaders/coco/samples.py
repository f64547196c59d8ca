"""The pictures of one or several COCO files as one dataset, each made when it is asked for."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, partial
from itertools import compress
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar, overload

import numpy as np

from sv2r.errors import SampleError
from sv2r.images.decode import picture_size
from sv2r.images.picture_file import MAX_PIXELS
from sv2r.loaders.channels import find_channels
from sv2r.loaders.coco.annotations import draw_annotations, mask_size
from sv2r.loaders.coco.build_index import repeated_names
from sv2r.loaders.coco.choose import split_of
from sv2r.loaders.coco.index import CocoIndex
from sv2r.loaders.coco.panoptic import draw_panoptic, panoptic_file
from sv2r.loaders.coco.segmentation import MaskSize
from sv2r.loaders.tree import AnyCase
from sv2r.storage.paths import inside
from sv2r.storage.source import list_folder
from sv2r.types import Instances, Problem, Sample

if TYPE_CHECKING:
    from numpy.typing import NDArray


# What COCO says of every picture: no words that a prompt could use.
_NO_ATTRIBUTES = frozenset(
    {"id", "file_name", "width", "height", "license", "date_captured", "flickr_url", "coco_url"}
)

# What a sample says in fields of its own.
_OWN = frozenset({"id", "file_name", "width", "height"})

T = TypeVar("T")


class Lazy(Sequence[T]):
    """A sequence of which an item is made when it is asked for."""

    def __init__(
        self,
        length: int,
        make: Callable[[int], T],
        make_all: Callable[[], Iterator[T]] | None = None,
    ) -> None:
        """Keep what makes an item by its index, and what makes all of them where that is faster."""
        self._length, self._make, self._make_all = length, make, make_all

    def __len__(self) -> int:
        return self._length

    @overload
    def __getitem__(self, index: int) -> T: ...
    @overload
    def __getitem__(self, index: slice) -> list[T]: ...
    def __getitem__(self, index: int | slice) -> T | list[T]:
        if isinstance(index, slice):
            return [self._make(i) for i in range(*index.indices(self._length))]
        return self._make(range(self._length)[index])

    def __iter__(self) -> Iterator[T]:
        return self._make_all() if self._make_all else map(self._make, range(self._length))


@dataclass(frozen=True)
class Part:
    """One COCO file of a dataset.

    source: the file. name: the same, folder: where its pictures' names start, both relative to the
    dataset's root. positions: those of the index's pictures that are used. charset: the file's
    where it is not UTF-8 (the index is then that of a copy), else "". split: train, val or test
    where the file's place tells, else "".
    """

    index: CocoIndex
    name: str
    folder: str
    positions: NDArray[np.int64]
    source: Path
    charset: str = ""
    split: str = ""

    def id(self, position: int) -> str:
        """Return a picture's path, relative to the dataset's root."""
        return _join(self.folder, self.index.names[position])

    def ids(self) -> Iterator[str]:
        """Yield the ids of the pictures that are used, in their order."""
        used = np.zeros(len(self.index.names), bool)
        used[self.positions] = True  # they ascend
        for name in compress(self.index.names, used.tolist()):
            yield _join(self.folder, name)

    def problems(self) -> Iterator[Problem]:
        """Yield what the index could not use."""
        for entry in self.index.unusable:
            id_ = _join(self.folder, entry.name) if entry.name else entry.given or self.name
            yield Problem(id_, f"{self.name}: {entry.message}")

    def without(self, positions: Iterable[int]) -> Part:
        """Return the part without some of the pictures that are used."""
        return replace(self, positions=np.setdiff1d(self.positions, list(positions)))


def whole_part(index: CocoIndex, name: str, folder: str, source: Path, charset: str = "") -> Part:
    """Return a COCO file with all pictures of its index."""
    positions = np.arange(len(index.names))
    return Part(index, name, folder, positions, source, charset, split_of(name))


class Pictures:
    """All pictures of a dataset, one part after the other."""

    def __init__(self, root: Path, parts: Sequence[Part], patterns: Mapping[str, str]) -> None:
        self._root, self._parts, self._patterns = root, parts, patterns
        self._tree = AnyCase(root)
        self._firsts = np.cumsum([0, *(len(part.positions) for part in parts)]).tolist()

    def __len__(self) -> int:
        return int(self._firsts[-1])

    def id(self, index: int) -> str:
        """Return the id of the picture at an index."""
        part, position = self._find(index)
        return part.id(position)

    def ids(self) -> Iterator[str]:
        """Yield all ids."""
        for part in self._parts:
            yield from part.ids()

    def sample(self, index: int) -> Sample:
        """Return the picture at an index."""
        part, position = self._find(index)
        id_ = part.id(position)
        image = self._tree.find(id_) or self._root / id_
        labels = Labels(part, position, self._root, id_, image)
        channels: Mapping[str, Path] = {}
        load = labels.load
        try:
            channels = find_channels(self._root, image, self._patterns)
        except SampleError as error:
            load = partial(_fail, f"{id_}: {error}")
        return Sample(
            id=id_,
            image=image,
            load_instances=load,
            size=labels.indexed_size(),
            annotation_files=labels.files(),
            channels=channels,
            attributes=Attributes(part.index, position, part.split),
            extra=Entry(part.index, position),
        )

    def _find(self, index: int) -> tuple[Part, int]:
        number = bisect_right(self._firsts, index) - 1
        part = self._parts[number]
        return part, int(part.positions[index - self._firsts[number]])


@dataclass(frozen=True)
class Labels:
    """The labels of one picture, on disk."""

    part: Part
    position: int
    root: Path
    id: str
    image: Path

    def load(self) -> Instances:
        """Return the instances, read, checked and drawn.

        Raises:
            SampleError: something is wrong with them; the text names the picture and the file.
        """
        try:
            annotations = self.part.index.annotations(self.position)
            if self.part.index.panoptic and annotations:
                return self._draw_panoptic(annotations)
            size = self._size(annotations)
            categories = self.part.index.categories
            return draw_annotations(annotations, size, categories, self.part.name)
        except SampleError as error:
            raise SampleError(f"{self.id} in {self.part.name}: {error}") from error

    def files(self) -> tuple[Path, ...]:
        """Return the panoptic PNG; nothing where there is none, for which `load` has the reason."""
        if not self.part.index.panoptic:
            return ()
        try:
            annotations = self.part.index.annotations(self.position)
            path = panoptic_file(self.root, self.part.name, annotations)
        except SampleError:
            return ()
        return (path,) if path.is_file() else ()

    def _draw_panoptic(self, annotations: Sequence[Mapping[str, Any]]) -> Instances:
        path = panoptic_file(self.root, self.part.name, annotations)
        name = path.relative_to(self.root).as_posix()
        index = self.part.index
        return draw_panoptic(annotations[0], path, name, index.categories, index.stuff)

    def indexed_size(self) -> MaskSize | None:
        """Return (height, width) as the index has it, or None."""
        height, width = self.part.index.sizes[self.position].tolist()
        return (height, width) if height else None

    def _size(self, annotations: Sequence[Mapping[str, Any]]) -> MaskSize:
        size = self.indexed_size() or entry_size(self.part.index.image(self.position))
        size = size or mask_size(annotations) or picture_size(self.image, self.id)
        if size[0] * size[1] > MAX_PIXELS:
            raise SampleError(
                f"{size[0]:,} × {size[1]:,} pixels are more than {MAX_PIXELS:,}; cut it into tiles"
            )
        return size


def entry_size(entry: Mapping[str, Any]) -> MaskSize | None:
    """Return (height, width) of a picture's entry, or None where it has neither.

    Raises:
        SampleError: they are no positive whole numbers.
    """
    height, width = entry.get("height"), entry.get("width")
    if height is None and width is None:
        return None
    return _pixels("height", height), _pixels("width", width)


def _pixels(name: str, value: Any) -> int:
    if type(value) is not int or not 0 < value < 2**31:
        raise SampleError(f"{name} is {value!r}; it must be a whole number of pixels")
    return value


class Attributes(Mapping[str, str]):
    """What a picture's entry says beyond COCO (weather, camera ...), read when it is asked for.

    Texts, numbers and truth values at its top level, and the file's split. No more than that where
    the entry cannot be read: the sample's labels then say why.
    """

    def __init__(self, index: CocoIndex, position: int, split: str) -> None:
        self._index, self._position, self._split = index, position, split

    @cached_property
    def _words(self) -> dict[str, str]:
        try:
            entry = self._index.image(self._position)
        except SampleError:
            entry = {}
        words = {k: _word(v) for k, v in entry.items() if k not in _NO_ATTRIBUTES}
        words = {"split": self._split, **words}
        return {key: word for key, word in words.items() if word}

    def __getitem__(self, key: str) -> str:
        return self._words[key]

    def __iter__(self) -> Iterator[str]:
        return iter(self._words)

    def __len__(self) -> int:
        return len(self._words)

    def __repr__(self) -> str:
        return repr(self._words)


class Entry(Mapping[str, Any]):
    """A picture's entry without its id, name and size, read when it is asked for."""

    def __init__(self, index: CocoIndex, position: int) -> None:
        self._index, self._position = index, position

    @cached_property
    def _fields(self) -> dict[str, Any]:
        try:
            entry = self._index.image(self._position)
        except SampleError:  # the sample's labels say why
            return {}
        return {key: value for key, value in entry.items() if key not in _OWN}

    def __getitem__(self, key: str) -> Any:
        return self._fields[key]

    def __iter__(self) -> Iterator[str]:
        return iter(self._fields)

    def __len__(self) -> int:
        return len(self._fields)


def _word(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return str(value) if isinstance(value, (str, int, float)) else ""


def _fail(message: str) -> Instances:
    raise SampleError(message)


def drop_links(root: Path, part: Part) -> tuple[Part, list[Problem]]:
    """Return the part without the pictures that a link takes out of root, and these as problems.

    Only what is a link, or lies behind one, is followed: a million pictures cost one listing.
    """
    suspects = {
        folder: _suspects(root, _join(part.folder, folder)) for folder in part.index.folders
    }
    if not any(found is None or found for found in suspects.values()):
        return part, []
    gone: dict[int, Problem] = {}
    for position in part.positions.tolist():
        folder, _, name = part.index.names[position].rpartition("/")
        found = suspects[folder]
        if found is None or name in found:
            try:
                inside(root, part.id(position))
            except SampleError as error:
                gone[position] = Problem(part.id(position), f"{part.name}: {error}")
    return part.without(gone), list(gone.values())


def _suspects(root: Path, folder: str) -> set[str] | None:
    """Return the names in a folder that are links, or None where the folder is out of root."""
    try:
        path = inside(root, folder) if folder else root
        with list_folder(path) as entries:
            return {entry.name for entry in entries if entry.is_symlink()}
    except SampleError:
        return None
    except OSError:
        return set()  # a folder that is missing is told with each picture, when it is read


def drop_repeated(parts: Sequence[Part]) -> tuple[list[Part], list[Problem]]:
    """Return the parts without the pictures that an earlier part has, and these as problems."""
    ids = [part.id(position) for part in parts for position in part.positions.tolist()]
    owners = np.repeat(np.arange(len(parts)), [len(part.positions) for part in parts])
    positions = np.concatenate([part.positions for part in parts])
    gone: list[list[int]] = [[] for _ in parts]
    problems = []
    for again, first in repeated_names(ids):
        owner, before = parts[owners[again]], parts[owners[first]]
        gone[owners[again]].append(int(positions[again]))
        problems.append(
            Problem(
                ids[again],
                f"{owner.name}: {ids[again]} is listed in {before.name} as well; "
                "give one of the two files to --loader.annotations",
            )
        )
    kept = [part.without(lost) for part, lost in zip(parts, gone, strict=True)]
    return kept, problems


def category_ids(parts: Sequence[Part]) -> dict[str, int] | None:
    """Return the number of each category, or None where the files disagree or a name has two."""
    pairs = dict.fromkeys(
        (name, key) for part in parts for key, name in part.index.categories.items()
    )
    numbers = {name: key for name, key in pairs if isinstance(key, int)}
    return numbers if len(numbers) == len(set(numbers.values())) == len(pairs) else None


def _join(folder: str, name: str) -> str:
    return f"{folder}/{name}" if folder and name else folder or name


def details_of(parts: Sequence[Part]) -> dict[str, Mapping[str, Any]]:
    """Return what the files say of each category; where several do, the first."""
    found: dict[str, Mapping[str, Any]] = {}
    for part in parts:
        for key, more in part.index.details.items():
            found.setdefault(part.index.categories[key], more)
    return found


def extra_of(parts: Sequence[Part], notes: list[str]) -> dict[str, Any]:
    """Return what the files say of themselves, as far as they agree."""
    found: dict[str, Any] = {}
    for part in parts:
        for key, value in part.index.extra.items():
            if found.setdefault(key, value) != value:
                found[key] = None
    if unlike := sorted(key for key, value in found.items() if value is None):
        why = "differ from file to file, or are too large" if len(parts) > 1 else "are too large"
        notes.append(f"{' and '.join(unlike)} {why}: exports leave them out")
    return {key: value for key, value in found.items() if value is not None}
