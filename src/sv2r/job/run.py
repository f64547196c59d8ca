"""A conversion from its config to its summary: open, plan, run, finish."""

from __future__ import annotations

import os
import shutil
import signal
import threading
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Protocol

from sv2r.config.resolve import Config, difference, identity_of
from sv2r.errors import ConfigError, PluginError
from sv2r.interrupts import take_interrupts
from sv2r.job.faults import label_faults
from sv2r.job.open import OpenJob
from sv2r.job.plan import Plan, check_strangers, make_plan
from sv2r.job.summary import Summary, summarise
from sv2r.output.attempts import ATTEMPTS
from sv2r.output.contact_sheet import CONTACT_SHEET, SHEET_ROWS, write_contact_sheet
from sv2r.output.finished import REPORT, RUN_FILE, SAMPLES
from sv2r.output.journal import FOLDER, Journal
from sv2r.output.publishing import published, put_first, withdraw
from sv2r.output.records import line_of
from sv2r.output.repaired import Repaired
from sv2r.plugin.specs import Phase, Runtime
from sv2r.storage.files import remove_leftovers, replacing, write_atomically
from sv2r.storage.hashes import sha256_file
from sv2r.storage.others import PARTS
from sv2r.storage.paths import under
from sv2r.storage.regular import read_text
from sv2r.storage.strict_yaml import read_yaml, write_yaml
from sv2r.types import Record
from sv2r.worker.damage import OVERDONE
from sv2r.worker.work import LocalWork, find_devices

# Intersection over union below which labels that were written are told of.
_POOR = 0.98
_COUNTED = ("copied", "instances", "checked", "retried", "repaired", "overdone")


class JobWatcher(Protocol):
    """Is informed while a job runs."""

    def opened(self, job: OpenJob, plan: Plan) -> None:
        """Everything is checked and planned; nothing has run."""

    def said(self, line: str) -> None:
        """Something the user should know, in one line."""

    def recorded(self, record: Record) -> None:
        """One more task has ended."""

    def shown(self, phase: Phase, detail: str) -> None:
        """Something else is done at the moment: see `sv2r.plugin.specs.Runtime.show`."""


class Silence:
    """A watcher that shows nothing."""

    def opened(self, job: OpenJob, plan: Plan) -> None:
        """Do nothing."""

    def said(self, line: str) -> None:
        """Do nothing."""

    def recorded(self, record: Record) -> None:
        """Do nothing."""

    def shown(self, phase: Phase, detail: str) -> None:
        """Do nothing."""


def run_job(
    job: OpenJob,
    *,
    overwrite: bool = False,
    fail_fast: bool = False,
    watch: JobWatcher | None = None,
) -> Summary:
    """Run a job and return how it ended; see `sv2r.convert`."""
    watch = watch or Silence()
    if (asked := job.config.job.device) != ("auto",):
        find_devices(asked)  # refuses one that is not here before anything is written
    output = job.config.job.output
    check_strangers(output)
    with _nothing_left_if_refused(output), Journal(output) as journal:
        _resume(job.config, journal, overwrite=overwrite)
        plan = make_plan(job.config, job.dataset, job.writer, journal)
        watch.opened(job, plan)
        stop, pressed = threading.Event(), threading.Event()
        notes: list[str] = []
        changed = _note_problems(plan, journal, watch)
        if plan.tasks or not _tells_what_ran(job.config):
            _write_run_file(job.config)
            put_first(output, f"{FOLDER}/{RUN_FILE}")
        if plan.tasks or not journal.get("complete"):
            # Also where a run was killed after its last picture.
            _prepare(output, job.config.job.input, journal)
        else:
            # A kill while the page was written leaves what was begun of it.
            remove_leftovers(output / FOLDER, lambda _: False)
        if plan.tasks:
            journal.keep("complete", value=False)
            with _first_interrupt_sets((pressed, stop), watch) as drawing:
                _run(job, plan, journal, stop, watch, drawing, notes, fail_fast=fail_fast)
            changed = True
        _finish(job, journal, changed=changed, stopped=stop.is_set())
        notes.extend(_inexact(journal))
        seconds = time.monotonic() - job.since
        return summarise(job, plan, journal, notes, seconds, interrupted=pressed.is_set())


@contextmanager
def _nothing_left_if_refused(output: Path) -> Iterator[None]:
    """Remove a folder that was made for a job which then turned out not to work at all."""
    before = output.exists()
    try:
        yield
    except (ConfigError, PluginError):
        made = {path.name for path in output.iterdir()} if output.is_dir() else set()
        if not before and made <= {FOLDER}:
            shutil.rmtree(output, ignore_errors=True)
        raise


