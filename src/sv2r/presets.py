"""The presets that come with sv2r: the YAML files of `configs/`."""

from __future__ import annotations

from collections.abc import Iterable
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path

from sv2r.plugin.hookspecs import hookimpl


@hookimpl
def sv2r_presets() -> Iterable[Traversable]:
    """Return the YAML files, sorted by name: from the package, in a checkout from its root.

    Raises:
        FileNotFoundError: there is neither.
    """
    packaged = files("sv2r") / "configs"
    folder = packaged if packaged.is_dir() else Path(__file__).parents[2] / "configs"
    presets = (file for file in folder.iterdir() if file.name.endswith(".yaml"))
    return sorted(presets, key=lambda file: file.name)
