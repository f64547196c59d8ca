"""Which mask belongs to which picture, and what is left without the other."""

from __future__ import annotations

import posixpath
from collections.abc import Iterable, Iterator, Mapping, Set
from dataclasses import dataclass

from sv2r.images.picture_file import ARRAY_SUFFIXES, LABEL_SUFFIXES, PICTURE_SUFFIXES
from sv2r.loaders.folder.layout import InstanceMask, Place
from sv2r.loaders.folder.naming import is_pass_of
from sv2r.loaders.tree import Tree, below, split_name
from sv2r.types import Problem


@dataclass(frozen=True, slots=True)
class Pair:
    """A picture and its masks.

    image: relative to the root; the sample's id. place: where both lie. folder: the first folder
        below the place's pictures that the picture lies in, or "".
    masks: one, or one per instance; names below the place's masks.
    names: the JSON that names the mask's values, relative to the root, or "".
    """

    image: str
    place: Place
    folder: str
    masks: tuple[InstanceMask, ...]
    names: str = ""

    @property
    def stem(self) -> str:
        """Return what stands for {stem} in the picture's name, or all of it but its suffix."""
        return stem_in(self.place, self.image)


def stem_in(place: Place, picture: str) -> str:
    """Return what {stem} means for a picture of a place; see `Pair.stem`."""
    _, stem, suffix = split_name(picture)
    return place.naming.image.stem_of(stem, suffix) or stem


@dataclass(frozen=True)
class Pairs:
    """What was found: pairs in the order of their pictures, and what could not be paired."""

    pairs: tuple[Pair, ...]
    problems: tuple[Problem, ...]


def pair_up(
    tree: Tree, places: Iterable[Place], names: str = "", channels: Iterable[str] = ()
) -> Pairs:
    """Return every picture of the places with its masks.

    names: the pattern of the JSON that names the values, with its folder, or "" for what the naming
        says. channels: patterns of files that are no pictures (see `sv2r.loaders.channels`).
    """
    places = list(places)
    pairs: dict[str, Pair] = {}
    problems = [p for p in tree.problems if any(_lies_in(place, p.id) for place in places)]
    for place in places:
        pictures = list(_pictures(tree, place, channels))
        folder, file = _names_pattern(tree, place, pictures, names)
        found = _per_instance if place.naming.mask is None else _one_each
        unread = _unread(place)
        refused = {*_refused(tree, place), *unread}
        others = (*_folders(tree, place), *unread.values())
        for item in (*found(place, pictures, refused), *others):
            if isinstance(item, Problem):
                problems.append(item)
            elif item.image not in pairs:
                pairs[item.image] = _with_names(item, folder, file)
    ordered = tuple(pairs[name] for name in sorted(pairs))
    return Pairs(ordered, tuple(sorted(problems, key=lambda problem: problem.id)))


def _pictures(tree: Tree, place: Place, channels: Iterable[str]) -> Iterator[str]:
    """Yield the pictures of a place: no masks, and no channels of other pictures."""
    naming = place.naming
    taken = {*_channel_files(place, channels), *passes(place)}
    if place.beside and naming.mask is None:
        taken.update(m.name for masks in place.instance_masks().values() for m in masks)
    for name in place.picture_files:
        _, stem, suffix = split_name(name)
        is_mask = place.beside and naming.mask and naming.mask.stem_of(stem, suffix) is not None
        if name not in taken and not is_mask and naming.image.stem_of(stem, suffix) is not None:
            yield name


def passes(place: Place) -> list[str]:
    """Return the files beside pictures that are other passes of them by their names.

    ``a_depth.png`` is one of ``a.png`` where that is there and has a mask, and it has none.
    """
    mask = place.naming.mask
    if not place.beside or mask is None:
        return []
    pictures = {}
    for name in place.picture_files:
        folder, stem, suffix = split_name(name)
        key = place.naming.image.stem_of(stem, suffix)
        if key is not None and place.masks_of(name):
            pictures[f"{folder}{key}"] = name
    found = []
    for name in place.picture_files:
        folder, stem, suffix = split_name(name)
        own = is_pass_of(stem) if mask.stem_of(stem, suffix) is None else None
        if own is not None and f"{folder}{own}" in pictures and not place.masks_of(name):
            found.append(name)
    return found


def _channel_files(place: Place, patterns: Iterable[str]) -> Iterator[str]:
    for pattern in filter(None, patterns):
        for name in place.picture_files:
            folder, stem, suffix = split_name(name)
            parent = posixpath.basename(folder.rstrip("/"))
            meant = stem_in(place, name)
            filled = pattern.format(stem=meant, name=f"{stem}{suffix}", parent=parent)
            channel = posixpath.normpath(f"{folder}{filled}")
            if channel != name:
                yield channel


def _refused(tree: Tree, place: Place) -> Iterator[str]:
    """Yield the keys of what is named like a picture, but is a folder or a link out of the input.

    Its mask is not told as one without a picture: what is wrong is told once.
    """
    prefix = f"{place.images}/" if place.images else ""
    for name in (*(problem.id for problem in tree.problems), *tree.folders):
        folder, stem, suffix = split_name(name.removeprefix(prefix))
        if name.startswith(prefix) and suffix.lower() in PICTURE_SUFFIXES:
            yield f"{folder}{place.naming.image.stem_of(stem, suffix)}"


