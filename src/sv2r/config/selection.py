"""Selection of a dataset's samples for a job."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from fnmatch import fnmatchcase


def select(
    ids: Sequence[str], only: Sequence[str] = (), limit: int | None = None
) -> Iterator[tuple[int, str]]:
    """Yield the positions and ids of the first limit samples that match one of the patterns.

    only: patterns such as "train/*"; none: all. limit: None: no limit.
    """
    is_wanted = wanted_by(only)
    left = len(ids) if limit is None else limit
    for index, id_ in enumerate(ids):
        if left <= 0:
            return
        if is_wanted(id_):
            left -= 1
            yield index, id_


def wanted_by(only: Sequence[str]) -> Callable[[str], bool]:
    """Return what tells whether an id matches one of the patterns, or there is none."""
    exact, patterns = _split(only)

    def is_wanted(id_: str) -> bool:
        return not only or id_ in exact or any(fnmatchcase(id_, one) for one in patterns)

    return is_wanted


def _split(only: Sequence[str]) -> tuple[frozenset[str], list[str]]:
    """Return what names one sample, and what are patterns: a list of names may be long."""
    patterns = [pattern for pattern in only if set(pattern) & set("*?[")]
    return frozenset(only).difference(patterns), patterns
