"""What survival says of rendered edits: photographs whose truth the renderer tells."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from benchmarks.lib.edited import Edited, edited
from benchmarks.lib.partial import LEAST_IOU
from benchmarks.lib.separation import Line, area, calibration, share
from sv2r.checks.boundaries import boundaries
from sv2r.checks.edges import levels, smoothed
from sv2r.checks.fit import survivals

if TYPE_CHECKING:
    from numpy.typing import NDArray

# A displacement that has to be found: px of a picture of 128, and share of a larger one.
FAR, FAR_SHARE = 3.0, 0.02
DAMAGE = ("move", "turn", "scale", "remove", "add", "merge", "part", "half", "order", "swap")
BENIGN = ("", "texture", "print", "colour", "light", "exposure", "focus", "shadow", "grain")


@dataclass(frozen=True)
class Judged:
    """One instance of one photograph. now, before: survival of this version and of version 1.

    kinds: of the edits that damage it. looks: of the picture's edits that damage nothing.
    sound: whether no edit of the picture damages anything.
    """

    picture: int
    name: str
    number: int
    world: str
    kinds: frozenset[str]
    looks: frozenset[str]
    sound: bool
    iou: float
    away: float
    now: float | None
    before: float | None


def judged(folders: Iterable[Path], split: str) -> Iterator[tuple[Edited, list[Judged]]]:
    """Yield the photographs of a split with what is said of their instances."""
    number = 0
    for folder in folders:
        for scene in edited(folder):
            if scene.split == split:
                yield scene, list(_instances(scene, number))
                number += 1


def _instances(scene: Edited, number: int) -> Iterator[Judged]:
    before, after = (smoothed(levels(p), 1.0) for p in (scene.source.image, scene.photo))
    now = survivals(before, after, scene.source.labels)
    old = boundaries(before, after, scene.source.labels)
    side = min(scene.source.labels.shape)
    sound = not any(edit["damage"] for edit in scene.edits)
    looks = frozenset(str(e["kind"]) for e in scene.edits if not e["damage"])
    for one, truth in scene.instances.items():
        if one not in now:
            continue
        displacement = truth["displacement"]
        away = float("inf") if displacement is None else float(displacement["p95"])
        yield Judged(
            number,
            scene.name,
            one,
            scene.world,
            scene.damaged_by(one),
            looks,
            sound,
            float(truth["iou"]),
            away * 128 / min(side, 128) if side < 128 else away,
            now[one].survival,
            old[one].survival if one in old else None,
        )


def rows(found: Sequence[Judged], limit: float) -> Iterator[Line]:
    """Yield the figures of the photographs, of every world and together. limit: min_survival."""
    yield from _sound_rows(found, limit, "")
    worlds = sorted({one.world for one in found})
    for world in worlds if len(worlds) > 1 else ():
        yield from _sound_rows([one for one in found if one.world == world], limit, f"{world}: ")
    quiet = [one for one in found if one.sound]
    for kind in DAMAGE:
        yield from _hurt_rows(f"{kind}", [o for o in found if plainly(o, kind)], quiet, limit)
    for world in worlds if len(worlds) > 1 else ():
        hurt = [o for o in found if o.world == world and any(plainly(o, k) for k in DAMAGE[:-1])]
        yield from _hurt_rows(
            f"{world}: any of these but swap", hurt, [o for o in quiet if o.world == world], limit
        )
    scored = [one for one in found if one.now is not None]
    told = np.array([one.now for one in scored], float)
    fits = np.array([one.iou >= LEAST_IOU for one in scored])
    yield Line("calibration error (ECE)", *_spread(calibration(told, fits, _pictures(scored))))
    near = (told > 0.7) & (told < 0.9)
    if near.any():
        some = [one for one, chosen in zip(scored, near, strict=True) if chosen]
        value = share(fits[near], _pictures(some))
        yield Line(
            "of those scored 0.7 to 0.9, IoU of 0.9 or more", *_spread(value), cases=len(some)
        )


def plainly(one: Judged, kind: str) -> bool:
    """Return whether an edit hurt an instance enough that it has to be found."""
    if kind not in one.kinds:
        return False
    if kind == "remove":
        return one.iou < 0.5
    if kind in {"move", "turn", "scale"}:
        return one.away >= FAR and one.iou < 0.95
    if kind == "swap":
        return True
    return one.iou < 0.95 or kind == "merge"


def _sound_rows(found: Sequence[Judged], limit: float, title: str) -> Iterator[Line]:
    """Yield what passes of photographs in which nothing is damaged."""
    for look in BENIGN:
        some = [o for o in found if o.sound and (look in o.looks if look else not o.looks)]
        if not some or (title and look):
            continue
        name = title + (f"photographs, {look}" if look else "photographs as they are")
        pictures = _pictures(some)
        passes, passed = (
            np.array([value is None or value >= least for value, least in values])
            for values in (
                [(one.now, limit) for one in some],
                [(one.before, 0.5) for one in some],
            )
        )
        value = share(passes, pictures)
        yield Line(
            f"{name}: instances that pass", *_spread(value), float(passed.mean()), cases=len(some)
        )
        whole, was = (
            np.array([p[pictures == k].all() for k in np.unique(pictures)])
            for p in (passes, passed)
        )
        value = share(whole, np.unique(pictures))
        yield Line(
            f"{name}: pictures of which all do",
            *_spread(value),
            float(was.mean()),
            cases=len(whole),
        )


def _hurt_rows(
    name: str, hurt: Sequence[Judged], quiet: Sequence[Judged], limit: float
) -> Iterator[Line]:
    if not hurt:
        return
    told = [[(-o.now, o.picture) for o in group if o.now is not None] for group in (hurt, quiet)]
    old = [
        [(-o.before, o.picture) for o in group if o.before is not None] for group in (hurt, quiet)
    ]
    if not all(told) or not all(old):
        return
    now, was = (_area(groups[0], groups[1]) for groups in (told, old))
    yield Line(f"{name}: AUC", *_spread(now), was[0], cases=len(told[0]))
    found = share(np.array([o.now is not None and o.now < limit for o in hurt]), _pictures(hurt))
    before = np.mean([o.before is not None and o.before < 0.5 for o in hurt])
    yield Line(f"{name}: recall", *_spread(found), float(before), cases=len(hurt))


def _area(
    hurt: Sequence[tuple[float, int]], quiet: Sequence[tuple[float, int]]
) -> tuple[float, float, float]:
    bad, good = (np.array([value for value, _ in group]) for group in (hurt, quiet))
    return area(bad, good, np.array([at for _, at in (*hurt, *quiet)]))


def _pictures(found: Sequence[Judged]) -> NDArray[np.integer]:
    return np.array([one.picture for one in found], int)


def _spread(value: tuple[float, float, float]) -> tuple[float, str, float, float]:
    return value[0], "", value[1], value[2]
