"""How well the checks tell damage from a new look: known damage, benign changes, a naive score.

    uv run python -m benchmarks.survival [--data FOLDER] [--limit N] [--half report]
        [--workers N] [--json FILE]

Thresholds and constants were chosen on every other picture (``--half tune``); the rows are those of
the pictures between (``--half report``). Intervals: 95 %, bootstrap over pictures.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from functools import cache, partial
from multiprocessing import get_context
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch

from benchmarks.lib.benign import BENIGN, UNSEEN_BENIGN, Benign
from benchmarks.lib.damage import DAMAGE, UNSEEN_DAMAGE, Damage, Damaged, everyone
from benchmarks.lib.pixels import grown, rims
from benchmarks.lib.scenes import Picture, generated, third_party
from benchmarks.lib.table import Row, machine, parser, write_json
from sv2r.checks import score
from sv2r.checks.invention import InventionOptions
from sv2r.checks.shift import ShiftOptions
from sv2r.checks.survival import SurvivalOptions

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from sv2r.checks.scores import Scores

DEFAULTS = {
    "survival": 1 - float(SurvivalOptions.model_fields["min_survival"].default),
    "shift": float(ShiftOptions.model_fields["max_shift"].default),
    "invention": float(InventionOptions.model_fields["max_invention"].default),
}
OF_PICTURES = ("shift", "zoom", "invented", "turned")
TRIES = 6


@dataclass(frozen=True)
class Seen:
    """One picture or instance in one case. Scores grow with damage.

    picture: which picture. kind: the damage, or "" for none. under: the benign change, or "".
    check: the score that belongs to the kind, by name; naive: the baseline's.
    """

    picture: int
    kind: str
    under: str
    check: Mapping[str, float]
    naive: float
    unseen: bool = False


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


def main() -> None:
    """Print the tables; write the rows where asked."""
    command = parser(__doc__ or "")
    command.add_argument("--data", type=Path, help="a folder with the datasets named in scenes.py")
    command.add_argument("--limit", type=int, default=36, help="pictures of each dataset, at most")
    command.add_argument("--half", choices=("tune", "report", "all"), default="report")
    command.add_argument("--workers", type=int, default=1, help="processes of one thread each")
    arguments = command.parse_args()
    asked = (arguments.data, arguments.limit, arguments.half)
    pictures = list(chosen(*asked))
    found = Found()
    start = time.perf_counter()
    with ProcessPoolExecutor(arguments.workers, get_context("spawn")) as workers:
        seen = workers.map(partial(observed, asked), range(len(pictures)))
        for index, (picture, one) in enumerate(zip(pictures, seen, strict=True)):
            found.add(one)
            passed = time.perf_counter() - start
            print(f"{index + 1}/{len(pictures)} {picture.name} {passed:.0f} s", flush=True)
    rows = [*shift_rows(found), *damage_rows(found), *benign_rows(found), *cost_rows()]
    print(f"\n{machine()}; {len(pictures)} pictures, {arguments.half} half")
    print_rows(rows)
    if arguments.json:
        write_json([row for line in rows for row in line.rows()], arguments.json)


def chosen(data: Path | None, limit: int, half: str) -> Iterator[Picture]:
    """Yield the half of each dataset's pictures, and of the generated ones."""
    sets: dict[str, list[Picture]] = {}
    for picture in third_party(data, limit) if data else ():
        sets.setdefault(picture.name.partition("/")[0], []).append(picture)
    first = {"tune": 0, "report": 1, "all": 0}[half]
    step = 1 if half == "all" else 2
    yield from (generated(seed) for seed in range(first, limit, step))
    for members in sets.values():
        yield from members[first::step]


# What is seen.


@cache
def _all_pictures(asked: tuple[Path | None, int, str]) -> list[Picture]:
    torch.set_num_threads(1)
    return list(chosen(*asked))


def observed(asked: tuple[Path | None, int, str], index: int) -> Found:
    """Return everything that is seen of one of the pictures that were asked for."""
    found, pictures = Found(), _all_pictures(asked)
    picture = pictures[index]
    guests = [other for other in pictures if other is not picture] or [picture]
    observe(found, index, picture, guests)
    return found


