"""Where the pictures and the masks of a folder lie, found from names alone."""

from __future__ import annotations

import os.path
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path

from sv2r.errors import ConfigError
from sv2r.images.picture_file import PICTURE_SUFFIXES
from sv2r.loaders.folder.naming import (
    APART,
    BESIDE,
    MASK_SUFFIXES,
    PASS_WORDS,
    Naming,
    image_pattern,
    mask_pattern,
    per_instance,
)
from sv2r.loaders.tree import Tree, below, read_tree, split_name

# Folder names, in lower case, the likelier first.
IMAGE_FOLDERS = (
    *("images", "image", "imgs", "img", "rgb", "color", "colour", "renders", "render"),
    *("pictures", "frames", "img_dir", "jpegimages"),
)
MASK_FOLDERS = (
    *("instances", "instance", "instance_masks", "instance_segmentation", "mask_visib"),
    *("masks", "mask"),
    *("segmentation", "segmentations", "seg", "labels", "label", "annotations", "annotation"),
    *("ann_dir", "gt", "ground_truth"),
)
# What a folder of masks adds to the name of the folder of pictures next to it, the likelier first:
# train and trainannot, val and val_masks.
MASK_ENDINGS = ("instances", "masks", "mask", "seg", "labels", "annot", "annotations", "gt")

# Pictures in formats that are not read.
UNREAD_SUFFIXES = frozenset(
    {".gif", ".avif", ".heic", ".heif", ".jxl", ".jp2", ".psd", ".tga", ".exr", ".hdr", ".svg"}
)

# Enough pictures to tell a naming from a coincidence: runs of neighbours, since passes of one view
# stand together and single names at even distances could all be of one pass.
_RUNS, _RUN = 8, 6


@dataclass(frozen=True)
class Asked:
    """What the user says of the layout; "" where nothing.

    images, masks: folders; images relative to the root, masks relative or absolute.
    image_pattern, mask_pattern: see `naming.Pattern`. per_instance: True, False or not said.
    """

    images: str = ""
    masks: str = ""
    image_pattern: str = ""
    mask_pattern: str = ""
    per_instance: bool | None = None


@dataclass(frozen=True)
class InstanceMask:
    """A file of one instance: its name in the masks' folder, category ("" without) and number."""

    name: str
    category: str
    number: int


@dataclass(frozen=True)
class Place:
    """A folder of pictures and the folder of their masks, in which the tree is the same.

    images: relative to the root, "" for the root itself. masks: the folder of masks as a path.
    masks_inside: masks relative to the root, or None where it lies elsewhere.
    picture_files, mask_files: files below each, relative to it; neither has the other's folder.
    masks_by_stem: mask_files by their names without suffix. unread_files: pictures among those
        below images whose format is not read.
    """

    images: str
    masks: Path
    masks_inside: str | None
    picture_files: Sequence[str]
    mask_files: Sequence[str]
    masks_by_stem: Mapping[str, Sequence[str]]
    naming: Naming = APART[0]
    unread_files: Sequence[str] = ()

    @property
    def beside(self) -> bool:
        """Return whether pictures and masks share their folders."""
        return self.images == self.masks_inside

    def image_name(self, picture: str) -> str:
        """Return a picture's name relative to the root."""
        return _join(self.images, picture)

    def mask_name(self, mask: str) -> str:
        """Return a mask's name relative to the root; outside of it with its folder's name."""
        return _join(self.masks.name if self.masks_inside is None else self.masks_inside, mask)

    def words(self) -> str:
        """Return where pictures and masks lie and how they are named, for a user."""
        pictures = f"pictures in {self.images or 'the input folder'}"
        folder = self.masks_inside if self.masks_inside is not None else str(self.masks)
        masks = "masks next to them" if self.beside else f"masks in {folder or 'the input folder'}"
        words = self.naming.words()
        same = words == "{stem} with {stem}"
        return f"{pictures}, {masks}{' of the same name' if same else f': {words}'}"

    def masks_of(self, picture: str) -> list[str]:
        """Return the mask files that the naming gives a picture; none where it does not match."""
        folder, stem, suffix = split_name(picture)
        key = self.naming.image.stem_of(stem, suffix)
        mask = self.naming.mask
        if key is None or mask is None:
            return []
        found = self.masks_by_stem.get(f"{folder}{mask.filled(key)}", ())
        takes = [name for name in found if mask.takes(split_name(name)[2])]
        return [name for name in takes if not self.beside or name != picture]

    def instance_masks(self) -> dict[str, list[InstanceMask]]:
        """Return the masks of each picture that has one file per instance, in their own order."""
        pictures = self.pictures_by_stem()
        found: dict[str, list[InstanceMask]] = {}
        for name in self.mask_files:
            if owned := _owner(name, pictures):
                picture, mask = owned
                if picture != name:
                    found.setdefault(picture, []).append(mask)
        for masks in found.values():
            masks.sort(key=lambda mask: (mask.number, mask.category, mask.name))
        return found

    def pictures_by_stem(self) -> dict[str, str]:
        """Return the pictures by folder and stem; of several with one stem the first."""
        found: dict[str, str] = {}
        for name in self.picture_files:
            folder, stem, suffix = split_name(name)
            key = self.naming.image.stem_of(stem, suffix)
            if key is not None:
                found.setdefault(f"{folder}{key}", name)
        return found


