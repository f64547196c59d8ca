"""A small VAE from scratch: photos to latents and back."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from sv2r.training.draws import TrainingDraw
from sv2r.training.options import BaseOptions
from sv2r.training.photos import Squares
from sv2r.training.sheets import SHEET_COLUMNS, sheet

if TYPE_CHECKING:
    from torch import Tensor

# Levels of the Laplacian pyramid; the coarsest is a quarter of the resolution.
_LEVELS = 3

# What the first channels of every layer carry at first: red, green and blue, their negatives, and a
# constant that no picture comes near. silu(x) - silu(-x) = x, and with the constant a norm is the
# same for all pictures, so that what is carried comes through both.
_CARRIERS = (1, 1, 1, -1, -1, -1, 0, 0)
_CONSTANT = 4.0
# Log variance of the latents at first; at 0, noise as large as they are would hide all but the
# light and dark for thousands of steps.
_LOG_VARIANCE = -6.0
# The constant and the log variance where nothing is to be learnt.
_LARGE, _CERTAIN = 64.0, -30.0


def make_vae(options: BaseOptions) -> Any:
    """Return an AutoencoderKL of those sizes, drawn by the seed, that begins as a thumbnail.

    With fewer than 8 channels at some resolution it begins at random instead. Its middle has no
    attention: the latents of a place then depend on what is near it alone, and
    the pieces that it learns from can be smaller than the pictures that it is for.
    """
    import torch
    from diffusers import AutoencoderKL

    channels = options.vae_channels
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(options.seed)
        vae = AutoencoderKL(
            in_channels=3,
            out_channels=3,
            latent_channels=options.latent_channels,
            block_out_channels=channels,
            down_block_types=("DownEncoderBlock2D",) * len(channels),
            up_block_types=("UpDecoderBlock2D",) * len(channels),
            layers_per_block=options.vae_layers,
            # More groups would each take away a part of what colour a picture is of.
            norm_num_groups=1,
            sample_size=options.resolution,
            mid_block_add_attention=False,
        )
    if min(channels) >= len(_CARRIERS):
        begin_as_thumbnail(vae)
    return vae


def make_pixels() -> Any:
    """Return an AutoencoderKL whose latents are the pixels, to 1e-3 of their range, and a zero.

    With one resolution, residual blocks that add nothing, and a constant next to the colours that
    outweighs them in every norm, all of it is linear.
    """
    import torch
    from diffusers import AutoencoderKL

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        vae = AutoencoderKL(
            block_out_channels=(len(_CARRIERS),),
            layers_per_block=1,
            norm_num_groups=1,
            # A pipeline takes a picture with as many channels as the latents for latents.
            latent_channels=4,
            mid_block_add_attention=False,
            scaling_factor=1.0,
            # The constant outweighs colours in half precision as well: they would be rounded.
            force_upcast=True,
        )
    begin_as_thumbnail(vae, constant=_LARGE)
    with torch.no_grad():
        count = vae.config.latent_channels
        vae.encoder.conv_out.weight[3:], vae.encoder.conv_out.bias[3:] = 0, 0
        vae.quant_conv.bias[count:] = _CERTAIN
        vae.decoder.conv_in.weight[:, 3:] = 0
    return vae.requires_grad_(requires_grad=False)


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

    def example(self, draw: TrainingDraw) -> Mapping[str, Tensor]:
        """Return a piece of a square, and noise for its latents; see `piece`."""
        return piece(self._vae, self._learnt, draw, self._options)

    def loss(self, network: Any, batch: Mapping[str, Tensor]) -> Tensor:
        """Return the loss of a batch."""
        made, divergence = network(batch["pixels"], batch["noise"])
        loss: Tensor = pyramid_l1(made.float() - batch["pixels"]) + self._options.kl * divergence
        return loss

    def validate(self) -> tuple[float, Tensor] | None:
        """Return the mean absolute error in [0, 1] over photos held out, and how they come out."""
        return reconstructions(self._vae, self._held)


def piece(
    vae: Any, squares: Squares, draw: TrainingDraw, options: BaseOptions
) -> Mapping[str, Tensor]:
    """Return a (3, S, S) piece of a square in [-1, 1], cut at random, and noise for its latents."""
    import torch

    picture, side = squares.picture(draw.item), options.vae_crop
    free = options.resolution - side + 1
    top, left = torch.randint(free, (2,), generator=draw.generator).tolist()
    small = side // 2 ** (len(vae.config.block_out_channels) - 1)
    latents = (vae.config.latent_channels, small, small)
    return {
        "pixels": picture[:, top : top + side, left : left + side].float() / 127.5 - 1,
        "noise": torch.randn(latents, generator=draw.generator),
    }


def reconstructions(vae: Any, held: Squares) -> tuple[float, Tensor] | None:
    """Return how well photos come out of a VAE, and a picture of them; as a task's `validate`."""
    import torch

    if not len(held):
        return None
    losses, rows = [], []
    with torch.no_grad():
        for number in range(len(held)):
            pixels = held.picture(number)[None].to(vae.device).float() / 127.5 - 1
            made = vae.decode(vae.encode(pixels).latent_dist.mode()).sample.float()
            losses.append(float((made.clamp(-1, 1) - pixels).abs().mean()) / 2)
            rows.append(torch.cat([pixels, made]) / 2 + 0.5)
    pictures = torch.stack(rows[:SHEET_COLUMNS])
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


