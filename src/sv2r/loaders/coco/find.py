"""Which files of a folder are COCO, and where the pictures lie that they name."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Literal

from sv2r.errors import ConfigError, SampleError
from sv2r.loaders.coco.charset import marked_charset
from sv2r.loaders.tree import AnyCase, read_tree
from sv2r.plugin.words import nearest
from sv2r.storage.paths import inside
from sv2r.storage.regular import open_regular
from sv2r.storage.source import leads_to_file, list_folder

CandidateKind = Literal["instances", "no annotations", "panoptic", "captions", "no masks"]

# How much of each end of a JSON file is looked at, how deep it may lie, how many are looked at.
GLANCE = 1 << 16
DEEPEST = 4
MOST_FILES = 500
# Pictures that are looked for in each folder that could hold them.
PROBES = 50

_KEY = re.compile(
    rb'"(images|annotations|categories|image_id|segmentation|segments_info|caption)"\s*:'
)
_SHOWN = ("images", "annotations", "categories")


class NoPictures(ConfigError):
    """A COCO file of which no picture is found."""


@dataclass(frozen=True)
class Candidate:
    """A COCO file. name: relative to the input folder. keys: those of COCO's that were seen."""

    name: str
    kind: CandidateKind
    keys: tuple[str, ...]


def find_candidates(root: Path) -> list[Candidate]:
    """Return the COCO files in a folder, those that lie highest first, by a glance at each."""
    found = []
    for number, name in enumerate(_json_files(root)):
        if number == MOST_FILES:
            break
        if candidate := look_at(root, name):
            found.append(candidate)
    return found


def describe(candidate: Candidate) -> str:
    """Return in words what kind of COCO file it is."""
    words: dict[CandidateKind, str] = {
        "instances": f"has {', '.join(candidate.keys)}",
        "no annotations": "lists pictures without annotations",
        "panoptic": "is COCO panoptic (segments_info)",
        "captions": "has captions and no masks",
        "no masks": "has annotations without a segmentation",
    }
    return words[candidate.kind]


def expand(root: Path, names: Iterable[str]) -> list[str]:
    """Return the files that names or patterns stand for, relative to root, each once.

    Raises:
        ConfigError: one stands for nothing, or leads out of root.
    """
    found: dict[str, None] = {}
    for name in names:
        try:
            matches = [inside(root, name)]
            if not matches[0].is_file():
                matches = sorted(path for path in root.glob(name) if path.is_file())
            found.update((_inside_name(root, path), None) for path in matches)
        except (SampleError, ValueError) as error:
            raise ConfigError(f"--loader.annotations {name}: {error}") from error
        if not matches:
            near = nearest(name, _some_json_files(root))
            hint = f"; did you mean {near}?" if near else "; it is relative to the input folder"
            raise ConfigError(f"--loader.annotations {name}: no such file{hint}")
    return list(found)


def _inside_name(root: Path, path: Path) -> str:
    name = path.relative_to(root).as_posix()
    inside(root, name)
    return name


def look_at(root: Path, name: str) -> Candidate | None:
    """Return what kind of COCO file this is by its first and last bytes, or None for none."""
    try:
        with (root / name).open("rb") as stream:
            head = stream.read(GLANCE)
            size = stream.seek(0, os.SEEK_END)
            stream.seek(max(len(head), size - GLANCE))
            tail = stream.read(GLANCE)
    except OSError:
        return None
    whole = size <= len(head) + len(tail)
    if charset := marked_charset(head):
        head, tail = (text.decode(charset, "ignore").encode() for text in (head, head[:4] + tail))
    if not head.removeprefix(b"\xef\xbb\xbf").lstrip().startswith(b"{"):
        return None
    keys = {match.decode() for match in _KEY.findall(head) + _KEY.findall(tail)}
    # In between the ends of a large file, one of the two may begin unseen.
    needed = {"images", "annotations"} if whole else {"annotations", "image_id"}
    if not (needed <= keys or (not whole and {"images", "image_id"} <= keys)):
        return None
    return Candidate(name, _kind(keys), tuple(key for key in _SHOWN if key in keys))


def _kind(keys: set[str]) -> CandidateKind:
    if "segments_info" in keys:
        return "panoptic"
    if "segmentation" in keys:
        return "instances"
    if "caption" in keys:
        return "captions"
    return "no masks" if "image_id" in keys else "no annotations"


