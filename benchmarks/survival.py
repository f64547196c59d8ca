"""How well the checks tell damage from a new look: known damage, benign changes, a naive score.

    uv run python -m benchmarks.survival [--data FOLDER] [--limit N] [--half report]
        [--pairs FOLDER --seeds FIRST LAST] [--renders FOLDER] [--workers N] [--json FILE]

Thresholds and constants were chosen on every other picture (``--half tune``); the rows are those of
the pictures between (``--half report``). Intervals: 95 %, bootstrap over pictures. FOLDER of pairs:
of `sv2r tabletop render --domain both`, scenes of the given seeds, the last not counted. FOLDER of
renders: sets of `sv2r tabletop render --edits`, of which those of the split edits-test are looked
at. Nothing of what is looked at was learnt from. --limit 0 looks at these two alone.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import cache, partial
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import torch

from benchmarks.lib import paired, photographed
from benchmarks.lib.observed import CASES, OF_PICTURES, Found, Seen, observe
from benchmarks.lib.scenes import Picture, generated, third_party
from benchmarks.lib.separation import Line, area, print_lines, share
from benchmarks.lib.table import machine, parser, write_json
from sv2r.checks import score
from sv2r.checks.invention import InventionOptions
from sv2r.checks.shift import ShiftOptions
from sv2r.checks.survival import SurvivalOptions

DEFAULTS = {
    "survival": 1 - float(SurvivalOptions.model_fields["min_survival"].default),
    "before": 0.5,
    "shift": float(ShiftOptions.model_fields["max_shift"].default),
    "invention": float(InventionOptions.model_fields["max_invention"].default),
}


def main() -> None:
    """Print the tables; write the rows where asked."""
    command = parser(__doc__ or "")
    command.add_argument("--data", type=Path, help="a folder with the datasets named in scenes.py")
    command.add_argument("--limit", type=int, default=36, help="pictures of each dataset, at most")
    command.add_argument("--half", choices=("tune", "report", "all"), default="report")
    command.add_argument("--pairs", type=Path, help="renders with a photograph of each")
    command.add_argument("--seeds", type=int, nargs=2, default=(400_000, 400_045))
    command.add_argument("--renders", type=Path, help="sets of rendered edits")
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
    rows = [*cost_rows()]
    if found.instances:
        rows += [*shift_rows(found), *damage_rows(found), *benign_rows(found)]
    rows += photograph_rows(arguments.pairs, arguments.seeds, arguments.renders)
    print(f"\n{machine()}; {len(pictures)} pictures, {arguments.half} half")
    print_lines(rows)
    if arguments.json:
        write_json([row for line in rows for row in line.rows()], arguments.json)


def photograph_rows(
    folder: Path | None, seeds: Sequence[int], renders: Path | None
) -> Iterator[Line]:
    """Yield what is said of true photographs, and of rendered edits, where there are any."""
    limit = 1 - DEFAULTS["survival"]
    if folder:
        yield from paired.rows(list(paired.told(paired.pairs(folder, *seeds))), limit)
    if renders:
        sets = sorted(path.parent.parent for path in renders.rglob("photo/edits.json"))
        told = photographed.judged(sets, "edits-test")
        yield from photographed.rows([one for _, some in told for one in some], limit)


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


# What is made of it.


def shift_rows(found: Found) -> Iterator[Line]:
    """Yield the error of the displacement at the picture's centre."""
    for kind, name in (("", "no shift"), ("shift", "1 to 16 px")):
        errors = [error for one, error in found.shift_errors if one == kind]
        for part, word in ((50, "median"), (95, "95th percentile")):
            if errors:
                value = float(np.percentile(errors, part))
                yield Line(f"error of the shift, {name}, {word}", value, "px", cases=len(errors))


def damage_rows(found: Found) -> Iterator[Line]:
    """Yield AUC and recall of every kind of damage, alone and under a benign change."""
    for group, (kinds, _) in CASES.items():
        for kind in kinds:
            everything = found.pictures if kind in OF_PICTURES else found.instances
            quiet = [seen for seen in everything if not seen.kind and seen.group == group]
            for under in (False, True):
                hurt = [s for s in everything if s.kind == kind and bool(s.under) == under]
                name = f"{kind}{', under a benign change' if under else ''}"
                if hurt and quiet:
                    yield from _told_apart(name, hurt, quiet, _check(kind))
    if found.hits:
        share_ = float(np.mean(found.hits))
        yield Line("invented objects pointed at", share_, cases=len(found.hits))


def _told_apart(
    name: str, hurt: Sequence[Seen], quiet: Sequence[Seen], check: str
) -> Iterator[Line]:
    pictures = np.array([seen.picture for seen in (*hurt, *quiet)])

    def areas(by: str) -> tuple[float, float, float]:
        bad, good = (np.array([seen.check[by] for seen in group]) for group in (hurt, quiet))
        return area(bad, good, pictures)

    old = "before" if check == "survival" else check
    before = areas(old)[0]
    yield Line(
        f"{name}: AUC", areas(check)[0], "", *areas(check)[1:], before, areas("naive")[0], len(hurt)
    )
    was = float(np.mean([seen.check[old] > DEFAULTS[old] for seen in hurt]))
    value, low, high = _share(hurt, check)
    yield Line(f"{name}: recall", value, "", low, high, was, cases=len(hurt))


def benign_rows(found: Found) -> Iterator[Line]:
    """Yield the false alarms of every benign change and of all of them."""
    total = len(found.instances) + found.unscorable
    yield Line("instances that can be scored", len(found.instances) / total, cases=total)
    for group, (_, changes) in CASES.items():
        for name in ("", *changes):
            quiet = [
                [s for s in seen if not s.kind and s.group == group and name in ("", s.under)]
                for seen in (found.instances, found.pictures)
            ]
            title = f"{group}{': ' + name if name else ''}"
            for check in ("survival", "shift", "invention"):
                for seen, what in zip(quiet, ("instances", "pictures"), strict=True):
                    if not seen or (what == "instances" and check != "survival"):
                        continue
                    old = "before" if check == "survival" else check
                    was = float(np.mean([one.check[old] > DEFAULTS[old] for one in seen]))
                    value, low, high = _share(seen, check)
                    label = f"{title}: {what} refused by {check}"
                    yield Line(label, value, "", low, high, was, cases=len(seen))


def _check(kind: str) -> str:
    if kind == "invented":
        return "invention"
    return "shift" if kind in OF_PICTURES else "survival"


def _share(group: Sequence[Seen], check: str) -> tuple[float, float, float]:
    """Return the share that a check refuses at its default, and its interval."""
    called = np.array([seen.check[check] > DEFAULTS[check] for seen in group])
    return share(called, np.array([seen.picture for seen in group]))


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


if __name__ == "__main__":
    main()
