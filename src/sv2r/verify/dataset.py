"""Checks a finished dataset from its files alone: nothing missing, extra or changed."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Any

from sv2r.config.layers import Layer
from sv2r.config.resolve import resolve
from sv2r.errors import ConfigError, SampleError
from sv2r.job.rebuild import rebuild
from sv2r.output.attempts import ATTEMPTS
from sv2r.output.contact_sheet import CONTACT_SHEET
from sv2r.output.finished import (
    REPORT,
    RUN_FILE,
    SAMPLES,
    Finished,
    open_dataset,
    open_finished,
    selected_ids,
)
from sv2r.output.journal import FOLDER, JOURNAL
from sv2r.output.publishing import opened_output
from sv2r.output.repaired import Repaired
from sv2r.plugin.registry import Registry, load_registry
from sv2r.storage.files import TEMPORARY
from sv2r.storage.others import PARTS
from sv2r.types import Record
from sv2r.verify.findings import Fault
from sv2r.verify.labels import Compared, as_recorded, open_labels
from sv2r.verify.pictures import Inputs, look_at_record
from sv2r.verify.records import (
    Records,
    against_settings,
    forget,
    no_run_at_work,
    open_records,
    rebuild_journal,
)
from sv2r.verify.scores import ScoredPart, read_part
from sv2r.worker.threads import in_threads

# What a job and its fixing leave in their own folder.
_OWN = {
    *(JOURNAL, f"{JOURNAL}-wal", f"{JOURNAL}-shm", f"damaged-{JOURNAL}", "lock"),
    *(SAMPLES, RUN_FILE, REPORT, CONTACT_SHEET),
}


@dataclass(frozen=True)
class Verification:
    """What the check of a finished dataset found.

    pictures: that their records call done. rejected, failed: records of pictures that were not
    published. labels: label files with the bytes that they should have. labels_how: what
    they were compared with. scored: pictures that the checks saw again.
    findings: what is wrong. notes: what could not be looked at, and why. fixed: what --fix did.
    repaired: what the records say of pictures that are not as the model first made them.
    """

    output: Path
    pictures: int
    rejected: int
    failed: int
    labels: int
    labels_how: str
    scored: int
    findings: tuple[Fault, ...] = ()
    notes: tuple[str, ...] = ()
    fixed: tuple[str, ...] = ()
    repaired: Repaired = field(default_factory=Repaired, compare=False)

    @property
    def exit_code(self) -> int:
        """Return 0 where all is as it should be, else 1."""
        return 1 if self.findings else 0


def verify(
    output: str | Path,
    *,
    sample: str = "5%",
    source: str | Path | None = None,
    fix: bool = False,
    registry: Registry | None = None,
    watch: Callable[[int, int], None] | None = None,
) -> Verification:
    """Return what is wrong with a finished dataset; what `sv2r verify` does.

    sample: how many pictures the checks see again, as a share ("5%") or a number.
    source: the input, where it no longer lies where run.yaml says.
    fix: rebuild a damaged journal from samples.jsonl, and note pictures that are missing or
        changed as failed, so that the next run makes them again. Otherwise nothing is written.
    watch: called now and then with the records looked at, and how many there are.

    Raises:
        ConfigError: the folder is not an output of sv2r, a run writes to it, it has no records, or
            source cannot be opened.
    """
    part, registry = read_part(sample), registry or load_registry()
    # Where the journal is damaged too, neither could be fixed before the other.
    finished = open_finished(opened_output(Path(output)), lenient=fix)
    with no_run_at_work(finished):
        records = open_records(finished)
        where = Path(source) if source else None
        found = _look(finished, records, registry, part, where, watch)
    if not fix or not found.findings:
        return found
    return _fix(finished, records, registry, found)


def _look(
    finished: Finished,
    records: Records,
    registry: Registry,
    part: ScoredPart,
    source: Path | None,
    watch: Callable[[int, int], None] | None,
) -> Verification:
    """Return what a look at every record, and then at every file, finds."""
    notes: list[str] = []
    counts, repaired = Counter[str](), Repaired()
    for record in records.read():
        counts[record.status] += 1
        repaired = repaired.plus(record)
    total = counts.total()
    inputs = _open_inputs(finished, registry, source, notes)
    wanted = part.of(counts["done"]) if inputs.dataset else 0
    if wanted:
        inputs = replace(inputs, checks=rebuild(finished, registry, "checks", notes))
    whole = _whole_labels(inputs, records, notes)
    settings = against_settings(finished, records)
    findings = [*records.findings, *settings, *whole.findings]
    explained, labels, scored = set(whole.places), whole.equal, 0
    others: Counter[str] = Counter()
    chosen = _with_turn(records.read(), wanted, counts["done"])
    for number, looked in enumerate(in_threads(partial(look_at_record, inputs), chosen), 1):
        findings += looked.findings
        explained |= looked.places
        labels += looked.labels
        scored += looked.scored
        others.update(looked.others)
        if watch and (number % 50 == 0 or number == total):
            watch(number, total)
    findings += _not_recorded(inputs, finished, records)
    findings += _unexplained(finished.output, explained, inputs)
    notes += [
        f"{name}: another version of the check scored {count} of the {scored} pictures that were "
        "scored again; those scores were not compared"
        for name, count in sorted(others.items())
    ]
    return Verification(
        finished.output,
        counts["done"],
        counts["rejected"],
        counts["failed"],
        labels,
        inputs.labels.how if inputs.labels else "as the run noted them",
        scored,
        tuple(sorted(set(findings), key=_order)),
        tuple(notes),
        repaired=repaired,
    )


def _open_inputs(
    finished: Finished, registry: Registry, source: Path | None, notes: list[str]
) -> Inputs:
    """Return the input as far as it is there; notes gets a line for what is not."""
    try:
        dataset = open_dataset(finished, registry, source)
    except (ConfigError, SampleError) as error:
        if source is not None:
            raise ConfigError(str(error)) from None
        notes.append(f"labels, sizes and files without a record were not looked at: {error}")
        return Inputs(finished.output, None, None)
    places = {id_: index for index, id_ in enumerate(dataset.ids)}
    kept = "keep" in (finished.section("damage").get("steps") or ())
    try:
        labels = open_labels(finished, dataset, registry)
    except ConfigError as error:
        notes.append(f"label files were not compared with the input: {error}")
        return Inputs(finished.output, dataset, None, places, kept=kept)
    return Inputs(finished.output, dataset, labels, places, kept=kept)


def _whole_labels(inputs: Inputs, records: Records, notes: list[str]) -> Compared:
    """Return how the whole dataset's label files compare with the input, or with the record."""
    if records.verified is None:
        notes.append("what the run noted of the label files is not known without its journal")
    noted = as_recorded(inputs.output, records.verified or {})
    if inputs.labels is None:
        return noted
    now = inputs.labels.of_dataset(records.read)
    gone = {finding.path for finding in noted.findings if finding.kind == "missing"}
    own = [finding for finding in now.findings if finding.path not in gone]
    named = {finding.path for finding in own}
    more = [finding for finding in noted.findings if finding.path not in named]
    return Compared(now.places | noted.places, now.equal, (*own, *more))


