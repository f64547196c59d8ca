"""What a job would do, without doing it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from typing import Any

from sv2r.config.resolve import Config
from sv2r.errors import SampleError
from sv2r.job.describe import header_lines
from sv2r.job.disk import free_bytes, guess_bytes
from sv2r.job.open import OpenJob, open_job
from sv2r.job.plan import Plan, check_strangers, make_plan
from sv2r.plugin.registry import Registry
from sv2r.storage.files import in_bytes
from sv2r.types import Record
from sv2r.worker.prompts import write_prompt
from sv2r.worker.seeds import picture_seed
from sv2r.worker.work import find_devices

# Samples whose labels are read to show what their prompts will be.
_EXAMPLES = 3


@dataclass(frozen=True)
class DryRun:
    """A plan in words.

    problems: inputs that are known to fail; an earlier run is not looked at.
    size: about how many bytes the pictures will take; 0: unknown. free: what the disk has.
    """

    lines: tuple[str, ...]
    config: Mapping[str, Any]
    pictures: int
    problems: tuple[Record, ...]
    prompts: Mapping[str, str]
    size: int
    free: int


def dry_run(config: Config, registry: Registry) -> DryRun:
    """Return what a job would do; no model is loaded and nothing is written.

    Raises:
        ConfigError: the job could not start.
    """
    if config.job.device != ("auto",):
        find_devices(config.job.device)
    check_strangers(config.job.output)
    job = open_job(config, registry)
    plan = make_plan(config, job.dataset, job.writer, None)
    prompts = dict(_prompts(job, plan))
    size, free = guess_bytes(job, plan), free_bytes(config.job.output)
    lines = [
        *header_lines(job, plan),
        *(f"{'prompt':<11} {id_}: {text}" for id_, text in prompts.items()),
        *(f"{'failed':<11} {record.error}" for record in plan.problems),
        *disk_lines(size, free, "guessed from the pictures' sizes"),
    ]
    return DryRun(
        tuple(lines), config.as_data(), len(plan.tasks), plan.problems, prompts, size, free
    )


def disk_lines(size: int, free: int, how: str) -> Iterator[str]:
    """Yield what the pictures will take on the disk, and a warning where it has less."""
    if size:
        told = f"about {in_bytes(size)} for the pictures, {how}; {in_bytes(free)} are free"
        yield f"{'disk':<11} {told}"
    if size > free:
        yield f"{'warning':<11} the disk has less room than the pictures will take"


def _prompts(job: OpenJob, plan: Plan) -> Iterator[tuple[str, str]]:
    if job.registry.spec("translator", job.config.translator.name).keeps:
        return
    for task in islice(plan.tasks, _EXAMPLES):
        id_ = job.dataset.ids[task.index]
        seed = picture_seed(job.config.job.seed, id_, task.variant)
        try:
            sample = job.dataset.samples[task.index]
            yield id_, write_prompt(job.config.prompt, sample, sample.load_instances(), seed).text
        except SampleError as error:
            yield id_, f"fails: {error}"