def observe(found: Found, index: int, picture: Picture, guests: Sequence[Picture]) -> None:
    """Add everything that is done to one picture."""
    rng = np.random.default_rng([7, index])
    baseline = Naive(picture)

    def guest() -> Picture:
        return guests[int(rng.integers(len(guests)))]

    for kinds, changes in ((DAMAGE, BENIGN), (UNSEEN_DAMAGE, UNSEEN_BENIGN)):
        unseen = changes is UNSEEN_BENIGN
        for name, change in changes.items():
            looks = Damaged(change(rng, picture, guest().image))
            note(found, index, picture, looks, ("", name), baseline, unseen)
        for kind, damage in kinds.items():
            for under in ("", str(rng.choice(sorted(changes)))):
                made = made_by(damage, rng, picture, guest)
                if made is not None:
                    made = changed(made, changes, under, rng, guest().image)
                    note(found, index, picture, made, (kind, under), baseline, unseen)


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
    case: tuple[str, str],
    baseline: Naive,
    unseen: bool,
) -> None:
    """Score one case and add what it tells of pictures and instances."""
    kind, under = case
    scores = score(picture.image, made.image, picture.labels)
    naive = baseline(made.image)
    survival = {i: b.survival for i, b in scores.instances.items() if b.survival is not None}
    found.unscorable += len(everyone(picture)) - len(survival)
    whole = {
        "shift": scores.motion.shift if scores.motion else 0.0,
        "invention": scores.structure.invention,
        "survival": 1 - min(survival.values(), default=1.0),
    }
    average = float(np.mean([naive[i] for i in survival if i in naive] or [0.0]))
    if not kind or kind in OF_PICTURES:
        found.pictures.append(Seen(index, kind, under, whole, -average, unseen))
    if not kind or kind not in OF_PICTURES:
        wanted = made.instances if kind else everyone(picture)
        found.instances += [
            Seen(index, kind, under, {"survival": 1 - value}, -naive.get(i, 0.0), unseen)
            for i, value in survival.items()
            if i in wanted
        ]
    if made.place is not None:
        y, x = scores.structure.place
        found.hits.append(bool(grown(made.place, 12)[y, x]))
    if kind in ("", "shift") and scores.motion and not unseen:
        found.shift_errors.append((kind, _error(scores, made)))


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


# What is made of it.


@dataclass(frozen=True)
class Line:
    """A figure with its interval, what the naive score reaches, and the number of cases."""

    name: str
    value: float
    unit: str
    low: float | None = None
    high: float | None = None
    naive: float | None = None
    cases: int | None = None

    def rows(self) -> list[Row]:
        """Return the figure and the ends of its interval as rows of the common table."""
        ratio = None if not self.naive else self.value / self.naive
        main_ = Row(self.name, self.value, self.unit, self.naive, ratio)
        ends = (("low", self.low), ("high", self.high))
        return [main_, *(Row(f"{self.name}, {w}", v, self.unit) for w, v in ends if v is not None)]


def shift_rows(found: Found) -> Iterator[Line]:
    """Yield the error of the displacement at the picture's centre."""
    for kind, name in (("", "no shift"), ("shift", "1 to 16 px")):
        errors = [error for one, error in found.shift_errors if one == kind]
        for share, word in ((50, "median"), (95, "95th percentile")):
            value = float(np.percentile(errors, share))
            yield Line(f"error of the shift, {name}, {word}", value, "px", cases=len(errors))


def damage_rows(found: Found) -> Iterator[Line]:
    """Yield AUC and recall of every kind of damage, alone and under a benign change."""
    for unseen in (False, True):
        for kind in UNSEEN_DAMAGE if unseen else DAMAGE:
            everything = found.pictures if kind in OF_PICTURES else found.instances
            quiet = [seen for seen in everything if not seen.kind and seen.unseen == unseen]
            for under in (False, True):
                hurt = [s for s in everything if s.kind == kind and bool(s.under) == under]
                name = f"{kind}{', under a benign change' if under else ''}"
                if hurt:
                    yield from _told_apart(name, hurt, quiet, _check(kind))
    yield Line("invented objects pointed at", float(np.mean(found.hits)), "", cases=len(found.hits))


def _told_apart(
    name: str, hurt: Sequence[Seen], quiet: Sequence[Seen], check: str
) -> Iterator[Line]:
    def mine(seen: Seen) -> float:
        return seen.check[check]

    def naive(seen: Seen) -> float:
        return seen.naive

    area, low, high = _separation(hurt, quiet, mine)
    baseline = _separation(hurt, quiet, naive)[0]
    yield Line(f"{name}: AUC", area, "", low, high, baseline, len(hurt))
    yield Line(f"{name}: recall", *_share(hurt, _called(check)), cases=len(hurt))


