"""Measures sets of pictures against photographs and against what a run says of them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sv2r.errors import ConfigError
from sv2r.evaluation.features import Features
from sv2r.evaluation.looks import Appearance
from sv2r.evaluation.measure import Described, Measures, measure_set
from sv2r.evaluation.sets import PictureSet, read_squares

if TYPE_CHECKING:
    from torch import Tensor

RENDERS, HELD_OUT = "renders", "photos"
"""The two ends of a table: what pictures come from, and photographs that were held out."""


@dataclass(frozen=True)
class Kept:
    """What became of a category's instances by a check: how many, and their mean score."""

    category: str
    check: str
    instances: int
    score: float


@dataclass(frozen=True)
class Evaluated:
    """A set of pictures and what was found.

    done, rejected, failed: of a run. kept: by category and check.
    """

    pictures: PictureSet
    measures: Measures
    kept: tuple[Kept, ...] = ()


@dataclass(frozen=True)
class Evaluation:
    """All sets, the renders first, the photographs that were held out last.

    network: what described the pictures. side: of the squares that were looked at, in pixels.
    reference: the photographs that all were compared with.
    """

    network: str
    side: int
    seed: int
    reference: PictureSet
    sets: tuple[Evaluated, ...]
    notes: tuple[str, ...] = field(default=())

    def closed(self, name: str, place: int) -> float | None:
        """Return how much of the gap between renders and photographs a set has closed.

        None for the ends, or where renders are no farther than photographs are.
        """
        ends = [self.sets[end].measures.figures[name].value for end in (0, -1)]
        if place in (0, len(self.sets) - 1) or ends[0] <= ends[1]:
            return None
        return (ends[0] - self.sets[place].measures.figures[name].value) / (ends[0] - ends[1])


def run_evaluation(
    source: PictureSet,
    translated: Sequence[PictureSet],
    photos: PictureSet,
    features: Features,
    *,
    side: int,
    limit: int,
    seed: int = 0,
    watch: Callable[[int, int], None] | None = None,
) -> Evaluation:
    """Return how far every set is from one half of the photographs.

    The other half is measured as a set of its own: the distance of photographs from photographs.

    side: of the squares that pictures are brought to. limit: pictures a set, evenly spread.
    watch: is told how many pictures have been read, of how many.

    Raises:
        ConfigError: a picture cannot be read; a package is missing.
    """
    compared, held = _halves_of(photos, limit)
    sets = [one.some(limit) for one in (source, *translated)] + [held]
    total = sum(len(one.paths) for one in (compared, *sets))
    reading = _Counting(watch, total)
    reference = _seen(compared, features, side, reading)
    found = []
    for one in sets:
        measures = measure_set(_seen(one, features, side, reading), reference, seed)
        found.append(Evaluated(one, measures, tuple(_kept(one.records.values()))))
    return Evaluation(features.network, side, seed, compared, tuple(found), tuple(_notes(found)))


def _halves_of(photos: PictureSet, limit: int) -> tuple[PictureSet, PictureSet]:
    """Return every second photograph, and the others: neighbours in a folder are often alike."""
    paths = photos.some(2 * limit).paths
    return PictureSet("photos compared with", paths[::2]), PictureSet(HELD_OUT, paths[1::2])


class _Counting:
    """Counts pictures as they are read."""

    def __init__(self, watch: Callable[[int, int], None] | None, total: int) -> None:
        self._watch, self._total, self._done = watch, total, 0

    def each(self, pictures: Iterable[Tensor]) -> Iterator[Tensor]:
        """Yield pictures, and tell of each."""
        for picture in pictures:
            yield picture
            self._done += 1
            if self._watch is not None:
                self._watch(self._done, self._total)


def _seen(one: PictureSet, features: Features, side: int, reading: _Counting) -> Described:
    import torch

    pictures = list(reading.each(read_squares(one.paths, side)))
    described = features.of(pictures)
    if not bool(described.isfinite().all()):
        raise ConfigError(f"{features.network} gives {one.name} features that are no numbers")
    return Described(described, Appearance.of(torch.stack(pictures)))


def _kept(records: Iterable[Any]) -> Iterator[Kept]:
    """Yield the mean score of instances by category and check, as the run noted them."""
    scores: dict[tuple[str, str], list[float]] = {}
    for record in records:
        for category, ids in record.instances.items():
            for check, found in record.scores.items():
                own = (found["instances"].get(str(id_), {}).get(check) for id_ in ids)
                scores.setdefault((category, check), []).extend(x for x in own if x is not None)
    for (category, check), values in sorted(scores.items()):
        if values:
            yield Kept(category, check, len(values), sum(values) / len(values))


# Nearer to a photograph than that share of the distance photographs have to one another. It only
# points to pictures to look at: its false alarms were not measured.
_BY_HEART = 0.3


def _notes(found: Sequence[Evaluated]) -> Iterator[str]:
    for one in found[1:-1]:
        count = int((one.measures.nearest[1] < _BY_HEART).sum())
        if count:
            yield (
                f"{one.pictures.name}: {count} picture{'' if count == 1 else 's'} much nearer to a "
                "photograph than photographs are to each other: learnt by heart, or the same scene"
            )


def evaluation_data(found: Evaluation) -> dict[str, Any]:
    """Return an evaluation as JSON takes it."""
    return {
        "features": found.network,
        "side": found.side,
        "seed": found.seed,
        "compared_with": len(found.reference.paths),
        "notes": list(found.notes),
        "sets": [_set_as_data(found, place) for place in range(len(found.sets))],
    }


def _set_as_data(found: Evaluation, place: int) -> dict[str, Any]:
    one = found.sets[place]
    figures: Mapping[str, Any] = one.measures.figures
    return {
        "name": one.pictures.name,
        "pictures": len(one.pictures.paths),
        "figures": {
            name: {
                "value": f.value,
                "low": f.low,
                "high": f.high,
                "closed": found.closed(name, place),
            }
            if name in CLOSING
            else {"value": f.value, "low": f.low, "high": f.high}
            for name, f in figures.items()
        },
        "kept": [vars(kept) for kept in one.kept],
        "least_real": _ends(one, largest=False),
        "most_real": _ends(one, largest=True),
    }


CLOSING = ("kid", "fid", "auc", "swd", "colour", "spectrum")
"""Figures that say how far a set is from photographs: of these a gap can be closed."""


def _ends(one: Evaluated, *, largest: bool, count: int = 5) -> list[str]:
    """Return the pictures that the classifier takes for photographs most, or least."""
    order = one.measures.realness.argsort(descending=largest)[:count]
    return [str(one.pictures.paths[int(place)]) for place in order]


def least_real(one: Evaluated, count: int) -> list[Path]:
    """Return the pictures that look least like photographs to the classifier."""
    return [Path(path) for path in _ends(one, largest=False, count=count)]


def most_real(one: Evaluated, count: int) -> list[Path]:
    """Return the pictures that look most like photographs to the classifier."""
    return [Path(path) for path in _ends(one, largest=True, count=count)]