def begin_as_thumbnail(vae: Any, constant: float = _CONSTANT) -> None:
    """Change a new VAE's weights so that it makes a picture smaller and larger again, in colour.

    Its first three latents are then the picture's mean colours, and residual blocks add nothing.
    From random weights a small VAE takes thousands of steps to tell one hue from another. All other
    channels stay random. The idea is that of identity initialisation: S. Zagoruyko, N. Komodakis,
    DiracNets, 2017; H. Zhang et al., Fixup Initialization, ICLR 2019.
    """
    import torch

    count = len(_CARRIERS)
    box, tent = torch.zeros(3, 3), torch.tensor([0.25, 0.5, 0.25])
    box[:2, :2] = 0.25  # diffusers pads at the right and below before it halves
    with torch.no_grad():
        for block in (m for m in vae.modules() if type(m).__name__ == "ResnetBlock2D"):
            block.conv2.weight.zero_()
            block.conv2.bias.zero_()
            if block.conv_shortcut is not None:
                _carry(block.conv_shortcut, torch.ones(1, 1))
        for part, scalers, kernel in (
            (vae.encoder.down_blocks, "downsamplers", box),
            (vae.decoder.up_blocks, "upsamplers", tent[:, None] * tent),
        ):
            for scaler in (each for block in part for each in getattr(block, scalers) or ()):
                _carry(scaler.conv, kernel)
        for half in (vae.encoder, vae.decoder):
            _carry(half.conv_in, torch.zeros(3, 3))
            for place, sign in enumerate(_CARRIERS[: count - 2]):
                half.conv_in.weight[place, place % 3, 1, 1] = sign
            half.conv_in.bias[count - 2 : count] = torch.tensor([constant, -constant])
            last = half.conv_out
            last.weight[:3], last.bias[:3] = 0, 0
            spread = constant * math.sqrt(2 / last.in_channels)
            for place, sign in enumerate(_CARRIERS[: count - 2]):
                last.weight[place % 3, place, 1, 1] = sign * spread
        for layer in (vae.quant_conv, vae.post_quant_conv):
            layer.weight.zero_()
            layer.bias.zero_()
            for place in range(vae.config.latent_channels):
                layer.weight[place, place] = 1
        vae.quant_conv.bias[vae.config.latent_channels :] = _LOG_VARIANCE


def _carry(layer: Any, kernel: Tensor) -> None:
    """Let each of a convolution's first 8 channels through by itself, by a (k, k) kernel."""
    count = len(_CARRIERS)
    layer.weight[:count], layer.bias[:count] = 0, 0
    for place in range(min(count, layer.in_channels)):
        layer.weight[place, place] = kernel


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


def whiten(vae: Any, learnt: Squares) -> None:
    """Change the layers around the latents so that those have mean 0 and covariance 1.

    Over up to 256 squares. Noise then hides a hue no sooner than the light and dark, and fine
    structure no sooner than colour; pictures come out as before. The spread of the posterior
    becomes the same everywhere, its mean.
    """
    import torch

    step = math.ceil(len(learnt) / 256)
    means, spreads = [], []
    with torch.no_grad():
        for number in range(0, len(learnt), step):
            pixels = learnt.picture(number)[None].to(vae.device).float() / 127.5 - 1
            posterior = vae.encode(pixels).latent_dist
            means.append(posterior.mean[0].flatten(1))
            spreads.append(posterior.var[0].flatten(1).mean(1))
        latents, spread = torch.cat(means, 1).double(), torch.stack(spreads).mean(0).double()
        mean = latents.mean(1)
        values, axes = torch.linalg.eigh(torch.cov(latents))
        forth = axes.T / values.clamp(min=1e-12).sqrt()[:, None]
        back = axes * values.clamp(min=1e-12).sqrt()
        count = len(mean)
        into, out = vae.quant_conv, vae.post_quant_conv
        weight, bias = into.weight[:count, :, 0, 0].double(), into.bias[:count].double()
        into.weight.zero_()
        into.weight[:count, :, 0, 0] = (forth @ weight).float()
        into.bias[:count] = (forth @ (bias - mean)).float()
        into.bias[count:] = (forth.square() @ spread).log().float()
        weight = out.weight[:, :, 0, 0].double()
        out.bias += (weight @ mean).float()
        out.weight[:, :, 0, 0] = (weight @ back).float()
    vae.register_to_config(scaling_factor=1.0)
