"""What translation is worth in the tabletop world, where the truth is known.

Four stages, each of which keeps its results in --work and goes on where it was stopped:

translate   the renders by each translator, through sv2r's own jobs
realism     distances to photographs of other scenes, without any network's weights
downstream  one segmenter trained with equal steps on each set, COCO mask AP on photographs
fidelity    are objects where the render, and the photograph of the same scene, have them

    python -m benchmarks.tabletop --world world --work work --json tabletop.json
"""

from __future__ import annotations

import argparse
import os
import shlex
import subprocess
import sys
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

# Threads that wait in busy loops make everything slower on cores that others use as well.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

from benchmarks.lib import tableworld
from benchmarks.lib.bench import PHOTO, SYNTHETIC, Bench, Figure
from benchmarks.lib.table import machine, parser, write_json
from benchmarks.lib.tableworld import PHOTO_CEILING, SYNTHETIC_TRAIN, TEST_PHOTO, TEST_SYNTHETIC
from benchmarks.lib.translated import BASELINES, DIFFUSION, MODEL, PRESET, Translation
from sv2r import ConfigError, Sv2rError

STAGES = ("translate", "realism", "downstream", "fidelity")
# The part whose translations a stage reads.
_READS = {"realism": SYNTHETIC_TRAIN, "downstream": SYNTHETIC_TRAIN, "fidelity": TEST_SYNTHETIC}
QUICK = {"count": 6, "steps": 3, "draws": 3}


def translate(bench: Bench) -> list[Figure]:
    """Translate what is trained with, and the test renders, by each method."""
    for method in bench.methods:
        for part in (SYNTHETIC_TRAIN, TEST_SYNTHETIC):
            bench.translation.make(method, part)
    return []


def realism(bench: Bench) -> list[Figure]:
    """Measure each set, and photographs of other scenes, against the test photographs."""
    import numpy as np

    results = _draws_of_realism(bench)
    figures = []
    for name in results[0]:
        for measure in results[0][name]:
            values = np.array([result[name][measure] for result in results])
            figures.append(_normal(f"{measure}, {name}", values, _UNITS.get(measure, "x 1,000")))
        for measure in ("swd", "colour", "spectrum") if name != SYNTHETIC else ():
            ratio = [1 - result[name][measure] / result[SYNTHETIC][measure] for result in results]
            title = f"{measure} less than synthetic, {name}"
            figures.append(_normal(title, 100 * np.array(ratio), "%"))
    return figures


_UNITS = {"colour": "Lab", "spectrum": "dB"}


def _draws_of_realism(bench: Bench) -> list[dict[str, dict[str, float]]]:
    """Return the distances of each set in each bootstrap draw of pictures on both sides."""
    import torch

    from sv2r.evaluation.looks import LOOKS_VERSION, Appearance, distances

    limit = bench.translation.limit
    sets = {
        name: tableworld.read(folders[0], bench.count())
        for name, folders in bench.trained_on().items()
    }
    sets[PHOTO] = tableworld.read(bench.world / PHOTO_CEILING, bench.count())
    reference = tableworld.read(bench.world / TEST_PHOTO, limit)
    key = [LOOKS_VERSION, reference.fingerprint(), {n: s.fingerprint() for n, s in sets.items()}]
    if all(bench.place(f"realism/{draw}", key).is_file() for draw in range(bench.draws)):
        return [bench.kept(f"realism/{draw}", key, dict) for draw in range(bench.draws)]
    looks = {name: Appearance.of(_tensor(one)) for name, one in sets.items()}
    aim = Appearance.of(_tensor(reference))

    def draw(seed: int) -> dict[str, dict[str, float]]:
        generator = torch.Generator().manual_seed(seed)
        size = (len(aim.lab),)
        drawn = aim.drawn(torch.randint(size[0], size, generator=generator))
        some = [
            o.drawn(torch.randint(len(o.lab), size, generator=generator)) for o in looks.values()
        ]
        print(f"realism {seed + 1}/{bench.draws}", flush=True)
        return dict(zip(looks, distances(some, drawn, seed), strict=True))

    return [bench.kept(f"realism/{seed}", key, partial(draw, seed)) for seed in range(bench.draws)]


def _tensor(labels: tableworld.Labels) -> Any:
    import numpy as np
    import torch

    stacked = np.stack([picture.pixels for picture in labels.pictures])
    return torch.from_numpy(stacked).permute(0, 3, 1, 2).float() / 255


def _normal(name: str, values: Any, unit: str) -> Figure:
    """Return the mean of bootstrap draws and 1.96 of their standard deviations either way.

    There are too few draws for percentiles.
    """
    mean, spread = float(values.mean()), 1.96 * float(values.std(ddof=1))
    return Figure(name, mean, mean - spread, mean + spread, unit)


def downstream(bench: Bench) -> list[Figure]:
    """Train on each set, and return mask AP and how much of the gap each closes."""
    from benchmarks.lib.downstream import figures

    return figures(bench)


def fidelity(bench: Bench) -> list[Figure]:
    """Measure the translated test renders, and the photographs of their scenes, against both."""
    from benchmarks.lib.fidelity import figures, looks

    limit = bench.translation.limit
    sources = tableworld.read(bench.world / TEST_SYNTHETIC, limit)
    photos = tableworld.read(bench.world / TEST_PHOTO, limit)
    sets = {PHOTO: photos}
    for method in bench.methods:
        sets[method] = tableworld.read(bench.translation.folder(method, TEST_SYNTHETIC), limit)
    found = []
    for name, labels in sets.items():
        key = [labels.fingerprint(), sources.fingerprint(), photos.fingerprint()]
        seen = bench.kept(f"fidelity/{name}", key, partial(looks, sources, photos, labels))
        share = len(labels.pictures) / len(sources.pictures)
        found.append(Figure(f"pictures published, {name}", share, share, share))
        found += [Figure(f"{title}, {name}", *ends) for title, ends in figures(seen).items()]
    return found