_NUMBERED = re.compile(r"(.+)_([0-9]+)")


def _owner(name: str, pictures: Mapping[str, str]) -> tuple[str, InstanceMask] | None:
    """Return the picture that ``<image>_<category>_<n>.png`` belongs to, and what it says.

    Image and category may both hold "_": the longest image that exists is taken. A number is no
    category: ``scene_1_0`` is instance 0 of ``scene_1``.
    """
    folder, stem, _ = split_name(name)
    if not (numbered := _NUMBERED.fullmatch(stem)):
        return None
    rest, number = numbered[1], int(numbered[2])
    image, _, category = rest.rpartition("_")
    while image:
        if f"{folder}{image}" in pictures and not category.isdigit():
            return pictures[f"{folder}{image}"], InstanceMask(name, category, number)
        image, _, more = image.rpartition("_")
        category = f"{more}_{category}"
    if f"{folder}{rest}" in pictures:
        return pictures[f"{folder}{rest}"], InstanceMask(name, "", number)
    return None


class NothingFound(ConfigError):
    """No picture has a mask; `reason` says so on its own, where a loader was not chosen yet."""

    def __init__(self, told: str, reason: str) -> None:
        super().__init__(told)
        self.reason = reason


def find_places(asked: Asked, tree: Tree) -> list[Place]:
    """Return the places of a dataset: those that the user names, or the likeliest ones.

    Raises:
        ConfigError: no picture has a mask in any place that comes into question.
    """
    for parents in _levels(asked, tree):
        places = [place for parent in parents if (place := _best(asked, tree, parent))]
        if places:
            return places
    if not asked.images and not asked.masks and (places := list(_neighbours(asked, tree))):
        return places
    raise _nothing_found(asked, tree)


def _neighbours(asked: Asked, tree: Tree) -> Iterable[Place]:
    """Yield the places of pictures and masks whose folders differ by an ending of the name."""
    known = {name.lower(): name for name in tree.folders}
    for images in tree.folders:
        endings = (f"{mark}{word}" for word in MASK_ENDINGS for mark in ("", "_", "-"))
        beside = (known.get(f"{images}{ending}".lower()) for ending in endings)
        places = (_named(asked, _place(tree, images, masks)) for masks in beside if masks)
        yield from islice(filter(_score, places), 1)


def _named(asked: Asked, place: Place) -> Place:
    """Return a place with the naming by which most of its pictures have masks."""
    return max((replace(place, naming=naming) for naming in _namings(asked, place)), key=_score)


