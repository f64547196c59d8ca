"""Training of the survival network on what `fitdata` keeps: loss, loop, and calibration."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch.nn.functional import binary_cross_entropy_with_logits, smooth_l1_loss

from benchmarks.lib.partial import LEAST_IOU, MOST_LOST
from sv2r.checks.bands import Reading
from sv2r.checks.fitnet import HINTS, STEPS, Facts, FitNet, Seen, facts_of

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import Tensor

LEAST_SIZE = 24.0  # px around an instance below which its truth is too coarse to learn from
RATE = 2e-3
PARTS = ("thin part gone", "half of an instance erased", "merged", "another object's texture")
HINTS_DROPPED = 0.3  # share of the pictures whose hints are hidden in training


@dataclass(frozen=True)
class Item:
    """One picture: what the network is given of its instances, and their truth, as float16.

    name: of the base, of: of the picture of it (photo, render, diffused, or "").
    kind: of the damage, look: of the benign changes made to it, "" for none.
    """

    name: str
    of: str
    kind: str
    look: str
    facts: Mapping[str, Tensor]
    truth: Mapping[str, Tensor]

    @property
    def count(self) -> int:
        """Return the number of instances."""
        return len(self.truth["iou"])

    @property
    def rendered(self) -> bool:
        """Return whether a renderer or a model made all of it, and it is not the source itself."""
        return self.untouched and self.of in {"photo", "diffused"}

    @property
    def untouched(self) -> bool:
        """Return whether nothing was done to the picture after it was rendered."""
        return not self.kind and not self.look


def items(folder: Path, names: Sequence[str]) -> list[Item]:
    """Return all pictures of bases whose file names begin with one of the names."""
    found: list[Item] = []
    for path in sorted(p for p in folder.glob("*.npz") if p.name.startswith(tuple(names))):
        with np.load(path, allow_pickle=False) as archive:
            arrays = {key: archive[key] for key in archive.files}
        if len(arrays["ids"]):
            found += [_item(arrays, place, path.stem) for place in range(len(arrays["levels"]))]
    return found


def _item(arrays: Mapping[str, NDArray[Any]], place: int, name: str) -> Item:
    def given(key: str) -> Tensor:
        return torch.from_numpy(arrays[key].astype(np.float32))

    def own(key: str) -> Tensor:
        return torch.from_numpy(arrays[key][place].astype(np.float32))

    seen = Seen(
        Reading(given("source_levels"), given("source_spread"), given("source_inside")),
        Reading(own("levels"), own("spread"), own("inside")),
        given("known"),
        given("normal"),
        given("neighbour"),
        given("size"),
        own("hints"),
        torch.zeros(len(arrays["ids"]), dtype=torch.int64),
    )
    facts = facts_of(seen)
    truth = {key: own(key) for key in ("iou", "lost", "away")}
    truth["hurt"] = own("hurt") if "hurt" in arrays else torch.zeros(len(truth["iou"]))
    enough = (truth["iou"] >= LEAST_IOU) & (truth["lost"].mean(1) < MOST_LOST)
    truth["fits"] = enough * (1 - truth["hurt"])
    truth["weight"] = (seen.size[:, 0] >= LEAST_SIZE) * (1 - own("doubtful") * enough)
    kept = {key: getattr(facts, key).half() for key in ("rows", "kin", "laid", "inside", "told")}
    of = str(arrays["name"][place])
    return Item(name, of, str(arrays["kind"][place]), str(arrays["look"][place]), kept, truth)


def joined(batch: Sequence[Item]) -> tuple[Facts, dict[str, Tensor]]:
    """Return several pictures' instances as one batch, and their truth."""
    facts = {key: torch.cat([i.facts[key] for i in batch]).float() for key in batch[0].facts}
    group = torch.repeat_interleave(torch.tensor([item.count for item in batch]))
    truth = {key: torch.cat([item.truth[key] for item in batch]) for key in batch[0].truth}
    return Facts(**facts, group=group), truth


def weights_of(found: Sequence[Item]) -> NDArray[np.float64]:
    """Return how often each picture is drawn.

    Those that nothing was pasted into and those that lack a part more, those that were looked at
    most, and those of many instances less.
    """
    drawn = np.array(["-drawn-" in item.name for item in found])
    untouched = np.array([item.untouched for item in found])
    seen = np.array(["-whole-" in item.name for item in found])
    many = np.array([max(1.0, (item.count / 8) ** 0.5) for item in found])
    weights = np.where(drawn, 1.0, 1.5) * np.where(untouched & ~drawn, 2.0, 1.0) / many
    part = np.array([item.kind in PARTS for item in found])
    weights *= np.where(seen, 4.0, 1.0) * np.where(part, 2.0, 1.0)
    shares: NDArray[np.float64] = weights / weights.sum()
    return shares