def main(words: Sequence[str] | None = None) -> int:
    """Measure, print the tables, and return the exit code."""
    arguments = _arguments(words)
    try:
        figures = _measure(arguments)
    except KeyboardInterrupt:
        print("stopped; the same command goes on where it was", file=sys.stderr)
        return 130
    except Sv2rError as error:
        print(f"Error: {error}", file=sys.stderr)
        return 2 if isinstance(error, ConfigError) else 1
    if arguments.json:
        write_json([row for figure in figures for row in figure.rows()], arguments.json)
    return 0


def _measure(arguments: argparse.Namespace) -> list[Figure]:
    if arguments.render:
        for command in tableworld.commands(arguments.world):
            words = [*command[1:], "--workers", str(arguments.workers)]
            run = [sys.executable, "-m", "sv2r.cli.main", *words]
            if subprocess.run(run, check=False).returncode:
                raise Sv2rError(f"{shlex.join(command)}: failed; fix what it says above")
    tableworld.require(arguments.world)
    bench = _bench(arguments)
    if "downstream" in arguments.stages:
        from benchmarks.lib.segmenter import require

        require()  # before hours are spent on the stages before it
    work = {
        "translate": translate,
        "realism": realism,
        "downstream": downstream,
        "fidelity": fidelity,
    }
    print(machine())
    figures: list[Figure] = []
    for stage in STAGES:
        if stage in arguments.stages:
            if stage != "translate":  # all of it before hours are spent on the first
                _require_translated(bench, arguments.stages)
            found = work[stage](bench)
            _print(stage, found)
            figures += found
    return figures


def _require_translated(bench: Bench, stages: Sequence[str]) -> None:
    """Raise ConfigError unless what the stages read has been translated, and nothing failed."""
    for part in sorted({_READS[stage] for stage in stages if stage in _READS}):
        for method in bench.methods:
            bench.translation.require(method, part)


def _print(stage: str, figures: Sequence[Figure]) -> None:
    if not figures:
        return
    print(f"\n| {stage} | value | 95 % interval | unit |\n| --- | ---: | ---: | --- |")
    for one in figures:
        print(f"| {one.name} | {one.value:.3f} | {one.low:.3f} to {one.high:.3f} | {one.unit} |")


def _bench(arguments: argparse.Namespace) -> Bench:
    quick = QUICK if arguments.quick else {}
    if DIFFUSION in arguments.methods and not arguments.preset.is_file():
        raise ConfigError(f"{arguments.preset}: no such preset; give one by --preset")
    return Bench(
        Translation(
            arguments.world.absolute(),
            arguments.work.absolute(),
            arguments.preset,
            arguments.model.absolute(),
            arguments.device,
            quick.get("count", arguments.count),
            arguments.palette,
        ),
        tuple(arguments.methods),
        arguments.seeds,
        quick.get("steps", arguments.steps),
        quick.get("draws", arguments.draws),
        "cpu" if arguments.device == "auto" else arguments.device,
        arguments.workers,
    )


def _arguments(words: Sequence[str] | None) -> argparse.Namespace:
    options = parser(__doc__.partition("\n")[0])
    add = options.add_argument
    add("--world", type=Path, required=True, help="as `sv2r tabletop render` makes its parts")
    add("--work", type=Path, default=Path("tabletop-work"), help="where results are kept")
    add("--render", action="store_true", help="render the parts of the world that are missing")
    add("--model", type=Path, default=MODEL, help="a diffusers folder; the bundled one by default")
    add("--preset", type=Path, default=PRESET, help="a YAML file: how the model is used")
    add("--palette", action="store_true", help="colours of photographs after the model")
    add("--stages", type=_names(STAGES), default=STAGES, help="some of them, with commas between")
    everyone = (*BASELINES, DIFFUSION)
    add("--methods", type=_names(everyone), default=everyone, help="some of them, likewise")
    add("--seeds", type=_at_least(1), default=3, help="trainings of each set")
    add("--steps", type=_at_least(1), help="of each training; the segmenter's own by default")
    add("--count", type=_at_least(1), help="pictures of each part, at most")
    draws = "bootstrap draws, 2 at least; 20 times as many for AP"
    add("--draws", type=_at_least(2), default=20, help=draws)
    add("--device", default="auto", help="auto, cpu, cuda:0; auto trains the segmenter on a CPU")
    add("--workers", type=_at_least(1), default=1, help="trainings at a time, with one thread each")
    add("--quick", action="store_true", help="a few pictures and steps: whether it runs at all")
    return options.parse_args(words)


def _at_least(least: int) -> Callable[[str], int]:
    def number(text: str) -> int:
        if int(text) < least:
            raise argparse.ArgumentTypeError(f"{text} is below {least}")
        return int(text)

    return number


def _names(known: Iterable[str]) -> Callable[[str], tuple[str, ...]]:
    def names(text: str) -> tuple[str, ...]:
        found = tuple(text.split(","))
        for name in found:
            if name not in known:
                raise argparse.ArgumentTypeError(f"no {name!r}; there are: {','.join(known)}")
        return found

    return names


if __name__ == "__main__":
    sys.exit(main())
