"""Registries with a component of a test's own, or with one that is watched."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from sv2r.plugin.discovery import Owner
from sv2r.plugin.options import Options
from sv2r.plugin.registry import Entry, Registry, load_registry
from sv2r.plugin.specs import Translator, TranslatorSpec

OWNER = Owner("toy", "sv2r-toy", "1.0")


class NoOptions(Options):
    """A component without options."""


def with_translator(name: str, translate: Translator) -> Registry:
    """Return the installed plugins and a translator that is a plain function."""
    spec = TranslatorSpec(
        name=name,
        summary="A toy.",
        options=NoOptions,
        build=lambda options, runtime: translate,
    )
    registry = load_registry()
    return replace(registry, entries=(*registry.entries, Entry("translator", name, OWNER, spec)))


def with_spec(registry: Registry, kind: str, name: str, change: Callable[[Any], Any]) -> Registry:
    """Return a registry in which one spec is what change returns of it."""
    entries = [
        replace(entry, value=change(entry.value))
        if (entry.kind, entry.name) == (kind, name)
        else entry
        for entry in registry.entries
    ]
    return replace(registry, entries=tuple(entries))
