"""What a bridge is made of: the model to start from, its judges, and the folder that comes out."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sv2r.diffusion.families import Family
from sv2r.errors import ConfigError
from sv2r.hub import quiet
from sv2r.training.bridge import OneStep
from sv2r.training.judges import make_feature_judges, make_patch_judges
from sv2r.training.options import BridgeOptions
from sv2r.training.structure import encoder_features, feature_channels

if TYPE_CHECKING:
    from torch import Tensor

# Weights of a denoiser from which it learns a LoRA and judges itself, unless asked otherwise.
_LARGE = 100_000_000
_RANK, _TARGETS = 16, ["to_q", "to_k", "to_v", "to_out.0", "conv1", "conv2", "proj_in", "proj_out"]
# Where in the noise schedule a denoiser's features judge pictures.
_NOISE_LEVELS = (0.05, 0.3)
_SCALES = 2
BRIDGED_FAMILIES = ("stable-diffusion", "stable-diffusion-xl")


def short_scheduler(config: Any, steps: int, start: float) -> Any:
    """Return a scheduler whose whole schedule is the beginning of a model's own.

    At strength 1 and so many steps, a pipeline then begins where `start` (a share) of the
    model's schedule is and ends without noise: the folder says it, and no caller has to.
    """
    from diffusers import DDIMScheduler

    own = DDIMScheduler.from_config(config)
    kept = max(steps, round(start * len(own.betas)))
    return DDIMScheduler(
        num_train_timesteps=kept,
        trained_betas=own.betas[:kept].tolist(),
        prediction_type=own.config.prediction_type,
        timestep_spacing="trailing",
        clip_sample=False,
        set_alpha_to_one=True,
        steps_offset=0,
    )


def one_step(
    pipe: Any, family: Family, steps: int, texts: dict[str, Tensor], *, sliced: bool = False
) -> OneStep:
    """Return how a pipeline with a `short_scheduler` translates.

    texts: the embedded prompt. sliced: as `OneStep` has it.
    """
    pipe.scheduler.set_timesteps(steps)
    times = pipe.scheduler.timesteps.tolist()
    kept = [float(pipe.scheduler.alphas_cumprod[time]) for time in times]
    return OneStep(
        pipe=pipe,
        family=family,
        times=tuple(times),
        signals=tuple(value**0.5 for value in kept),
        noises=tuple((1 - value) ** 0.5 for value in kept),
        prediction=pipe.scheduler.config.prediction_type,
        texts=texts,
        sliced=sliced,
    )


def learn_weights(unet: Any, options: BridgeOptions) -> int | None:
    """Let a denoiser learn, all of it or a LoRA; return the LoRA's rank, or None."""
    import torch
    from peft import LoraConfig

    rank = options.rank or (_RANK if size(unet) > _LARGE else None)
    unet.requires_grad_(rank is None)
    if rank is None:
        unet.to(torch.float32)
        return None
    from diffusers.training_utils import cast_training_params

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(options.seed)
        unet.add_adapter(LoraConfig(r=rank, lora_alpha=rank, target_modules=_TARGETS))
    cast_training_params(unet, torch.float32)
    return rank


def size(network: Any) -> int:
    """Return how many weights a network has."""
    return sum(parameter.numel() for parameter in network.parameters())


def choose_judge(step: OneStep, options: BridgeOptions, frozen: Any) -> Any:
    """Return the judges that the options ask for, drawn by the seed.

    frozen: a copy of the denoiser as it was, which judges may look through.

    Raises:
        ConfigError: there is no such backbone.
    """
    import torch

    kind = options.judge
    if kind == "auto":
        kind = "denoiser" if size(frozen) > _LARGE else "patches"
    if kind == "patches":
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(options.seed)
            return make_patch_judges(_SCALES)
    if kind == "denoiser":
        features, channels = denoiser_features(step, options.resolution, frozen)
    else:
        features, channels = backbone_features(kind)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(options.seed)
        return make_feature_judges(features, channels)


def denoiser_features(
    step: OneStep, side: int, frozen: Any
) -> tuple[Callable[[Tensor], list[Tensor]], tuple[int, ...]]:
    """Return what a frozen denoiser's encoder makes of pictures in [-1, 1] at two noise levels.

    A. Sauer et al., Fast High-Resolution Image Synthesis with Latent Adversarial Diffusion
    Distillation, SIGGRAPH Asia 2024. The noise is the same for all pictures.
    """
    import torch

    kept = step.pipe.scheduler.alphas_cumprod
    times = [round(level * (len(kept) - 1)) for level in _NOISE_LEVELS]

    def features(pictures: Tensor) -> list[Tensor]:
        latents = step.encode(pictures)
        found: list[Tensor] = []
        for time in times:
            generator = torch.Generator().manual_seed(time)
            noise = torch.randn(latents.shape[1:], generator=generator).to(latents)
            share = float(kept[time])
            noisy = share**0.5 * latents + (1 - share) ** 0.5 * noise
            at = torch.full((len(latents),), time, device=latents.device)
            found += encoder_features(frozen, noisy, at, step.more(noisy, side))[1:]
        return found

    return features, feature_channels(frozen)[1:] * len(times)


def backbone_features(named: str) -> tuple[Callable[[Tensor], list[Tensor]], tuple[int, ...]]:
    """Return what a vision backbone that transformers loads makes of pictures in [-1, 1].

    Raises:
        ConfigError: there is none of that name, or it cannot be loaded.
    """
    from transformers import MODEL_FOR_BACKBONE_MAPPING, AutoConfig

    if not Path(named).is_dir() and "/" not in named:
        raise ConfigError(
            f"--judge {named}: is neither patches nor denoiser, and no folder of a vision backbone"
        )
    try:
        with quiet():
            # AutoBackbone asks the hub even for a folder that is here.
            kind = MODEL_FOR_BACKBONE_MAPPING[type(AutoConfig.from_pretrained(named))]
            net = kind.from_pretrained(named, use_safetensors=True)
    except (OSError, ValueError, KeyError) as error:
        what = " ".join(str(error).split())[:200]
        raise ConfigError(
            f"--judge {named}: cannot be loaded as a vision backbone: {what}"
        ) from None
    net.eval().requires_grad_(requires_grad=False)

    def features(pictures: Tensor) -> list[Tensor]:
        net.to(pictures.device)
        return list(net(pixel_values=pictures).feature_maps)

    return features, tuple(net.channels)


def describe_by(step: OneStep, side: int, frozen: Any) -> Callable[[Tensor], Tensor]:
    """Return a function from (B, 3, R, R) pictures in [0, 1] to (B, D): means and deviations of
    what a frozen denoiser's encoder makes of them.
    """  # noqa: D205
    import torch

    features, _ = denoiser_features(step, side, frozen)

    def describe(pictures: Tensor) -> Tensor:
        maps = features(2 * pictures.to(frozen.device) - 1)
        parts = [part.flatten(2).float() for part in maps]
        told = [value for part in parts for value in (part.mean(2), part.std(2))]
        return torch.cat(told, 1).cpu()

    return describe
