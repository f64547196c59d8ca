"""Which COCO files of a folder make up the dataset: one, or its splits with a file each."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from sv2r.errors import ConfigError
from sv2r.loaders.coco.find import DEEPEST, Candidate, describe

# How COCO itself and those who follow it name what a file holds, before its split.
_KINDS = ("instances", "person_keypoints", "stuff", "panoptic", "captions", "image_info", "labels")

_SPLITS = {
    "train": "train",
    "training": "train",
    "val": "val",
    "valid": "val",
    "validation": "val",
    "test": "test",
    "testing": "test",
}
_WORDS = re.compile(r"[^\W_]+")


class CocoFiles(NamedTuple):
    """The COCO files of a dataset, by name, and those with masks that are no part of it."""

    names: tuple[str, ...]
    others: tuple[str, ...]


def choose(root: Path, candidates: Sequence[Candidate]) -> CocoFiles:
    """Return the files to read: the only one, or those that differ by the split in their names.

    Where COCO's own ``instances_*`` are there, it is they.

    Raises:
        ConfigError: there is none, or several that are no splits of one another.
    """
    masked = [c.name for c in candidates if c.kind == "instances"]
    masked = masked or [c.name for c in candidates if c.kind == "panoptic"]
    bare = [c.name for c in candidates if c.kind == "no annotations"]
    families = {family(name) for name in masked or bare}
    wanted = {"instances"} if "instances" in families else families
    if len(wanted) == 1:
        names = sorted(name for name in masked + bare if family(name) in wanted)
        rivals = (c.name for c in candidates if c.kind in ("instances", "panoptic"))
        return CocoFiles(tuple(names), tuple(sorted(set(rivals) - set(names))))
    if families:
        raise ConfigError(which(masked or bare))
    if candidates:
        first = candidates[0]
        raise ConfigError(f"{first.name}: {describe(first)}; instance masks are needed")
    raise ConfigError(
        f"{root}: no COCO file up to {DEEPEST} folders deep; name it with --loader.annotations FILE"
    )


def which(names: Sequence[str]) -> str:
    """Return the question which of several files is meant."""
    return (
        f"{len(names)} COCO files: {listed(names)}; say which with --loader.annotations "
        "FILE (again for each, or a pattern such as '*/annotations.json')"
    )


def family(name: str) -> str:
    """Return what a file's name says beside its split: splits of one dataset have it in common."""
    stem = PurePosixPath(name).stem.lower()
    kind = next((kind for kind in _KINDS if stem == kind or stem.startswith(f"{kind}_")), None)
    if kind:
        return kind
    words = (word.rstrip("0123456789") for word in _WORDS.findall(stem))
    return " ".join(word for word in words if word and word not in _SPLITS)


def split_of(name: str) -> str:
    """Return the split that a file's name tells, or else its folder's: train, val, test or ""."""
    path = PurePosixPath(name)
    for text in (path.stem, path.parent.name):
        words = (word.rstrip("0123456789") for word in _WORDS.findall(text.lower()))
        if found := [_SPLITS[word] for word in words if word in _SPLITS]:
            return found[-1]
    return ""


def listed(names: Sequence[str]) -> str:
    """Return the first few names, and how many more there are."""
    more = f" and {len(names) - 8} more" if len(names) > 8 else ""
    return ", ".join(names[:8]) + more
