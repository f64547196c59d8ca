"""COCO AP of trainings, their differences, and how sure these are: by bootstrap."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval


@dataclass(frozen=True)
class Scored:
    """One training's detections held against the truth, picture by picture.

    pictures: how many. kept: COCOeval's matches, a list per category, of one entry per picture.
    """

    evaluation: Any
    kept: Sequence[Sequence[Any]]
    pictures: int

    def precision(self, drawn: Sequence[int] | None = None) -> float:
        """Return COCO mask AP, 0 to 1, over the pictures of these numbers; over all by default.

        A number may come several times, as in a bootstrap.
        """
        numbers = range(self.pictures) if drawn is None else drawn
        # COCOeval numbers pictures by their place: any distinct ids do.
        ids = list(range(len(numbers)))
        evaluation = self.evaluation
        evaluation.params.imgIds = ids
        evaluation._paramsEval.imgIds = ids  # it has no other way
        evaluation.evalImgs = [of_category[n] for of_category in self.kept for n in numbers]
        with contextlib.redirect_stdout(io.StringIO()):
            evaluation.accumulate()
        precision = evaluation.eval["precision"]
        found = precision[precision > -1]
        return float(found.mean()) if found.size else 0.0


def scored(truth: Mapping[str, Any], detections: Sequence[Mapping[str, Any]]) -> Scored:
    """Return detections, as COCO results with RLE masks, held against a COCO document."""
    with contextlib.redirect_stdout(io.StringIO()):
        coco = COCO()
        coco.dataset = dict(truth)
        coco.createIndex()
        # loadRes cannot read an empty list.
        found = coco.loadRes([dict(d) for d in detections]) if detections else COCO()
        if not detections:
            found.dataset = {**truth, "annotations": []}
            found.createIndex()
        evaluation = COCOeval(coco, found, "segm")
        evaluation.params.areaRng = evaluation.params.areaRng[:1]
        evaluation.params.areaRngLbl = evaluation.params.areaRngLbl[:1]
        evaluation.params.maxDets = evaluation.params.maxDets[-1:]
        evaluation.evaluate()
    count = len(evaluation.params.imgIds)
    matches = evaluation.evalImgs
    kept = [matches[first : first + count] for first in range(0, len(matches), count)]
    return Scored(evaluation, kept, count)


AREAS = ("small", "medium", "large")
_SUMMARY = ("AP", "AP50", "AP75", *(f"AP {name}" for name in AREAS))


def coco_figures(
    truth: Mapping[str, Any], detections: Sequence[Mapping[str, Any]], kind: str = "segm"
) -> dict[str, float]:
    """Return COCO's summary of detections, by pycocotools: AP, AP50, AP75, by area, by category.

    kind: "segm" for masks, "bbox" for boxes. Figures of what the truth lacks are left out.
    """
    with contextlib.redirect_stdout(io.StringIO()):
        coco = COCO()
        coco.dataset = dict(truth)
        coco.createIndex()
        if not detections:
            return dict.fromkeys(("AP", "AP50", "AP75"), 0.0)
        evaluation = COCOeval(coco, coco.loadRes([dict(d) for d in detections]), kind)
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    found = dict(zip(_SUMMARY, map(float, evaluation.stats), strict=False))
    for place, id_ in enumerate(evaluation.params.catIds):
        precision = evaluation.eval["precision"][:, :, place, 0, -1]
        known = precision[precision > -1]
        if known.size:
            found[f"AP {coco.cats[id_]['name']}"] = float(known.mean())
    return {name: value for name, value in found.items() if value >= 0}


def paired_draws(
    runs: Mapping[str, Sequence[Scored]],
    count: int,
    seed: int = 0,
    *,
    pictures: bool = True,
    trainings: bool = True,
) -> list[dict[str, float]]:
    """Return AP by arm for each bootstrap draw; all arms see the same pictures and the same seeds.

    runs: the trainings of each arm, in the order of their seeds, as many for each. pictures,
    trainings: whether these are drawn, or all taken once.
    """
    rng = np.random.default_rng(seed)
    first = next(iter(runs.values()))
    found = []
    for _ in range(count):
        shown = rng.integers(first[0].pictures, size=first[0].pictures).tolist()
        chosen = rng.integers(len(first), size=len(first)).tolist()
        numbers, times = np.unique(chosen if trainings else range(len(first)), return_counts=True)
        drawn = {}
        for name, of in runs.items():
            values = [of[int(n)].precision(shown if pictures else None) for n in numbers]
            drawn[name] = float(np.average(values, weights=times))
        found.append(drawn)
    return found


def draws(
    runs: Mapping[str, Sequence[Scored]], count: int, seed: int = 0
) -> Iterator[dict[str, float]]:
    """Yield AP by set for each bootstrap draw of test pictures and of trainings.

    runs: the trainings of each set, one per seed. All sets see the same pictures in a draw; the
    trainings are drawn for each set by itself.
    """
    rng = np.random.default_rng(seed)
    pictures = next(iter(runs.values()))[0].pictures
    for _ in range(count):
        drawn = rng.integers(pictures, size=pictures).tolist()
        found = {}
        for name, trainings in runs.items():
            chosen, times = np.unique(
                rng.integers(len(trainings), size=len(trainings)), return_counts=True
            )
            values = [trainings[int(number)].precision(drawn) for number in chosen]
            found[name] = float(np.average(values, weights=times))
        yield found


def gap_closed(ap: float, synthetic: float, photo: float) -> float:
    """Return the share of the gap between synthetic and photo training that a set closes.

    0: as good as renders; 1: as photographs. NaN where there is no gap.
    """
    gap = photo - synthetic
    return (ap - synthetic) / gap if gap > 0 else float("nan")


def interval(values: Sequence[float]) -> tuple[float, float]:
    """Return the 2.5th and 97.5th percentile; draws without a value (NaN) count as -infinity.

    A draw in which photographs are no better than renders speaks against any claim of a gap closed.
    """
    known = np.where(np.isnan(values), -np.inf, np.asarray(values, float))
    low, high = np.quantile(known, [0.025, 0.975], method="nearest")
    return float(low), float(high)
