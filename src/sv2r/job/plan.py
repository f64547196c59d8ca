"""Plans which pictures are still to be made, and finds obstacles, before any model loads."""

from __future__ import annotations

import os
import re
import shutil
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

from sv2r.config.resolve import Config
from sv2r.config.selection import select, wanted_by
from sv2r.errors import ConfigError, SampleError
from sv2r.output.journal import FOLDER, Journal
from sv2r.plugin.registry import Registry
from sv2r.plugin.specs import Claims, Mixes, Writer
from sv2r.plugin.words import nearest
from sv2r.storage.paths import LONGEST_NAME, safe_relative
from sv2r.storage.remote import WorkFolder
from sv2r.storage.source import RemotePath
from sv2r.types import SOURCE_VARIANT, Dataset, Record, Sample, Task

# Names without anything that needs a second look; 60 letters are 240 bytes at the most.
_PLAIN = re.compile(r"(?:[^/\\\0:]{1,60}/)*[^/\\\0:]{1,60}")


@dataclass(frozen=True)
class Plan:
    """A job before it runs.

    tasks: to do now, of the selected samples.
    problems: records of inputs that could not become samples. restored: tasks settled before.
    inputs: pictures to make and problems, all in all.
    """

    tasks: tuple[Task, ...]
    problems: tuple[Record, ...]
    inputs: int
    restored: int


def make_plan(config: Config, dataset: Dataset, writer: Writer, journal: Journal | None) -> Plan:
    """Return the plan for the selected samples."""
    problems = list(_problem_records(config, dataset))
    settled = journal.settled() if journal else set()
    chosen, tasks = 0, []
    for index, id_ in select(dataset.ids, config.job.only, config.job.limit):
        variants = _variants(config, dataset, writer, index)
        chosen += len(variants)
        tasks += [Task(index, v) for v in variants if (id_, v) not in settled]
    inputs, restored = chosen + len(problems), chosen - len(tasks)
    if tasks:
        tasks, clashes = _without_clashes(dataset, writer, tasks)
        problems += clashes
    return Plan(tuple(tasks), tuple(problems), inputs, restored)


def _variants(config: Config, dataset: Dataset, writer: Writer, index: int) -> list[int]:
    """Return the variants of a sample that are to be there, SOURCE_VARIANT where it goes along."""
    made = list(range(config.job.variants))
    try:
        mixed = isinstance(writer, Mixes) and writer.mixes(dataset.samples[index], len(made))
    except SampleError:  # it fails by itself, with its reason, when it is read
        mixed = False
    return [*made, SOURCE_VARIANT] if mixed else made


def check_selection(config: Config, dataset: Dataset) -> None:
    """Raise ConfigError where neither a sample nor a problem is selected."""
    chosen = chain(
        select(dataset.ids, config.job.only, config.job.limit), _problem_records(config, dataset)
    )
    if next(chosen, None) is None:
        raise ConfigError(_nothing(config, dataset))


def check_strangers(output: Path) -> None:
    """Raise ConfigError where a folder holds files, and none of a run: they might be replaced."""
    if (output / FOLDER).is_dir() or not output.is_dir():
        return
    first = min((path.name for path in output.iterdir()), default=None)
    if first is not None:
        what = f"holds files that no run of sv2r made, such as {first}"
        raise ConfigError(f"{output}: {what}; give a folder that is empty or new")


def check_folders(source: Path, output: Path) -> None:
    """Raise ConfigError where the input is not a folder, or one folder lies inside the other."""
    if not source.is_dir():
        raise ConfigError(f"{source}: no such folder; give the dataset's folder")
    own = RemotePath(output.url) if isinstance(output, WorkFolder) else output
    inner, outer = own.resolve(), source.resolve()
    if inner == outer:
        raise ConfigError(f"{own}: is the input itself; give another --output")
    if inner.is_relative_to(outer):
        raise ConfigError(f"{own}: lies inside the input {source}; give a folder outside of it")
    if outer.is_relative_to(inner):
        raise ConfigError(f"{own}: holds the input {source}; give a folder of its own")
    if output.is_symlink() and not output.exists():
        raise ConfigError(f"{output}: is a link to nothing; give another --output")
    if output.exists() and not output.is_dir():
        raise ConfigError(f"{output}: is not a folder; give another --output")


def check_space(output: Path, size: tuple[int, int]) -> None:
    """Raise ConfigError where the disk cannot take even one picture of size (height, width)."""
    place = next(p for p in (output, *output.parents) if p.exists())
    need = size[0] * size[1] * 3
    free = shutil.disk_usage(place).free
    if free < need:
        raise ConfigError(f"{output}: {free:,} bytes are free, one picture needs {need:,}")


