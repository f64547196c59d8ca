"""How a job ended."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from html import escape
from pathlib import Path

from sv2r.config.selection import select
from sv2r.job.open import OpenJob
from sv2r.job.plan import Plan
from sv2r.output.finished import REPORT
from sv2r.output.journal import FOLDER, Journal
from sv2r.types import SOURCE_VARIANT, Record

# How many failed and rejected records a summary holds; samples.jsonl has them all.
_SHOWN = 100


@dataclass(frozen=True)
class Summary:
    """How a job ended.

    inputs: pictures to make that the selection held, and inputs that could not become samples.
    done, rejected, failed: of the inputs, this run's and those restored from earlier ones.
    restored: how many of them earlier runs had settled. left: not made when the run was stopped.
    troubles: the first rejected and failed records.
    verified: what the writer says of the labels it wrote for the dataset as a whole.
    equal: label files, of the dataset and of single samples, that are the input's byte for byte.
    instances: how many the labels of the pictures that are done hold. checked: how many of these a
    check has given a score of its own.
    retried, repaired: pictures that are done after another attempt, and that hold pixels of their
    render. overdone: that were not repaired, as more of what is labelled would be the render's than
    `max_restored` allows. rendered: share of all pictures that are done that is their renders',
    0 to 1.
    judged: whether the job had checks.
    reread: whether the labels were read again, as a loader reads them, unless all bytes are equal.
    faults: what does not hold of the labels that were written.
    interrupted: whether the user stopped the run before its end.
    notes: what happened on the way, a line each (a worker died, memory ran out).
    """

    output: Path
    inputs: int
    done: int
    rejected: int
    failed: int
    restored: int
    left: int = 0
    seconds: float = 0.0
    troubles: tuple[Record, ...] = ()
    verified: Mapping[str, str] = field(default_factory=dict)
    equal: int = 0
    instances: int = 0
    checked: int = 0
    retried: int = 0
    repaired: int = 0
    overdone: int = 0
    rendered: float = 0.0
    judged: bool = True
    reread: bool = False
    faults: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    interrupted: bool = False

    @property
    def exit_code(self) -> int:
        """Return 0 where all inputs are done and labelled, 130 where it was stopped, else 1."""
        if self.interrupted:
            return 130
        return 0 if self.done == self.inputs and not self.faults else 1

    def _repr_html_(self) -> str:
        """Return the figures as a notebook shows them, with the way to the report."""
        counted = {
            "done": self.done,
            "rejected": self.rejected,
            "failed": self.failed,
            "not made": self.left,
            "made again": self.retried,
            "with pixels of the render": self.repaired,
            "with too much of the render": self.overdone,
        }
        rows = "".join(
            f"<tr><th>{name}</th><td>{n:,}</td></tr>" for name, n in counted.items() if n
        )
        report = escape(str(self.output / FOLDER / REPORT))
        return f'<table>{rows}</table><a href="{report}">{report}</a>'


def summarise(
    job: OpenJob,
    plan: Plan,
    journal: Journal,
    notes: Sequence[str],
    seconds: float,
    *,
    interrupted: bool,
) -> Summary:
    """Count the records of the selection, so that their sum can be compared with the inputs."""
    counts: Counter[str] = Counter()
    troubles: list[Record] = []
    asked = job.config.job
    selected_ids = {id_ for _, id_ in select(job.dataset.ids, asked.only, asked.limit)}
    for sample, variant, status in journal.statuses():
        asked_for = variant < job.config.job.variants or variant == SOURCE_VARIANT
        if variant < 0 or (sample in selected_ids and asked_for):
            counts[status] += 1
            if status != "done" and len(troubles) < _SHOWN:
                troubles.append(journal.record(sample, variant))
    complete = journal.get("complete")
    return Summary(
        output=job.config.job.output,
        inputs=plan.inputs,
        done=counts["done"],
        rejected=counts["rejected"],
        failed=counts["failed"],
        restored=plan.restored,
        left=plan.inputs - counts.total(),
        seconds=seconds,
        troubles=tuple(troubles),
        verified=dict(journal.get("verified") or {}) if complete else {},
        equal=journal.get("equal") or 0 if complete else 0,
        instances=journal.get("instances") or 0 if complete else 0,
        checked=journal.get("checked") or 0 if complete else 0,
        retried=journal.get("retried") or 0 if complete else 0,
        repaired=journal.get("repaired") or 0 if complete else 0,
        overdone=journal.get("overdone") or 0 if complete else 0,
        rendered=journal.get("rendered") or 0.0 if complete else 0.0,
        judged=bool(job.config.checks),
        reread=job.registry.spec("writer", job.config.writer.name).rereads,
        faults=tuple(journal.get("faults") or ()) if complete else (),
        notes=tuple(notes),
        interrupted=interrupted and plan.inputs > counts.total(),
    )
