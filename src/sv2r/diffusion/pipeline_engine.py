"""Makes pictures with a diffusers pipeline as it is: one picture in, one picture out."""

from __future__ import annotations

import inspect
from collections.abc import Hashable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from sv2r.devices import fix_algorithms
from sv2r.diffusion.bits import repeatable
from sv2r.diffusion.compiling import Compilation
from sv2r.diffusion.engine import FLAGGED, not_a_number, to_levels, with_looks
from sv2r.diffusion.fitting import Fitting
from sv2r.diffusion.gentler import changed_arguments
from sv2r.errors import SampleError
from sv2r.hub import quiet
from sv2r.images.palette import Palette
from sv2r.types import Batch, Refusal

if TYPE_CHECKING:
    from torch import Tensor


class PipelineEngine:
    """A translator around any pipeline whose call takes an image.

    Each picture of a batch is its own call, as a user of diffusers would write it: nothing is known
    of what such a pipeline does with several.

    pipe: on its device. call: what it is called with besides picture, prompts and generator.
    facts: what is known of it beforehand, for `settings`.
    """

    def __init__(
        self,
        pipe: Any,
        *,
        fitting: Fitting,
        call: Mapping[str, Any],
        facts: Mapping[str, Any],
        compilation: Compilation | None = None,
        palette: Palette | None = None,
    ) -> None:
        self._pipe = pipe
        self._fitting = fitting
        self._call = dict(call)
        self._facts = dict(facts)
        self._compilation = compilation or Compilation()
        self._palette = palette
        self._changed: dict[str, Any] = {}
        self._size: tuple[int, int] | None = None
        fix_algorithms(facts["device"])
        self._takes = frozenset(inspect.signature(type(pipe).__call__).parameters)

    def __call__(self, batch: Batch) -> Sequence[Tensor | Refusal]:
        """Return one (3, H, W) uint8 picture on the CPU per frame, or why there is none.

        Raises:
            SampleError: the pipeline changes the size.
        """
        return [self._picture(batch, place) for place in range(len(batch))]

    def bucket(self, height: int, width: int) -> Hashable:
        """Return the size that the model sees for a picture of this size."""
        return self._fitting.outer((height, width))

    def compile(self) -> None:
        """Compile the networks from the next batch on, where that was asked for."""
        self._compilation.start()

    def settings(self) -> Mapping[str, Any]:
        """Return what really ran, as JSON values."""
        ran = getattr(self._pipe, "_num_timesteps", None)
        names = {"num_inference_steps": "steps"}
        called = self._call | self._changed
        return {
            "path": "pipeline",
            **self._facts,
            **({} if "negative_prompt" in self._takes else {"negative_prompt": "not taken"}),
            **{names.get(name, name): value for name, value in called.items()},
            **({"effective_steps": ran} if ran is not None else {}),
            **({"size": list(self._size)} if self._size else {}),
        }

    def _picture(self, batch: Batch, place: int) -> Tensor | Refusal:
        import torch

        frame = batch.frames[place]
        self._size = outer = self._fitting.outer(frame.size)
        self._changed = changed_arguments(self._call, batch)
        call = (
            self._call
            | self._changed
            | self._texts(batch.prompts[place], batch.negative_prompts[place])
        )
        if {"height", "width"} <= self._takes:
            call |= {"height": outer[0], "width": outer[1]}
        if "_auto_resize" in self._takes:  # Flux Kontext would choose another size
            call["_auto_resize"] = False
        with torch.no_grad(), quiet(), repeatable(self._facts["device"]):
            made = self._pipe(
                image=_to_pil(self._fitting.enter(frame.image)),
                generator=torch.Generator().manual_seed(batch.seeds[place]),
                output_type="np",
                **call,
            )
        picture = torch.from_numpy(made.images[0]).permute(2, 0, 1).float()
        if tuple(picture.shape[-2:]) != outer:
            raise SampleError(
                f"{frame.sample.id}: {type(self._pipe).__name__} gave {picture.shape[-1]} x "
                f"{picture.shape[-2]} pixels for {outer[1]} x {outer[0]}; choose fit scale and a "
                f"resolution that it keeps"
            )
        if any(getattr(made, "nsfw_content_detected", None) or ()):
            return FLAGGED
        if refusal := not_a_number(picture[None]).get(0):
            return refusal
        looking = with_looks(picture[None], [batch.seeds[place]], self._palette)
        return to_levels(looking, [frame.size], self._fitting)[0]

    def _texts(self, prompt: str, negative: str) -> dict[str, str]:
        asked = {"prompt": prompt, **({"negative_prompt": negative} if negative else {})}
        return {name: text for name, text in asked.items() if name in self._takes}


def _to_pil(image: Tensor) -> Any:
    """Return a (3, H, W) image in [0, 1] as Pillow has it."""
    import torch
    from PIL import Image

    return Image.fromarray((255 * image).round().to(torch.uint8).permute(1, 2, 0).numpy())
