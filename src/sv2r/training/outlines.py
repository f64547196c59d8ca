"""Whether labels still fit, as a loss: the network of `survival` along every outline."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sv2r.checks.bands import bands, read
from sv2r.checks.edges import smoothed
from sv2r.checks.fit import network, survivals
from sv2r.checks.fitnet import HINTS, Fit, of_one_picture

if TYPE_CHECKING:
    from torch import Tensor

# Logit from which a label is sure enough to fit, and px that an outline may move.
_SURE, _STILL = 3.0, 1.0


def outline_loss(renders: Tensor, made: Tensor, labels: Tensor) -> Tensor:
    """Return how doubtful the labels are in translations, 0 where all of them surely fit.

    renders, made: (B, 3, H, W) in [-1, 1]; gradients flow to `made`. labels: (B, H, W), 0 for
    background. Per instance: that its label does not fit, as the network has it; per stretch of
    its outline: that it is lost, and px beyond one that it moved.
    """
    losses = []
    for render, picture, label in zip(renders, made, labels, strict=True):
        fit = _fit(render, picture, label)
        if fit is not None:
            doubt = (_SURE - fit.fits).relu() / _SURE
            lost = fit.lost.sigmoid().square().mean(1)
            moved = (fit.displacement.abs() - _STILL).relu().mean(1)
            losses.append(doubt + lost + moved / 4)
    if not losses:
        return made.sum() * 0
    import torch

    return torch.cat(losses).mean()


def _fit(render: Tensor, picture: Tensor, label: Tensor) -> Fit | None:
    import torch

    with torch.autocast(picture.device.type, enabled=False):
        return _fit_exactly(render, picture, label)


def _fit_exactly(render: Tensor, picture: Tensor, label: Tensor) -> Fit | None:
    band = bands(label.cpu().numpy(), str(picture.device))
    if not len(band.ids):
        return None
    before, after = (smoothed(127.5 * (part.float() + 1), 1.0) for part in (render, picture))
    hints = picture.new_zeros(len(band.ids), HINTS)
    seen = of_one_picture(read(before, band), read(after, band), band, hints)
    fit: Fit = network(str(picture.device))(seen)
    return fit


def survived(render: Tensor, picture: Tensor, labels: Tensor) -> list[bool]:
    """Return of each instance that can be judged whether its label fits in a translation.

    render, picture: (3, H, W) float levels, 0 to 255. labels: (H, W).
    """
    before, after = (smoothed(part, 1.0) for part in (render, picture))
    told = survivals(before, after, labels.cpu().numpy())
    return [one.survival >= 0.5 for one in told.values() if one.survival is not None]
