"""What is done to a pipeline's networks before they run: tiled, conditions embedded once.

Each changes the network's ``forward`` alone, so that the pipeline's own loop runs as it is.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from sv2r.images.geometry import blend, cut_tiles, feather, tile_places

if TYPE_CHECKING:
    from torch import Tensor

_RESIDUALS = ("down_block_additional_residuals", "mid_block_additional_residual")


@dataclass
class Once:
    """A function of one tensor whose results are kept, by the tensor itself, until `forget`."""

    compute: Callable[[Tensor], Any]
    _kept: dict[int, tuple[Tensor, Any]] = field(default_factory=dict)

    def __call__(self, tensor: Tensor) -> Any:
        """Return what the function makes of this very tensor."""
        if id(tensor) not in self._kept:  # the tensor is kept too, so its id stays its own
            self._kept[id(tensor)] = (tensor, self.compute(tensor))
        return self._kept[id(tensor)][1]

    def forget(self) -> None:
        """Drop all results."""
        self._kept.clear()


def embed_condition_once(net: Any, device: str) -> Once:
    """Return the store of a ControlNet's embedded conditions: one per picture, not per step.

    The embedding is a function of the condition alone, yet the network computes it at every step.
    """
    import torch

    once = Once(net.controlnet_cond_embedding.to(device))
    net.controlnet_cond_embedding = torch.nn.Identity()
    return once


def feed_embedded(net: Any, once: Once) -> None:
    """Let a ControlNet take its conditions from that store."""
    inner = net.forward

    def forward(*args: Any, controlnet_cond: Tensor, **kwargs: Any) -> Any:
        return inner(*args, controlnet_cond=once(controlnet_cond), **kwargs)

    net.forward = forward


def scale_outside(net: Any) -> None:
    """Multiply a ControlNet's residuals outside of its ``forward``, which sees 1 at all times.

    A compiled network takes a number for a constant: each scale would be compiled by itself.
    """
    inner = net.forward

    def forward(*args: Any, conditioning_scale: float = 1.0, **kwargs: Any) -> Any:
        downs, mid = inner(*args, conditioning_scale=1.0, **kwargs)
        return [down * conditioning_scale for down in downs], mid * conditioning_scale

    net.forward = forward


def skip_idle(controlnet: Any) -> None:
    """Let a ControlNet, or several as one, not run where its scale is 0: outside of its window.

    diffusers' pipelines run it there all the same. Where none is left there are no residuals.
    """
    nets = getattr(controlnet, "nets", None)
    inner = controlnet.forward

    def forward(
        *args: Any, controlnet_cond: Any, conditioning_scale: Any = 1.0, **kwargs: Any
    ) -> Any:
        if nets is None:
            if not conditioning_scale:
                return None, None
            return inner(
                *args,
                controlnet_cond=controlnet_cond,
                conditioning_scale=conditioning_scale,
                **kwargs,
            )
        made = [
            net(*args, controlnet_cond=condition, conditioning_scale=scale, **kwargs)
            for net, condition, scale in zip(nets, controlnet_cond, conditioning_scale, strict=True)
            if scale
        ]
        return _sum_of(made)

    controlnet.forward = forward


def _sum_of(made: Sequence[tuple[Sequence[Tensor], Tensor]]) -> tuple[Any, Any]:
    """Return several ControlNets' residuals added up in order; (None, None) for no ControlNet."""
    if not made:
        return None, None
    downs, mid = made[0]
    for more_downs, more_mid in made[1:]:
        downs = [one + other for one, other in zip(downs, more_downs, strict=True)]
        mid = mid + more_mid
    return downs, mid


def take_latents(pipe: Any) -> None:
    """Let a pipeline take latents in place of a picture also where the VAE has not 4 channels.

    The Stable Diffusion pipelines tell latents from pictures by the number 4.
    """
    channels = pipe.vae.config.latent_channels
    if channels == 4 or getattr(pipe.image_processor.config, "vae_latent_channels", 4) != 4:
        return
    from diffusers.image_processor import VaeImageProcessor
    from diffusers.utils.torch_utils import randn_tensor

    encode = pipe.prepare_latents

    def prepare_latents(image: Tensor, timestep: Any, *args: Any, **kwargs: Any) -> Any:
        if image.shape[1] != channels:
            return encode(image, timestep, *args, **kwargs)
        generator = kwargs.get("generator", args[4] if len(args) > 4 else None)
        noise = randn_tensor(
            image.shape, generator=generator, device=image.device, dtype=image.dtype
        )
        return pipe.scheduler.add_noise(image, noise, timestep)

    pipe.image_processor = VaeImageProcessor(
        vae_scale_factor=pipe.vae_scale_factor, vae_latent_channels=channels
    )
    pipe.prepare_latents = prepare_latents


