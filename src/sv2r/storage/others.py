"""What lies in a dataset's folder beside its pictures and their labels."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from sv2r.errors import SampleError
from sv2r.storage.files import TEMPORARY
from sv2r.storage.paths import inside, relative_name, shard_of
from sv2r.storage.source import Listed, is_there, leads_to_file, leads_to_folder, list_folder
from sv2r.types import Dataset

OWN = "sv2r"
"""The folder of a job's own files in an output, and in an input that is itself one."""

PARTS = "parts"
"""The folder in OWN of what is to be packed into shards when the job ends."""

# What each run leaves in it.
_MARK = "journal.sqlite3"


@dataclass(frozen=True)
class Others:
    """Files of an input that its loader does not know, as paths relative to it, in sorted order.

    size: of all, in bytes. left: what is no file to take along, counted by the reason.
    """

    files: tuple[str, ...]
    size: int
    left: Mapping[str, int]


def is_output(root: Path) -> bool:
    """Return whether a folder is a run's output: then its folder `sv2r` is no part of a dataset."""
    return is_there(root / OWN / _MARK)


def find_others(dataset: Dataset) -> Others:
    """Return the files that are no sample's picture or label, and no label file of the dataset.

    The pictures and labels of samples that are not converted are theirs all the same.
    """
    known = _known(dataset)
    files, size, left = [], 0, Counter[str]()
    for name, entry in _entries(dataset):
        if name in known:
            continue
        if reason := _reason(dataset, name, entry):
            left[reason] += 1
            continue
        files.append(name)
        size += entry.stat().st_size
    return Others(tuple(sorted(files)), size, dict(left))


def _known(dataset: Dataset) -> set[str]:
    paths = list(dataset.annotation_files)
    for index in range(len(dataset.ids)):
        sample = dataset.samples[index]
        paths += [sample.image, *sample.annotation_files, *sample.channels.values()]
    names = {relative_name(path, dataset.root) for path in paths}
    names |= {shard_of(name) for name in names if name}
    return {name for name in names if name} | {problem.id for problem in dataset.problems}


def _entries(dataset: Dataset) -> Iterator[tuple[str, Listed]]:
    """Yield all that is no folder, and links to folders."""
    waiting = [""]
    while waiting:
        prefix = waiting.pop()
        with list_folder(dataset.root / prefix) as entries:
            for entry in entries:
                name = f"{prefix}{entry.name}"
                if entry.is_dir(follow_symlinks=False) and name.casefold() != OWN:
                    waiting.append(f"{name}/")
                else:
                    yield name, entry


def _reason(dataset: Dataset, name: str, entry: Listed) -> str | None:
    """Return why something is not taken along, or None."""
    if name.casefold() == OWN and leads_to_folder(entry):
        if is_output(dataset.root):
            return "the folder sv2r of an earlier run"
        return "the folder sv2r, as the output has its own; rename it to have it carried"
    if entry.name.startswith(TEMPORARY):
        return "leftovers of a killed run"
    if leads_to_folder(entry):
        return "links to folders"
    try:
        inside(dataset.root, name)
    except SampleError:
        return "links that lead out of the input, or names that cannot be kept"
    return None if leads_to_file(entry) else "links to nothing, pipes or devices"
