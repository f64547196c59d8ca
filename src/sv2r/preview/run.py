"""Runs the same few pictures under every setting, each as a job of its own, and shows them."""

from __future__ import annotations

import glob
import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from sv2r.config.resolve import Config
from sv2r.conversion import convert
from sv2r.errors import ConfigError
from sv2r.job.open import open_job
from sv2r.job.run import JobWatcher
from sv2r.output.journal import Journal
from sv2r.plugin.registry import Registry
from sv2r.preview.choose import choose_samples
from sv2r.preview.settings import Setting
from sv2r.storage.remote import WorkFolder
from sv2r.types import Dataset, Record

SETTINGS = "settings"
"""The folder of the jobs, one for each setting, in the folder of a preview."""


@dataclass(frozen=True)
class SettingRow:
    """What came of one setting.

    folder: its job's output. records: by sample, one for each picture that was asked for.
    """

    setting: Setting
    folder: Path
    records: Mapping[str, Record]

    @property
    def seconds(self) -> float | None:
        """Return the usual time of a picture, loading left out."""
        times = [record.seconds for record in self.records.values() if record.seconds]
        return statistics.median(times) if times else None

    @property
    def damaged(self) -> int:
        """Return how many instances checks call damaged, in all pictures."""
        return sum(map(damaged_in, self.records.values()))

    @property
    def instances(self) -> int:
        """Return how many instances the pictures that were made have."""
        done = [record for record in self.records.values() if record.status == "done"]
        return sum(len(ids) for record in done for ids in record.instances.values())

    @property
    def lowest(self) -> Mapping[str, float]:
        """Return the lowest score of an instance by check, for checks that score instances."""
        found: dict[str, float] = {}
        for record in self.records.values():
            for check, score in lowest_in(record).items():
                found[check] = min(score, found.get(check, score))
        return found


@dataclass(frozen=True)
class Looks:
    """A preview that has run. samples: ids of the pictures, in the order of the columns."""

    folder: Path
    dataset: Dataset
    samples: tuple[str, ...]
    rows: tuple[SettingRow, ...]


def run_preview(
    folder: Path,
    configs: Iterable[tuple[Setting, Config]],
    *,
    pictures: int,
    registry: Registry,
    watch: JobWatcher | None = None,
) -> Looks:
    """Make the pictures of a preview; what an earlier run of it made is not made again.

    folder: for everything that is written. configs: one for each setting; their outputs are not
        used. pictures: how many samples to choose.

    Raises:
        ConfigError: a setting cannot run, or the dataset has no picture to choose.
    """
    if isinstance(folder, WorkFolder):
        raise ConfigError(f"--output {folder.url}: a preview is looked at; give a folder")
    settings = list(configs)
    # All of them are checked before the first one runs.
    job, *_ = [open_job(_under(config, folder, one, ()), registry) for one, config in settings]
    samples = tuple(choose_samples(job.dataset, pictures, job.config.job.only))
    if not samples:
        raise ConfigError(f"{job.dataset.root}: has no picture to show")
    rows = []
    for setting, config in settings:
        own = _under(config, folder, setting, samples)
        if watch is not None:
            watch.said(f"{'setting':<11} {setting.title}")
        convert(own, report=False, registry=registry, watch=watch)
        with Journal(own.job.output) as journal:  # samples.jsonl does not say how long they took
            records = {one.sample: one for one in journal.records()}
        rows.append(SettingRow(setting, own.job.output, records))
    return Looks(folder, job.dataset, samples, tuple(rows))


def _under(config: Config, folder: Path, setting: Setting, samples: Sequence[str]) -> Config:
    """Return a setting's own job: these samples alone, one variant, in a folder of its own."""
    changes: dict[str, Any] = {"output": folder / SETTINGS / setting.folder, "variants": 1}
    if samples:
        changes |= {"only": tuple(map(glob.escape, samples)), "limit": None}
    return replace(config, job=config.job.model_copy(update=changes))


def lowest_in(record: Record) -> dict[str, float]:
    """Return the lowest score that each check gives an instance under its own name."""
    found = {}
    for check, scores in record.scores.items():
        own = [one[check] for one in scores["instances"].values() if check in one]
        if own:
            found[check] = min(own)
    return found


def damaged_in(record: Record) -> int:
    """Return how many instances the check that finds most calls damaged."""
    return int(max((s["picture"].get("damaged", 0) for s in record.scores.values()), default=0))
