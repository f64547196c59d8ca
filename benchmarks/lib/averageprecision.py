"""COCO mask AP of trainings, and how much of a gap is closed, with bootstrap intervals."""

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
