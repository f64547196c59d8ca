"""Whether objects are still where their labels are, in pictures of a scene whose photo is known."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from benchmarks.lib.tableworld import Labelled, Labels
from sv2r.checks import score

# The survival from which an instance's boundary counts as still there: the check's own default.
THERE = 0.5


def look(source: Labelled, photo: Labelled, picture: Labelled) -> dict[str, Any]:
    """Return what became of one scene's picture, against its render and against its photo.

    survivals: of each instance whose boundary the render shows. in_photo: the same against the
    path-traced photo of the scene. agreement: correlation of the edges with those of the photo.
    """
    labels = source.labels()
    before, truth = (score(one.pixels, picture.pixels, labels) for one in (source, photo))
    return {
        "survivals": [b.survival for b in before.instances.values() if b.survival is not None],
        "in_photo": [b.survival for b in truth.instances.values() if b.survival is not None],
        "agreement": truth.motion.agreement if truth.motion else None,
        "shift": before.motion.shift if before.motion else None,
    }


def looks(sources: Labels, photos: Labels, pictures: Labels) -> list[dict[str, Any]]:
    """Return the look of each picture that is there; renders and photos have all of them."""
    renders, truths = ({p.entry["id"]: p for p in one.pictures} for one in (sources, photos))
    return [
        look(renders[number], truths[number], picture)
        for picture in pictures.pictures
        if (number := picture.entry["id"]) in renders
    ]


def figures(seen: Sequence[Mapping[str, Any]], draws: int = 1000) -> dict[str, Any]:
    """Return each figure as (value, low, high): 95 % intervals, bootstrap over pictures."""
    rng = np.random.default_rng(0)
    numbers = [rng.integers(len(seen), size=len(seen)) for _ in range(draws)]
    found = {}
    for name, measure in _MEASURES.items():
        values = [measure([seen[i] for i in drawn]) for drawn in numbers]
        found[name] = (measure(seen), *map(float, np.nanquantile(values, [0.025, 0.975])))
    return found


def _share(looks: Sequence[Mapping[str, Any]], key: str) -> float:
    values = [value for one in looks for value in one[key]]
    return float(np.mean([value >= THERE for value in values])) if values else float("nan")


def _median(looks: Sequence[Mapping[str, Any]], key: str) -> float:
    values = [one[key] for one in looks if one[key] is not None]
    return float(np.median(values)) if values else float("nan")


_MEASURES: Mapping[str, Callable[[Sequence[Mapping[str, Any]]], float]] = {
    "instances still there": lambda looks: _share(looks, "survivals"),
    "instances where the photo has them": lambda looks: _share(looks, "in_photo"),
    "edge agreement with the photo": lambda looks: _median(looks, "agreement"),
    "shift, px": lambda looks: _median(looks, "shift"),
}
