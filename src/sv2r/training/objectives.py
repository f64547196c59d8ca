"""What a denoiser is asked for, and how its answer is weighed: diffusion and rectified flow."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    import torch
    from torch import Tensor

# The network's answer for noisy latents (B, C, h, w) at times (B,).
Predict = Callable[["Tensor", "Tensor"], "Tensor"]


class Objective(Protocol):
    """Draws times, and says how wrong a prediction is."""

    def draw(self, generator: torch.Generator) -> Tensor:
        """Return a time to learn at, a scalar."""

    def spread(self, count: int) -> Tensor:
        """Return (count,) times to validate at, evenly over all."""

    def loss(self, predict: Predict, latents: Tensor, noise: Tensor, times: Tensor) -> Tensor:
        """Return the mean loss of a batch."""


@dataclass(frozen=True)
class Diffusion:
    """DDPM's loss on what the scheduler says the model predicts: noise, velocity or the picture.

    gamma: of min-SNR weighting, 0 for none: T. Hang et al., Efficient Diffusion Training via
    Min-SNR Weighting Strategy, ICCV 2023. Velocity: T. Salimans, J. Ho, Progressive Distillation,
    ICLR 2022.
    """

    scheduler: Any
    gamma: float

    def draw(self, generator: torch.Generator) -> Tensor:
        """Return a timestep, each as likely."""
        import torch

        return torch.randint(self.scheduler.config.num_train_timesteps, (), generator=generator)

    def spread(self, count: int) -> Tensor:
        """Return timesteps in the middle of equal parts."""
        import torch

        steps = self.scheduler.config.num_train_timesteps
        times: Tensor = ((torch.arange(count) + 0.5) / count * steps).long()
        return times

    def loss(self, predict: Predict, latents: Tensor, noise: Tensor, times: Tensor) -> Tensor:
        """Return the weighted mean squared error."""
        noisy = self.scheduler.add_noise(latents, noise, times)
        predicts = self.scheduler.config.prediction_type
        if predicts == "v_prediction":
            target = self.scheduler.get_velocity(latents, noise, times)
        else:
            target = latents if predicts == "sample" else noise
        errors = (predict(noisy, times).float() - target).square().flatten(1).mean(1)
        loss: Tensor = (self._weights(times, predicts) * errors).mean()
        return loss

    def _weights(self, times: Tensor, predicts: str) -> Tensor:
        import torch
        from diffusers.training_utils import compute_snr

        if not self.gamma:
            return torch.ones_like(times, dtype=torch.float32)
        snr = compute_snr(self.scheduler, times)
        part = {"epsilon": snr, "v_prediction": snr + 1, "sample": torch.ones_like(snr)}[predicts]
        weights: Tensor = snr.clamp(max=self.gamma) / part
        return weights


@dataclass(frozen=True)
class Flow:
    """Rectified flow with logit-normal times in (0, 1).

    P. Esser et al., Scaling Rectified Flow Transformers for High-Resolution Image Synthesis,
    ICML 2024.
    """

    def draw(self, generator: torch.Generator) -> Tensor:
        """Return a time."""
        import torch

        return torch.randn((), generator=generator).sigmoid()

    def spread(self, count: int) -> Tensor:
        """Return times in the middle of equal parts."""
        import torch

        return (torch.arange(count) + 0.5) / count

    def loss(self, predict: Predict, latents: Tensor, noise: Tensor, times: Tensor) -> Tensor:
        """Return the mean squared error of the velocity from latents to noise."""
        part = times.view(-1, 1, 1, 1)
        noisy = (1 - part) * latents + part * noise
        return (predict(noisy, times).float() - (noise - latents)).square().mean()


def objective_of(pipe: Any, gamma: float) -> Objective:
    """Return what a pipeline's model was trained with, as its scheduler tells."""
    from diffusers import DDPMScheduler

    config = pipe.scheduler.config
    if "beta_schedule" not in config:
        return Flow()
    return Diffusion(DDPMScheduler.from_config(config), gamma)