def find_images(root: Path, annotations: str, names: Sequence[str]) -> tuple[str, int, int]:
    """Return the folder where a COCO file's names start, how many were looked for, how many found.

    The folder is relative to root, "" for root itself. Looked through are the file's own folder,
    root, and the layouts of which people have many: images/, <split>/, images/<split>/ ..., where
    <split> is the end of the file's name (instances_train2017.json).

    Raises:
        NoPictures: none of the pictures is in any of them.
    """
    step = max(1, len(names) // PROBES)
    probes = [names[i] for i in range(0, len(names), step)][:PROBES]
    folders = list(search_folders(root, PurePosixPath(annotations)))
    trees = [AnyCase(root / folder) for folder in folders]
    hits = [sum(tree.find(name) is not None for name in probes) for tree in trees]
    best = max(range(len(folders)), key=lambda i: hits[i])
    if probes and not hits[best]:
        looked = ", ".join(folder or "the input folder itself" for folder in folders)
        where = f"not in {looked}" if len(folders) == 1 else f"in none of {looked}"
        some = f"(one of {len(probes)} looked for) is {where}"
        raise NoPictures(f"{annotations}: {probes[0]} {some}; {_hint(root, probes[0])}")
    return folders[best], len(probes), hits[best]


def _hint(root: Path, name: str) -> str:
    """Return what to do where a picture is in none of the folders that were looked through."""
    last = name.rpartition("/")[2]
    found = next((n for n in read_tree(root).files if n.rpartition("/")[2] == last), None)
    if found is None:
        return "name the pictures' folder with --loader.images"
    if found.endswith(f"/{name}"):
        return f"--loader.images {found.removesuffix(f'/{name}')} is where {found} lies"
    return f"{found} has its name: write the folders into file_name"


def rivals(root: Path, annotations: str, names: Sequence[str], folder: str) -> Iterator[str]:
    """Yield the other folders in which just as many pictures lie by these names, and not the same.

    folder: the one that `find_images` found.
    """
    step = max(1, len(names) // PROBES)
    probes = [names[i] for i in range(0, len(names), step)][:PROBES]
    own = [AnyCase(root / folder).find(probe) for probe in probes]
    for other in search_folders(root, PurePosixPath(annotations)):
        found = [AnyCase(root / other).find(probe) for probe in probes] if other != folder else []
        pairs = [(a, b) for a, b in zip(own, found, strict=False) if a and b]
        if pairs and len(pairs) == sum(a is not None for a in own) and are_unlike(*pairs[0]):
            yield other


def are_unlike(one: Path | None, other: Path | None) -> bool:
    """Return whether two files hold other bytes; what cannot be read is like nothing."""
    try:
        return not one or not other or _content(one) != _content(other)
    except OSError:
        return True


def _content(path: Path) -> bytes:
    with open_regular(path) as stream:
        return stream.read()


def search_folders(root: Path, annotations: PurePosixPath) -> Iterator[str]:
    """Yield each folder that could hold the pictures once, "" for root, the likeliest first."""
    below = ["", "images", *_split_folders(annotations.stem), "JPEGImages", "rgb", "data"]
    bases = [annotations.parent, PurePosixPath(), *annotations.parent.parents]
    tried = dict.fromkeys(base / folder for base in bases for folder in below)
    for folder in tried:
        if (root / folder).is_dir():
            yield folder.as_posix() if folder.parts else ""


def _split_folders(stem: str) -> Iterator[str]:
    """Yield the folders of a split: the end of a COCO file's name, with and without a year."""
    end = stem.rpartition("_")[2]
    for split in dict.fromkeys((end, end.rstrip("0123456789"), stem.partition("_")[0])):
        if split:
            yield from (split, f"images/{split}", f"{split}/images")


def _json_files(root: Path) -> Iterator[str]:
    """Yield the JSON files below root, those that lie highest first, in sorted order."""
    level = [""]
    for _ in range(DEEPEST + 1):
        deeper: list[str] = []
        for folder in level:
            files, folders = _listing(root, folder)
            yield from files
            deeper += folders
        level = deeper


def _some_json_files(root: Path) -> list[str]:
    return [name for name, _ in zip(_json_files(root), range(MOST_FILES), strict=False)]


def _listing(root: Path, folder: str) -> tuple[list[str], list[str]]:
    """Return a folder's JSON files and its folders that are no links, hidden ones left out."""
    files, folders = [], []
    try:
        with list_folder(root / folder) as entries:
            for entry in entries:
                if entry.name.startswith("."):
                    continue
                if entry.name.lower().endswith(".json") and leads_to_file(entry):
                    files.append(f"{folder}{entry.name}")
                elif entry.is_dir(follow_symlinks=False):
                    folders.append(f"{folder}{entry.name}/")
    except OSError:
        return [], []
    return sorted(files), sorted(folders)
