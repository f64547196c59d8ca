"""The nine hooks. Each returns what the plugin brings; sv2r collects, checks and then keeps it.

An implementation is a function of the same name with ``@hookimpl`` on it, in a module that an entry
point of the group ``sv2r`` names.
"""

from __future__ import annotations

from collections.abc import Iterable
from importlib.resources.abc import Traversable
from typing import TYPE_CHECKING, Any

import pluggy

if TYPE_CHECKING:
    import click

    from sv2r.plugin.specs import (
        CheckSpec,
        ConditionerSpec,
        ExecutorSpec,
        LoaderSpec,
        TrainerSpec,
        TranslatorSpec,
        WriterSpec,
    )

hookspec = pluggy.HookspecMarker("sv2r")
hookimpl = pluggy.HookimplMarker("sv2r")


@hookspec
def sv2r_loaders() -> Iterable[LoaderSpec[Any]]:
    """Return dataset formats. See `LoaderSpec`."""
    return ()


@hookspec
def sv2r_conditioners() -> Iterable[ConditionerSpec[Any]]:
    """Return sources of control maps. See `ConditionerSpec`."""
    return ()


@hookspec
def sv2r_translators() -> Iterable[TranslatorSpec[Any]]:
    """Return ways of making pictures. See `TranslatorSpec`."""
    return ()


@hookspec
def sv2r_checks() -> Iterable[CheckSpec[Any]]:
    """Return looks at a picture before it is published. See `CheckSpec`."""
    return ()


@hookspec
def sv2r_writers() -> Iterable[WriterSpec[Any]]:
    """Return ways of laying out the result. See `WriterSpec`."""
    return ()


@hookspec
def sv2r_executors() -> Iterable[ExecutorSpec[Any]]:
    """Return places where workers run. See `ExecutorSpec`."""
    return ()


@hookspec
def sv2r_trainers() -> Iterable[TrainerSpec[Any]]:
    """Return ways of training a segmenter. See `TrainerSpec`."""
    return ()


@hookspec
def sv2r_presets() -> Iterable[Traversable]:
    """Return YAML files; a preset's name is its file's stem."""
    return ()


@hookspec
def sv2r_commands() -> Iterable[click.Command]:
    """Return subcommands of `sv2r`."""
    return ()
