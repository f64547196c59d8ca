"""Trains the network of the check `survival`: bands to disk, training, calibration, weights.

    uv run python -m benchmarks.fit --renders FOLDER --work FOLDER [--diffused FOLDER]
        [--steps N] [--drawn N]

FOLDER of renders: sets of `sv2r tabletop render --edits auto`, each in a folder of its own; those
of the splits edits-train and edits-tune are used, and those of edits-test are not. FOLDER of
diffused ones: what `benchmarks.diffused` made of them. What was done is kept in the folder of work:
a run that was stopped goes on. One thread.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save

from benchmarks.diffused import diffused
from benchmarks.lib.edited import Edited, edited
from benchmarks.lib.fitdata import Base, drawn, features, write
from benchmarks.lib.fittrain import Item, calibrated, items, step_on, weights_of
from benchmarks.lib.scenes import Picture, generated
from benchmarks.lib.table import parser
from sv2r.checks.fit import WEIGHTS
from sv2r.checks.fitnet import FitNet

DRAWN, DRAWN_TUNE = 10_000, 20_000  # first seeds; the benchmark's own begin at 0
PER_DRAWN, PER_EDIT, PER_DIFFUSED, PER_TUNE = 9, 3, 2, 1  # changed pictures of each base
INSTANCES = 110  # of a batch, about
SAVE_EVERY, SHOW_EVERY = 150, 600


@dataclass(frozen=True)
class Kept:
    """What a checkpoint has: the step, the network, its moving mean, and the optimiser."""

    step: int
    net: FitNet
    mean: FitNet
    optimiser: torch.optim.Optimizer

    def save(self, path: Path) -> None:
        """Write it in one step."""
        parts = self.net.state_dict(), self.mean.state_dict(), self.optimiser.state_dict()
        part = path.with_suffix(".part")
        torch.save((self.step, *parts), part)
        part.replace(path)


def main() -> None:
    """Make what is missing, then train on, then write the weights."""
    command = parser(__doc__ or "")
    command.add_argument("--renders", type=Path, required=True)
    command.add_argument("--diffused", type=Path)
    command.add_argument("--work", type=Path, required=True)
    command.add_argument("--steps", type=int, default=6000)
    command.add_argument("--drawn", type=int, default=120, help="drawn scenes to learn from")
    asked = command.parse_args()
    torch.set_num_threads(1)
    make_features(asked.renders, asked.diffused, asked.work / "bands", asked.drawn)
    train, tune = (items(asked.work / "bands", (name,)) for name in ("train-", "tune-"))
    kept = trained(train, tune, asked.work / "checkpoint.pt", asked.steps)
    net = calibrated(kept.mean, [item for item in tune if item.rendered])
    data = save({name: value.contiguous() for name, value in net.state_dict().items()})
    WEIGHTS.parent.mkdir(exist_ok=True)
    WEIGHTS.write_bytes(data)
    digest = hashlib.sha256(data).hexdigest()
    print(f"{WEIGHTS}: {len(data):,} bytes; SHA-256 for sv2r/checks/fit.py: {digest}")
    if asked.json:
        asked.json.write_text(json.dumps({"sha256": digest, "steps": kept.step}))


def make_features(renders: Path, translated: Path | None, folder: Path, count: int) -> None:
    """Write the bands of all bases that have none yet."""
    for name, base, guest, changes in bases(renders, translated, count):
        path = folder / f"{name}.npz"
        if not path.exists():
            start = time.perf_counter()
            write(path, features(base, guest, changes))
            print(f"{path.name} {time.perf_counter() - start:.1f} s", flush=True)


def bases(
    renders: Path, translated: Path | None, count: int
) -> Iterator[tuple[str, Base, Picture, int]]:
    """Yield name, base, guest and how many changed pictures, of every base there is."""
    for folder in sorted(path.parent.parent for path in renders.rglob("photo/edits.json")):
        scenes = list(edited(folder))
        split = scenes[0].split.removeprefix("edits-")
        if split not in {"train", "tune"}:
            continue
        changes = PER_EDIT if split == "train" else PER_TUNE
        for place, scene in enumerate(scenes):
            guest, name = _guest(scenes, place), f"{split}-{folder.name}-{scene.name}"
            yield name, scene.base(), guest, changes
            if place % 3 == 0:
                yield f"{name}-photo", scene.as_source(), guest, changes
        for made in sorted(translated.glob(f"{folder.name}-*")) if translated else ():
            for place, (name, base) in enumerate(diffused(made, scenes)):
                changes = PER_DIFFUSED if split == "train" else 0
                yield f"{split}-{name}", base, _guest(scenes, place), changes
    for first, number, split in ((DRAWN, count, "train"), (DRAWN_TUNE, count // 6, "tune")):
        for seed in range(first, first + number):
            base = drawn(seed)
            guest = generated(seed + 1, base.source.labels.shape)
            yield f"{split}-{base.name}", base, guest, PER_DRAWN


def _guest(scenes: Sequence[Edited], place: int) -> Picture:
    """Return the photograph of the next scene of the same size, or of the next."""
    after = [*scenes[place + 1 :], *scenes[:place], scenes[place]]
    size = scenes[place].photo.shape
    one = next((scene for scene in after if scene.photo.shape == size), after[0])
    return Picture(one.name, one.photo, one.base().pictures["photo"].after)


def trained(
    train: Sequence[Item], tune: Sequence[Item], path: Path, steps: int, of: int = 0
) -> Kept:
    """Return the network after so many steps, from the last checkpoint on.

    of: steps of the whole training where these are a part of it: the rate falls to 0 over them.
    """
    kept = _begun(path)
    weights = weights_of(train)
    begun, losses = time.perf_counter(), []
    print(f"{len(train)} pictures to learn from, {len(tune)} to tune on; from step {kept.step}")
    while kept.step < steps:
        rng = np.random.default_rng([kept.step, 3])
        torch.manual_seed(kept.step)  # what is dropped, so that a run that was stopped goes on
        batch = _drawn(train, weights, rng)
        loss = step_on(kept.net, kept.mean, kept.optimiser, batch, rng, kept.step, of or steps)
        kept = Kept(kept.step + 1, kept.net, kept.mean, kept.optimiser)
        losses.append(loss)
        if kept.step % SAVE_EVERY == 0:
            kept.save(path)
            passed = time.perf_counter() - begun
            print(
                f"{kept.step} loss {np.mean(losses[-SAVE_EVERY:]):.4f} {passed:.0f} s", flush=True
            )
    kept.save(path)
    return kept


def _begun(path: Path) -> Kept:
    torch.manual_seed(0)
    net, mean = FitNet(), FitNet()
    mean.load_state_dict(net.state_dict())
    optimiser = torch.optim.AdamW(net.parameters(), lr=0, weight_decay=0.01)
    step = 0
    if path.exists():
        step, *states = torch.load(path)
        net.load_state_dict(states[0])
        mean.load_state_dict(states[1])
        optimiser.load_state_dict(states[2])
    return Kept(step, net, mean, optimiser)


def _drawn(found: Sequence[Item], weights: np.ndarray, rng: np.random.Generator) -> list[Item]:
    """Return pictures with about INSTANCES instances, drawn by weight."""
    batch: list[Item] = []
    while sum(item.count for item in batch) < INSTANCES:
        batch.append(found[int(rng.choice(len(found), p=weights))])
    return batch


if __name__ == "__main__":
    main()
