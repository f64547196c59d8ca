"""A small VAE from scratch: photos to latents and back."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from sv2r.training.draws import Draw
from sv2r.training.options import BaseOptions
from sv2r.training.photos import Squares
from sv2r.training.sheets import COLUMNS, sheet

if TYPE_CHECKING:
    from torch import Tensor

# Levels of the Laplacian pyramid; the coarsest is a quarter of the resolution.
_LEVELS = 3


def make_vae(options: BaseOptions) -> Any:
    """Return an AutoencoderKL of those sizes with random weights, drawn by the seed.

    Its middle has no attention: the latents of a place then depend on what is near it alone, and
    the pieces that it learns from can be smaller than the pictures that it is for.
    """
    import torch
    from diffusers import AutoencoderKL

    channels = options.vae_channels
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(options.seed)
        return AutoencoderKL(
            in_channels=3,
            out_channels=3,
            latent_channels=options.latent_channels,
            block_out_channels=channels,
            down_block_types=("DownEncoderBlock2D",) * len(channels),
            up_block_types=("UpDecoderBlock2D",) * len(channels),
            layers_per_block=options.vae_layers,
            norm_num_groups=math.gcd(32, *channels),
            sample_size=options.resolution,
            mid_block_add_attention=False,
        )


class Autoencoding:
    """Learning to reconstruct pieces of photos; a `Task`.

    Loss: L1 of the pixels and of a Laplacian pyramid (P. Bojanowski et al., Optimizing the Latent
    Space of Generative Networks, ICML 2018), which no downloaded weights are needed for and which
    counts lost detail at every scale; and the latents' KL divergence from a unit Gaussian.
    """

    name = "vae"

    def __init__(self, vae: Any, learnt: Squares, held: Squares, options: BaseOptions) -> None:
        self.network = _reconstructor(vae)
        self.count = len(learnt)
        self._vae, self._learnt, self._held, self._options = vae, learnt, held, options
        side = options.vae_crop // 2 ** (len(options.vae_channels) - 1)
        self._latents = (options.latent_channels, side, side)

    def example(self, draw: Draw) -> Mapping[str, Tensor]:
        """Return a piece of a square in [-1, 1], cut at random, and the noise of its latents."""
        import torch

        picture, side = self._learnt.picture(draw.item), self._options.vae_crop
        free = self._options.resolution - side + 1
        top, left = torch.randint(free, (2,), generator=draw.generator).tolist()
        return {
            "pixels": picture[:, top : top + side, left : left + side].float() / 127.5 - 1,
            "noise": torch.randn(self._latents, generator=draw.generator),
        }

    def loss(self, network: Any, batch: Mapping[str, Tensor]) -> Tensor:
        """Return the loss of a batch."""
        made, divergence = network(batch["pixels"], batch["noise"])
        loss: Tensor = pyramid_l1(made.float() - batch["pixels"]) + self._options.kl * divergence
        return loss

    def validate(self) -> tuple[float, Tensor] | None:
        """Return the mean absolute error in [0, 1] over photos held out, and how they come out."""
        import torch

        if not len(self._held):
            return None
        losses, rows = [], []
        with torch.no_grad():
            for number in range(len(self._held)):
                pixels = self._held.picture(number)[None].to(self._vae.device).float() / 127.5 - 1
                made = self._vae.decode(self._vae.encode(pixels).latent_dist.mode()).sample.float()
                losses.append(float((made.clamp(-1, 1) - pixels).abs().mean()) / 2)
                rows.append(torch.cat([pixels, made]) / 2 + 0.5)
        pictures = torch.stack(rows[:COLUMNS])
        return sum(losses) / len(losses), sheet([pictures[:, 0], pictures[:, 1]])


def _reconstructor(vae: Any) -> Any:
    """Return a module whose forward makes a batch again and tells its KL divergence.

    One forward for all of it is what lets several devices share the gradients.
    """
    from torch import nn

    class Reconstructor(nn.Module):
        """A VAE there and back."""

        def __init__(self) -> None:
            super().__init__()
            self.vae = vae

        def forward(self, pixels: Tensor, noise: Tensor) -> tuple[Tensor, Tensor]:
            """Return the pictures made again, and the mean divergence of a latent, in nats."""
            posterior = vae.encode(pixels).latent_dist
            made = vae.decode(posterior.mean + posterior.std * noise).sample
            divergence = 0.5 * (posterior.mean**2 + posterior.var - 1 - posterior.logvar)
            return made, divergence.float().mean()

    return Reconstructor()


def pyramid_l1(difference: Tensor) -> Tensor:
    """Return the L1 norm of a (B, 3, H, W) difference, and of its Laplacian pyramid, added up."""
    from torch.nn.functional import avg_pool2d, interpolate

    total, rest = difference.abs().mean(), difference
    for _ in range(_LEVELS - 1):
        if min(rest.shape[-2:]) < 2:
            break
        coarse = avg_pool2d(rest, 2, ceil_mode=True)
        fine = rest - interpolate(coarse, size=rest.shape[-2:], mode="bilinear")
        total, rest = total + fine.abs().mean(), coarse
    return total + rest.abs().mean()


def set_scale(vae: Any, learnt: Squares) -> None:
    """Set the VAE's scaling factor so that latents have a variance of 1, over up to 256 squares."""
    import torch

    step = max(1, len(learnt) // 256)
    with torch.no_grad():
        moments = []
        for number in range(0, len(learnt), step):
            pixels = learnt.picture(number)[None].to(vae.device).float() / 127.5 - 1
            posterior = vae.encode(pixels).latent_dist
            moments.append((posterior.mean.mean(), (posterior.mean**2 + posterior.var).mean()))
    mean, square = (float(torch.stack(values).mean()) for values in zip(*moments, strict=True))
    vae.register_to_config(scaling_factor=round(1 / math.sqrt(square - mean**2), 5))