def _levels(asked: Asked, tree: Tree) -> Iterable[list[str]]:
    """Yield the folders to look for a place in: the root, then those in it, then those in them."""
    yield [""]
    if not asked.images and not asked.masks:
        worth = {_parent(name) for name in tree.folders if _last(name) in MASK_FOLDERS}
        for depth in (0, 1):
            yield sorted(name for name in worth if name and name.count("/") == depth)


def _best(asked: Asked, tree: Tree, parent: str) -> Place | None:
    """Return the place in which most pictures have masks, the likelier one where it is even."""
    best, most = None, 0
    for images, masks in _candidates(asked, tree, parent):
        place = _place(tree, images, masks)
        for naming in _namings(asked, place):
            if naming.mask is None and best:
                break
            named = replace(place, naming=naming)
            if (score := _score(named)) > most:
                best, most = named, score
            if most and most == len(_looked_at(place.picture_files)):
                return best
    return best


def _candidates(asked: Asked, tree: Tree, parent: str) -> Iterable[tuple[str, str]]:
    """Yield folders of pictures and of masks, the likelier pairs first."""
    own = [_join(parent, name) for name in _children(tree, parent)]
    if asked.images:
        images = [_normal(asked.images)]
        for folder in dict.fromkeys((_parent(images[0]), images[0])):
            own += [_join(folder, name) for name in _children(tree, folder)]
    else:
        images = [*_worded(own, IMAGE_FOLDERS), parent, *_only_other(tree, own)]
    masks = [_normal(asked.masks)] if asked.masks else _worded(own, MASK_FOLDERS)
    yield from ((i, m) for m in masks for i in images if i != m or asked.masks)
    if not asked.masks and not parent:
        yield from ((i, i) for i in images)


def _children(tree: Tree, folder: str) -> list[str]:
    return [name for name in below(tree.folders, folder) if "/" not in name]


def _only_other(tree: Tree, folders: Iterable[str]) -> list[str]:
    """Return the one folder of pictures among those whose name says nothing, [] for several.

    Of several, all but one are other passes of the renderer, and no name tells which.
    """
    known = (*IMAGE_FOLDERS, *MASK_FOLDERS)
    others = [name for name in folders if _last(name) not in known]
    holding = [name for name in others if any(map(_is_picture, below(tree.files, name)))]
    return holding if len(holding) == 1 else []


def _is_picture(name: str) -> bool:
    return split_name(name)[2].lower() in PICTURE_SUFFIXES


def _is_other(name: str) -> bool:
    """Return whether a file lies in a folder of masks, or of another pass of the renderer."""
    words = {part.lower() for part in name.split("/")[:-1]}
    return not words.isdisjoint((*MASK_FOLDERS, *PASS_WORDS))


def _worded(folders: Iterable[str], words: Sequence[str]) -> list[str]:
    known = {name for name in folders if _last(name) in words}
    return sorted(known, key=lambda name: (words.index(_last(name)), name))


def _normal(folder: str) -> str:
    normal = os.path.normpath(folder)
    return "" if normal == "." else normal


def _join(parent: str, name: str) -> str:
    return f"{parent}/{name}" if parent else name


def _parent(name: str) -> str:
    return name.rpartition("/")[0]


def _last(name: str) -> str:
    return name.rpartition("/")[2].lower()


def _place(tree: Tree, images: str, masks: str) -> Place:
    """Return a place without a naming.

    A folder of masks inside that of the pictures holds no pictures, whichever of several it is.
    """
    folder = tree.root / masks
    inside = _relative(folder, tree.root)
    pictures = below(tree.files, images)
    if inside is None:
        labels = list(read_tree(folder).files)
    else:
        labels = below(tree.files, inside)
        if inside != images:
            others = _worded(_children(tree, images), MASK_FOLDERS)
            pictures = _without(pictures, [*below((inside,), images), *others])
            labels = _without(labels, below((images,), inside))
    unread = [name for name in pictures if split_name(name)[2].lower() in UNREAD_SUFFIXES]
    pictures = list(filter(_is_picture, pictures))
    labels = [name for name in labels if split_name(name)[2].lower() in MASK_SUFFIXES]
    return Place(images, folder, inside, pictures, labels, _by_stem(labels), unread_files=unread)


