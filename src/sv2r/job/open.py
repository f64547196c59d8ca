"""Opens a job: reads its dataset and checks the options against it; nothing runs yet."""

from __future__ import annotations

import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Any

from sv2r.config.layers import Layer, read_layers
from sv2r.config.resolve import Config, resolve
from sv2r.config.selection import select
from sv2r.errors import ConfigError, SampleError
from sv2r.job.kept_labels import KeptLabels
from sv2r.job.labelled import check_labelled
from sv2r.job.plan import (
    check_controls,
    check_folders,
    check_selection,
    check_space,
    known_sizes,
)
from sv2r.plugin.registry import Registry
from sv2r.plugin.specs import Prepares, Runtime, Writer
from sv2r.types import Dataset, Sample
from sv2r.worker.prompts import check_template

# How many samples are looked at for their size before anything is read.
_LOOKED_AT = 1000


@dataclass(frozen=True)
class OpenJob:
    """A config whose dataset is open and whose options have been checked against it.

    remarks: what the writer says of the dataset, one line each.
    since: when opening it began, by `time.monotonic`.
    """

    config: Config
    registry: Registry
    dataset: Dataset
    writer: Writer
    since: float
    remarks: tuple[str, ...] = ()


def as_config(config: Config | Mapping[str, Any] | str | Path, registry: Registry) -> Config:
    """Return a resolved config from any form that `convert` takes."""
    if isinstance(config, Config):
        return config
    if isinstance(config, Mapping):
        return resolve(registry, [Layer("config", config)])
    return resolve(registry, read_layers(registry, files=[Path(config)]))


def open_job(config: Config, registry: Registry) -> OpenJob:
    """Return the job with its dataset open; refuse one that cannot work.

    No model is loaded and nothing is written.

    Raises:
        ConfigError: the first mistake, in one line.
    """
    since = time.monotonic()
    check_folders(config.job.input, config.job.output)
    check_controls(config, registry)
    writer_spec = registry.spec("writer", config.writer.name)
    if config.job.variants > 1 and not writer_spec.variants:
        *some, last = [e.name for e in registry.of_kind("writer") if e.value.variants]
        fix = f"choose --writer {', '.join(some)} or {last}"
        raise ConfigError(f"the {config.writer.name} writer holds one picture per source; {fix}")
    runtime = Runtime(input=config.job.input, output=config.job.output)
    loader = registry.spec("loader", config.loader.name).build(config.loader.options, runtime)
    opened = loader(config.job.input)
    dataset = replace(opened, samples=KeptLabels(opened.samples))
    if getattr(config.writer.options, "mix", None):
        _check_mixing(config, registry)
    writer = writer_spec.build(config.writer.options, runtime)
    job = OpenJob(config, registry, dataset, writer, since)
    _check_samples(job)
    remarks = tuple(writer.prepare(dataset)) if isinstance(writer, Prepares) else ()
    return replace(job, remarks=remarks)


def _check_mixing(config: Config, registry: Registry) -> None:
    """Raise ConfigError where there is nothing that source pictures could be mixed with."""
    if registry.spec("translator", config.translator.name).keeps:
        what = "adds source pictures to those that a job translates, and this one translates none"
        raise ConfigError(f"--writer.mix {what}; give it to sv2r convert")


def _check_samples(job: OpenJob) -> None:
    """Check the options against what is known of the samples before any is read."""
    config, dataset = job.config, job.dataset
    wanted = select(dataset.ids, config.job.only, config.job.limit)
    first = [index for index, _ in islice(wanted, _LOOKED_AT)]
    sizes = known_sizes(dataset, first)
    translator = job.registry.spec("translator", config.translator.name)
    translator.preflight(config.translator.options, sizes)
    check_selection(config, dataset)
    check_space(config.job.output, max(sizes, default=(1, 1)))
    check_labelled(config, dataset)
    if first:
        with suppress(SampleError):  # it fails by itself, with its reason, when it is read
            sample = dataset.samples[first[0]]
            check_template(config.prompt, sample.attributes)
            _check_conditioners(job, sample)


def _check_conditioners(job: OpenJob, sample: Sample) -> None:
    for chosen in job.config.conditioners:
        spec = job.registry.spec("conditioner", chosen.name)
        if objection := spec.objection(chosen.options, sample):
            raise ConfigError(objection)
