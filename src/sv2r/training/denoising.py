"""Learning to denoise latents of photos: a network itself, its LoRA, or a ControlNet."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sv2r.diffusion.families import Family
from sv2r.hub import quiet
from sv2r.training.conditions import Conditions
from sv2r.training.draws import TrainingDraw
from sv2r.training.frozen import Embeddings, Posteriors, move
from sv2r.training.objectives import Objective
from sv2r.training.photos import Squares
from sv2r.training.sheets import SHEET_COLUMNS, sheet

if TYPE_CHECKING:
    import torch
    from torch import Tensor

# Times that each photo held out is looked at, and the steps that its translation takes.
_TIMES = 4
_STEPS = 20
_GUIDANCE = 5.0
_FLUX_GUIDANCE = 3.5

Tensors = Mapping[str, "Tensor"]


@dataclass(frozen=True)
class Material:
    """Squares with all that is known of them: latents, and control maps for a ControlNet."""

    squares: Squares
    latents: Posteriors
    conditions: Conditions | None = None

    def parts(self, number: int) -> dict[str, Tensor]:
        """Return the control map of a square, where there are any, in [0, 1]."""
        if self.conditions is None:
            return {}
        return {"control": self.conditions.map(number).float() / 255}


class Denoising:
    """A `Task`: predict what was added to latents of photos.

    pipe: the family's image-to-image pipeline, on the device but for text encoders and VAE.
    network: what learns: the pipeline's core, or its ControlNet.
    dropout: the share of captions left empty. strength: of validation's translations.
    dtype: what frozen networks are in.
    """

    def __init__(
        self,
        name: str,
        pipe: Any,
        family: Family,
        network: Any,
        objective: Objective,
        texts: Embeddings,
        learnt: Material,
        held: Material | None,
        *,
        dropout: float,
        strength: float,
        dtype: torch.dtype,
    ) -> None:
        self.name, self.network, self.count = name, network, len(learnt.squares)
        self._pipe, self._family, self._objective = pipe, family, objective
        self._texts, self._learnt, self._held = texts, learnt, held
        self._dropout, self._strength, self._dtype = dropout, strength, dtype
        self._core = getattr(pipe, family.core)

    def example(self, draw: TrainingDraw) -> Tensors:
        """Return latents, noise, a time, the embedded caption and the control map of one square."""
        import torch

        number, generator = draw.item, draw.generator
        caption = self._learnt.squares.squares[number].photo.caption
        latents = self._learnt.latents.draw(number, generator)
        if float(torch.rand((), generator=generator)) < self._dropout:
            caption = ""
        return {
            "latents": latents,
            "noise": torch.randn(latents.shape, generator=generator),
            "times": self._objective.draw(generator),
            **{name: value[0] for name, value in self._texts.embeddings[caption].items()},
            **self._learnt.parts(number),
        }

    def loss(self, network: Any, batch: Tensors) -> Tensor:
        """Return the loss of a batch. network: `network`, perhaps wrapped."""

        def predict(noisy: Tensor, times: Tensor) -> Tensor:
            return self._predict(network, noisy, times, batch)

        latents, noise, times = (batch[name] for name in ("latents", "noise", "times"))
        return self._objective.loss(predict, latents, noise, times)

    def validate(self) -> tuple[float, Tensor] | None:
        """Return the loss over photos held out, always with the same noise, and translations."""
        import torch

        if self._held is None:
            return None
        device = self._core.device
        times = self._objective.spread(_TIMES)
        losses = []
        with torch.no_grad():
            for number, photo in enumerate(self._held.squares.squares):
                generator = torch.Generator().manual_seed(number)
                latents = self._held.latents.mean[number].expand(_TIMES, -1, -1, -1)
                batch = {
                    "latents": latents,
                    "noise": torch.randn(latents.shape, generator=generator),
                    "times": times,
                    **self._repeated(photo.photo.caption, number),
                }
                batch = {name: value.to(device) for name, value in batch.items()}
                with torch.autocast(device.type, self._dtype, enabled=self._half):
                    losses.append(float(self.loss(self.network, batch)))
            pictures = self._translations()
        return sum(losses) / len(losses), pictures

    @property
    def _half(self) -> bool:
        import torch

        return self._dtype in (torch.float16, torch.bfloat16)

    def _repeated(self, caption: str, number: int) -> dict[str, Tensor]:
        """Return what a held-out photo's caption and control map are, once for each time."""
        texts = {name: value[0] for name, value in self._texts.embeddings[caption].items()}
        parts = {**texts, **(self._held.parts(number) if self._held else {})}
        return {n: v.expand(_TIMES, *([-1] * v.dim())) for n, v in parts.items()}

    def _predict(self, network: Any, noisy: Tensor, times: Tensor, batch: Tensors) -> Tensor:
        """Return what the network answers; a ControlNet's answer goes through the frozen core."""
        dtype = self._dtype
        embeds = {name: batch[name].to(dtype) for name in self._texts.embeddings[""]}
        noisy = noisy.to(dtype)
        if self._family.name == "stable-diffusion-3":
            return _answer(
                network(
                    hidden_states=noisy,
                    timestep=1000 * times,
                    encoder_hidden_states=embeds["prompt_embeds"],
                    pooled_projections=embeds["pooled_prompt_embeds"],
                    return_dict=False,
                )
            )
        if self._family.name == "flux":
            return self._predict_flux(network, noisy, times, embeds)
        more = {"encoder_hidden_states": embeds["prompt_embeds"], "return_dict": False}
        if self._family.size_embedded:
            more["added_cond_kwargs"] = self._size_embedding(noisy, embeds)
        if "control" not in batch:
            return _answer(network(noisy, times, **more))
        down, middle = network(noisy, times, controlnet_cond=batch["control"].to(dtype), **more)
        return _answer(
            self._core(
                noisy,
                times,
                down_block_additional_residuals=[each.to(dtype) for each in down],
                mid_block_additional_residual=middle.to(dtype),
                **more,
            )
        )

    def _size_embedding(self, noisy: Tensor, embeds: Tensors) -> dict[str, Tensor]:
        """Return what SDXL is told besides: the size that a picture had, has, and where it is cut.

        D. Podell et al., SDXL, ICLR 2024.
        """
        side = self._learnt.squares.resolution
        sizes = noisy.new_tensor([side, side, 0, 0, side, side]).expand(len(noisy), -1)
        return {"text_embeds": embeds["pooled_prompt_embeds"], "time_ids": sizes}

    def _predict_flux(self, network: Any, noisy: Tensor, times: Tensor, embeds: Tensors) -> Tensor:
        import torch

        batch, channels, height, width = noisy.shape
        pipe, places = self._pipe, (height // 2, width // 2)
        texts = embeds["prompt_embeds"]
        guidance = torch.full((batch,), _FLUX_GUIDANCE, device=noisy.device)
        made = network(
            hidden_states=pipe._pack_latents(noisy, batch, channels, height, width),
            timestep=times,
            guidance=guidance if self._core.config.guidance_embeds else None,
            pooled_projections=embeds["pooled_prompt_embeds"],
            encoder_hidden_states=texts,
            txt_ids=torch.zeros(texts.shape[1], 3, device=noisy.device, dtype=noisy.dtype),
            img_ids=pipe._prepare_latent_image_ids(batch, *places, noisy.device, noisy.dtype),
            return_dict=False,
        )[0]
        factor = pipe.vae_scale_factor
        unpacked: Tensor = pipe._unpack_latents(made, height * factor, width * factor, factor)
        return unpacked

    def _translations(self) -> Tensor:
        """Return photos held out, their control maps if there are any, and their translations."""
        import torch

        if self._held is None:
            raise AssertionError
        numbers = range(min(SHEET_COLUMNS, len(self._held.squares)))
        photos = torch.stack([self._held.squares.picture(n) for n in numbers]).float() / 255
        maps = [self._held.parts(n)["control"] for n in numbers] if self._held.conditions else []
        captions = [self._held.squares.captions()[n] for n in numbers]
        made = self._translate(photos, torch.stack(maps) if maps else None, captions)
        return sheet([photos, *([torch.stack(maps)] if maps else []), made])

    def _translate(self, photos: Tensor, maps: Tensor | None, captions: Sequence[str]) -> Tensor:
        import torch

        pipe, device, dtype = self._pipe, self._core.device, self._dtype
        vae, side = pipe.vae, self._learnt.squares.resolution
        before = vae.device, vae.dtype
        move(vae, device, dtype)
        core_dtype = self._core.dtype
        if maps is not None and device.type == "cpu":
            # A CPU's norms take no float32 residuals next to weights in half precision.
            self._core.to(torch.float32)
        texts = self._texts.of(captions)
        call: dict[str, Any] = {"height": side, "width": side} if self._family.sized else {}
        if maps is not None:
            call["control_image"] = maps.to(device, dtype)
        with quiet(), torch.autocast(device.type, dtype, enabled=self._half):
            pictures = pipe(
                image=photos.to(device, dtype),
                strength=self._strength,
                num_inference_steps=max(_STEPS, round(1 / self._strength) + 1),
                guidance_scale=_GUIDANCE if any(captions) else 1.0,
                generator=[torch.Generator().manual_seed(n) for n in range(len(photos))],
                output_type="pt",
                **{name: value.to(device, dtype) for name, value in texts.items()},
                **call,
            ).images
        move(vae, *before)
        if self._core.dtype != core_dtype:
            self._core.to(core_dtype)
        made: Tensor = pictures.float().cpu()
        return made


def _answer(returned: Any) -> Tensor:
    """Return the tensor of what a network returns."""
    answer: Tensor = returned[0]
    return answer
