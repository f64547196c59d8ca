"""Finds out, before a job begins, whether its pictures have labels to check against."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from sv2r.config.resolve import Config
from sv2r.config.selection import select
from sv2r.errors import ConfigError, SampleError
from sv2r.types import Dataset

# Pictures that are looked at, and where none of these has an instance.
_SOME, _MORE = 50, 500
# The share of instances that must have a pixel.
_ENOUGH = 0.5


@dataclass
class _Seen:
    """What the labels of some pictures hold. bare: an instance without a pixel, and its picture."""

    pictures: int = 0
    instances: int = 0
    drawn: int = 0
    first: str = ""
    bare: str = ""


def check_labelled(config: Config, dataset: Dataset) -> None:
    """Raise ConfigError where no instance, or few of them, has a pixel: nothing would be checked.

    Pictures whose labels cannot be read are skipped here: each fails later, with its reason.
    """
    if config.job.allow_unlabelled:
        return
    chosen = [i for i, _ in select(dataset.ids, config.job.only, config.job.limit)]
    seen = _look(dataset, _spread(chosen, _SOME))
    if seen.pictures and not seen.instances:
        seen = _look(dataset, _spread(chosen, _MORE))
    if seen.pictures and seen.drawn < max(1, _ENOUGH * seen.instances):
        raise ConfigError(f"{_told(seen)}; sv2r lint says more; --allow-unlabelled converts anyway")


def _spread(items: list[int], most: int) -> Iterable[int]:
    """Return no more than so many items, evenly spread."""
    count = min(most, len(items))
    return (items[i * len(items) // count] for i in range(count))


def _look(dataset: Dataset, indices: Iterable[int]) -> _Seen:
    seen = _Seen()
    for index in indices:
        id_ = dataset.ids[index]
        try:
            areas = dataset.samples[index].load_instances().areas()
        except SampleError:
            continue
        seen.pictures += 1
        seen.first = seen.first or id_
        seen.instances += len(areas)
        seen.drawn += sum(area > 0 for area in areas.values())
        bare = next((key for key, area in areas.items() if not area), None)
        if bare is not None and not seen.bare:
            seen.bare = f"instance {bare} of {id_}"
    return seen


def _told(seen: _Seen) -> str:
    looked = f"{seen.pictures:,} picture{'' if seen.pictures == 1 else 's'} looked at"
    if not seen.instances:
        return f"nothing is labelled: no instance in the {looked}, such as {seen.first}"
    few = f"only {seen.drawn:,}" if seen.drawn else "none"
    verb = "has" if seen.drawn < 2 else "have"
    return (
        f"{few} of {seen.instances:,} instances in the {looked} {verb} a pixel "
        f"(none: {seen.bare}), so that little could be checked"
    )
