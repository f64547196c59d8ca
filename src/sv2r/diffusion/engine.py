"""Makes pictures from batches with a diffusers pipeline: latents in, latents out."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from sv2r.devices import fix_algorithms, is_out_of_memory
from sv2r.diffusion.bits import repeatable
from sv2r.diffusion.compiling import Compilation
from sv2r.diffusion.families import Family
from sv2r.diffusion.fitting import Fitting, Size
from sv2r.diffusion.gentler import changed_arguments
from sv2r.diffusion.latents import Latents
from sv2r.diffusion.networks import Once
from sv2r.diffusion.prompts import Prompts
from sv2r.hub import quiet
from sv2r.images.palette import Palette
from sv2r.types import Batch, Frame, ReadFrame, Refusal

if TYPE_CHECKING:
    import torch
    from torch import Tensor


class LatentEngine:
    """A translator around a pipeline that takes latents and hands latents back.

    The pictures are those that the pipeline makes when it is called with each prompt, picture and
    ``torch.Generator().manual_seed(seed)`` by itself; only the way there is shorter.

    pipe: on its device. call: what it is called with besides pictures, prompts and generators.
    controls: the control maps' names, in the order of the pipeline's ControlNets.
    facts: what is known of it beforehand, for `settings`.
    stores: what the networks keep during a batch.
    palette: what pictures take their colours and grain from, after all else.
    """

    def __init__(
        self,
        pipe: Any,
        family: Family,
        *,
        fitting: Fitting,
        prompts: Prompts,
        latents: Latents,
        call: Mapping[str, Any],
        facts: Mapping[str, Any],
        device: str,
        controls: tuple[str, ...] = (),
        stores: Sequence[Once] = (),
        checks_safety: bool = False,
        compilation: Compilation | None = None,
        palette: Palette | None = None,
    ) -> None:
        self._pipe = pipe
        self._family = family
        self._fitting = fitting
        self._prompts = prompts
        self._latents = latents
        self._call = dict(call)
        self._facts = dict(facts)
        self._compiled = bool(facts.get("compile"))
        self._changed: dict[str, Any] = {}
        self._size: Size | None = None
        self._device = device
        self._controls = controls
        self._stores = tuple(stores)
        self._checks_safety = checks_safety
        self._compilation = compilation or Compilation()
        self._palette = palette
        fix_algorithms(device)

    def __call__(self, batch: Batch) -> Sequence[Tensor | Refusal]:
        """Return one (3, H, W) uint8 picture on the CPU per frame, or why there is none."""
        import torch

        sizes = [frame.size for frame in batch.frames]
        generators = [torch.Generator().manual_seed(seed) for seed in batch.seeds]
        with torch.no_grad(), quiet(), repeatable(self._device, compiled=self._compiled):
            try:
                pictures = self._pictures(batch, generators)
            except Exception as error:
                if is_out_of_memory(error):
                    self._prompts.release()
                raise
            finally:
                for store in self._stores:
                    store.forget()
            refusals = self._refusals(pictures)
            pictures = with_looks(pictures, batch.seeds, self._palette)
            levels = to_levels(pictures, sizes, self._fitting)
        return [refusals.get(i, level) for i, level in enumerate(levels)]

    def bucket(self, height: int, width: int) -> Hashable:
        """Return the size that a model sees for a picture of this size; equal ones go together."""
        return self._fitting.outer((height, width))

    def compile(self) -> None:
        """Compile the networks from the next batch on, where that was asked for."""
        self._compilation.start()

    def settings(self) -> Mapping[str, Any]:
        """Return what really ran, as JSON values."""
        ran = getattr(self._pipe, "_num_timesteps", None)
        difference = self._latents.difference
        return {
            **self._facts,
            **({} if self._family.negatives else {"negative_prompt": "not taken"}),
            **self._changed,
            **({"effective_steps": ran} if ran is not None else {}),
            **({"size": list(self._size)} if self._size else {}),
            "vae_dtype": self._latents.dtype,
            **({"vae_split": self._latents.split} if self._latents.split else {}),
            **({"vae_difference": [round(d, 2) for d in difference]} if difference else {}),
        }

    def _pictures(self, batch: Batch, generators: list[torch.Generator]) -> Tensor:
        """Return the (B, 3, h, w) float32 pictures in [0, 1] at the size that the model sees."""
        pixels = self._enter_frames(batch.frames)
        maps = [self._enter(batch.controls[name]) for name in self._controls]
        self._size = (pixels.shape[-2], pixels.shape[-1])
        self._changed = changed_arguments(self._call, batch)
        call = self._call | self._changed
        if maps:
            call["control_image"] = maps[0] if len(maps) == 1 else maps
        if self._family.sized:
            call["height"], call["width"] = pixels.shape[-2:]
        tile = self._fitting.tile((pixels.shape[-2], pixels.shape[-1]))
        if tile and self._family.size_embedded:
            call["original_size"] = call["target_size"] = tile
        texts = self._prompts.embed(
            batch.prompts, batch.negative_prompts, guided=self._call["guidance_scale"] > 1
        )
        latents = self._latents.encode(pixels, generators)
        made = self._pipe(
            image=latents,
            generator=generators,
            output_type="latent",
            return_dict=False,
            **texts,
            **call,
        )[0]
        if made.ndim == 3:
            made = self._pipe._unpack_latents(made, *pixels.shape[-2:], self._pipe.vae_scale_factor)
        return self._latents.decode(made)

    def _enter_frames(self, frames: Sequence[Frame]) -> Tensor:
        """Return the frames' pictures as `_enter` does; sent in uint8 where that loses nothing."""
        import torch

        exact = all(isinstance(frame, ReadFrame) for frame in frames)
        if self._fitting.mode == "scale" or not exact:
            return self._enter([frame.image for frame in frames])
        levels = self._enter([frame.pixels.contiguous() for frame in frames])
        # A tensor as divisor: by a number, a GPU would multiply with its rounded inverse.
        return levels / torch.tensor(255.0).to(self._device)

    def _enter(self, images: Sequence[Tensor]) -> Tensor:
        """Return (3, H, W) images as one batch on the device, as the model sees them."""
        import torch

        batch = torch.stack([self._fitting.enter(image) for image in images])
        if self._device.startswith("cuda"):
            batch = batch.pin_memory()
        return batch.to(self._device, non_blocking=True)

    def _refusals(self, pictures: Tensor) -> dict[int, Refusal]:
        """Return the pictures that must not be published, by place: why."""
        found = not_a_number(pictures)
        if self._checks_safety:
            copy = pictures.clone()  # the checker blackens what it flags
            flags = self._pipe.run_safety_checker(copy, pictures.device, self._checker_dtype())[1]
            found |= {i: FLAGGED for i, flag in enumerate(flags or ()) if flag and i not in found}
        return found

    def _checker_dtype(self) -> torch.dtype:
        dtype: torch.dtype = next(self._pipe.safety_checker.parameters()).dtype
        return dtype


