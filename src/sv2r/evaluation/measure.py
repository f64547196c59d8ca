"""How far sets of pictures are from photographs, each figure with what chance alone does to it."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from sv2r.errors import ConfigError
from sv2r.evaluation.looks import Appearance, distances

if TYPE_CHECKING:
    from torch import Tensor

# Repetitions with other halves of the pictures.
DRAWS, LOOKS = 40, 10
# With fewer pictures in a set, the bias of FID is larger than what it is to tell.
FID_LEAST = 2048
# Steps, and the weight decay, of the classifier that tells pictures from photographs.
_STEPS, _DECAY = 100, 1e-2


@dataclass(frozen=True)
class Interval:
    """A figure with all pictures, and what 95 % of such samples would give, from low to high."""

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class Described:
    """What is measured of a set. features: (N, D). look: of the same N pictures."""

    features: Tensor
    look: Appearance

    def half(self, generator: Any) -> Described:
        """Return a random half of it."""
        import torch

        order = torch.randperm(len(self.features), generator=generator)
        kept = order[: len(order) // 2]
        return Described(self.features[kept], self.look.drawn(kept))


@dataclass(frozen=True)
class Measures:
    """A set's figures by name, and how much each picture looks like a photograph.

    realness: in [0, 1], by the classifier, of each picture where it was not trained on it.
    nearest: for each picture its nearest photograph's place, and their distance over that of a
    photograph to its own nearest one: far below 1 is a photograph learnt by heart.
    """

    figures: dict[str, Interval]
    realness: Tensor
    nearest: tuple[Tensor, Tensor]


def measure_set(one: Described, photos: Described, seed: int) -> Measures:
    """Return a set's distances from photographs.

    `kid`: the kernel distance times 1,000 (Bińkowski et al., 2018), without bias by how many
    pictures there are. `fid`: with FID_LEAST pictures or more in both sets. `auc`: how well a
    linear classifier, trained on half of the pictures, tells the other half from photographs; 0.5
    cannot. `swd`, `colour`, `spectrum`: see `looks.distances`. `diversity`: the mean distance of
    two pictures over that of two photographs.
    """
    figures = {"kid": _drawn(partial(_kid, seed=seed), one, photos, seed)}
    if min(len(one.features), len(photos.features)) >= FID_LEAST:
        value = fid(one.features, photos.features)
        figures["fid"] = Interval(value, value, value)
    aucs, realness = told_apart(one.features, photos.features, seed)
    figures["auc"] = _within(_interval(sum(aucs) / len(aucs), aucs), 0, 1)
    figures |= _looks(one, photos, seed)
    figures["diversity"] = _drawn(_diversity, one, photos, seed)
    return Measures(figures, realness, nearest_photos(one.features, photos.features))


def _halves(
    one: Described, photos: Described, seed: int, draws: int
) -> Iterator[tuple[Described, Described]]:
    import torch

    generator = torch.Generator().manual_seed(seed)
    for _ in range(draws):
        yield one.half(generator), photos.half(generator)


def _drawn(
    figure: Callable[[Described, Described], float], one: Described, photos: Described, seed: int
) -> Interval:
    """Return a figure with an interval from halves of both sets."""
    values = [figure(*halves) for halves in _halves(one, photos, seed, DRAWS)]
    return _interval(figure(one, photos), values)


def _looks(one: Described, photos: Described, seed: int) -> dict[str, Interval]:
    """Return the distances of looks, which take longer, from fewer halves."""
    whole = _apart(one, photos, seed)
    drawn = [_apart(*halves, seed) for halves in _halves(one, photos, seed, LOOKS)]
    return {name: _interval(whole[name], [draw[name] for draw in drawn]) for name in whole}


def _interval(value: float, draws: Sequence[float]) -> Interval:
    """Return a value with the interval that draws of random halves tell.

    Halves of a sample vary among each other as whole samples do (the delete-half jackknife: Shao
    and Wu, 1989), though some figures are larger for fewer pictures: only their spread counts.
    """
    spread = 1.96 * statistics.stdev(draws)
    return Interval(value, value - spread, value + spread)


def _within(figure: Interval, least: float, most: float) -> Interval:
    return Interval(figure.value, max(least, figure.low), min(most, figure.high))


def _kid(one: Described, photos: Described, *, seed: int) -> float:
    return 1000 * kid(one.features, photos.features, seed)


def kid(one: Tensor, other: Tensor, seed: int = 0) -> float:
    """Return the squared kernel distance of two sets of features, of as many of each.

    Raises:
        ConfigError: torch-fidelity is not installed.
    """
    count = min(len(one), len(other))
    found: dict[str, float] = _fidelity("metric_kid").kid_features_to_metric(
        one, other, kid_subsets=1, kid_subset_size=count, rng_seed=seed, verbose=False
    )
    return found["kernel_inception_distance_mean"]


def fid(one: Tensor, other: Tensor) -> float:
    """Return the Fréchet distance of two sets of features (Heusel et al., 2017)."""
    library = _fidelity("metric_fid")
    first, second = map(library.fid_features_to_statistics, (one, other))
    found: dict[str, float] = library.fid_statistics_to_metric(first, second, verbose=False)
    return found["frechet_inception_distance"]


def _fidelity(module: str) -> Any:
    from importlib import import_module

    try:
        return import_module(f"torch_fidelity.{module}")
    except ModuleNotFoundError:
        raise ConfigError("evaluate needs a package: pip install 'sv2r[evaluate]'") from None


def _apart(one: Described, photos: Described, seed: int) -> dict[str, float]:
    """Return distances of looks, of as many pictures of each set."""
    import torch

    some = torch.arange(min(len(one.features), len(photos.features)))
    (found,) = distances([one.look.drawn(some)], photos.look.drawn(some), seed)
    return {name: found[name] for name in ("swd", "colour", "spectrum")}


def _diversity(one: Described, photos: Described) -> float:
    import torch

    return float(torch.pdist(one.features).mean() / torch.pdist(photos.features).mean())


def told_apart(
    one: Tensor, photos: Tensor, seed: int, splits: int = 10
) -> tuple[list[float], Tensor]:
    """Return how well a linear classifier tells features apart: an AUC for each split in halves.

    And for each row of `one` its mean probability of being a photograph, where it was tried.
    """
    import torch

    generator = torch.Generator().manual_seed(seed)
    aucs: list[float] = []
    sums, counts = torch.zeros(len(one)).double(), torch.zeros(len(one)).double()
    for _ in range(splits):
        orders = [torch.randperm(len(s), generator=generator) for s in (one, photos)]
        learnt = [order[: len(order) // 2] for order in orders]
        tried = [order[len(order) // 2 :] for order in orders]
        score = _classifier(one[learnt[0]], photos[learnt[1]])
        mine, theirs = score(one[tried[0]]), score(photos[tried[1]])
        aucs.append(auc(theirs, mine))
        sums[tried[0]] += mine.sigmoid()
        counts[tried[0]] += 1
    return aucs, sums / counts.clamp_min(1)


def _classifier(one: Tensor, photos: Tensor) -> Callable[[Tensor], Tensor]:
    """Return a linear classifier's logit of being a photograph."""
    import torch
    from torch.nn.functional import binary_cross_entropy_with_logits

    both = torch.cat([one, photos])
    mean, scale = both.mean(0), both.std(0) + 1e-6
    # Of each side the same weight, however many it has.
    wanted = torch.cat([torch.zeros(len(one)), torch.ones(len(photos))]).double()
    weight = torch.cat([torch.full((len(s),), len(both) / (2 * len(s))) for s in (one, photos)])
    line = torch.zeros(both.shape[1] + 1, dtype=torch.float64, requires_grad=True)
    optimizer = torch.optim.LBFGS([line], max_iter=_STEPS, line_search_fn="strong_wolfe")

    def logits(features: Tensor) -> Tensor:
        return (features - mean) / scale @ line[:-1] + line[-1]

    def closure() -> Tensor:
        optimizer.zero_grad()
        loss = binary_cross_entropy_with_logits(logits(both), wanted, weight=weight.double())
        loss = loss + _DECAY * line[:-1].square().sum()
        loss.backward()  # type: ignore[no-untyped-call]
        return loss

    optimizer.step(closure)  # type: ignore[no-untyped-call]
    return lambda features: logits(features).detach()


def auc(positive: Tensor, negative: Tensor) -> float:
    """Return the share of pairs of which the positive one scores higher; equals count half."""
    above = (positive[:, None] > negative).double() + 0.5 * (positive[:, None] == negative)
    return float(above.mean())


def nearest_photos(one: Tensor, photos: Tensor) -> tuple[Tensor, Tensor]:
    """Return for each row the nearest photograph's place, and how near it is.

    How near: the distance over the median distance of a photograph to its nearest other one.
    """
    import torch

    among = torch.cdist(photos, photos)
    among.fill_diagonal_(float("inf"))
    usual = among.min(1).values.median().clamp_min(1e-12)
    found = torch.cdist(one, photos).min(1)
    return found.indices, found.values / usual
