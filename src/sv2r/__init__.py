"""sv2r: a labelled synthetic dataset in, the same dataset with realistic pictures out.

These are the names that a plugin author and a caller from Python import. They are looked up when
they are first used, so that ``import sv2r`` stays light.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pydantic import Field as Field

    from sv2r.conversion import convert as convert
    from sv2r.errors import ConfigError as ConfigError
    from sv2r.errors import SampleError as SampleError
    from sv2r.errors import Sv2rError as Sv2rError
    from sv2r.job.summary import Summary as Summary
    from sv2r.plugin.hookspecs import hookimpl as hookimpl
    from sv2r.plugin.options import Options as Options
    from sv2r.plugin.specs import Check as Check
    from sv2r.plugin.specs import CheckSpec as CheckSpec
    from sv2r.plugin.specs import Conditioner as Conditioner
    from sv2r.plugin.specs import ConditionerSpec as ConditionerSpec
    from sv2r.plugin.specs import Executor as Executor
    from sv2r.plugin.specs import ExecutorSpec as ExecutorSpec
    from sv2r.plugin.specs import Loader as Loader
    from sv2r.plugin.specs import LoaderSpec as LoaderSpec
    from sv2r.plugin.specs import Runtime as Runtime
    from sv2r.plugin.specs import Trainer as Trainer
    from sv2r.plugin.specs import TrainerSpec as TrainerSpec
    from sv2r.plugin.specs import Training as Training
    from sv2r.plugin.specs import Translator as Translator
    from sv2r.plugin.specs import TranslatorSpec as TranslatorSpec
    from sv2r.plugin.specs import Writer as Writer
    from sv2r.plugin.specs import WriterSpec as WriterSpec
    from sv2r.results import open_results as open  # noqa: A004, F401
    from sv2r.storage.files import copy_atomically as copy_atomically
    from sv2r.storage.files import write_atomically as write_atomically
    from sv2r.types import Batch as Batch
    from sv2r.types import CheckResult as CheckResult
    from sv2r.types import ControlMap as ControlMap
    from sv2r.types import Dataset as Dataset
    from sv2r.types import Frame as Frame
    from sv2r.types import Instance as Instance
    from sv2r.types import Instances as Instances
    from sv2r.types import Match as Match
    from sv2r.types import Problem as Problem
    from sv2r.types import Published as Published
    from sv2r.types import Record as Record
    from sv2r.types import Refusal as Refusal
    from sv2r.types import Sample as Sample
    from sv2r.types import Task as Task

_HOMES = {
    "pydantic": ("Field",),
    "sv2r.errors": ("ConfigError", "SampleError", "Sv2rError"),
    "sv2r.storage.files": ("copy_atomically", "write_atomically"),
    "sv2r.conversion": ("convert",),
    "sv2r.job.summary": ("Summary",),
    "sv2r.plugin.hookspecs": ("hookimpl",),
    "sv2r.plugin.options": ("Options",),
    "sv2r.plugin.specs": (
        *("Check", "CheckSpec", "Conditioner", "ConditionerSpec", "Executor", "ExecutorSpec"),
        *("Loader", "LoaderSpec", "Runtime", "Translator", "TranslatorSpec"),
        *("Writer", "WriterSpec", "Trainer", "TrainerSpec", "Training"),
    ),
    "sv2r.types": (
        *("Batch", "CheckResult", "ControlMap", "Dataset", "Frame", "Instance", "Instances"),
        *("Match", "Problem", "Published", "Record", "Refusal", "Sample", "Task"),
    ),
}
_HOME_OF = {name: home for home, names in _HOMES.items() for name in names}
# Public names that their module knows by another: `open` would hide Python's own there.
_RENAMED = {"open": ("sv2r.results", "open_results")}
__all__ = sorted([*_HOME_OF, *_RENAMED])  # noqa: PLE0605


def __dir__() -> list[str]:
    """Return the public names, for help and completion."""
    return [*__all__, "__version__"]


def __getattr__(name: str) -> Any:
    """Return a public name, importing its module at first use (PEP 562)."""
    if name == "__version__":
        from importlib.metadata import version

        return version("sv2r")
    if name not in __all__:
        raise AttributeError(f"module 'sv2r' has no attribute {name!r}")
    from importlib import import_module

    home, inner = _RENAMED.get(name, (_HOME_OF.get(name, ""), name))
    return getattr(import_module(home), inner)
