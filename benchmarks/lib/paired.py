"""Photographs of the very scenes that were labelled, whole and with damage pasted into them.

What `sv2r tabletop render --domain both` writes: renders with labels, and a path-traced photograph
of each. Nothing of a photograph is damaged, whatever a check says.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image
from pycocotools import mask as coco

from benchmarks.lib.partial import CHANGES, PARTIAL, as_damage
from benchmarks.lib.scenes import Picture
from benchmarks.lib.separation import Line, area, share
from sv2r.checks.boundaries import boundaries
from sv2r.checks.edges import levels, smoothed
from sv2r.checks.fit import survivals

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Labels = NDArray[np.int32]

TRIES = 4
KINDS = {**PARTIAL, **{name: CHANGES[name] for name in ("erased", "displaced", "merged")}}


@dataclass(frozen=True)
class Told:
    """One instance: survival of this version and of version 1, None where it is unscorable."""

    picture: int
    kind: str
    now: float | None
    before: float | None


def pairs(folder: Path, first: int, last: int) -> Iterator[tuple[Picture, Picture]]:
    """Yield renders and photographs of the scenes of a range of seeds, with the same labels."""
    for file in sorted((folder / "photo" / "images").glob("*.jpg")):
        part = folder / "synthetic" / ".tabletop" / f"{file.stem}.json"
        if not first <= int(file.stem) < last or not part.exists():
            continue
        told = json.loads(part.read_text())
        labels = _labels(told["annotations"], told["image"]["height"], told["image"]["width"])
        source = folder / "synthetic" / "images" / f"{file.stem}.png"
        yield (
            Picture(file.stem, _pixels(source), labels),
            Picture(file.stem, _pixels(file), labels),
        )


def told(found: Iterator[tuple[Picture, Picture]]) -> Iterator[Told]:
    """Yield what is said of photographs as they are, and of the instance that was damaged."""
    before: Picture | None = None
    for number, (source, photo) in enumerate(found):
        yield from (Told(number, "", *both) for both in _scores(source, photo.image).values())
        guest = before if before and before.image.shape == photo.image.shape else photo
        rng = np.random.default_rng([11, number])
        for kind, change in KINDS.items():
            damage = as_damage(change)
            made = next((m for _ in range(TRIES) if (m := damage(rng, photo, guest))), None)
            if made is not None:
                scores = _scores(source, made.image)
                yield from (Told(number, kind, *scores[i]) for i in made.instances if i in scores)
        before = photo


def rows(found: list[Told], limit: float) -> Iterator[Line]:
    """Yield what passes of the photographs, and how well damage is told from them."""
    quiet = [one for one in found if not one.kind]
    pictures = np.array([one.picture for one in quiet])
    passes = np.array([one.now is None or one.now >= limit for one in quiet])
    passed = np.array([one.before is None or one.before >= 0.5 for one in quiet])
    now = share(passes, pictures)
    yield _line("true photographs: instances that pass", now, float(passed.mean()), len(quiet))
    every = np.unique(pictures)
    whole, was = (np.array([p[pictures == k].all() for k in every]) for p in (passes, passed))
    now = share(whole, every)
    yield _line("true photographs of which all do", now, float(was.mean()), len(every))
    for kind in KINDS:
        hurt = [one for one in found if one.kind == kind]
        if hurt:
            now, old = (_area(hurt, quiet, name) for name in ("now", "before"))
            yield _line(f"photographs, {kind}: AUC", now, old[0], len(hurt))
            called = np.array([one.now is not None and one.now < limit for one in hurt])
            were = np.array([one.before is not None and one.before < 0.5 for one in hurt])
            value = share(called, np.array([one.picture for one in hurt]))
            yield _line(f"photographs, {kind}: recall", value, float(were.mean()), len(hurt))


def _area(hurt: list[Told], quiet: list[Told], name: str) -> tuple[float, float, float]:
    groups = [[(getattr(o, name), o.picture) for o in group] for group in (hurt, quiet)]
    kept = [[(-value, at) for value, at in group if value is not None] for group in groups]
    bad, good = (np.array([value for value, _ in group]) for group in kept)
    return area(bad, good, np.array([at for group in kept for _, at in group]))


def _line(name: str, value: tuple[float, float, float], before: float, cases: int) -> Line:
    return Line(name, value[0], "", value[1], value[2], before, cases=cases)


def _scores(
    source: Picture, picture: NDArray[np.uint8]
) -> dict[int, tuple[float | None, float | None]]:
    """Return the survival of this version, and of version 1, by id."""
    soft = [smoothed(levels(image), 1.0) for image in (source.image, picture)]
    now = survivals(soft[0], soft[1], source.labels)
    old = boundaries(soft[0], soft[1], source.labels)
    return {i: (one.survival, old[i].survival) for i, one in now.items()}


def _pixels(path: Path) -> NDArray[np.uint8]:
    return np.asarray(Image.open(path).convert("RGB"))


def _labels(annotations: list[dict[str, Any]], height: int, width: int) -> Labels:
    labels = np.zeros((height, width), np.int32)
    for one in annotations:
        drawn = one["segmentation"]
        packed = isinstance(drawn["counts"], str)
        mask = coco.decode(drawn if packed else coco.frPyObjects(drawn, *drawn["size"]))
        labels[mask > 0] = one["id"] % 100
    return labels
