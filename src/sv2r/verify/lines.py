"""Prints what a verification found."""

from __future__ import annotations

from collections.abc import Iterator

from sv2r.verify.dataset import Verification

# How many findings are printed; --json lists all.
_SHOWN = 40


def verify_lines(found: Verification) -> Iterator[str]:
    """Yield what was found, by path, and one line on the whole."""
    for finding in found.findings[:_SHOWN]:
        yield str(finding)
    if (more := len(found.findings) - _SHOWN) > 0:
        yield f"{'':<11} and {more:,} more; --json lists all"
    for note in found.notes:
        yield f"{'note':<11} {note}"
    if found.repaired.words:
        yield f"{'repairs':<11} {found.repaired.words}"
    if not found.fixed and any(finding.kind != "extra" for finding in found.findings):
        yield f"{'fix':<11} sv2r verify {found.output} --fix, then the same sv2r convert again"
    for line in found.fixed:
        yield f"{'fixed':<11} {line}"
    seen = [
        f"{_count(found.pictures, 'picture')} looked at",
        f"{_count(found.labels, 'label file')} {found.labels_how}",
        f"{found.scored:,} scored again",
    ]
    if left := found.rejected + found.failed:
        seen.append(f"{left:,} rejected or failed, as recorded")
    verdict = "clean" if not found.findings else f"{_count(len(found.findings), 'thing')} wrong"
    yield f"{verdict}: {' · '.join(seen)}"


def _count(number: int, what: str) -> str:
    return f"{number:,} {what}{'' if number == 1 else 's'}"
