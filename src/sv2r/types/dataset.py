"""A labelled dataset on disk."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, TypeAlias

from sv2r.types.instances import Instances

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Reading: TypeAlias = Callable[[Path, str], NDArray[Any]]

_NOTHING: Mapping[Any, Any] = MappingProxyType({})


@dataclass(frozen=True)
class Sample:
    """One picture of a dataset and what is known of it before it is read.

    id: unique in the dataset, stable from run to run, a safe relative POSIX path.
    image: the picture.
    load_instances: reads and validates the labels; raises SampleError.
    size: (height, width) that the labels are drawn on, or None where only the labels tell.
    annotation_files: label files of this sample alone (a mask), all inside the dataset's root.
    channels: what the renderer wrote next to RGB, by name ("depth", "normals").
    readings: how a channel is read where its file alone does not tell, by the channel's name: takes
        the file and how an error calls it, returns the values (H, W) and raises SampleError.
    attributes: weather, camera, sequence ...: words that a prompt template can use.
    extra: all that the dataset says of the picture besides its name, size and labels.
    """

    id: str
    image: Path
    load_instances: Callable[[], Instances]
    size: tuple[int, int] | None = None
    annotation_files: tuple[Path, ...] = ()
    channels: Mapping[str, Path] = field(default_factory=lambda: _NOTHING)
    attributes: Mapping[str, str] = field(default_factory=lambda: _NOTHING)
    extra: Mapping[str, Any] = field(default_factory=lambda: _NOTHING)
    readings: Mapping[str, Reading] = field(default_factory=lambda: _NOTHING)


@dataclass(frozen=True, slots=True)
class Problem:
    """An input that cannot become a sample (a mask without a picture, a path that leaves the root).

    id: names it, relative to the dataset's root. message: one line with the fix.
    It counts as a failed input of every job over the dataset.
    """

    id: str
    message: str


@dataclass(frozen=True)
class Dataset:
    """A labelled dataset on disk.

    root: the folder that every path in it lies in.
    samples: in a stable order; may be lazy (a Sample is made when it is asked for).
    ids: the samples' ids in the same order, without making the samples.
    categories: category names, in the dataset's order.
    annotation_files: label files of the dataset as a whole (a COCO JSON), inside the root.
    problems: inputs that could not become samples.
    category_ids: the dataset's own number of a category, where it has one.
    notes: what the loader decided and why, one line each, for the user.
    doubts: what speaks against it, one line each with the option that settles it: warnings of a
        job, errors of `sv2r lint`.
    details: what the dataset says of a category besides its name (supercategory, skeleton ...), by
        name. extra: what it says of itself as a whole (info, licenses ...).
    renamed: returns the bytes of one of annotation_files in which pictures have new paths, given by
        their ids; None where label files name no picture.
    """

    root: Path
    samples: Sequence[Sample]
    ids: Sequence[str]
    categories: tuple[str, ...] = ()
    annotation_files: tuple[Path, ...] = ()
    problems: tuple[Problem, ...] = ()
    category_ids: Mapping[str, int] = field(default_factory=lambda: _NOTHING)
    notes: tuple[str, ...] = ()
    doubts: tuple[str, ...] = ()
    details: Mapping[str, Mapping[str, Any]] = field(default_factory=lambda: _NOTHING)
    extra: Mapping[str, Any] = field(default_factory=lambda: _NOTHING)
    renamed: Callable[[Path, Mapping[str, str]], bytes] | None = None


@dataclass(frozen=True, slots=True)
class Match:
    """How sure a loader is that a folder is in its format.

    confidence: 0 (no) to 1 (certain). reason: one line, also where the answer is no. known: whether
    the reason tells of what lies in the folder (its format, what is missing, the options that read
    it): where no loader is sure, these reasons alone are told.
    """

    confidence: float
    reason: str
    known: bool = False
