"""Whether labels still fit a picture: the network of `fitnet` with its weights, on two pictures."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch

from sv2r.checks.bands import Band, Reading, bands, read
from sv2r.checks.boundaries import Boundary, boundaries
from sv2r.checks.fitnet import HINTS, Fit, FitNet, Seen, contrast_of, facts_of, of_one_picture
from sv2r.errors import ConfigError

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import Tensor

WEIGHTS = Path(__file__).with_name("weights") / "survival.safetensors"
SHA256 = "b0e4673b37543045cbfa93c58a6ec62ed8a4196ecb834ea526b1cb48c73e6d10"
LOST = 0.5  # probability from which a stretch of an outline counts as lost
UNSURE = 0.05, 0.95  # between these the network is not sure
MIN_LENGTH, MIN_VISIBLE = 20.0, 0.05  # px, and share of an outline that the source must show


@dataclass(frozen=True, slots=True)
class Stretches:
    """An outline in equal stretches, in order: where each begins and what became of it.

    y, x: (S,) px. lost: (S,) probability that nothing is left of it within 2.5 px.
    displacement: (S,) px along the outward normal, -10 to 10; near 0 where nothing is left of it.
    """

    y: NDArray[np.floating]
    x: NDArray[np.floating]
    lost: NDArray[np.floating]
    displacement: NDArray[np.floating]


@dataclass(frozen=True, slots=True)
class Survival:
    """What became of one instance.

    survival: probability that the label still fits (IoU of 0.9 or more, and no eighth of the
        outline lost); None where the source itself does not show enough of the outline to say.
    offset: px that the outline moved along its outward normal on the whole: positive where it grew.
    moved: px that it moved either way. Both are measured by the analytic method, which is nearer,
        where it sees enough of the outline, and else by the network.
    lost: share of the outline that is gone, or more than 2.5 px away.
    contrast: the difference between inside and outside against the source's, at most 1.
    visible: share of the outline that could be seen in the source.
    stretches: what became of each part of the outline.
    """

    survival: float | None
    offset: float
    moved: float
    lost: float
    contrast: float
    visible: float
    stretches: Stretches


def survivals(
    source: Tensor,
    picture: Tensor,
    labels: NDArray[np.integer],
    *,
    min_length: float = MIN_LENGTH,
    min_visible: float = MIN_VISIBLE,
) -> dict[int, Survival]:
    """Return what became of every instance that has an outline inside the picture.

    source, picture: (3, H, W) float32 levels under a Gaussian of 1 px (`edges.smoothed`), on one
        device. labels: (H, W), 0 = background.
    min_length, min_visible: px that an outline must have, and share of it that must be visible in
        the source, for an instance to be scored; where less is visible, but not nothing, it is if
        the network is sure.

    Raises:
        ConfigError: the network's weights are missing or altered.
    """
    net = network(str(source.device))
    band = bands(labels, str(source.device))
    if not len(band.ids):
        return {}
    found = boundaries(source, picture, labels)
    hints = hints_of(found, band.ids).to(source.device)
    with torch.inference_mode():
        facts = facts_of(of_one_picture(read(source, band), read(picture, band), band, hints))
        fit, contrast = net.judge(facts), contrast_of(facts).tolist()
    told = {}
    for place, stretches, fits in _stretches(fit, band):
        one = int(band.ids[place])
        if one not in found:
            continue
        visible, sure = found[one].visible, not UNSURE[0] < fits < UNSURE[1]
        shown = visible >= min_visible or (visible > 0 and sure)
        seen = shown and float(band.size[place, 0]) >= min_length
        told[one] = _survival(fits if seen else None, stretches, found[one], contrast[place])
    return told


def joined(seen: Sequence[Seen]) -> Seen:
    """Return several pictures' instances as one batch."""

    def one(name: str) -> Tensor:
        return torch.cat([getattr(part, name) for part in seen])

    def reading(name: str) -> Reading:
        parts = [getattr(part, name) for part in seen]
        return Reading(
            torch.cat([part.levels for part in parts]),
            torch.cat([part.spread for part in parts]),
            torch.cat([part.inside for part in parts]),
        )

    counts = torch.tensor([len(part.group) for part in seen])
    group = torch.repeat_interleave(counts).to(seen[0].group.device)
    return Seen(
        source=reading("source"),
        picture=reading("picture"),
        known=one("known"),
        normal=one("normal"),
        neighbour=one("neighbour"),
        size=one("size"),
        hints=one("hints"),
        group=group,
    )


def _stretches(fit: Fit, band: Band) -> Iterator[tuple[int, Stretches, float]]:
    """Yield the place of each instance, what became of its outline, and whether its label fits."""
    fits, lost, moved = (
        part.double().cpu().numpy()
        for part in (fit.fits.sigmoid(), fit.lost.sigmoid(), fit.displacement)
    )
    at = band.start.cpu().numpy()
    for place, chance in enumerate(fits.tolist()):
        rows = at[place, :, 0], at[place, :, 1], lost[place], moved[place]
        yield place, Stretches(*rows), chance


def _survival(
    fits: float | None, stretches: Stretches, boundary: Boundary, contrast: float
) -> Survival:
    offset, moved = boundary.offset, boundary.moved
    if boundary.survival is None:
        here = stretches.displacement[stretches.lost <= LOST]
        offset, moved = (float(np.mean(px)) if len(here) else 0.0 for px in (here, abs(here)))
    return Survival(
        survival=fits,
        offset=offset,
        moved=moved,
        lost=float((stretches.lost > LOST).mean()),
        contrast=min(1.0, contrast) if boundary.survival is None else boundary.contrast,
        visible=boundary.visible,
        stretches=stretches,
    )


def hints_of(found: Mapping[int, Boundary], ids: NDArray[np.int64]) -> Tensor:
    """Return (I, HINTS): what the analytic method says of each instance, zeros where nothing."""
    rows = [_hints(found.get(one)) for one in ids.tolist()]
    return torch.tensor(rows, dtype=torch.float32).reshape(len(rows), HINTS)


def _hints(found: Boundary | None) -> tuple[float, ...]:
    if found is None:
        return (0.0,) * HINTS
    if found.survival is None:
        return 0.0, 0.0, 0.0, 0.0, 0.0, found.visible
    moved, offset = found.moved / 3, found.offset / 3
    return found.survival, 1.0, found.contrast, moved, offset, found.visible


@cache
def network(device: str = "cpu") -> FitNet:
    """Return the network with the weights of this version.

    Raises:
        ConfigError: they are missing or altered.
    """
    from safetensors.torch import load

    net = FitNet()
    net.load_state_dict(load(checked(WEIGHTS, SHA256)))
    return net.eval().requires_grad_(False).to(device)


def checked(path: Path, sha256: str) -> bytes:
    """Return a file's bytes.

    Raises:
        ConfigError: it is missing, or has another SHA-256.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise ConfigError(f"{path}: {reason}; install sv2r again") from error
    if (found := hashlib.sha256(data).hexdigest()) != sha256:
        raise ConfigError(f"{path}: altered (SHA-256 {found[:12]}…); install sv2r again")
    return data
