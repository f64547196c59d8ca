"""What comes with the world: a few renders, photographs of other scenes, and a model."""

from __future__ import annotations

from collections.abc import Iterable
from importlib.resources.abc import Traversable
from pathlib import Path

from sv2r import hookimpl

_HERE = Path(__file__).parent

# Renders of scenes 600,000 on, with labels and depth: what the demo translates.
RENDERS = _HERE / "bundled" / "synthetic"
# Photographs of scenes 600,100 on, with neither: what its pictures should look like.
PHOTOS = _HERE / "bundled" / "photo"
# A diffusers folder; its model card says how it was made.
MODEL = _HERE / "bundled" / "model"


@hookimpl
def sv2r_presets() -> Iterable[Traversable]:
    """Return the preset `tabletop`: how the bundled model is used best."""
    return [_HERE / "presets" / "tabletop.yaml"]