def _one_each(place: Place, pictures: list[str], refused: set[str]) -> Iterator[Pair | Problem]:
    used: dict[str, str] = {}
    for picture in pictures:
        masks = place.masks_of(picture)
        image = place.image_name(picture)
        exact = _of(ARRAY_SUFFIXES, masks) or _of(LABEL_SUFFIXES, masks) or masks
        first = used.setdefault(_key(exact[0]), picture) if exact else picture
        if not exact:
            yield Problem(image, _no_mask(place, picture))
        elif first != picture:
            mask, other = place.mask_name(exact[0]), place.image_name(first)
            yield Problem(image, f"{image}: has its mask {mask} in common with {other}; keep one")
        elif len(exact) > 1:
            several = " and ".join(place.mask_name(name) for name in exact)
            fix = "remove one, or choose with --loader.mask_pattern '{stem}.png'"
            yield Problem(image, f"{image}: has two masks, {several}; {fix}")
        else:
            folder = picture.partition("/")[0] if "/" in picture else ""
            yield Pair(image, place, folder, (InstanceMask(exact[0], "", 0),))
    yield from _orphans(place, used, set(pictures), refused)


def _of(suffixes: Set[str], names: Iterable[str]) -> list[str]:
    return [name for name in names if split_name(name)[2].lower() in suffixes]


def _per_instance(place: Place, pictures: list[str], refused: set[str]) -> Iterator[Pair | Problem]:
    masks = place.instance_masks()
    firsts = place.pictures_by_stem()
    used: dict[str, str] = {}
    for picture in pictures:
        image = place.image_name(picture)
        folder, stem, suffix = split_name(picture)
        first = firsts[f"{folder}{place.naming.image.stem_of(stem, suffix)}"]
        if first != picture:
            other = place.image_name(first)
            yield Problem(image, f"{image}: has its masks in common with {other}; keep one")
            continue
        own = masks.get(picture, [])
        used.update((_key(mask.name), picture) for mask in own)
        yield Pair(image, place, folder.partition("/")[0], tuple(own))
    yield from _orphans(place, used, set(pictures), refused)


def _orphans(
    place: Place, used: Mapping[str, str], pictures: set[str], refused: set[str]
) -> Iterator[Problem]:
    mask = place.naming.mask
    for name in place.mask_files:
        folder, stem, suffix = split_name(name)
        if _key(name) in used or (place.beside and name in pictures):
            continue
        if mask is not None and f"{folder}{mask.stem_of(stem, suffix)}" in refused:
            continue
        if f"{folder}{is_pass_of(stem)}" in used:
            continue  # a preview or another pass of a mask
        if mask is None or mask.stem_of(stem, suffix) is not None:
            where = place.images or "the input folder"
            shown = place.mask_name(name)
            fix = "render it, or remove the mask"
            yield Problem(shown, f"{shown}: a mask without a picture in {where}; {fix}")


def _folders(tree: Tree, place: Place) -> Iterator[Problem]:
    """Yield folders that are named like a picture and hold none."""
    for name in below(tree.folders, place.images):
        image = place.image_name(name)
        if split_name(name)[2].lower() not in PICTURE_SUFFIXES or below(tree.files, image):
            continue
        if place.masks_inside is None or place.beside or not _within(image, place.masks_inside):
            yield Problem(image, f"{image}: is a folder; put the picture itself there")


def _unread(place: Place) -> dict[str, Problem]:
    """Return pictures with a mask that are in a format that is not read, by their keys."""
    found = {}
    there = {_key(name) for name in place.picture_files}
    for name in place.unread_files:
        folder, stem, suffix = split_name(name)
        alike = f"{folder}{stem}.png"
        if place.naming.mask is not None and _key(name) not in there and place.masks_of(alike):
            image, kind = place.image_name(name), suffix[1:].upper()
            told = f"{image}: a picture as {kind}, which is not read; save it as PNG or TIFF"
            key = f"{folder}{place.naming.image.stem_of(stem, '.png')}"
            found[key] = Problem(image, told)
    return found


def _lies_in(place: Place, name: str) -> bool:
    folders = (place.images, place.masks_inside)
    return any(folder == "" or _within(name, folder) for folder in folders if folder is not None)


def _within(name: str, folder: str) -> bool:
    return name.startswith(f"{folder}/")


def _no_mask(place: Place, picture: str) -> str:
    folder, stem, suffix = split_name(picture)
    key, mask = place.naming.image.stem_of(stem, suffix) or "", place.naming.mask
    image = place.image_name(picture)
    if mask is None:
        return f"{image}: no mask"
    name = f"{folder}{mask.filled(key)}{mask.suffix or '.png'}"
    shown = place.mask_name(name)
    if (place.masks / name).is_dir():
        return f"{image}: its mask {shown} is a folder; put the mask itself there"
    return f"{image}: no mask ({shown} is missing); render it, or take the picture out"


def _key(name: str) -> str:
    folder, stem, _ = split_name(name)
    return f"{folder}{stem}"


def _names_pattern(tree: Tree, place: Place, pictures: list[str], names: str) -> tuple[str, str]:
    """Return the folder and the file pattern of the JSON that names values, ("", "") for none."""
    if names:
        folder, _, file = posixpath.normpath(names).rpartition("/")
        return (f"{folder}/" if folder else ""), file
    file = place.naming.names
    if not file or not pictures:
        return "", ""
    inner, stem, suffix = split_name(pictures[0])
    wanted = file.replace("{stem}", place.naming.image.stem_of(stem, suffix) or "")
    for name in tree.files:
        if name.endswith(f"{inner}{wanted}") and posixpath.basename(name) == wanted:
            return name.removesuffix(f"{inner}{wanted}"), file
    return "", ""


def _with_names(pair: Pair, folder: str, file: str) -> Pair:
    if not file:
        return pair
    inner = pair.image.removeprefix(f"{pair.place.images}/") if pair.place.images else pair.image
    parents, stem, suffix = split_name(inner)
    key = pair.place.naming.image.stem_of(stem, suffix) or ""
    names = f"{folder}{parents}{file.replace('{stem}', key)}"
    return Pair(pair.image, pair.place, pair.folder, pair.masks, names)