@dataclass(frozen=True)
class Tiling:
    """Tiles over the latents, blended at every step: what the network predicts is averaged.

    The pipeline keeps one set of latents for the whole picture, so that tiles cannot drift apart.
    side, overlap: of a tile, in latents. factor: pixels per latent. step: what tiles begin at
    multiples of, in latents.

    Source: Bar-Tal et al., MultiDiffusion, ICML 2023 (arXiv 2302.08113).
    """

    side: int
    overlap: int
    factor: int
    step: int = 1

    def tile(self, size: tuple[int, int]) -> tuple[int, int]:
        """Return a tile's (height, width) over latents of that height and width."""
        return min(self.side, size[0]), min(self.side, size[1])

    def places(self, size: tuple[int, int]) -> list[tuple[int, int]]:
        """Return where tiles begin over latents of that height and width."""
        return tile_places(size, self.tile(size), self.overlap, self.step)

    def run_core(self, core: Any) -> None:
        """Make a UNet or transformer predict tile by tile, all pictures of a batch at once."""
        inner = core.forward

        def forward(*args: Any, **kwargs: Any) -> Any:
            sample = args[0] if args else kwargs["hidden_states"]
            size = sample.shape[-2], sample.shape[-1]
            places, tile = self.places(size), self.tile(size)
            if len(places) == 1:
                return inner(*args, **kwargs)
            residuals = {name: kwargs.pop(name) for name in _RESIDUALS if name in kwargs}
            made = []
            for number, piece in enumerate(cut_tiles(sample, places, tile)):
                own = {name: tiles[number] for name, tiles in residuals.items()}
                if args:
                    made.append(inner(piece, *args[1:], **kwargs, **own)[0])
                else:
                    made.append(inner(**{**kwargs, **own, "hidden_states": piece})[0])
            return (blend(made, places, size, feather(tile, self.overlap)),)

        core.forward = forward

    def run_controlnet(self, controlnet: Any) -> Once:
        """Make one ControlNet, or several as one, give residuals for each tile by itself.

        They go through the pipeline's loop untouched, into a network after `run_core`.
        Returns the store of the cut conditions.
        """
        inner = controlnet.forward
        pieces = Once(self._cut_condition)

        def forward(sample: Tensor, *args: Any, controlnet_cond: Any, **kwargs: Any) -> Any:
            size = sample.shape[-2], sample.shape[-1]
            places = self.places(size)
            if len(places) == 1:
                return inner(sample, *args, controlnet_cond=controlnet_cond, **kwargs)
            conditions = self._per_tile(controlnet_cond, pieces, len(places))
            made = [
                inner(piece, *args, controlnet_cond=condition, **kwargs)
                for piece, condition in zip(
                    cut_tiles(sample, places, self.tile(size)), conditions, strict=True
                )
            ]
            return [down for down, _ in made], [mid for _, mid in made]

        controlnet.forward = forward
        return pieces

    def _per_tile(self, condition: Any, pieces: Once, count: int) -> Iterator[Any]:
        """Yield each tile's condition: a tensor, or for several ControlNets a list of them."""
        if not isinstance(condition, list):
            yield from pieces(condition)
            return
        cuts: Sequence[Sequence[Tensor]] = [pieces(each) for each in condition]
        for number in range(count):
            yield [each[number] for each in cuts]

    def _cut_condition(self, condition: Tensor) -> list[Tensor]:
        factor = self.factor
        size = condition.shape[-2] // factor, condition.shape[-1] // factor
        places = [(factor * top, factor * left) for top, left in self.places(size)]
        height, width = self.tile(size)
        return cut_tiles(condition, places, (factor * height, factor * width))
