"""Pictures to latents and back, a whole batch in one call of the VAE."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import isfinite
from typing import TYPE_CHECKING, Any

from sv2r.devices import unless_full
from sv2r.diffusion.families import Family

if TYPE_CHECKING:
    import torch
    from torch import Tensor

# A VAE that says it needs float32 is kept in half precision where, over the first batch, its
# pictures differ from those it makes in float32 by no more than this, in levels of 255.
LARGEST_DIFFERENCE = 16.0
MEAN_DIFFERENCE = 1.5


class Latents:
    """Encodes and decodes with a pipeline's VAE as that pipeline would, sliced when memory asks.

    model_dtype: of the network that the latents are for. vae_dtype: "auto" or a torch dtype's name.
    may_check: whether the VAE may be tried in two dtypes; offloaded layers cannot be cast.
    """

    def __init__(
        self,
        vae: Any,
        family: Family,
        *,
        model_dtype: torch.dtype,
        vae_dtype: str = "auto",
        may_check: bool = True,
    ) -> None:
        import torch

        self._vae = vae
        self._family = family
        self._model_dtype = model_dtype
        self._dtype = model_dtype if vae_dtype == "auto" else getattr(torch, vae_dtype)
        wary = bool(getattr(vae.config, "force_upcast", False)) and family.latents == "mean-std"
        unsure = wary and vae_dtype == "auto" and model_dtype != torch.float32
        if unsure:
            self._dtype = torch.float32
        self._tries = tuple({model_dtype: 1, torch.bfloat16: 1}) if unsure and may_check else ()
        self._noise_dtype = torch.float32 if wary else model_dtype
        self._too_many: int | None = None
        self._tiled = False
        self.difference: tuple[float, float] | None = None
        self._use(self._dtype)

    @property
    def dtype(self) -> str:
        """Return what the VAE computes in, as torch names it."""
        return str(self._dtype).removeprefix("torch.")

    @property
    def split(self) -> str | None:
        """Return what memory asked for: "sliced" (one picture at a time), "tiled", or None."""
        sliced = self._too_many is not None
        return "tiled" if self._tiled else "sliced" if sliced else None

    def encode(self, pixels: Tensor, generators: Sequence[torch.Generator]) -> Tensor:
        """Return the latents of a (B, 3, H, W) batch in [0, 1], drawn from the VAE's posterior.

        generators: one per picture, on the CPU; each is advanced by one draw, as the pipeline
        does it when it encodes by itself.
        """
        pixels = 2 * pixels - 1
        if self._tries:
            self._choose_dtype(pixels)
        moments = self._run(self._moments, pixels)
        moments = moments.to(self._noise_dtype)
        latents: Tensor = _posterior(moments).sample(list(generators)).to(self._model_dtype)
        shift, scale = self._shift_and_scale(latents)
        return (latents - shift) * scale

    def decode(self, latents: Tensor) -> Tensor:
        """Return the (B, 3, H, W) float32 pictures in [0, 1]; NaN where the model gave NaN."""
        shift, scale = self._shift_and_scale(latents)
        pixels = self._run(self._pixels, latents / scale + shift)
        return (pixels.float() / 2 + 0.5).clamp(0, 1)

    def _moments(self, pixels: Tensor) -> Tensor:
        moments: Tensor = self._vae.encode(pixels.to(self._dtype)).latent_dist.parameters
        return moments

    def _pixels(self, latents: Tensor) -> Tensor:
        pixels: Tensor = self._vae.decode(latents.to(self._dtype), return_dict=False)[0]
        return pixels

    def _run(self, step: Callable[[Tensor], Tensor], batch: Tensor) -> Tensor:
        """Return the step's result for a batch: at once, or picture by picture where that fits."""
        if self._too_many is None or len(batch) < self._too_many:
            made = unless_full(step, batch)
            if made is not None:
                return made
            self._too_many = len(batch)
        if not self._tiled:
            may_tile = hasattr(self._vae, "enable_tiling")
            made = unless_full(_one_by_one, step, batch) if may_tile else _one_by_one(step, batch)
            if made is not None:
                return made
            self._tiled = True
            self._vae.enable_tiling()
        return _one_by_one(step, batch)

    def _shift_and_scale(self, like: Tensor) -> tuple[Tensor | float, Tensor | float]:
        return shift_and_scale(self._vae.config, self._family, like)

    def _use(self, dtype: torch.dtype) -> None:
        self._dtype = dtype
        if next(self._vae.parameters()).dtype != dtype:
            self._vae.to(dtype=dtype)

    def _choose_dtype(self, pixels: Tensor) -> None:
        """Take the first half precision that is near float32 on these pictures, else float32."""
        import torch

        tries, self._tries = self._tries, ()
        exact = self._reconstruct(pixels)
        weights = {
            name: value.to("cpu", copy=True) for name, value in self._vae.state_dict().items()
        }
        for half in tries:
            self._use(half)
            apart = (self._reconstruct(pixels) - exact).abs() * 127.5
            largest, mean = torch.stack([apart.max(), apart.mean()]).tolist()
            if isfinite(mean):
                self.difference = (largest, mean)
            if largest <= LARGEST_DIFFERENCE and mean <= MEAN_DIFFERENCE:
                return
            # Rounded weights do not come back by a wider type.
            self._use(torch.float32)
            self._vae.load_state_dict(weights)

    def _reconstruct(self, pixels: Tensor) -> Tensor:
        """Return what the VAE makes of pictures without noise, float32 in [-1, 1]."""
        import torch

        one_by_one = (
            self._pixels(_posterior(self._moments(one[None])).mode()).float() for one in pixels
        )
        return torch.cat(list(one_by_one)).clamp(-1, 1)


def shift_and_scale(
    config: Any, family: Family, like: Tensor
) -> tuple[Tensor | float, Tensor | float]:
    """Return (shift, scale) with model latents = (VAE latents - shift) * scale.

    config: the VAE's. like: latents, for device and dtype.
    """
    if family.latents == "shift":
        return config.shift_factor or 0.0, config.scaling_factor
    mean, std = (getattr(config, name, None) for name in ("latents_mean", "latents_std"))
    if family.latents == "mean-std" and mean is not None and std is not None:
        return _channels(mean, like), config.scaling_factor / _channels(std, like)
    return 0.0, config.scaling_factor


def _one_by_one(step: Callable[[Tensor], Tensor], batch: Tensor) -> Tensor:
    import torch

    return torch.cat([step(one[None]) for one in batch])


def may_be_float32(family: Family, vae_dtype: str, model_dtype: str) -> bool:
    """Return whether a VAE may have to compute in float32, with weights that are not rounded."""
    if vae_dtype == "auto":
        return family.latents == "mean-std" and model_dtype != "float32"
    return vae_dtype == "float32"


def _posterior(moments: Tensor) -> Any:
    from diffusers.models.autoencoders.vae import DiagonalGaussianDistribution

    return DiagonalGaussianDistribution(moments)


def _channels(values: Sequence[float], like: Tensor) -> Tensor:
    import torch

    return torch.tensor(values, device=like.device, dtype=like.dtype).view(1, -1, 1, 1)