def _resume(config: Config, journal: Journal, *, overwrite: bool) -> None:
    """Refuse a journal of other settings, or forget it and its pictures; then claim the folder."""
    output, identity = config.job.output, config.identity()
    if overwrite:
        journal.keep("overwriting", value=True)
    if journal.get("overwriting"):
        # Also where an earlier --overwrite was killed: what it removed is not to be called done.
        _remove(output, journal)
        journal.clear()
    before = journal.identity()
    if before is not None and before != identity:
        fix = "choose another --output, the old settings, or --overwrite"
        what = difference(before, identity)
        raise ConfigError(f"{output}: made with other settings ({what}); {fix}")
    journal.keep_identity(identity)


def _remove(output: Path, journal: Journal) -> None:
    """Remove what an earlier run made of the dataset, and the folders that this empties.

    A name that leads out of the output, which no run keeps, is left alone.
    """
    for name in (SAMPLES, REPORT, CONTACT_SHEET):
        (output / FOLDER / name).unlink(missing_ok=True)
    for name in (PARTS, ATTEMPTS):
        shutil.rmtree(output / FOLDER / name, ignore_errors=True)
    folders: set[Path] = set()
    made = _made(journal)
    withdraw(output, made)
    for name in made:
        path = under(output, name)
        if path is None or not (path.is_file() or path.is_symlink()):
            continue
        path.unlink()
        folders.update(path.relative_to(output).parents)
    for folder in sorted(folders, key=lambda path: len(path.parts), reverse=True)[:-1]:
        with suppress(OSError):  # what is not empty stays
            (output / folder).rmdir()


def _made(journal: Journal) -> set[str]:
    """Return the files that a journal says its run made, by their paths under the output."""
    verified = journal.get("verified")
    made = set(map(str, verified)) if isinstance(verified, Mapping) else set()
    for record in journal.records():
        made |= {*map(str, record.labels), *([record.output] if record.output else [])}
    return made


def _prepare(output: Path, source: Path, journal: Journal) -> None:
    """Remove what a killed run left, and refuse folders that lead somewhere else.

    Raises:
        ConfigError: a folder in the output is a link.
    """
    for folder, folders, _ in os.walk(output):
        for name in folders:
            if Path(folder, name).is_symlink():
                raise ConfigError(
                    f"{Path(folder, name)}: is a link to a folder, which no run makes; remove it, "
                    f"or give another --output"
                )

    def belongs(name: str) -> bool:
        return (source / name).exists() or name in _made(journal)

    remove_leftovers(output, belongs)


def _note_problems(plan: Plan, journal: Journal, watch: JobWatcher) -> bool:
    """Keep the inputs that cannot even be read; return whether that changes the journal."""
    changed = journal.keep_problems(plan.problems)
    for record in plan.problems:
        watch.recorded(record)
    return changed


def _run(
    job: OpenJob,
    plan: Plan,
    journal: Journal,
    stop: threading.Event,
    watch: JobWatcher,
    drawing: threading.Event,
    notes: list[str],
    *,
    fail_fast: bool,
) -> None:
    """Run the plan's tasks and keep a record of each as it ends; what is said goes into notes.

    drawing: set once the first pictures are drawn.
    """
    config = job.config

    def say(line: str) -> None:
        notes.append(line)
        watch.said(line)

    def show(phase: Phase, detail: str) -> None:
        if phase == "drawing":
            drawing.set()
        watch.shown(phase, detail)

    asked = config.job.batch_size
    work = LocalWork(
        config,
        job.registry,
        job.dataset,
        job.writer,
        devices=find_devices(config.job.device),
        batch_size=journal.get("batch_size") if asked == "auto" else asked,
        model=journal.get("model"),
        stop=stop,
        say=say,
        show=show,
    )
    executor = job.registry.spec("executor", config.executor.name).build(
        config.executor.options, Runtime(input=config.job.input, output=config.job.output)
    )
    kept: dict[str, Any] = {}
    for record in published(config.job.output, executor.run(work, _until(stop, plan.tasks))):
        _keep_settings(record, journal, kept)
        journal.add(record)
        watch.recorded(record)
        if fail_fast and record.status == "failed" and not stop.is_set():
            stop.set()
            say("stopping at the first failure: finishing what is begun")


def _keep_settings(record: Record, journal: Journal, kept: dict[str, Any]) -> None:
    """Keep what a resumed run must share with this one and only the workers know."""
    model, size = (record.settings.get(name) for name in ("model_sha256", "batch_size"))
    # Where one of several workers had to go on with less, less is what fits.
    smallest = size and min(size, kept.get("batch_size", size))
    for key, value in (("batch_size", smallest), ("model", model)):
        if value is not None and kept.get(key) != value:
            kept[key] = value
            journal.keep(key, value)


