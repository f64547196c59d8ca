"""One step from a render to a photo: a denoiser that learns from judges of both sides."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sv2r.diffusion.families import Family
from sv2r.diffusion.latents import shift_and_scale
from sv2r.training.draws import TrainingDraw
from sv2r.training.nearness import Nearness
from sv2r.training.options import BridgeOptions
from sv2r.training.outlines import survived
from sv2r.training.photos import Squares
from sv2r.training.renders import Renders
from sv2r.training.sheets import SHEET_COLUMNS, sheet

if TYPE_CHECKING:
    from torch import Tensor

_Tensors = Mapping[str, "Tensor"]


@dataclass(frozen=True)
class OneStep:
    """How a pipeline goes from a picture to a picture in one evaluation of its denoiser, or few.

    times: the timestep of each evaluation. signals, noises: shares of latents and of noise there.
    prediction: what the denoiser answers with. texts: the embedded prompt, one row each.
    sliced: whether pictures with gradients go through the VAE one by one, and once more for them.
    """

    pipe: Any
    family: Family
    times: tuple[int, ...]
    signals: tuple[float, ...]
    noises: tuple[float, ...]
    prediction: str
    texts: _Tensors
    sliced: bool = False

    def encode(self, pictures: Tensor) -> Tensor:
        """Return the latents of (B, 3, H, W) pictures in [-1, 1], as the denoiser sees them."""
        return self._by_vae(self._encode, pictures)

    def decode(self, latents: Tensor) -> Tensor:
        """Return the (B, 3, H, W) pictures, about [-1, 1], of latents."""
        return self._by_vae(self._decode, latents)

    def _by_vae(self, work: Callable[[Tensor], Tensor], batch: Tensor) -> Tensor:
        """Return what the VAE makes of a batch; where memory is short, of each alone."""
        import torch
        from torch.utils.checkpoint import checkpoint

        if not self.sliced or not torch.is_grad_enabled():
            return work(batch)
        return torch.cat([checkpoint(work, one[None], use_reentrant=False) for one in batch])

    def _encode(self, pictures: Tensor) -> Tensor:
        with self._vae_precision():
            posterior = self.pipe.vae.encode(pictures.to(self.pipe.vae.dtype)).latent_dist
        shift, scale = shift_and_scale(self.pipe.vae.config, self.family, posterior.mean)
        latents: Tensor = (posterior.mode() - shift) * scale
        return latents.float()

    def _decode(self, latents: Tensor) -> Tensor:
        shift, scale = shift_and_scale(self.pipe.vae.config, self.family, latents)
        scaled = (latents / scale + shift).to(self.pipe.vae.dtype)
        with self._vae_precision():
            pictures: Tensor = self.pipe.vae.decode(scaled).sample
        return pictures.float()

    def _vae_precision(self) -> Any:
        """Return a context in which the VAE computes in the type of its own weights."""
        import torch

        kind = self.pipe.vae.device.type
        if not torch.amp.is_autocast_available(kind):
            return nullcontext()
        return torch.autocast(kind, enabled=False)

    def noisy(self, latents: Tensor, noise: Tensor, place: int = 0) -> Tensor:
        """Return latents with noise, as an evaluation meets them."""
        return self.signals[place] * latents + self.noises[place] * noise

    def clean(self, network: Any, noisy: Tensor, side: int, place: int = 0) -> Tensor:
        """Return the latents that the denoiser means. side: of the squares, in pixels."""
        given = noisy.to(network.dtype)
        more = self.more(given, side)
        answer: Tensor = network(given, self.at(noisy, place), return_dict=False, **more)[0].float()
        if self.prediction == "sample":
            return answer
        signal, noise = self.signals[place], self.noises[place]
        if self.prediction == "v_prediction":
            return signal * noisy - noise * answer
        return (noisy - noise * answer) / signal

    def before(self, network: Any, latents: Tensor, noise: Tensor, side: int, place: int) -> Tensor:
        """Return the noisy latents that an evaluation meets, as DDIM leads to them.

        J. Song et al., Denoising Diffusion Implicit Models, ICLR 2021, without new noise.
        """
        noisy = self.noisy(latents, noise)
        for done in range(place):
            clean = self.clean(network, noisy, side, done)
            rest = (noisy - self.signals[done] * clean) / self.noises[done]
            noisy = self.noisy(clean, rest, done + 1)
        return noisy

    def __call__(self, network: Any, latents: Tensor, noise: Tensor, side: int) -> Tensor:
        """Return the latents of the translations."""
        last = len(self.times) - 1
        return self.clean(network, self.before(network, latents, noise, side, last), side, last)

    def at(self, like: Tensor, place: int = 0) -> Tensor:
        """Return an evaluation's timestep for each of a batch."""
        import torch

        return torch.full((len(like),), self.times[place], device=like.device)

    def more(self, like: Tensor, side: int) -> dict[str, Any]:
        """Return what the denoiser is given besides: the prompt, and for XL the picture's size."""
        count = len(like)
        texts = {
            name: value.to(like).expand(count, *value.shape[1:])
            for name, value in self.texts.items()
        }
        more: dict[str, Any] = {"encoder_hidden_states": texts["prompt_embeds"]}
        if self.family.size_embedded:
            sizes = like.new_tensor([side, side, 0, 0, side, side]).expand(count, -1)
            more["added_cond_kwargs"] = {
                "text_embeds": texts["pooled_prompt_embeds"],
                "time_ids": sizes,
            }
        return more