def _with_turn(records: Iterator[Record], wanted: int, total: int) -> Iterator[tuple[Record, bool]]:
    """Yield each record, and whether it is among the wanted ones, evenly spread over those done."""
    seen = 0
    for record in records:
        turn = False
        if record.status == "done":
            turn = (seen + 1) * wanted // total > seen * wanted // total
            seen += 1
        yield record, turn


def _not_recorded(inputs: Inputs, finished: Finished, records: Records) -> Iterator[Fault]:
    """Yield the samples that the last run was asked for and that have no record."""
    if inputs.dataset is None:
        return
    variants = finished.settings.get("variants")
    have = {(r.sample, r.variant) for r in records.read()}
    for id_ in selected_ids(finished, inputs.dataset):
        for variant in range(variants if isinstance(variants, int) else 1):
            # An input that failed before it became a task has a variant below 0.
            if (id_, variant) not in have and (id_, -1) not in have:
                name = f"{id_} (variant {variant})" if variant else id_
                text = "no record of it; run the same command again: it does what is missing"
                yield Fault("missing", name, text)


def _unexplained(output: Path, explained: set[str], inputs: Inputs) -> Iterator[Fault]:
    """Yield what no record and no label explains; without labels, leftovers and strays alone."""
    strict = inputs.dataset is not None and inputs.labels is not None
    known = {str(parent) for place in explained for parent in PurePosixPath(place).parents}
    places = explained | known  # what a picture lies in is a folder, or a shard
    for folder, folders, names in os.walk(output):
        here = Path(folder).relative_to(output)
        for name in names:
            if text := _extra(here / name, places, strict=strict):
                yield Fault("extra", (here / name).as_posix(), text)
        for name in folders:
            if (output / here / name).is_symlink() and str(here / name) not in known:
                text = "a link to a folder, which no run makes; delete it"
                yield Fault("extra", (here / name).as_posix(), text)
        if not names and not folders and here.as_posix() not in {*known, *explained, "."}:
            yield Fault("extra", here.as_posix(), "an empty folder; delete it")