def _until(stop: threading.Event, tasks: Iterable[Any]) -> Iterator[Any]:
    for task in tasks:
        if stop.is_set():
            return
        yield task


@contextmanager
def _first_interrupt_sets(
    events: Iterable[threading.Event], watch: JobWatcher
) -> Iterator[threading.Event]:
    """Let the first Ctrl-C set events, and the second one interrupt.

    Yields an event: until it is set, nothing is begun that could be finished, and the first one
    interrupts. SIGTERM and SIGHUP are as Ctrl-C.
    """
    begun = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield begun
        return

    def drain(number: int, frame: object) -> None:
        take_interrupts(signal.default_int_handler)
        if not begun.is_set():
            raise KeyboardInterrupt
        for event in events:
            event.set()
        watch.said("stopping: finishing what is begun; Ctrl-C again stops at once")

    give_back = take_interrupts(drain)
    try:
        yield begun
    finally:
        give_back()


def _finish(job: OpenJob, journal: Journal, *, changed: bool, stopped: bool) -> None:
    """Write samples.jsonl, the whole dataset's labels and the contact sheet; note what held."""
    output = job.config.job.output
    written = (output / FOLDER / SAMPLES).is_file()
    if not changed and written and journal.get("complete"):
        return
    journal.commit()
    counts = _write_samples(output / FOLDER / SAMPLES, journal)
    if stopped:
        return
    verified = job.writer.finish(job.dataset, journal.records())
    write_contact_sheet(job.dataset, _spread(journal), output, output / FOLDER / CONTACT_SHEET)
    journal.keep("verified", dict(verified))
    journal.keep("equal", counts["copied"] + _equal(job.dataset.annotation_files, verified))
    for name in (*_COUNTED[1:], "rendered"):
        journal.keep(name, counts[name])
    journal.keep("faults", list(label_faults(job, journal)))
    journal.keep("complete", value=True)


def _inexact(journal: Journal) -> Iterator[str]:
    """Yield how many instances the labels that were written hold badly."""
    shares = [share for record in journal.records() for share in record.label_iou.values()]
    poor = [share for share in shares if share < _POOR]
    if poor:
        several = "instance is" if len(poor) == 1 else "instances are"
        yield (
            f"{len(poor):,} {several} not held to the pixel, at worst with an IoU of "
            f"{min(poor):.2f} (label_iou in samples.jsonl); --writer coco or folder is exact"
        )


def _write_samples(path: Path, journal: Journal) -> Mapping[str, float]:
    """Write all records; return what is counted of those that are done.

    copied: label files, next to the pictures. instances, checked: as a record has them. retried,
    repaired: pictures that another attempt was made for, and that hold pixels of their render.
    overdone: pictures of which more would have to be restored than is allowed.
    rendered: share of all translated pictures that is the renders', each picture counting alike.
    """
    counts, repaired = Counter[str](), Repaired()
    with replacing(path) as temporary, temporary.open("w", encoding="utf-8") as stream:
        for record in journal.records():
            stream.write(line_of(record))
            counts["overdone"] += any(one.startswith(OVERDONE) for one in record.repairs)
            if record.status == "done":
                counts["copied"] += len(record.labels)
                counts["instances"] += sum(map(len, record.instances.values()))
                counts["checked"] += record.checked
                repaired = repaired.plus(record)
    counts["retried"], counts["repaired"] = repaired.retried, repaired.restored
    return {**{name: counts[name] for name in _COUNTED}, "rendered": round(repaired.rendered, 6)}


def _equal(sources: Iterable[Path], verified: Mapping[str, str]) -> int:
    """Return how many label files of the dataset have a copy with the same SHA-256."""
    return sum(sha256_file(source) in verified.values() for source in sources)


def _spread(journal: Journal) -> list[Record]:
    """Return some records that are done, evenly spread over all of them."""
    done = [(sample, variant) for sample, variant, status in journal.statuses() if status == "done"]
    step = max(1, len(done) / SHEET_ROWS)
    picked = [done[int(i * step)] for i in range(min(SHEET_ROWS, len(done)))]
    return [journal.record(*key) for key in picked]


def _tells_what_ran(config: Config) -> bool:
    """Return whether the output's run.yaml is there and still says what a resumed run shares."""
    path = config.job.output / FOLDER / RUN_FILE
    try:
        return identity_of(read_yaml(read_text(path), path.name)) == config.identity()
    except (OSError, UnicodeDecodeError, ConfigError):
        return False


def _write_run_file(config: Config) -> None:
    head = "# What ran. Again: sv2r convert --config run.yaml\n"
    path = config.job.output / FOLDER / RUN_FILE
    write_atomically(path, (head + write_yaml(config.as_data())).encode())
