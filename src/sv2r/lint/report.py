"""Checks a whole dataset."""

from __future__ import annotations

import posixpath
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import nullcontext
from dataclasses import dataclass, field
from functools import partial

from sv2r.images.picture_file import PICTURE_SUFFIXES
from sv2r.lint.advice import Advice, advise
from sv2r.lint.findings import SORTS, Finding, FindingKind, LintOptions, Severity
from sv2r.lint.look import look
from sv2r.lint.tally import SIDES, Tally
from sv2r.storage.others import find_others
from sv2r.types import Dataset
from sv2r.worker.threads import THREADS, in_threads, share_cores

EXAMPLES = 3
"""Findings of one kind that are kept unless all are asked for."""


@dataclass(frozen=True, slots=True)
class Category:
    """How often a category is there."""

    name: str
    instances: int
    pictures: int


@dataclass(frozen=True)
class Report:
    """What was seen of a dataset.

    total: its pictures; pictures: those looked at. counts: findings of each kind and severity, the
    worst kind first. findings: of these the first ones, or all, in the same order.
    categories: the most frequent first. sides: instances by the side of a square as large, in bins
    that part at SIDES, crowds left out. sizes: pictures by (height, width), the usual first.
    """

    total: int
    pictures: int
    instances: int
    counts: Mapping[tuple[FindingKind, Severity], int]
    findings: tuple[Finding, ...]
    categories: tuple[Category, ...]
    sides: tuple[int, ...]
    sizes: Mapping[tuple[int, int], int]
    advice: tuple[Advice, ...]

    @property
    def errors(self) -> int:
        """Return how many findings are errors."""
        return sum(n for (_, severity), n in self.counts.items() if severity == "error")

    @property
    def exit_code(self) -> int:
        """Return 1 where something is wrong, else 0."""
        return 1 if self.errors else 0


def lint(
    dataset: Dataset,
    options: LintOptions | None = None,
    *,
    limit: int | None = None,
    examples: int | None = EXAMPLES,
    watch: Callable[[int, int], None] | None = None,
) -> Report:
    """Return what there is to say of a dataset's labels; pictures are read in threads.

    limit: look at the first pictures alone. examples: findings of one kind to keep, None for all.
    watch: is told how many pictures have been looked at, of how many.
    """
    options = options or LintOptions.model_validate({})
    count = len(dataset.ids) if limit is None else min(limit, len(dataset.ids))
    tally, kept = Tally(dataset), _Kept(options.ignore, examples)
    kept.take(Finding("doubt", "error", None, None, doubt) for doubt in dataset.doubts)
    kept.take(
        Finding("input", "error", problem.id, None, problem.message) for problem in dataset.problems
    )
    torch_is_used = "unseen" not in options.ignore
    with share_cores(THREADS) if torch_is_used else nullcontext() as few_cores:
        looks = in_threads(partial(look, dataset, options), range(count), few_cores)
        for number, looked in enumerate(looks, start=1):
            kept.take(looked.findings)
            kept.take(tally.add(looked))
            if watch:
                watch(number, count)
    kept.take(tally.finish())
    kept.take(_unlisted(dataset))
    return Report(
        total=len(dataset.ids),
        pictures=count,
        instances=tally.instances.total(),
        counts=kept.counts(),
        findings=tuple(kept.findings()),
        categories=tuple(
            Category(name, number, tally.pictures_of[name])
            for name, number in tally.instances.most_common()
        ),
        sides=tuple(tally.sides[i] for i in range(len(SIDES) + 1)),
        sizes=dict(tally.sizes.most_common()),
        advice=tuple(advise(dataset, tally, options)),
    )


def _unlisted(dataset: Dataset) -> Iterator[Finding]:
    """Yield that pictures lie next to those that the dataset's label files list."""
    if not dataset.annotation_files:
        return
    folders = {posixpath.dirname(id_) for id_ in dataset.ids}
    found = [
        name
        for name in find_others(dataset).files
        if posixpath.splitext(name)[1].lower() in PICTURE_SUFFIXES
        and posixpath.dirname(name) in folders
    ]
    if found:
        what = f"{len(found):,} next to those that are listed, such as {found[0]}"
        yield Finding("unlisted", "remark", None, None, what)


@dataclass
class _Kept:
    """Findings by kind: all counted, the first ones kept."""

    ignored: tuple[str, ...]
    most: int | None
    _counts: Counter[tuple[FindingKind, Severity]] = field(default_factory=Counter)
    _findings: dict[tuple[FindingKind, Severity], list[Finding]] = field(default_factory=dict)

    def take(self, findings: Iterable[Finding]) -> None:
        for finding in findings:
            if finding.kind in self.ignored:
                continue
            key = finding.kind, finding.severity
            self._counts[key] += 1
            if self.most is None or self._counts[key] <= self.most:
                self._findings.setdefault(key, []).append(finding)

    def counts(self) -> dict[tuple[FindingKind, Severity], int]:
        return {key: self._counts[key] for key in self._keys()}

    def findings(self) -> Iterator[Finding]:
        for key in self._keys():
            yield from self._findings[key]

    def _keys(self) -> list[tuple[FindingKind, Severity]]:
        kinds = list(SORTS)
        return sorted(self._counts, key=lambda key: (key[1] != "error", kinds.index(key[0])))
