"""A VAE's decoder that learns from a judge of texture, so that its pictures are not soft."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from sv2r.training.autoencoder import piece, pyramid_l1, reconstructions
from sv2r.training.draws import TrainingDraw
from sv2r.training.options import BaseOptions
from sv2r.training.photos import Squares

if TYPE_CHECKING:
    from torch import Tensor

# Channels of the judge's layers; each halves the resolution. It sees 26 pixels at once.
_JUDGE = (48, 96)


class Sharpening:
    """Learning to decode crisply, against a judge that tells photos from decoded ones; a `Task`.

    The encoder stays as it is, so that everything trained on its latents does too. The loss of
    the VAE, and a patch-based adversarial one (P. Isola et al., Image-to-Image Translation with
    Conditional Adversarial Networks, CVPR 2017), weighed against each other by the size of their
    gradients, as in P. Esser et al., Taming Transformers, CVPR 2021, and R. Rombach et al., High-
    Resolution Image Synthesis with Latent Diffusion Models, CVPR 2022. Both players step at once.
    """

    name = "decoder"

    def __init__(self, vae: Any, learnt: Squares, held: Squares, options: BaseOptions) -> None:
        self.network = _players(vae, options)
        self.count = len(learnt)
        self._vae, self._learnt, self._held, self._options = vae, learnt, held, options

    def example(self, draw: TrainingDraw) -> Mapping[str, Tensor]:
        """Return a piece of a square, and noise for its latents; see `piece`."""
        return piece(self._vae, self._learnt, draw, self._options)

    def loss(self, network: Any, batch: Mapping[str, Tensor]) -> Tensor:
        """Return the loss of a batch, both players'."""
        loss: Tensor = network(batch["pixels"], batch["noise"])
        return loss

    def validate(self) -> tuple[float, Tensor] | None:
        """Return the mean absolute error in [0, 1] over photos held out, and how they come out."""
        return reconstructions(self._vae, self._held)


def interpolate_weights(vae: Any, before: Mapping[str, Tensor], share: float) -> None:
    """Change a VAE's weights to those that lie so far on the way from others to its own.

    X. Wang et al., ESRGAN, ECCV Workshops 2018, section 3.4: between a decoder that is right on
    average and one that looks right lies one with the texture and without the artefacts.
    """
    import torch

    with torch.no_grad():
        for name, value in vae.state_dict().items():
            value.copy_(torch.lerp(before[name].to(value), value, share))


def make_judge() -> Any:
    """Return a network that says of each patch of (B, 3, H, W) how much of a photo it is."""
    from torch import nn

    layers: list[nn.Module] = []
    before = 3
    for place, width in enumerate(_JUDGE):
        layers.append(nn.Conv2d(before, width, 4, 2, 1))
        if place:
            layers.append(nn.GroupNorm(8, width))
        layers.append(nn.LeakyReLU(0.2))
        before = width
    layers += [nn.Conv2d(before, before, 3, 1, 1), nn.GroupNorm(8, before), nn.LeakyReLU(0.2)]
    return nn.Sequential(*layers, nn.Conv2d(before, 1, 3, 1, 1))


def _error(difference: Tensor) -> Tensor:
    """Return how far (B, 3, H, W) is off, half of it at half the resolution: the rest is texture.

    Pixel by pixel, the best guess at grain is none.
    """
    from torch.nn.functional import avg_pool2d

    return pyramid_l1(avg_pool2d(difference, 2)) + 0.5 * difference.abs().mean()


def _players(vae: Any, options: BaseOptions) -> Any:
    """Return a module with decoder and judge, whose forward returns their loss."""
    import torch
    from torch import nn
    from torch.func import functional_call

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(options.seed)
        judge = make_judge()

    class Players(nn.Module):
        """A decoder and its judge."""

        def __init__(self) -> None:
            super().__init__()
            self.decoder, self.post_quant_conv = vae.decoder, vae.post_quant_conv
            self.judge = judge

        def forward(self, pixels: Tensor, noise: Tensor) -> Tensor:
            """Return a loss whose gradient is the decoder's by its own, the judge's by its own."""
            with torch.no_grad():
                posterior = vae.encode(pixels).latent_dist
                spread = (posterior.var + options.latent_noise**2).sqrt()
                latents = posterior.mean + spread * noise
            made = self.decoder(self.post_quant_conv(latents)).float()
            shown = made.detach().requires_grad_()
            error = _error(shown - pixels)
            still = {name: value.detach() for name, value in self.judge.named_parameters()}
            doubt = -functional_call(self.judge, still, (shown,)).float().mean()
            (by_error,) = torch.autograd.grad(error, shown)
            (by_doubt,) = torch.autograd.grad(doubt, shown)
            real, fake = self.judge(pixels).float(), self.judge(shown.detach()).float()
            # A judge that cannot tell the two apart, as at first, has no say.
            say = ((real.mean() - fake.mean()) / 2).detach().clamp(0, 1)
            weight = say * by_error.norm() / by_doubt.norm().clamp(min=1e-12)
            pull = (made * (by_error + options.adversarial * weight * by_doubt)).sum()
            hinge = (1 - real).relu().mean() + (1 + fake).relu().mean()
            # Of the pull, only the gradient means something.
            total: Tensor = pull - pull.detach() + error.detach() + hinge / 2
            return total

    return Players()
