"""Contracts of executors, and of a plugin as a whole."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from threading import Event
from types import MappingProxyType
from typing import Any

from sv2r.plugin.registry import Entry, Registry, load_registry
from sv2r.plugin.specs import ExecutorSpec, Phase, Runtime, Work, Worker
from sv2r.storage.strict_yaml import read_yaml
from sv2r.testing.contract import ContractError, Given, Subject, built, check_options, subject_of
from sv2r.testing.loading import check_loader
from sv2r.testing.pictures import check_check, check_conditioner, check_translator
from sv2r.testing.trainers import check_trainer
from sv2r.testing.writing import check_writer
from sv2r.types import Record, Task

_NONE: Mapping[str, Any] = MappingProxyType({})
_TASKS = (Task(0), Task(1), Task(2), Task(2, 1), Task(3))


def check_plugin(
    name: str,
    *,
    options: Mapping[str, Given] = _NONE,
    roots: Mapping[str, Path] = _NONE,
) -> list[str]:
    """Return what was checked ("translator 'grade'"), or raise ContractError on a broken promise.

    name: an installed plugin, by its entry point's name or its distribution's; all that it brings
        is checked.
    options: for components that cannot be built from their defaults, by component name:
        ``{"grade": {"reference": folder}}``; "writer:coco" where two kinds share the name.
    roots: a small dataset for each loader, by its name.
    """
    registry = load_registry()
    entries = _brought_by(name, registry)
    for entry in entries:
        given = options.get(f"{entry.kind}:{entry.name}", options.get(entry.name))
        _check_entry(entry, given, roots)
    return [f"{entry.kind} '{entry.name}'" for entry in entries]


def _brought_by(name: str, registry: Registry) -> list[Entry]:
    for failure in registry.failures:
        if name in (failure.owner.plugin, failure.owner.distribution):
            raise ContractError(str(failure))
    found = [e for e in registry.entries if name in (e.owner.plugin, e.owner.distribution)]
    if not found:
        known = ", ".join(sorted({entry.owner.plugin for entry in registry.entries}))
        raise ContractError(f"no plugin '{name}' is installed; there are: {known}")
    return found


def _check_entry(entry: Entry, options: Given, roots: Mapping[str, Path]) -> None:
    checks: dict[str, Callable[..., None]] = {
        "conditioner": check_conditioner,
        "translator": check_translator,
        "check": check_check,
        "writer": check_writer,
        "executor": check_executor,
        "trainer": check_trainer,
    }
    if entry.kind in checks:
        checks[entry.kind](entry.value, options)
    elif entry.kind == "loader":
        if entry.name not in roots:
            fix = f"give a small one: check_plugin(..., roots={{'{entry.name}': folder}})"
            raise ContractError(f"loader '{entry.name}' needs a dataset for its test: {fix}")
        check_loader(entry.value, roots[entry.name], options)
    elif entry.kind == "preset":
        _check_preset(entry)
    else:
        subject = Subject("command", entry.name)
        subject.must(bool(entry.value.get_short_help_str()), "have a help text", "it has none")


def _check_preset(entry: Entry) -> None:
    subject = Subject("preset", entry.name)
    with subject.managing_to("be readable YAML"):
        text = entry.value.read_text(encoding="utf-8")
        read_yaml(text, entry.name)
    first = text.lstrip().partition("\n")[0]
    subject.must(first.startswith("#"), "begin with a comment on its use", repr(first))


def check_executor(
    spec: ExecutorSpec[Any],
    options: Given = None,
    *,
    work: Work | None = None,
    tasks: Sequence[Task] = _TASKS,
) -> None:
    """Raise ContractError unless an executor yields one record per task, and none for no task.

    work, tasks: a real job for an executor that rebuilds its workers from `work.config`
        elsewhere; otherwise a job in this process that makes nothing.
    """
    check_options(spec)
    subject = subject_of(spec)
    executor = built(spec, options, Runtime())
    job = _NoWork() if work is None else work
    with subject.managing_to("run a job of no tasks"):
        records = list(executor.run(job, iter(())))
    subject.must(not records, "yield nothing for no tasks", f"{len(records)} records")
    with subject.managing_to(f"run a job of {len(tasks)} tasks"):
        records = list(executor.run(job, iter(tasks)))
    strangers = [record for record in records if not isinstance(record, Record)]
    subject.must(not strangers, "yield Records", f"{strangers[:1]}")
    distinct = {(record.sample, record.variant) for record in records}
    seen = f"{len(records)} records of {len(distinct)} pictures for {len(tasks)} tasks"
    one_each = len(records) == len(distinct) == len(tasks)
    subject.must(one_each, "yield one record per task", seen)


class _NoWork:
    """A job whose worker says "done" and makes nothing."""

    config: Mapping[str, Any] = _NONE
    devices = ("cpu",)
    batch_size = None
    model = None

    def __init__(self) -> None:
        self.stop = Event()

    def say(self, _line: str, /) -> None:
        """Tell nobody."""

    def show(self, _phase: Phase, _detail: str, /) -> None:
        """Show nobody."""

    def sample_id(self, index: int, /) -> str:
        """Return the index as text."""
        return str(index)

    def worker(self, _device: str, /) -> Worker:
        return self

    def run(self, tasks: Iterable[Task], /) -> Iterator[Record]:
        for task in tasks:
            yield Record(sample=str(task.index), variant=task.variant, status="done")
