"""Prints what lint found."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

from sv2r.lint.findings import SORTS, Finding
from sv2r.lint.report import Report
from sv2r.lint.tally import SIDES
from sv2r.types import Dataset

# Categories and picture sizes that are listed; --json lists all.
_LISTED = 20
_BAR = 24  # columns of the longest bar


def lint_lines(name: str, dataset: Dataset, report: Report) -> Iterator[str]:
    """Yield what was found as a person reads it, the worst first."""
    looked = _count(report.pictures, "picture")
    if report.pictures < report.total:
        looked = f"{report.pictures:,} of {_count(report.total, 'picture')}"
    categories = _count(len(report.categories), "category", "categories")
    yield f"{name} · {looked} · {_count(report.instances, 'instance')} · {categories}"
    yield from (f"  {note}" for note in dataset.notes)
    yield from _findings(report)
    yield from _categories(report)
    yield from _sizes(report)
    if report.advice:
        yield ""
        for advice in report.advice:
            yield f"try {advice.option}"
            yield f"    {advice.reason}"
    yield ""
    yield _verdict(report)


def _findings(report: Report) -> Iterator[str]:
    """Yield a line for each kind of finding, and its first ones below it."""
    for (kind, severity), count in report.counts.items():
        yield ""
        yield f"{severity:<7} {kind:<13} {count:>7,}  {SORTS[kind].title}"
        if SORTS[kind].fix:
            yield f"{'':<31}{SORTS[kind].fix}"
        shown = [f for f in report.findings if (f.kind, f.severity) == (kind, severity)]
        for finding in shown:
            yield f"        {_placed(finding)}"
        if count > len(shown):
            yield f"        and {count - len(shown):,} more; --all lists them"


def _placed(finding: Finding) -> str:
    """Return a finding as it stands below the fix of its kind."""
    fix = SORTS[finding.kind].fix
    return finding.message.removesuffix(f"; {fix}") if fix else finding.message


def _categories(report: Report) -> Iterator[str]:
    if not report.categories:
        return
    shown = report.categories[:_LISTED]
    width = min(40, max(len(name) for name in ("category", *(one.name for one in shown))))
    most = shown[0].instances
    yield ""
    yield f"{'category':<{width}}  instances  pictures"
    for one in shown:
        counts = f"{one.instances:>9,}  {one.pictures:>8,}"
        yield f"{_fitting(one.name, width):<{width}}  {counts}  {_bar(one.instances, most)}"
    if len(report.categories) > _LISTED:
        yield f"and {len(report.categories) - _LISTED:,} more; --json lists all"


def _sizes(report: Report) -> Iterator[str]:
    """Yield the histogram of the instances' sizes, and the pictures' own."""
    if any(report.sides):
        yield ""
        yield "size of an instance, as a square"
        for bounds, count in zip(size_bins(), report.sides, strict=True):
            yield f"{bounds:<12}  {count:>9,}  {_bar(count, max(report.sides))}"
    if report.sizes:
        sizes = [f"{w}×{h} ({n:,})" for (h, w), n in list(report.sizes.items())[:5]]
        more = f" and {len(report.sizes) - 5:,} more sizes" if len(report.sizes) > 5 else ""
        yield ""
        yield f"pictures  {', '.join(sizes)}{more}"


def size_bins() -> list[str]:
    """Return the bounds of the sizes that instances are counted by, in words."""
    between = [f"{low} to {high} px" for low, high in pairwise(SIDES)]
    return [f"under {SIDES[0]} px", *between, f"{SIDES[-1]} px, more"]


def _verdict(report: Report) -> str:
    remarks = sum(report.counts.values()) - report.errors
    if not report.errors:
        told = f"; {_count(remarks, 'remark')}" if remarks else ""
        return f"nothing is wrong{told}"
    return f"{_count(report.errors, 'error')}, {_count(remarks, 'remark')}"


def _bar(count: int, most: int) -> str:
    return "█" * -(-count * _BAR // most) if most else ""


def _fitting(name: str, width: int) -> str:
    return name if len(name) <= width else f"{name[: width - 1]}…"


def _count(number: int, one: str, many: str = "") -> str:
    return f"{number:,} {one if number == 1 else many or f'{one}s'}"
