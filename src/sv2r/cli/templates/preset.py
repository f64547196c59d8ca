"""The preset my-plugin."""

from __future__ import annotations

from collections.abc import Iterable
from importlib.resources import files
from importlib.resources.abc import Traversable

from sv2r import hookimpl


@hookimpl
def sv2r_presets() -> Iterable[Traversable]:
    """Return the preset's file, which lies next to this one."""
    return [files(__name__) / "my-plugin.yaml"]
