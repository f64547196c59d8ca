"""The players of a bridge's training, whose losses pull against each other."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.func import functional_call

from sv2r.training.judges import augmented, made_loss, real_loss, smoothness
from sv2r.training.options import BridgeOptions
from sv2r.training.outlines import outline_loss
from sv2r.training.structure import encoder_features, make_projections, patch_contrast

if TYPE_CHECKING:
    from sv2r.training.bridge import OneStep

# Deviation, in [-1, 1], of the noise under which a judge's verdict on a photo should not change.
_JITTER = 0.02


class Players(nn.Module):
    """A denoiser, who judges it, and projections that places are compared by.

    Its forward returns one loss, whose gradient is each player's by what that player is to do.
    """

    def __init__(
        self, step: OneStep, judge: nn.Module, channels: Sequence[int], options: BridgeOptions
    ) -> None:
        """Bring the players together. channels: of the denoiser's features."""
        super().__init__()
        self.unet, self.judge = step.pipe.unet, judge
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(options.seed)
            self.projections = make_projections(channels)
        self._step, self._options = step, options

    def forward(self, batch: Mapping[str, Tensor]) -> Tensor:
        """Return the loss of a batch."""
        renders, photos = batch["render"], batch["photo"]
        generator = torch.Generator().manual_seed(int(batch["draw"][0]))
        count, kept = len(renders), _kept(len(photos), self._options.identity, generator)
        sources = torch.cat([renders, photos[:kept]])
        noise = torch.cat([batch["noise"][:, 0], batch["noise"][:kept, 1]])
        before, after, pictures = self._translated(sources, noise, generator)
        translated = pictures[:count]
        loss = self._same_places(before, after, count, generator)
        if self._options.labels:
            fits = outline_loss(renders, translated, batch["labels"])
            loss = loss + self._options.labels * fits
        loss = loss + self._options.realism * self._convincing(translated, generator)
        return loss + self._judging(photos, translated.detach(), generator)

    def _translated(
        self, sources: Tensor, noise: Tensor, generator: torch.Generator
    ) -> tuple[list[Tensor], list[Tensor], Tensor]:
        """Return features of sources and of their translations, and the translations."""
        step, side = self._step, self._options.resolution
        place = int(torch.randint(len(step.times), (), generator=generator))
        with torch.no_grad():
            latents = step.encode(sources)
            before = self._features(latents)
            noisy = step.before(self.unet, latents, noise, side, place)
        made = step.clean(self.unet, noisy, side, place)
        pictures = step.decode(made)
        return before, self._features(made), pictures

    def _features(self, latents: Tensor) -> list[Tensor]:
        """Return what the denoiser's encoder makes of latents, below their own resolution.

        They get no noise: the same on both sides would be what they are told by. At the full
        resolution a place is known by its colour, which would then have to stay.
        """
        step = self._step
        more, at = step.more(latents, self._options.resolution), step.at(latents)
        return encoder_features(self.unet, step.signals[0] * latents, at, more)[1:]

    def _same_places(
        self,
        before: Sequence[Tensor],
        after: Sequence[Tensor],
        count: int,
        generator: torch.Generator,
    ) -> Tensor:
        """Return the loss of places that changed: of the first count, renders, and of photos."""
        loss: Tensor = self._options.structure * patch_contrast(
            self.projections, *_part(before, after, slice(count)), generator
        )
        if len(after[0]) > count:
            loss = loss + self._options.identity * patch_contrast(
                self.projections, *_part(before, after, slice(count, None)), generator
            )
        return loss

    def _convincing(self, translated: Tensor, generator: torch.Generator) -> Tensor:
        """Return how little the judges, as they are, take translations for photos."""
        still = {name: value.detach() for name, value in self.judge.named_parameters()}
        shown = augmented(translated, self._options.augment, generator)
        return real_loss(functional_call(self.judge, still, (shown,)))

    def _judging(self, photos: Tensor, made: Tensor, generator: torch.Generator) -> Tensor:
        """Return the loss of the judges."""
        photos = augmented(photos, self._options.augment, generator)
        told = self.judge(photos)
        loss = real_loss(told) + made_loss(
            self.judge(augmented(made, self._options.augment, generator))
        )
        if self._options.judge_smoothness:
            noise = _JITTER * torch.randn(photos.shape, generator=generator).to(photos)
            rough = smoothness(self.judge, photos, told, noise)
            loss = loss + self._options.judge_smoothness * rough
        return loss


def _part(before: Sequence[Tensor], after: Sequence[Tensor], rows: slice) -> tuple[Any, Any]:
    """Return some rows of the features of sources and of translations."""
    return [one[rows] for one in before], [one[rows] for one in after]


def _kept(count: int, weight: float, generator: Any) -> int:
    """Return how many photos of a batch are translated to themselves: half, every second time."""
    drawn = bool(torch.randint(2, (), generator=generator))
    return (count + 1) // 2 if weight and drawn else 0
