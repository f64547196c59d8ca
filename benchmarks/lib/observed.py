"""What the checks say of pictures with known damage, and under benign changes."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING

import numpy as np

from benchmarks.lib.benign import BENIGN, UNSEEN_BENIGN, Benign
from benchmarks.lib.damage import DAMAGE, UNSEEN_DAMAGE, Damage, Damaged, everyone
from benchmarks.lib.looks import LOOKS
from benchmarks.lib.partial import PARTIAL, as_damage
from benchmarks.lib.pixels import grown, rims
from benchmarks.lib.scenes import Picture
from sv2r.checks import score
from sv2r.checks.boundaries import boundaries
from sv2r.checks.edges import levels, smoothed

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from sv2r.checks.scores import Scores

# Groups of damage with the benign changes that are held against it.
CASES: Mapping[str, tuple[Mapping[str, Damage], Mapping[str, Benign]]] = MappingProxyType(
    {
        "filters": (DAMAGE, BENIGN),
        "more filters": (UNSEEN_DAMAGE, UNSEEN_BENIGN),
        "as photographs have it": ({name: as_damage(c) for name, c in PARTIAL.items()}, LOOKS),
    }
)
OF_PICTURES = ("shift", "zoom", "invented", "turned")
TRIES = 6


@dataclass(frozen=True)
class Seen:
    """One picture or instance in one case. Scores grow with damage.

    picture: which picture. kind: the damage, or "" for none. under: the benign change, or "".
    group: of the cases. check: scores by name; "before" is the analytic survival, "naive" the edge
    strength on the outline against the band around it.
    """

    picture: int
    kind: str
    under: str
    group: str
    check: Mapping[str, float]


@dataclass
class Found:
    """All that was seen."""

    pictures: list[Seen] = field(default_factory=list)
    instances: list[Seen] = field(default_factory=list)
    unscorable: int = 0
    shift_errors: list[tuple[str, float]] = field(default_factory=list)
    hits: list[bool] = field(default_factory=list)

    def add(self, other: Found) -> None:
        """Add what was seen of another picture."""
        self.pictures += other.pictures
        self.instances += other.instances
        self.unscorable += other.unscorable
        self.shift_errors += other.shift_errors
        self.hits += other.hits


def observe(found: Found, index: int, picture: Picture, guests: Sequence[Picture]) -> None:
    """Add everything that is done to one picture."""
    rng = np.random.default_rng([7, index])
    baseline = Naive(picture)

    def guest() -> Picture:
        return guests[int(rng.integers(len(guests)))]

    for group, (kinds, changes) in CASES.items():
        for name, change in changes.items():
            looks = Damaged(change(rng, picture, guest().image))
            note(found, index, picture, looks, ("", name, group), baseline)
        for kind, damage in kinds.items():
            for under in ("", str(rng.choice(sorted(changes)))):
                made = made_by(damage, rng, picture, guest)
                if made is not None:
                    made = changed(made, changes, under, rng, guest().image)
                    note(found, index, picture, made, (kind, under, group), baseline)


def made_by(
    damage: Damage, rng: np.random.Generator, picture: Picture, guest: Callable[[], Picture]
) -> Damaged | None:
    """Return the damage, or None where a few tries do not give any to this picture."""
    for _ in range(TRIES):
        made = damage(rng, picture, guest())
        if made is not None and (made.instances or made.place is not None):
            return made
    return None


def changed(
    made: Damaged,
    changes: Mapping[str, Benign],
    under: str,
    rng: np.random.Generator,
    other: NDArray[np.uint8],
) -> Damaged:
    """Return damage under a benign change. It knows no labels: they are wrong by now."""
    if not under:
        return made
    blank = Picture("", made.image, np.zeros(made.image.shape[:2], np.int32))
    image = changes[under](rng, blank, other)
    return Damaged(image, made.instances, made.uncertain, made.motion, made.place)


def note(
    found: Found,
    index: int,
    picture: Picture,
    made: Damaged,
    case: tuple[str, str, str],
    baseline: Naive,
) -> None:
    """Score one case and add what it tells of pictures and instances."""
    kind, under, group = case
    scores = score(picture.image, made.image, picture.labels)
    naive = baseline(made.image)
    before = analytic(picture.image, made.image, picture.labels)
    survival = {i: b.survival for i, b in scores.instances.items() if b.survival is not None}
    found.unscorable += len(everyone(picture)) - len(survival)
    if not kind or kind in OF_PICTURES:
        average = float(np.mean([naive[i] for i in survival if i in naive] or [0.0]))
        whole = {
            "shift": scores.motion.shift if scores.motion else 0.0,
            "invention": scores.structure.invention,
            "survival": 1 - min(survival.values(), default=1.0),
            "before": 1 - min(before.values(), default=1.0),
            "naive": -average,
        }
        found.pictures.append(Seen(index, kind, under, group, whole))
    if not kind or kind not in OF_PICTURES:
        wanted = made.instances if kind else everyone(picture)
        for i, value in survival.items():
            if i in wanted:
                told = {"survival": 1 - value, "naive": -naive.get(i, 0.0)}
                told["before"] = 1 - before.get(i, 1.0)
                found.instances.append(Seen(index, kind, under, group, told))
    if made.place is not None:
        y, x = scores.structure.place
        found.hits.append(bool(grown(made.place, 12)[y, x]))
    if kind in ("", "shift") and scores.motion and group == "filters":
        found.shift_errors.append((kind, _error(scores, made)))


def analytic(
    source: NDArray[np.uint8], picture: NDArray[np.uint8], labels: NDArray[np.integer]
) -> dict[int, float]:
    """Return the survival of version 1 of the check, of the instances that it can score."""
    before, after = (smoothed(levels(image), 1.0) for image in (source, picture))
    found = boundaries(before, after, labels)
    return {i: b.survival for i, b in found.items() if b.survival is not None}


def _error(scores: Scores, made: Damaged) -> float:
    dx, dy, _ = made.motion or (0.0, 0.0, 1.0)
    assert scores.motion is not None
    return float(np.hypot(scores.motion.dx - dx, scores.motion.dy - dy))


class Naive:
    """The baseline: edge strength on the visible contour against the band around it."""

    def __init__(self, picture: Picture) -> None:
        strength = slope(picture.image)
        self._places = {}
        for one in everyone(picture):
            box = _box(picture.labels == one, 10)
            mask = picture.labels[box] == one
            contour = grown(rims(mask), 1)
            band = grown(contour, 7) & ~grown(contour, 1)
            contour &= strength[box] > 4
            if contour.any() and band.any():
                self._places[one] = (box, contour, band)

    def __call__(self, image: NDArray[np.uint8]) -> dict[int, float]:
        """Return the ratio for every instance."""
        strength = slope(image)
        return {
            one: float(strength[box][contour].mean() / (strength[box][band].mean() + 1))
            for one, (box, contour, band) in self._places.items()
        }


def slope(image: NDArray[np.uint8]) -> NDArray[np.floating]:
    """Return the length of the gradient of the mean of the channels, levels per px."""
    down, across = np.gradient(image.astype(np.float32).mean(-1))
    length: NDArray[np.floating] = np.hypot(down, across)
    return length


def _box(mask: NDArray[np.bool_], margin: int) -> tuple[slice, slice]:
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    return (
        slice(max(0, int(rows[0]) - margin), int(rows[-1]) + margin + 1),
        slice(max(0, int(columns[0]) - margin), int(columns[-1]) + margin + 1),
    )