def benign_rows(found: Found) -> Iterator[Line]:
    """Yield the false alarms of every benign change and of all of them."""
    total = len(found.instances) + found.unscorable
    yield Line("instances that can be scored", len(found.instances) / total, "", cases=total)
    for unseen, word in ((False, "benign"), (True, "benign, unseen")):
        for name in ("", *(UNSEEN_BENIGN if unseen else BENIGN)):

            def fits(seen: Seen, name: str = name, unseen: bool = unseen) -> bool:
                return not seen.kind and seen.unseen == unseen and name in ("", seen.under)

            title = f"{word}{': ' + name if name else ''}"
            instances = [seen for seen in found.instances if fits(seen)]
            pictures = [seen for seen in found.pictures if fits(seen)]
            for check, group in (("survival", instances), *((c, pictures) for c in DEFAULTS)):
                what = "instances" if group is instances else "pictures"
                share = _share(group, _called(check))
                yield Line(f"{title}: {what} refused by {check}", *share, cases=len(group))


def _check(kind: str) -> str:
    if kind == "invented":
        return "invention"
    return "shift" if kind in OF_PICTURES else "survival"


def _called(check: str) -> Callable[[Seen], bool]:
    """Return what a check says at its default threshold."""
    return lambda seen: seen.check[check] > DEFAULTS[check]


def _separation(
    hurt: Sequence[Seen], quiet: Sequence[Seen], value: Callable[[Seen], float]
) -> tuple[float, float, float]:
    """Return the area under the ROC curve and its interval."""
    values = np.array([value(seen) for seen in (*hurt, *quiet)])
    positive = np.arange(len(values)) < len(hurt)
    pictures = np.array([seen.picture for seen in (*hurt, *quiet)])
    distinct, group = np.unique(values, return_inverse=True)

    def area(weight: NDArray[np.floating]) -> float:
        bad = np.bincount(group, weight * positive, len(distinct))
        good = np.bincount(group, weight * ~positive, len(distinct))
        below = np.cumsum(good) - good / 2
        return float((bad * below).sum() / max(bad.sum() * good.sum(), 1e-9))

    return _interval(area, pictures)


def _share(
    group: Sequence[Seen], judged: Callable[[Seen], bool]
) -> tuple[float, str, float, float]:
    """Return the share that is judged so, no unit, and its interval."""
    called = np.array([judged(seen) for seen in group], float)
    pictures = np.array([seen.picture for seen in group])

    def share(weight: NDArray[np.floating]) -> float:
        return float((called * weight).sum() / max(weight.sum(), 1e-9))

    value, low, high = _interval(share, pictures)
    return value, "", low, high


def _interval(
    measure: Callable[[NDArray[np.floating]], float], pictures: NDArray[np.integer]
) -> tuple[float, float, float]:
    """Return a weighted figure, and the middle 95 % of it over pictures drawn with replacement."""
    rng = np.random.default_rng(0)
    distinct, group = np.unique(pictures, return_inverse=True)
    drawn = rng.multinomial(len(distinct), np.full(len(distinct), 1 / len(distinct)), 300)
    figures = [measure(counts[group].astype(float)) for counts in drawn]
    low, high = np.percentile(figures, (2.5, 97.5))
    return measure(np.ones(len(pictures))), float(low), float(high)


def cost_rows() -> Iterator[Line]:
    """Yield the time of all checks for a picture of 512 x 512 with 20 instances.

    Processor time is what others on the same machine change least.
    """
    picture = crowded()
    after = np.roll(picture.image, 1, axis=1)
    torch.set_num_threads(1)
    for word, clock in (("processor", time.process_time), ("wall", time.perf_counter)):
        times = []
        for _ in range(16):
            start = clock()
            score(picture.image, after, picture.labels)
            times.append(clock() - start)
        name = f"all checks, 512 x 512, 20 instances, one thread, {word} time"
        yield Line(name, statistics.median(times[1:]) * 1000, "ms")


def crowded() -> Picture:
    """Return a generated picture with the labels of twenty of its instances."""
    for seed in range(1000):
        one, two = generated(seed), generated(seed + 1)
        labels = np.where(one.labels > 0, one.labels, two.labels + 100 * (two.labels > 0))
        image = np.where((one.labels > 0)[..., None], one.image, two.image)
        ids = np.unique(labels[labels > 0])
        if len(ids) >= 20:
            return Picture("crowded", image, np.where(np.isin(labels, ids[:20]), labels, 0))
    raise AssertionError("no such picture")


def print_rows(lines: Sequence[Line]) -> None:
    """Print the figures as a Markdown table."""
    print("\n| | value | 95 % interval | naive | cases |\n| --- | ---: | ---: | ---: | ---: |")
    for line in lines:
        decimals = 0 if line.unit == "ms" else 3
        ends = "" if line.low is None else f"{line.low:.3f} to {line.high:.3f}"
        naive = "" if line.naive is None else f"{line.naive:.3f}"
        value = f"{line.value:.{decimals}f} {line.unit}".strip()
        print(f"| {line.name} | {value} | {ends} | {naive} | {line.cases or ''} |")


if __name__ == "__main__":
    main()
