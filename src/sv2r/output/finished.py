"""A finished output, read from its own files, and the dataset that it was made from."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sv2r.config.selection import select
from sv2r.errors import ConfigError
from sv2r.output.journal import FOLDER, JOURNAL
from sv2r.output.records import from_json
from sv2r.plugin.options import validate_options
from sv2r.plugin.registry import Kind, Registry
from sv2r.plugin.specs import Runtime
from sv2r.storage.paths import url_of
from sv2r.storage.regular import open_regular, read_text
from sv2r.storage.source import as_source
from sv2r.storage.strict_yaml import read_yaml
from sv2r.types import Dataset, Record

SAMPLES = "samples.jsonl"
RUN_FILE = "run.yaml"
REPORT = "report.html"
_AGAIN = "sv2r verify --fix, and then the same sv2r convert, write it anew"


@dataclass(frozen=True)
class Finished:
    """An output folder. settings: what its run.yaml says; empty where there is none."""

    output: Path
    settings: Mapping[str, Any]

    @property
    def folder(self) -> Path:
        """Return the folder of the job's own files."""
        return self.output / FOLDER

    def section(self, name: str) -> Mapping[str, Any]:
        """Return a section of run.yaml, empty where it is not a mapping."""
        values = self.settings.get(name)
        return values if isinstance(values, Mapping) else {}

    def records(self) -> Iterator[Record]:
        """Yield the records of samples.jsonl in its order: by sample id, then variant.

        Raises:
            ConfigError: the file is missing, or one of its lines is not a record.
        """
        yield from read_records(self.folder / SAMPLES, f"{FOLDER}/{SAMPLES}")


def open_finished(output: Path, *, lenient: bool = False) -> Finished:
    """Return what an earlier job left in a folder, or at a URL, where it is read in place.

    lenient: treat a run.yaml that cannot be read as empty.

    Raises:
        ConfigError: the folder is not an output of a job, or its run.yaml is not YAML.
    """
    output = as_source(output) if url_of(output) else output
    fix = "give the folder that --output named"
    if not output.is_dir():
        what = "is not a folder" if output.exists() else "no such folder"
        raise ConfigError(f"{output}: {what}; {fix}")
    folder = output / FOLDER
    if not any((folder / name).is_file() for name in (SAMPLES, JOURNAL)):
        if any((output / name).is_file() for name in (SAMPLES, JOURNAL)):
            fix = f"give the folder around it, {output.absolute().parent}"
        raise ConfigError(f"{output}: no output of sv2r (there is no {FOLDER}/{SAMPLES}); {fix}")
    run_file = folder / RUN_FILE
    if not run_file.is_file():
        return Finished(output, {})
    fix = "the same sv2r convert writes it anew"
    try:
        return Finished(output, read_yaml(read_text(run_file), str(run_file)))
    except (OSError, UnicodeDecodeError, ConfigError) as error:
        if lenient:
            return Finished(output, {})
        told = error if isinstance(error, ConfigError) else f"{run_file}: cannot be read ({error})"
        raise ConfigError(f"{told}; {fix}") from None


def open_dataset(finished: Finished, registry: Registry, source: Path | None = None) -> Dataset:
    """Return the dataset that an output was made from.

    source: where it is now; by default where run.yaml says.

    Raises:
        ConfigError: it is not there any more, or cannot be opened.
    """
    root = as_source(source or Path(str(finished.settings.get("input", ""))))
    if not finished.settings:
        raise ConfigError(f"there is no {FOLDER}/{RUN_FILE} that says what the input is")
    if not finished.settings.get("input") and source is None:
        raise ConfigError(f"{FOLDER}/{RUN_FILE} names no input; say where it is with --input")
    if not root.is_dir():
        raise ConfigError(f"the input {root} is not there; say where it is with --input")
    spec, options = chosen(finished, registry, "loader")
    loader = spec.build(options, Runtime(input=root, output=finished.output))
    dataset: Dataset = loader(root)
    return dataset


def chosen(finished: Finished, registry: Registry, kind: Kind) -> tuple[Any, Any]:
    """Return the spec and the options of the component that run.yaml names.

    Raises:
        ConfigError: no plugin has it, or it no longer has these options.
    """
    values = dict(finished.section(kind))
    name = str(values.pop("name", ""))
    spec = registry.spec(kind, name)
    return spec, validate_options(spec.options, values, where=f"{FOLDER}/{RUN_FILE}: {kind}")


def reader_of(finished: Finished, registry: Registry) -> tuple[str, Mapping[str, Any]]:
    """Return the loader that reads what an output's writer wrote, and its options.

    Raises:
        ConfigError: as `chosen`.
    """
    spec, options = chosen(finished, registry, "writer")
    own = dict(finished.section("loader"))
    default = str(own.pop("name", "")), own
    return spec.reader(options) or default


def selected_ids(finished: Finished, dataset: Dataset) -> Iterator[str]:
    """Yield the ids of the samples that the last run was asked for, as run.yaml tells."""
    patterns, limit = finished.settings.get("only") or (), finished.settings.get("limit")
    only = tuple(map(str, patterns))
    chosen = select(dataset.ids, only, limit if isinstance(limit, int) else None)
    return (id_ for _, id_ in chosen)


def read_records(path: Path, name: str) -> Iterator[Record]:
    """Yield the records of a samples.jsonl; name is what errors call it.

    Raises:
        ConfigError: it cannot be read, or a line of it is not a record.
    """
    try:
        with open_regular(path) as stream:
            for number, line in enumerate(stream, 1):
                try:
                    yield from_json(line.decode())
                except ValueError as error:
                    what = f"{name} line {number} is not a record ({error})"
                    raise ConfigError(f"{what}; {_AGAIN}") from None
    except FileNotFoundError:
        raise ConfigError(f"{name} is missing; {_AGAIN}") from None
    except OSError as error:
        raise ConfigError(f"{name} cannot be read ({error}); {_AGAIN}") from None