class Bridging:
    """Learning to make photos of renders in one step; a `Trainee`.

    network: denoiser, judges and projections together, so that one forward has all of it.
    """

    name = "bridge"

    def __init__(
        self,
        step: OneStep,
        judge: Any,
        nearness: Nearness,
        renders: Renders,
        held_renders: Renders,
        photos: Squares,
        held_photos: Squares,
        options: BridgeOptions,
        channels: Sequence[int],
    ) -> None:
        from sv2r.training.players import Players

        self.network: Any = Players(step, judge, channels, options)
        self.count = len(renders)
        self._step, self._options, self._nearness = step, options, nearness
        self._renders, self._held_renders = renders, held_renders
        self._photos, self._held_photos = photos, held_photos

    def example(self, draw: TrainingDraw) -> _Tensors:
        """Return a render with its labels and a photo, in [-1, 1], and noise for both."""
        import torch

        pixels, labels = self._renders.square(draw.item)
        drawn = torch.randint(2**31, (2,), generator=draw.generator).tolist()
        photo = self._photos.picture(drawn[0] % len(self._photos))
        shape = latent_shape(self._step.pipe.vae, self._options.resolution)
        return {
            "render": pixels.float() / 127.5 - 1,
            "labels": labels,
            "photo": photo.float() / 127.5 - 1,
            "noise": torch.randn(2, *shape, generator=draw.generator),
            "draw": torch.tensor(drawn[1]),
        }

    def loss(self, network: Any, batch: _Tensors) -> Tensor:
        """Return the loss of a batch, both sides'."""
        loss: Tensor = network(batch)
        return loss

    def validate(self) -> tuple[float, Tensor] | None:
        """Return 1 - realism * survival over renders held out, and how they come out.

        realism: how far they have come from renders to photos (`Nearness`), survival: the share
        of instances whose label fits at least as likely as not.
        """
        import torch

        if not len(self._held_renders):
            return None
        made, passed, count = [], 0, 0
        device = self._step.pipe.unet.device
        with torch.no_grad():
            for number in range(len(self._held_renders)):
                pixels, labels = self._held_renders.square(number)
                picture = self.translate(pixels[None].to(device), number)[0]
                fits = survived(pixels.to(device).float(), 255 * picture, labels)
                passed, count = passed + sum(fits), count + len(fits)
                made.append(picture.cpu())
        realism = self._nearness.share(torch.stack(made))
        survival = passed / count if count else 1.0
        numbers = range(min(SHEET_COLUMNS, len(made)))
        shown = [self._held_renders.square(number)[0].float() / 255 for number in numbers]
        rows = [torch.stack(shown), torch.stack(made[: len(shown)])]
        some = min(len(shown), len(self._held_photos))
        if some == len(shown):
            photos = [self._held_photos.picture(n).float() / 255 for n in range(some)]
            rows.append(torch.stack(photos))
        return 1 - realism * survival, sheet(rows)

    def translate(self, pixels: Tensor, seed: int) -> Tensor:
        """Return (B, 3, R, R) pictures in [0, 1] of uint8 ones, with noise drawn by a seed."""
        import torch

        step = self._step
        latents = step.encode(pixels.float() / 127.5 - 1)
        generator = torch.Generator().manual_seed(seed)
        noise = torch.randn(latents.shape, generator=generator).to(latents)
        made = step.decode(step(step.pipe.unet, latents, noise, self._options.resolution))
        return (made / 2 + 0.5).clamp(0, 1)


def latent_shape(vae: Any, side: int) -> tuple[int, int, int]:
    """Return the shape of a square's latents. side: in pixels."""
    small = side // 2 ** (len(vae.config.block_out_channels) - 1)
    return int(vae.config.latent_channels), small, small