def step_on(
    net: FitNet,
    mean: FitNet,
    optimiser: torch.optim.Optimizer,
    batch: Sequence[Item],
    rng: np.random.Generator,
    step: int,
    steps: int,
) -> float:
    """Train on one batch and return its loss; `mean` follows as a moving mean of the weights.

    AdamW (Loshchilov & Hutter 2019), its rate 0.002 after 60 steps and falling as a cosine.
    """
    for group in optimiser.param_groups:
        falling = 0.5 * (1 + math.cos(math.pi * step / steps))
        group["lr"] = RATE * min(1, (step + 1) / 60) * falling
    loss = loss_of(net, *turned(*joined(batch), rng))
    optimiser.zero_grad()
    loss.backward()  # type: ignore[no-untyped-call]
    torch.nn.utils.clip_grad_norm_(net.parameters(), 3.0)
    optimiser.step()
    share = max(0.005, 9 / (10 + step))
    with torch.no_grad():
        for slow, fast in zip(mean.parameters(), net.parameters(), strict=True):
            slow.lerp_(fast, share)
    return float(loss.detach())


def calibrated(net: FitNet, found: Sequence[Item]) -> FitNet:
    """Return the network with its probability fitted to other pictures (Platt 1999)."""
    rows = predicted(net, found)
    kept = rows["weight"] > 0
    logit, fits = (torch.from_numpy(rows[key][kept]).double() for key in ("logit", "fits"))
    line = torch.tensor([1.0, 0.0], dtype=torch.float64, requires_grad=True)
    optimiser = torch.optim.LBFGS([line], max_iter=100)

    def closure() -> Tensor:
        optimiser.zero_grad()
        loss = binary_cross_entropy_with_logits(line[0] * logit + line[1], fits)
        loss.backward()  # type: ignore[no-untyped-call]
        return loss

    optimiser.step(closure)  # type: ignore[no-untyped-call]
    told = FitNet()
    told.load_state_dict(net.state_dict())
    with torch.no_grad():
        told.out.weight.mul_(line[0])
        told.out.bias.mul_(line[0]).add_(line[1])
    return told.eval()


def loss_of(net: FitNet, facts: Facts, truth: Mapping[str, Tensor]) -> Tensor:
    """Return the sum of three: does it fit, which rows are lost, and by how much they moved."""
    found = net.judge(facts)
    weight = truth["weight"]
    fits = binary_cross_entropy_with_logits(found.fits, truth["fits"], weight)
    rows = (weight * (1 - truth["hurt"]))[:, None].expand_as(found.lost)
    lost = binary_cross_entropy_with_logits(found.lost, truth["lost"], rows)
    near = (truth["away"].abs() < 9).float() * rows
    away = torch.nan_to_num(truth["away"]).clamp(-9, 9)
    moved = smooth_l1_loss(found.displacement, away, reduction="none")
    return fits + 0.7 * lost + 0.15 * (moved * near).sum() / near.sum().clamp(min=1)


def turned(
    facts: Facts, truth: dict[str, Tensor], rng: np.random.Generator
) -> tuple[Facts, dict[str, Tensor]]:
    """Return a batch with channels exchanged, outlines begun elsewhere, mirrored, hints hidden.

    Nothing may hang on any of these but the hints, and not too much on them.
    """
    order = torch.from_numpy(rng.permutation(3))
    by = int(rng.integers(facts.rows.shape[1]))
    planes = torch.cat([order, order + 3, torch.arange(6, facts.rows.shape[2])])
    rows = facts.rows[:, :, planes].roll(by, 1)
    rough = torch.from_numpy(rng.choice([0.0, 0.05, 0.15], (len(rows), 1, 1, 1)))
    rows = rows + torch.from_numpy(rng.standard_normal(rows.shape, np.float32)) * rough.float()
    kin = facts.kin.roll(by, 1)
    truth = truth | {key: truth[key].roll(by, 1) for key in ("lost", "away")}
    inside = facts.inside[:, :, torch.cat([order + 3 * part for part in range(4)])]
    laid = facts.laid.reshape(-1, 3, STEPS, STEPS)
    laid = laid.flip([axis for axis in (2, 3) if rng.random() < 0.5])
    laid = laid.transpose(2, 3) if rng.random() < 0.5 else laid
    if rng.random() < 0.5:
        rows, kin = rows.flip(1), kin.flip(1)
        truth = truth | {k: truth[k].flip(1) for k in ("lost", "away")}
    shown = torch.from_numpy(rng.random(int(facts.group.max()) + 1) >= HINTS_DROPPED)
    told = facts.told.clone()
    told[:, -HINTS:] *= shown[facts.group][:, None]
    return Facts(rows, kin, laid.flatten(1), inside, told, facts.group), truth


def predicted(net: FitNet, found: Sequence[Item]) -> dict[str, NDArray[Any]]:
    """Return logits and truth of all instances, with their picture's number."""
    rows: dict[str, list[NDArray[Any]]] = {}
    with torch.inference_mode():
        for number, item in enumerate(found):
            facts, truth = joined([item])
            fit = net.judge(facts)
            values = {
                "logit": fit.fits.numpy(),
                "before": facts.told[:, -HINTS].numpy(),
                "iou": truth["iou"].numpy(),
                "fits": truth["fits"].numpy(),
                "weight": truth["weight"].numpy(),
                "picture": np.full(item.count, number),
            }
            for key, value in values.items():
                rows.setdefault(key, []).append(value)
    return {key: np.concatenate(value) for key, value in rows.items()}
