"""Text about a job: what is about to run, and how it ended."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from pathlib import Path

from sv2r.config.resolve import Config
from sv2r.job.open import OpenJob
from sv2r.job.plan import Plan
from sv2r.job.summary import Summary
from sv2r.output.contact_sheet import CONTACT_SHEET
from sv2r.output.finished import REPORT, RUN_FILE, SAMPLES
from sv2r.output.journal import FOLDER
from sv2r.output.repaired import Repaired
from sv2r.storage.remote import WorkFolder
from sv2r.worker.prompts import unused_lists

# How many troubled samples are named at the end; samples.jsonl has all.
_NAMED = 10
_ADVICE = (
    "{count} would hold too much of the render: the model does not draw what is labelled. Try "
    "less --strength, a control that holds it (--preset controlnet-canny), or another --model"
)


def header_lines(job: OpenJob, plan: Plan) -> Iterator[str]:
    """Yield what is about to run: the loader, the translator, and what is missing or odd."""
    config, dataset = job.config, job.dataset
    pictures = _count(len(dataset.ids), "picture")
    counts = f"{pictures} · {_count(len(dataset.categories), 'category', 'categories')}"
    yield _titled("loader", f"{config.loader.name} · {counts}")
    for note in dataset.notes:
        yield _titled("", note)
    if not job.registry.spec("translator", config.translator.name).keeps:
        yield _titled("translator", _translator(config))
    for number, remark in enumerate(job.remarks):
        yield _titled("" if number else "writer", remark)
    for warning in _warnings(job):
        yield _titled("warning", warning)
    for failure in job.registry.failures:
        yield _titled("warning", str(failure))
    todo = f"{len(plan.tasks):,} of {plan.inputs:,} to do"
    restored = f" · {plan.restored:,} done earlier" if plan.restored else ""
    yield _titled("plan", f"{todo}{restored} · output {_output(config.job.output)}")


def _output(folder: Path) -> str:
    return f"{folder.url}, by way of {folder}" if isinstance(folder, WorkFolder) else str(folder)


def _translator(config: Config) -> str:
    options = config.translator.options.model_dump(mode="json", exclude_defaults=True)
    shown = [f"{name} {_brief(value)}" for name, value in options.items()]
    conditioners = [c.name for c in config.conditioners]
    controls = [f"conditioners {', '.join(conditioners)}"] if conditioners else []
    return " · ".join([config.translator.name, *shown, *controls])


def _warnings(job: OpenJob) -> Iterator[str]:
    """Yield what the loader is not sure of, and what was asked for and has no effect."""
    config, registry = job.config, job.registry
    yield from job.dataset.doubts
    for name in unused_lists(config.prompt):
        yield f"the prompt does not use the list '{name}'; write {{{name}}} into it"
    translator = config.translator
    needed = registry.spec("translator", translator.name).controls(translator.options)
    for chosen in config.conditioners:
        made = registry.spec("conditioner", chosen.name).produces
        if needed and made not in needed:
            yield f"conditioner {chosen.name} has no effect: {translator.name} has no '{made}'"


def summary_lines(summary: Summary) -> Iterator[str]:
    """Yield how a job ended: the counts, what went wrong, where to look."""
    counts = f"done {summary.done:,} · rejected {summary.rejected:,} · failed {summary.failed:,}"
    left = f" · not begun {summary.left:,}" if summary.left else ""
    yield f"{counts}{left} · {duration(summary.seconds)}{_verified(summary)}"
    if summary.retried or summary.repaired:
        share = summary.rendered * summary.done
        found = Repaired(summary.done, summary.retried, summary.repaired, share)
        yield _titled("repairs", found.words)
    for fault in summary.faults:
        yield _titled("labels", fault)
    for note in summary.notes:
        yield _titled("note", note)
    # Several variants of one picture fail alike.
    troubles = dict.fromkeys((record.status, str(record.error)) for record in summary.troubles)
    for status, error in islice(troubles, _NAMED):
        yield _titled(status, error)
    more = summary.rejected + summary.failed - _NAMED
    if more > 0 and len(troubles) > _NAMED:
        yield _titled("", f"and {more:,} more in {summary.output / FOLDER / SAMPLES}")
    if 2 * summary.overdone > summary.done + summary.rejected:
        yield _titled("advice", _ADVICE.format(count=_count(summary.overdone, "picture")))
    if summary.left:
        yield _titled("again", "run the same command again to continue")
    elif summary.inputs:
        page, sheet = (summary.output / FOLDER / name for name in (REPORT, CONTACT_SHEET))
        how = f"   a page of all: sv2r report {summary.output}"
        yield _titled("look", str(page) if page.exists() else f"{sheet}{how}")
        yield _titled("again", f"sv2r convert --config {summary.output / FOLDER / RUN_FILE}")


def _titled(title: str, text: str) -> str:
    return f"{title:<11} {text}"


def _verified(summary: Summary) -> str:
    reread = ", read again" if summary.reread else ""
    files, end = len(summary.verified), reread
    if summary.equal:
        files, end = summary.equal, ", bytes equal"
    if not files:
        return ""
    checked = f" ({summary.checked:,} checked)" if summary.judged else ""
    what = f"{_count(files, 'file')}, {_count(summary.instances, 'instance')}{checked}{end}"
    if summary.faults:
        return f" · labels NOT right: {what}"
    return f" · labels {'verified' if end else 'written'}: {what}"


def _count(number: int, one: str, many: str = "") -> str:
    return f"{number:,} {one if number == 1 else many or one + 's'}"


def _brief(value: object) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{key}={item}" for key, item in value.items())
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)


def duration(seconds: float) -> str:
    """Return a time as people read it: 4.2 s, 12 min 05 s, 3 h 20 min."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes:02} min"
    return f"{minutes} min {rest:02} s" if minutes else f"{seconds:.1f} s"