def check_controls(config: Config, registry: Registry) -> None:
    """Raise ConfigError where the translator needs a control map that no conditioner makes."""
    spec = registry.spec("translator", config.translator.name)
    needed = spec.controls(config.translator.options)
    made = {registry.spec("conditioner", c.name).produces for c in config.conditioners}
    makers = {e.value.produces: e.name for e in registry.of_kind("conditioner")}
    for control in sorted(needed - made):
        near = nearest(control, makers)
        hint = f"; did you mean {near}?" if near else f"; there are: {', '.join(sorted(makers))}"
        missing = control not in makers
        fix = f"no plugin makes one{hint}" if missing else f"add --conditioner {makers[control]}"
        raise ConfigError(f"{config.translator.name} needs a control '{control}'; {fix}")


def _problem_records(config: Config, dataset: Dataset) -> Iterator[Record]:
    """Yield a record per problem; its variant is below 0, so that it is no sample's."""
    count: Counter[str] = Counter()
    is_wanted = wanted_by(config.job.only)
    for problem in dataset.problems:
        if is_wanted(problem.id):
            count[problem.id] += 1
            yield Record(problem.id, -count[problem.id], "failed", error=problem.message)


def _nothing(config: Config, dataset: Dataset) -> str:
    if config.job.only and dataset.ids:
        patterns = " ".join(config.job.only)
        return f"--only {patterns}: no sample matches; the first one is {dataset.ids[0]}"
    return f"{config.job.input}: the {config.loader.name} loader finds no picture in it"


def _without_clashes(
    dataset: Dataset, writer: Writer, tasks: list[Task]
) -> tuple[list[Task], list[Record]]:
    """Return the tasks that have a file of their own, and a failed record for each of the others.

    The whole dataset is looked at, so that a selection gives the same answer. Names are compared
    without case: what is two files here is one on many other file systems.
    """
    # A picture that keeps its name comes before one that would be renamed to it.
    taken: dict[str, int] = {}
    for index, id_ in enumerate(dataset.ids):
        taken.setdefault(id_.casefold(), index)
    images = _images_of(dataset)
    failed: list[Record] = []
    wanted = set(tasks)
    variants = sorted({task.variant for task in tasks})
    for task in (Task(i, v) for i in range(len(dataset.ids)) for v in variants):
        error = _objection(dataset, writer, task, taken, images)
        if error and task in wanted:
            wanted.discard(task)
            failed.append(Record(dataset.ids[task.index], task.variant, "failed", error=error))
    return [task for task in tasks if task in wanted], failed


def _images_of(dataset: Dataset) -> dict[str, str]:
    """Return the id of each picture by its file, where samples have channels."""
    images: dict[str, str] = {}
    for number, id_ in enumerate(dataset.ids):
        with suppress(SampleError):  # it fails by itself, with its reason, when it is read
            sample = dataset.samples[number]
            if not sample.channels and not images:
                return {}
            images[os.fspath(sample.image)] = id_
    return images


def _objection(
    dataset: Dataset,
    writer: Writer,
    task: Task,
    taken: dict[str, int],
    images: dict[str, str],
) -> str | None:
    id_ = dataset.ids[task.index]
    try:
        sample = dataset.samples[task.index]
        paths = [_place(path) for path in _claims(writer, sample, task.variant)]
    except SampleError as error:
        return str(error)
    for channel, file in sample.channels.items():
        if (other := images.get(os.fspath(file))) is not None:
            return (
                f"{id_}: its {channel} would be the picture {other}, which is translated itself; "
                f"correct --loader.{channel}"
            )
    for number, path in enumerate(paths):
        key = path.casefold()
        first = taken.setdefault(key, task.index)
        if first != task.index:
            other = dataset.ids[first]
            return f"{id_}: would write the same file as {other} ({path}); rename one of them"
        if key in map(str.casefold, paths[:number]):
            return f"{id_}: its picture and its labels would be the same file ({path}); rename one"
        if key.startswith(f"{FOLDER}/"):
            return f"{path}: '{FOLDER}/' in the output is the job's own; rename the folder"
    return None


def _place(path: str) -> str:
    """Return a path under the output in its plainest form.

    Raises:
        SampleError: it leads out of the output, or is longer than file systems take.
    """
    if _PLAIN.fullmatch(path) and ".." not in path:
        return path  # pathlib would take seconds for 100,000 of them
    try:
        place = safe_relative(path)
    except SampleError as error:
        raise SampleError(f"{error}, as it is what --output gets") from None
    if any(len(os.fsencode(part)) > LONGEST_NAME for part in place.parts):
        raise SampleError(f"{path}: a name of more than {LONGEST_NAME} bytes; shorten it")
    return str(place)


def _claims(writer: Writer, sample: Sample, variant: int) -> list[str]:
    if isinstance(writer, Claims):
        return list(writer.claims(sample, variant))
    return [writer.target(sample, variant)]


def known_sizes(dataset: Dataset, indices: Iterable[int]) -> list[tuple[int, int]]:
    """Return the distinct sizes of samples, of those whose size is known before they are read."""
    sizes: dict[tuple[int, int], None] = {}
    for index in indices:
        with suppress(SampleError):  # it fails by itself, with its reason, when it is read
            if size := dataset.samples[index].size:
                sizes[size] = None
    return list(sizes)
