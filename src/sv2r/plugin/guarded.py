"""Specs whose every function is guarded, and so is all that these functions return.

The registry hands out nothing else, so that nobody who uses a plugin can forget its guard.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from functools import partial
from itertools import islice
from typing import Any, Generic, TypeVar, overload

from sv2r.errors import PluginError, SampleError
from sv2r.plugin.guard import guard, guarded, guarded_items
from sv2r.plugin.specs import LoaderSpec, PluginSpec
from sv2r.types import Dataset, Instances, Sample

T = TypeVar("T")
SpecT = TypeVar("SpecT", bound=PluginSpec[Any, Any])

# What is called of a component, and how that stage is called.
_METHODS: Mapping[str, str] = {
    **{
        name: name
        for name in (
            "bucket",
            "settings",
            "compile",
            "prepare",
            "target",
            "claims",
            "mixes",
            "publish",
            "finish",
            "run",
            "detect",
        )
    },
    "__call__": "call",
}
# Ids that are asked for at once: a guard for each of a million would take longer than the ids.
_IDS = 1000


def guard_spec(owner: object, spec: SpecT) -> SpecT:
    """Return the spec with all its functions guarded, and what it builds as well."""
    own = {one.name: getattr(spec, one.name) for one in fields(spec)}
    functions: dict[str, Any] = {
        name: guarded(owner, name, value)
        for name, value in own.items()
        if callable(value) and not inspect.isclass(value) and name != "build"
    }
    loads = isinstance(spec, LoaderSpec)

    def build(*args: Any) -> Any:
        with guard(owner, "build"):
            component = spec.build(*args)
        return partial(_load, owner, component) if loads else guard_component(owner, component)

    return replace(spec, **functions, build=build)


def guard_component(owner: object, component: Any) -> Any:
    """Return an object with those of a component's methods that sv2r calls, each guarded."""
    methods = {
        name: _guarded_method(owner, stage, getattr(component, name))
        for name, stage in _METHODS.items()
        if hasattr(component, name)
    }
    # A class of its own: which of the optional methods there are is asked of the class.
    kind = type(f"Guarded{type(component).__name__}", (_Guarded,), methods)
    return kind(component)


class _Guarded:
    """What all guarded components have in common: the component, for whoever wants another part."""

    def __init__(self, component: Any) -> None:
        self._component = component

    def __getattr__(self, name: str) -> Any:
        return getattr(self._component, name)


def _guarded_method(owner: object, stage: str, method: Any) -> Any:
    def call(self: _Guarded, *args: Any, **kwargs: Any) -> Any:
        with guard(owner, stage):
            result = method(*args, **kwargs)
            if isinstance(result, Iterator) and stage != "run":
                result = list(result)
        return guarded_items(owner, stage, result) if isinstance(result, Iterator) else result

    return call


def _load(owner: object, loader: Any, *args: Any) -> Dataset:
    with guard(owner, "load"):
        dataset: Dataset = loader(*args)
    if not isinstance(dataset, Dataset):
        return dataset  # whoever asked for it says what it should be
    renamed = dataset.renamed and guarded(owner, "load", dataset.renamed)
    samples, ids = _Samples(owner, dataset.samples), _Ids(owner, dataset.ids)
    return replace(dataset, samples=samples, ids=ids, renamed=renamed)


@dataclass(frozen=True)
class _Lazily(Sequence[T], Generic[T]):
    """A plugin's sequence, which may make its items when they are asked for."""

    owner: object
    items: Sequence[T]

    def __len__(self) -> int:
        with guard(self.owner, "load"):
            return len(self.items)

    @overload
    def __getitem__(self, index: int) -> T: ...

    @overload
    def __getitem__(self, index: slice) -> Sequence[T]: ...

    def __getitem__(self, index: int | slice) -> T | Sequence[T]:
        with guard(self.owner, "load"):
            found: Any = self.items[index]
        return replace(self, items=found) if isinstance(index, slice) else self._kept(found)

    def __iter__(self) -> Iterator[T]:
        return map(self._kept, guarded_items(self.owner, "load", iter(self.items)))

    def _kept(self, item: T) -> T:
        return item


class _Samples(_Lazily[Sample]):
    def _kept(self, item: Sample) -> Sample:
        return replace(item, load_instances=partial(_labels, self.owner, item))


def _labels(owner: object, sample: Sample) -> Instances:
    """Return a sample's labels; where the plugin fails, this sample fails, not the job."""
    try:
        with guard(owner, "load"):
            return sample.load_instances()
    except PluginError as error:
        raise SampleError(f"{sample.id}: {error}") from error


class _Ids(_Lazily[str]):
    def __iter__(self) -> Iterator[str]:
        with guard(self.owner, "load"):
            ids = iter(self.items)
        while some := self._next(ids):
            yield from some

    def _next(self, ids: Iterable[str]) -> list[str]:
        with guard(self.owner, "load"):
            return list(islice(ids, _IDS))