def _extra(place: Path, explained: set[str], *, strict: bool) -> str | None:
    """Return why a file has no place in an output, or None."""
    if place.name.startswith(TEMPORARY) and place.as_posix() not in explained:
        return "left over from a killed run; delete it"
    if place.parts[0] == FOLDER:
        own = (len(place.parts) == 2 and place.name in _OWN) or place.parts[1] in (PARTS, ATTEMPTS)
        return None if own else "none of the job's own files; move it out of the output folder"
    if strict and place.as_posix() not in explained:
        return "no record and no label explains it; move it out of the output folder"
    return None


def _fix(
    finished: Finished, records: Records, registry: Registry, found: Verification
) -> Verification:
    """Make it possible for the next run to fix what was found; say what was done."""
    fixed = []
    if records.damaged:
        left = sum(1 for _ in records.read())
        kept = rebuild_journal(finished, records, _identity(finished, registry))
        aside = f"; the damaged one is {kept}" if kept else ""
        whole = f"the {left:,} record{'s' if left != 1 else ''} that samples.jsonl has"
        fixed.append(f"the journal is rebuilt from {whole}{aside}")
    again = {
        (f.sample, f.variant): f"{f.path}: {f.message.partition(';')[0]}"
        for f in found.findings
        if f.sample is not None
    }
    forget(finished.output, again)
    if again:
        count = f"{len(again):,} picture{'s' if len(again) > 1 else ''}"
        fixed.append(f"{count} will be made again")
    # A copied output's run.yaml still names the folder that it was made in.
    place = f"--config {finished.folder / 'run.yaml'} --output {finished.output}"
    sound = all(finding.path != f"{FOLDER}/{RUN_FILE}" for finding in found.findings)
    fixed.append(f"now run: {f'sv2r convert {place}' if sound else 'the sv2r convert of before'}")
    return replace(found, fixed=tuple(fixed))


def _identity(finished: Finished, registry: Registry) -> dict[str, Any] | None:
    """Return what run.yaml says that a resumed run must share with this one, if it still can."""
    try:
        return resolve(registry, [Layer("run.yaml", finished.settings)]).identity()
    except ConfigError:
        return None


def _order(finding: Fault) -> tuple[bool, str, str, str]:
    # A damaged journal explains what is said of a thousand pictures, and stands before it.
    own = finding.path.startswith(f"{FOLDER}/")
    return not own, finding.path, finding.kind, finding.message