def _by_stem(names: Iterable[str]) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for name in names:
        folder, stem, _ = split_name(name)
        found.setdefault(f"{folder}{stem}", []).append(name)
    return found


def _without(names: list[str], folders: list[str]) -> list[str]:
    return [name for name in names if not any(name.startswith(f"{f}/") for f in folders if f)]


def _relative(folder: Path, root: Path) -> str | None:
    """Return a folder relative to the root, "" for the root itself, or None if it is outside."""
    try:
        relative = folder.resolve().relative_to(root.resolve()).as_posix()
    except ValueError:
        return None
    return "" if relative == "." else relative


def _namings(asked: Asked, place: Place) -> Iterable[Naming]:
    usual = BESIDE if place.beside else APART
    if asked.image_pattern or asked.mask_pattern:
        image, mask = asked.image_pattern or "{stem}", asked.mask_pattern or "{stem}"
        usual = (Naming(image_pattern(image), mask_pattern(mask)),)
    if asked.per_instance is not True:
        yield from usual
    # Beside the pictures, shot_left_1.png is rather a picture than a mask of shot.png.
    if asked.per_instance or (
        asked.per_instance is None and not asked.mask_pattern and not place.beside
    ):
        yield per_instance(asked.image_pattern or "{stem}")


def _looked_at(names: Sequence[str]) -> Sequence[str]:
    if len(names) <= _RUNS * _RUN:
        return names
    starts = ((len(names) - _RUN) * run // (_RUNS - 1) for run in range(_RUNS))
    return [name for start in starts for name in names[start : start + _RUN]]


def _score(place: Place) -> int:
    """Return how many of a few pictures have a mask."""
    looked = _looked_at(place.picture_files)
    naming = place.naming
    if naming.mask is None:
        having = set(place.instance_masks())
        return sum(1 for picture in looked if picture in having)
    score = sum(1 for picture in looked if place.masks_of(picture))
    if place.beside and naming.image.text == naming.mask.text:
        # a.jpg next to a.png can be a second copy: then few pictures have one.
        own = sum(1 for name in looked if naming.image.takes(split_name(name)[2]))
        return score if 2 * score >= own else 0
    return score


def _nothing_found(asked: Asked, tree: Tree) -> NothingFound:
    pictures = list(filter(_is_picture, tree.files))
    own = [name for name in pictures if not _is_other(name)]
    unread = [name for name in tree.files if split_name(name)[2].lower() in UNREAD_SUFFIXES]
    link = f"; {tree.problems[0].message}" if tree.problems else ""
    if unread and not own:
        kind = split_name(unread[0])[2][1:].upper()
        reason = f"pictures as {kind} are not read, {unread[0]} is one of {len(unread):,}"
        return NothingFound(f"{reason}; save them as PNG or TIFF: {tree.root}", reason)
    pictures = own or pictures
    if not pictures:
        reason = f"no picture in it (PNG, JPEG, WebP, TIFF, BMP){link}"
        return NothingFound(f"{reason}: {tree.root}", reason)
    if asked.images and not below(tuple(pictures), _normal(asked.images)):
        reason = f"--loader.images {asked.images}: no picture there"
        return NothingFound(f"{reason}; name a folder inside {tree.root}", reason)
    where = f" in {asked.masks}" if asked.masks else ""
    looked = "that was looked at " if len(_looked_at(pictures)) < len(pictures) else ""
    reason = (
        f"no picture {looked}has a mask{where} ({pictures[0]} is one of {len(pictures):,}){link}"
    )
    options = (
        "--loader.images FOLDER and --loader.masks FOLDER, or how masks are named with"
        " --loader.mask_pattern '{stem}_mask.png'"
    )
    return NothingFound(
        f"{reason}; say where they are with {options}",
        f"{reason}; say where they are with --loader folder {options}",
    )
