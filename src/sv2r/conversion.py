"""A whole conversion: the job, and the page that shows what became of it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from sv2r.config.resolve import Config
from sv2r.devices import settle_waiting
from sv2r.job.open import as_config, open_job
from sv2r.job.run import JobWatcher, run_job
from sv2r.job.summary import Summary
from sv2r.output.finished import REPORT, SAMPLES
from sv2r.output.journal import FOLDER
from sv2r.output.publishing import bring_back, upload
from sv2r.plugin.registry import Registry, load_registry

# A page of more pictures takes memory and minutes that a job should not: `sv2r report` writes it.
LARGEST_REPORT = 20_000


def convert(
    config: Config | Mapping[str, Any] | str | Path,
    *,
    overwrite: bool = False,
    fail_fast: bool = False,
    report: bool = True,
    registry: Registry | None = None,
    watch: JobWatcher | None = None,
) -> Summary:
    """Run a job to its end and return how it ended; what `sv2r convert` does.

    config: resolved, or a mapping as it stands in YAML, or the path of a YAML file.
    overwrite: forget an earlier run into the same folder. fail_fast: stop after the first failure.
    report: write the page of all pictures, unless they are more than LARGEST_REPORT.
    registry: the plugins; those that are installed if left out. watch: is told what happens.

    Raises:
        ConfigError: the job cannot start; nothing has been written.
        StorageError: the output takes no more bytes; what is there can be resumed.
    """
    settle_waiting()
    registry = registry or load_registry()
    job = open_job(as_config(config, registry), registry)
    output = job.config.job.output
    bring_back(output, watch.said if watch else None, own_alone=overwrite)
    summary = run_job(job, overwrite=overwrite, fail_fast=fail_fast, watch=watch)
    ended = summary.done + summary.rejected + summary.failed
    small = not summary.left and ended <= LARGEST_REPORT
    if report and small and _is_stale(summary.output / FOLDER):
        from sv2r.report.write import write_report

        write_report(summary.output, job.dataset)
    upload(output)
    return summary


def _is_stale(folder: Path) -> bool:
    """Return whether the records were written after the report, if there is one."""
    report = folder / REPORT
    if not report.exists():
        return True
    return report.stat().st_mtime_ns < (folder / SAMPLES).stat().st_mtime_ns
