"""What stays as it is while a denoiser learns, computed once: latents of squares, captions."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sv2r.diffusion.families import Family
from sv2r.diffusion.latents import shift_and_scale
from sv2r.diffusion.prompts import Prompts
from sv2r.training.photos import Squares, Watch

if TYPE_CHECKING:
    import torch
    from torch import Tensor

_BATCH = 4


@dataclass(frozen=True)
class Posteriors:
    """The VAE's posterior of each square, as the model sees it: (N, C, h, w) float32 on the CPU."""

    mean: Tensor
    std: Tensor

    def draw(self, number: int, generator: Any) -> Tensor:
        """Return a square's (C, h, w) latents, drawn from the posterior."""
        import torch

        noise = torch.randn(self.mean.shape[1:], generator=generator)
        latents: Tensor = self.mean[number] + self.std[number] * noise
        return latents


def encode_squares(
    vae: Any, family: Family, squares: Squares, device: Any, watch: Watch = None
) -> Posteriors:
    """Return the latents of all squares; the VAE, in float32 for it, is left on the CPU."""
    import torch

    move(vae, device, torch.float32)
    found = []
    with torch.no_grad():
        for first in range(0, len(squares), _BATCH):
            numbers = range(first, min(first + _BATCH, len(squares)))
            pixels = torch.stack([squares.picture(n) for n in numbers]).to(device)
            posterior = vae.encode(pixels.float() / 127.5 - 1).latent_dist
            shift, scale = shift_and_scale(vae.config, family, posterior.mean)
            found.append((((posterior.mean - shift) * scale).cpu(), (posterior.std * scale).cpu()))
            if watch:
                watch(numbers[-1] + 1, len(squares))
    vae.to("cpu")
    means, stds = zip(*found, strict=True)
    return Posteriors(torch.cat(means), torch.cat(stds))


def move(vae: Any, device: Any, dtype: torch.dtype) -> None:
    """Put a VAE onto a device in a dtype; diffusers warns of a cast even where there is none."""
    vae.to(device)
    if vae.dtype != dtype:
        vae.to(dtype=dtype)


@dataclass(frozen=True)
class Embeddings:
    """Embeddings of captions, (1, …) each by the pipeline's name for it, on the CPU.

    guided: the arguments that a pipeline takes in place of a caption and of no negative prompt.
    """

    embeddings: Mapping[str, Mapping[str, Tensor]]
    guided: Mapping[str, Mapping[str, Tensor]]

    def of(self, captions: Sequence[str]) -> dict[str, Tensor]:
        """Return what a pipeline takes in place of these captions, guided, one row for each."""
        import torch

        rows = [self.guided[caption] for caption in captions]
        return {name: torch.cat([row[name] for row in rows]) for name in rows[0]}


def encode_captions(
    pipe: Any, family: Family, captions: Iterable[str], shown: Collection[str], device: Any
) -> Embeddings:
    """Return the embeddings of each caption and of the empty one; text encoders end on the CPU.

    shown: those that validation makes pictures by.
    """
    for name in family.text_encoders:
        if getattr(pipe, name, None) is not None:
            getattr(pipe, name).to(device)
    prompts = Prompts(pipe, family, str(device), moves=False)

    def embed(caption: str, *, guided: bool) -> dict[str, Tensor]:
        found = prompts.embed([caption], [""], guided=guided)
        return {name: value.cpu() for name, value in found.items()}

    learnt = {caption: embed(caption, guided=False) for caption in {"", *captions, *shown}}
    guided = {caption: embed(caption, guided=True) for caption in shown}
    for name in family.text_encoders:
        if getattr(pipe, name, None) is not None:
            getattr(pipe, name).to("cpu")
    return Embeddings(learnt, guided)