FLAGGED = Refusal("the model's safety checker flagged it")


def not_a_number(pictures: Tensor) -> dict[int, Refusal]:
    """Return a refusal for every picture of a (B, 3, H, W) batch that has NaN or infinity in it."""
    finite = pictures.isfinite().flatten(1).all(1).tolist()
    refusal = Refusal("the model gave NaN, which is no picture; another dtype may help")
    return {i: refusal for i, good in enumerate(finite) if not good}


def with_looks(pictures: Tensor, seeds: Sequence[int], palette: Palette | None) -> Tensor:
    """Return (B, 3, H, W) pictures in [0, 1] in the looks that their seeds draw from a palette."""
    import torch

    if palette is None:
        return pictures
    # One by one: a CPU's pow rounds otherwise at the end of a tensor, and a picture's bits must not
    # depend on its place in the batch.
    pairs = zip(pictures, seeds, strict=True)
    return torch.stack([palette.give(picture, seed) for picture, seed in pairs])


def to_levels(pictures: Tensor, sizes: Sequence[Size], fitting: Fitting) -> list[Tensor]:
    """Return (3, H, W) uint8 pictures on the CPU, each of its own size.

    pictures: (B, 3, h, w) float32 in [0, 1], clamped, at the size that the model sees. Rounded and
    made uint8 on their device; where nothing is resized they are copied over in one piece.
    """
    import torch

    if fitting.mode == "scale":
        whole = [fitting.leave(p, size) for p, size in zip(pictures, sizes, strict=True)]
        return [(255 * picture).round().to(torch.uint8).cpu().contiguous() for picture in whole]
    levels = _to_cpu((255 * pictures).round().to(torch.uint8))
    cut = zip(levels, sizes, strict=True)
    return [level[:, :height, :width].contiguous() for level, (height, width) in cut]


def _to_cpu(levels: Tensor) -> Tensor:
    """Return a copy on the CPU, by way of pinned memory where there is a GPU."""
    import torch

    if levels.device.type != "cuda":
        return levels.cpu()
    pinned = torch.empty(levels.shape, dtype=levels.dtype, pin_memory=True)
    return pinned.copy_(levels)
