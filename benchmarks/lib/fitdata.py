"""What the survival network learns from: bands of pictures with known truth, kept on disk.

A base is a labelled source with one or more pictures of it whose labels are known; each picture is
damaged, or not, and given a new look, or not. Everything depends on names and seeds alone.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from benchmarks.lib.benign import BENIGN, UNSEEN_BENIGN, Benign
from benchmarks.lib.looks import LOOKS
from benchmarks.lib.partial import CHANGES, Changed, Truth, truth_of
from benchmarks.lib.scenes import Picture, generated
from sv2r.checks.bands import Band, bands, read
from sv2r.checks.boundaries import boundaries
from sv2r.checks.edges import levels, smoothed
from sv2r.checks.fit import hints_of
from sv2r.checks.perimeter import perimeters

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Arrays = dict[str, NDArray[Any]]

# Never learnt from, so that the benchmark has changes that nothing was fitted to.
KEPT_BACK = ("negative", "few levels", "style")
SIZES = ((96, 96), (128, 128), (128, 160), (192, 192), (192, 256), (256, 256), (384, 384))


@dataclass(frozen=True)
class Base:
    """A source with its labels, and pictures of it that are damaged already, or not at all.

    pictures: named, each with what is right for it. truths: label maps `scale` times as fine,
    before and after, of those that have them.
    """

    name: str
    source: Picture
    pictures: Mapping[str, Changed]
    fine: Mapping[str, tuple[NDArray[np.int32], NDArray[np.int32], int]]


def looks() -> Mapping[str, Benign]:
    """Return the benign changes that are learnt from."""
    every = {**BENIGN, **UNSEEN_BENIGN, **{f"{name} ": look for name, look in LOOKS.items()}}
    return {name: look for name, look in every.items() if name not in KEPT_BACK}


def drawn(seed: int) -> Base:
    """Return a base of generated shapes; half of the sources are repainted or filtered."""
    rng = np.random.default_rng([seed, 5])
    size = SIZES[int(rng.integers(len(SIZES)))]
    picture = generated(seed, size)
    source = picture.image
    if rng.random() < 0.5:
        known = looks()
        name = str(rng.choice(["repaint", *known]))
        guest = generated(seed + 1, size)
        source = known[name](rng, picture, guest.image)
    untouched = {"": Changed(picture.image, picture.labels)}
    return Base(f"drawn-{seed}", Picture(picture.name, source, picture.labels), untouched, {})


def variations(base: Base, guest: Picture, count: int) -> Iterator[tuple[str, str, str, Changed]]:
    """Yield picture, kind, looks and what is right: each picture as it is, then changed."""
    rng = np.random.default_rng(zlib.crc32(base.name.encode()))
    known = looks()
    for name, one in base.pictures.items():
        yield name, "", "", one
        for _ in range(count):
            kind, now = "", one
            if rng.random() < 0.65:
                kind = str(rng.choice(list(CHANGES)))
                begun = Picture(base.name, one.image, one.after)
                made = CHANGES[kind](rng, begun, guest)
                if made is None:
                    kind = ""
                else:
                    now = Changed(
                        made.image,
                        made.after,
                        made.gone | one.gone,
                        made.doubtful | one.doubtful,
                        made.hurt | one.hurt,
                    )
            worn = rng.choice(list(known), int(rng.choice([0, 1, 2], p=[0.25, 0.5, 0.25])), False)
            image = now.image
            for look in worn.tolist():
                image = known[look](rng, Picture("", image, now.after), guest.image)
            changed = replace(now, image=image)
            yield name, kind, "+".join(worn.tolist()), changed


def features(base: Base, guest: Picture, count: int) -> Arrays:
    """Return the bands of a base's source and of all pictures that are made of it."""
    labels = base.source.labels
    band, lines = bands(labels), perimeters(labels)
    before = smoothed(levels(base.source.image), 1.0)
    source = read(before, band)
    found: dict[str, list[Any]] = {}
    for name, kind, look, changed in variations(base, guest, count):
        after = smoothed(levels(changed.image), 1.0)
        picture = read(after, band)
        hints = hints_of(boundaries(before, after, labels), band.ids)
        truth = _truth(base, name, kind, changed, band, (lines.y, lines.x))
        row = {
            "levels": picture.levels.numpy().astype(np.float16),
            "spread": picture.spread.numpy().astype(np.float16),
            "inside": picture.inside.numpy().astype(np.float16),
            "hints": hints.numpy(),
            "iou": truth.iou.astype(np.float32),
            "lost": _halved(truth.lost).astype(np.float16),
            "away": _halved(truth.away).astype(np.float16),
            "doubtful": truth.doubtful,
            "hurt": truth.hurt,
            "kind": kind,
            "look": look,
            "name": name,
        }
        for key, value in row.items():
            found.setdefault(key, []).append(value)
    return {
        **{key: np.stack(value) for key, value in found.items()},
        "ids": band.ids,
        "source_levels": source.levels.numpy().astype(np.float16),
        "source_spread": source.spread.numpy().astype(np.float16),
        "source_inside": source.inside.numpy().astype(np.float16),
        "known": band.known.numpy().astype(np.float16),
        "normal": band.normal.numpy().astype(np.float16),
        "neighbour": band.neighbour.numpy().astype(np.float16),
        "size": band.size.numpy(),
    }


def _truth(
    base: Base, name: str, kind: str, changed: Changed, band: Band, at: tuple[Any, Any]
) -> Truth:
    if not kind and name in base.fine:
        before, after, scale = base.fine[name]
        return truth_of(before, changed, band.ids, at, after, scale)
    return truth_of(base.source.labels, changed, band.ids, at)


def _halved(rows: NDArray[Any]) -> NDArray[Any]:
    return rows.reshape(len(rows), -1, 2).mean(2)


def write(path: Path, arrays: Arrays) -> None:
    """Write arrays in one step."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_suffix(".part.npz")
    np.savez(part, allow_pickle=False, **arrays)
    part.replace(path)


def set_threads() -> None:
    """Leave the other cores to others."""
    torch.set_num_threads(1)
