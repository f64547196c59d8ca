"""The contract of loaders."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from sv2r.plugin.specs import LoaderSpec, Runtime
from sv2r.testing.contract import Given, Subject, built, check_options, subject_of
from sv2r.testing.tree import must_be_safe, tree
from sv2r.types import Dataset, Match, Sample


def check_loader(spec: LoaderSpec[Any], root: Path, options: Given = None) -> None:
    """Raise ContractError unless a loader keeps its promises on the dataset in `root`.

    detect is surer of the dataset than of an empty folder and gives reasons. Sample ids are
    unique, safe relative paths and the same in a second call; pictures and annotation files lie
    inside root; labels fit their table, their picture's size and the dataset's categories; nothing
    in root is changed.

    root: a small dataset in the loader's format; every sample of it is read.
    """
    check_options(spec)
    subject = subject_of(spec)
    before = tree(root)
    _detect_tells_apart(subject, spec, root)
    load = built(spec, options, Runtime(input=root))
    with subject.managing_to("load the dataset"):
        dataset, again = load(root), load(root)
        ids, samples = list(dataset.ids), list(dataset.samples)
        repeated = [sample.id for sample in again.samples]
    same_root = dataset.root.resolve() == root.resolve()
    subject.must(same_root, "return the root it was given", f"{dataset.root}, not {root}")
    subject.must(bool(samples), "find samples", f"none in {root}")
    listed = [sample.id for sample in samples]
    subject.must(listed == ids, "list ids as its samples have them", f"{ids[:3]}, {listed[:3]}")
    subject.must(repeated == ids, "give the same ids twice", f"{ids[:3]}, then {repeated[:3]}")
    subject.must(len(set(ids)) == len(ids), "give unique ids", f"{len(ids) - len(set(ids))} double")
    for path in dataset.annotation_files:
        _must_lie_inside(subject, root, path)
    for sample in samples:
        _sample_keeps(subject, dataset, sample)
    subject.must(tree(root) == before, "leave its input as it was", "a file changed")


def _detect_tells_apart(subject: Subject, spec: LoaderSpec[Any], root: Path) -> None:
    with TemporaryDirectory() as empty, subject.managing_to("detect its format"):
        match, other = spec.detect(root), spec.detect(Path(empty))
    for found in (match, other):
        sure = isinstance(found, Match) and 0 <= found.confidence <= 1
        subject.must(sure, "detect with a Match of confidence 0 to 1", repr(found))
        told = bool(found.reason.strip()) and "\n" not in found.reason
        subject.must(told, "give its reason in one line", repr(found.reason))
    seen = f"{match.confidence} for the dataset, {other.confidence} for an empty folder"
    subject.must(match.confidence > other.confidence, "detect its own format", seen)


def _sample_keeps(subject: Subject, dataset: Dataset, sample: Sample) -> None:
    import numpy as np

    must_be_safe(subject, dataset.root, sample.id)
    for path in (sample.image, *sample.annotation_files, *sample.channels.values()):
        _must_lie_inside(subject, dataset.root, path)
    with subject.managing_to(f"load the labels of {sample.id}"):
        instances = sample.load_instances()
        drawn = {int(id_) for id_ in np.unique(instances.labels)} | set(instances.overlaps)
    must = subject.must
    must(instances.labels.dtype == "int32", "give int32 labels", str(instances.labels.dtype))
    strangers = sorted(drawn - {0} - set(instances.table))
    must(not strangers, "list every label in the table", f"{sample.id}: ids {strangers[:5]}")
    for id_, instance in instances.table.items():
        must(id_ == instance.id > 0, "list instances by their id", f"{id_}: {instance}")
        known = not dataset.categories or instance.category in dataset.categories
        must(known, "list every category", f"{sample.id}: {instance.category!r}")
    for size, whose in ((sample.size, "the sample's size"), (_picture_size(sample), "its picture")):
        seen = f"{sample.id}: labels {instances.size}, {whose} {size}"
        must(size in (None, instances.size), "draw labels on the picture's grid", seen)


def _picture_size(sample: Sample) -> tuple[int, int]:
    from PIL import Image

    with sample.image.open("rb") as stream, Image.open(stream) as picture:
        return picture.height, picture.width


def _must_lie_inside(subject: Subject, root: Path, path: Path) -> None:
    inside = path.resolve().is_relative_to(root.resolve())
    subject.must(inside, "stay inside the dataset's root", f"{path}")
    subject.must(path.is_file(), "name files that exist", f"no file {path}")
