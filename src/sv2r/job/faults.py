"""The labels that a job has written, read again before it says that they are right."""

from __future__ import annotations

from collections.abc import Iterator

from sv2r.errors import SampleError
from sv2r.job.open import OpenJob
from sv2r.output.journal import Journal
from sv2r.output.read_back import ReadBack, read_back
from sv2r.types import Record

# Pictures whose instances are compared; every picture's name is. `sv2r verify` compares them all.
_COMPARED = 200
_TOLD = 5


def label_faults(job: OpenJob, journal: Journal) -> tuple[str, ...]:
    """Return what does not hold of the labels in the output, a line each.

    Where nothing was renamed, labels were copied byte for byte, and there is nothing to read.
    """
    spec = job.registry.spec("writer", job.config.writer.name)
    reads = spec.reader(job.config.writer.options)
    done = sum(status == "done" for _, _, status in journal.statuses())
    if not spec.rereads or not done or (reads is None and not _renamed(journal)):
        return ()
    loader = job.config.loader
    own = loader.options.model_dump(mode="json", exclude_defaults=True)
    name, options = reads or (loader.name, own)
    found = read_back(job.registry, job.config.job.output, name, options)
    if isinstance(found, str):
        return (found,)
    faults = list(_faults(job, journal, found, done))
    more = (f"and {len(faults) - _TOLD:,} more pictures",) if len(faults) > _TOLD else ()
    return (*faults[:_TOLD], *more)


def _renamed(journal: Journal) -> bool:
    return any(r.output != r.sample for r in journal.records() if r.status == "done")


def _faults(job: OpenJob, journal: Journal, found: ReadBack, done: int) -> Iterator[str]:
    places = {id_: index for index, id_ in enumerate(job.dataset.ids)}
    step = max(1, done // _COMPARED)
    for number, record in enumerate(r for r in journal.records() if r.status == "done"):
        if (record.sample in places and (fault := found.unlisted(record))) or (
            record.sample in places
            and number % step == 0
            and (fault := _difference(job, places[record.sample], record, found))
        ):
            yield f"{record.output}: {fault}"


def _difference(job: OpenJob, index: int, record: Record, found: ReadBack) -> str | None:
    try:
        return found.difference(record, job.dataset.samples[index].load_instances())
    except SampleError as error:
        return f"the labels of its source cannot be read any more: {error}"
