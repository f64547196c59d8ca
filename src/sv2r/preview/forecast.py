"""Runs a few pictures of a job to tell what all of it will take."""

from __future__ import annotations

import glob
import os
import resource
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from sv2r.config.resolve import Chosen, Config
from sv2r.conversion import convert
from sv2r.errors import ConfigError
from sv2r.job.open import OpenJob, open_job
from sv2r.job.plan import Plan
from sv2r.job.run import JobWatcher
from sv2r.plugin.registry import Registry
from sv2r.plugin.specs import Phase
from sv2r.preview.choose import choose_samples
from sv2r.types import Record
from sv2r.worker.work import find_devices

TRIED = 8
"""Pictures that are made where nobody says how many."""
# Options that say how a picture is encoded, as most writers have them.
_ENCODING = {"format", "jpeg_quality", "png_level", "png_filter"}
# Seconds in which pictures come as one batch.
_BURST = 1.0


@dataclass(frozen=True)
class Forecast:
    """What some pictures of a job took.

    device: that made them. devices: how many the job will have. done, rejected, failed: what became
    of them. starting: seconds until the first one was begun. seconds: wall time between two
    pictures from then on, checks and writing included. size: bytes of a published picture, 0 where
    there is none. memory, memory_of: bytes at the peak, and what the device has; 0: unknown.
    """

    device: str
    devices: int
    done: int
    rejected: int
    failed: int
    starting: float
    seconds: float
    size: float
    memory: int
    memory_of: int

    def total_seconds(self, pictures: int) -> float:
        """Return how long a job of so many pictures will take."""
        return self.starting + self.seconds * pictures / self.devices


class _Clock:
    """A watcher that notes when things happened, and tells another one the rest."""

    def __init__(self, watch: JobWatcher | None) -> None:
        self._watch = watch
        self.begun = 0.0
        self.ended: list[float] = []

    def opened(self, job: OpenJob, plan: Plan) -> None:
        """Do nothing: what runs is told by the dry run itself."""

    def said(self, line: str) -> None:
        if self._watch is not None:
            self._watch.said(line)

    def recorded(self, record: Record) -> None:
        self.ended.append(time.monotonic())
        if record.error:
            self.said(f"{record.status:<11} {record.error}")

    def shown(self, phase: Phase, detail: str) -> None:
        if phase == "drawing" and not self.begun:
            self.begun = time.monotonic()
        if self._watch is not None:
            self._watch.shown(phase, detail)


def forecast(
    config: Config, registry: Registry, count: int = TRIED, watch: JobWatcher | None = None
) -> Forecast:
    """Make some of a job's pictures in a temporary folder, by the job's own code, on one device.

    count: how many, as different as they can be (see `choose_samples`).

    Raises:
        ConfigError: the job cannot start.
    """
    job = open_job(config, registry)
    chosen = choose_samples(job.dataset, count, config.job.only)
    if not chosen:
        raise ConfigError(f"{config.job.input}: has no picture to try")
    devices = find_devices(config.job.device)
    clock, since = _Clock(watch), time.monotonic()
    with tempfile.TemporaryDirectory(prefix="sv2r-try-") as folder:
        changes = {
            "output": Path(folder, "out"),
            "only": tuple(map(glob.escape, chosen)),
            "limit": None,
            "variants": 1,
            "device": devices[:1],
            "keep_attempts": 0,
        }
        own = replace(
            config,
            job=config.job.model_copy(update=changes),
            writer=_plain_writer(registry, config.writer),
        )
        _reset_peak(devices[0])
        summary = convert(own, report=False, registry=registry, watch=clock)
        sizes = [path.stat().st_size for path in Path(folder, "out/images").rglob("*.*")]
    memory, memory_of = _peak(devices[0])
    begun = clock.begun or since
    return Forecast(
        devices[0],
        len(devices),
        summary.done,
        summary.rejected,
        summary.failed,
        begun - since,
        _pace(begun, clock.ended),
        sum(sizes) / len(sizes) if sizes else 0.0,
        memory,
        memory_of,
    )


def _plain_writer(registry: Registry, asked: Chosen) -> Chosen:
    """Return a writer of pictures and masks alone, in the format of the one that is asked for.

    The mirror of a whole dataset would copy all of its label files for a few pictures.
    """
    options = registry.spec("writer", "folder").options
    given = asked.options.model_dump()
    shared = {name: given[name] for name in options.model_fields if name in _ENCODING & set(given)}
    return Chosen("writer", "folder", options.model_validate(shared))


def _pace(begun: float, ended: Sequence[float]) -> float:
    """Return the seconds between two pictures; the first batch, which warms up, counts if alone."""
    if not ended:
        return 0.0
    first = [when for when in ended if when - ended[0] < _BURST]
    later = len(ended) - len(first)
    return (ended[-1] - first[-1]) / later if later else (ended[-1] - begun) / len(ended)


def _reset_peak(device: str) -> None:
    if device.startswith("cuda"):
        import torch

        torch.cuda.reset_peak_memory_stats(device)


def _peak(device: str) -> tuple[int, int]:
    """Return how many bytes of a device's memory were in use at most, and how many it has."""
    if device.startswith("cuda"):
        import torch

        whole = torch.cuda.get_device_properties(device).total_memory
        return torch.cuda.max_memory_reserved(device), whole
    if not device.startswith("cpu"):
        return 0, 0
    unit = 1 if sys.platform == "darwin" else 1024
    pages = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit, pages
