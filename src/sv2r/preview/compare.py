"""Finished runs of one dataset side by side: by their figures, and where they differ most."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from sv2r.errors import ConfigError
from sv2r.output.finished import open_dataset, open_finished
from sv2r.plugin.registry import Registry
from sv2r.preview.run import Looks, SettingRow, lowest_in
from sv2r.preview.settings import Setting
from sv2r.types import Record


@dataclass(frozen=True)
class SideBySide:
    """Runs side by side. looks: the pictures in which they differ most. shared: those of all runs.

    better: by check, how many pictures each run has with the highest score of all; equal ones of
    several runs count for none.
    """

    looks: Looks
    shared: int
    better: Mapping[str, Sequence[int]]


def compare_runs(outputs: Sequence[Path], pictures: int, registry: Registry) -> SideBySide:
    """Return runs side by side.

    outputs: at least two, of the same dataset. pictures: how many are shown.

    Raises:
        ConfigError: one is no finished run, or they have no picture in common that is done.
    """
    finished = [open_finished(output) for output in outputs]
    records = [{one.sample: one for one in run.records()} for run in finished]
    names = _names(outputs)
    shared = [
        sample
        for sample in records[0]
        if all(sample in own and own[sample].status == "done" for own in records)
    ]
    if not shared:
        raise ConfigError(f"{' and '.join(map(str, outputs))}: no picture is done in all of them")
    scores = {sample: [lowest_in(own[sample]) for own in records] for sample in shared}
    shown = sorted(shared, key=lambda sample: -_spread(scores[sample]))[:pictures]
    rows = tuple(
        SettingRow(Setting((("run", name),)), output, _of(own, shared))
        for name, output, own in zip(names, outputs, records, strict=True)
    )
    dataset = open_dataset(finished[0], registry)
    looks = Looks(outputs[0].parent, dataset, tuple(shown), rows)
    return SideBySide(looks, len(shared), dict(_better(list(scores.values()))))


def _names(outputs: Sequence[Path]) -> list[str]:
    """Return what tells runs apart: the folders' names, or their paths where these are alike."""
    names = [output.name for output in outputs]
    return names if len(set(names)) == len(names) else [str(output) for output in outputs]


def _of(own: Mapping[str, Record], samples: Sequence[str]) -> dict[str, Record]:
    return {sample: own[sample] for sample in samples}


def _spread(scores: Sequence[Mapping[str, float]]) -> float:
    """Return how far a picture's scores differ between runs, by the check in which most."""
    checks = set.intersection(*(set(own) for own in scores))
    values = [[own[check] for own in scores] for check in checks]
    return max((max(found) - min(found) for found in values), default=0.0)


def _better(pictures: Sequence[Sequence[Mapping[str, float]]]) -> Iterator[tuple[str, list[int]]]:
    checks = {check for scores in pictures for own in scores for check in own}
    for check in sorted(checks):
        counts = [0] * len(pictures[0])
        for scores in pictures:
            values = [own.get(check) for own in scores]
            known = [value for value in values if value is not None]
            if len(known) == len(values) and values.count(max(known)) == 1:
                counts[values.index(max(known))] += 1
        yield check, counts
