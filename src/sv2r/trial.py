"""Tries a device in a minute: what works there, how fast, and which backends compute.

Networks have the shapes of Stable Diffusion 1.5 and random weights: nothing is downloaded, and
pace, kernels and rounding do not depend on what weights say.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any

from sv2r.diffusion.bits import repeatable
from sv2r.hub import quiet

if TYPE_CHECKING:
    import torch

_RUNS = 5
# What the forecast is for: a job at 512 x 512 with 20 steps at strength 0.5, guided.
_SIDE, _EVALUATIONS, _GUIDED, _BATCH = 512, 10, 2, 4
_INSTANCES = 20


@dataclass(frozen=True)
class Shapes:
    """Sizes of the networks that are tried. unet, vae: what differs from diffusers' defaults."""

    unet: Mapping[str, Any] = field(default_factory=dict)
    vae: Mapping[str, Any] = field(default_factory=dict)
    side: int = _SIDE
    batch: int = _BATCH


SD15 = Shapes(
    unet={"cross_attention_dim": 768, "attention_head_dim": 8, "sample_size": 64},
    vae={
        "block_out_channels": (128, 256, 512, 512),
        "down_block_types": ("DownEncoderBlock2D",) * 4,
        "up_block_types": ("UpDecoderBlock2D",) * 4,
        "layers_per_block": 2,
        "latent_channels": 4,
    },
)


@dataclass(frozen=True)
class TrialResult:
    """One thing that was tried.

    what: a word for it. works: whether it does. says: a line for people. figures: for machines.
    """

    what: str
    works: bool
    says: str
    figures: Mapping[str, Any] = field(default_factory=dict)


def try_device(device: str, dtype: str, shapes: Shapes = SD15) -> Iterator[TrialResult]:
    """Yield what was found on a device, one thing after another; an error is a finding too.

    dtype: what a job would compute in there ("float16" ...).
    """
    import torch

    with quiet(), torch.no_grad():
        unet, vae = _networks(device, shapes)
        trial = _Trial(device, getattr(torch, dtype), shapes, unet, vae)
        for what, attempt in (
            ("rounding", trial.rounding),
            ("convolutions", trial.convolutions),
            ("attention", trial.attention),
            ("pace", trial.pace),
            ("checks", trial.checks),
            ("copies", trial.copies),
        ):
            try:
                yield attempt()
            except Exception as error:  # a driver's or a kernel's: the rest is still worth a try
                text = " ".join(str(error).split())[:200]
                yield TrialResult(what, works=False, says=f"{type(error).__name__}: {text}")


def _networks(device: str, shapes: Shapes) -> tuple[Any, Any]:
    """Return a UNet and a VAE with random weights in float32, made on the device."""
    import torch
    from diffusers import AutoencoderKL, UNet2DConditionModel

    torch.manual_seed(0)
    with torch.device(device):
        unet, vae = UNet2DConditionModel(**shapes.unet), AutoencoderKL(**shapes.vae)
    return unet.eval().requires_grad_(requires_grad=False), vae.eval().requires_grad_(
        requires_grad=False
    )


class _Trial:
    """Networks on a device, and what they are asked."""

    def __init__(
        self, device: str, dtype: torch.dtype, shapes: Shapes, unet: Any, vae: Any
    ) -> None:
        import torch

        self._device, self._dtype, self._shapes = device, dtype, shapes
        self._exact = unet
        latent = shapes.side // 2 ** (len(vae.config.block_out_channels) - 1)
        draw = torch.Generator().manual_seed(1)
        width = unet.config.cross_attention_dim
        channels = unet.config.in_channels
        self._noisy = torch.randn(1, channels, latent, latent, generator=draw).to(device)
        self._texts = torch.randn(1, 77, width, generator=draw).to(device)
        self._pictures = torch.rand(1, 3, shapes.side, shapes.side, generator=draw).to(device)
        self._vae = vae.to(dtype)
        self._seconds = 0.0

    def rounding(self) -> TrialResult:
        """Return how far the dtype is from float32 over one evaluation, as a share of its size."""
        import copy

        exact = self._ask(self._exact, 1)
        self._unet = copy.deepcopy(self._exact).to(self._dtype)
        found = self._ask(self._unet, 1).float()
        self._exact = None
        share = float((found - exact).norm() / exact.norm())
        name = str(self._dtype).removeprefix("torch.")
        sound = bool(found.isfinite().all()) and share < 0.1
        says = f"{name} is {share:.2%} from float32 in one evaluation of a UNet"
        return TrialResult("rounding", sound, says, {"dtype": name, "share": share})

    def convolutions(self) -> TrialResult:
        """Return whether cuDNN computes the convolutions, as a job sets it up."""
        kernels = self._kernels()
        slow = sorted(name for name in kernels if "slow_conv" in name or "im2col" in name)
        says = f"a plain kernel computes convolutions: {slow[0]}" if slow else "cuDNN's"
        return TrialResult("convolutions", not slow, says, {"slow": slow})

    def attention(self) -> TrialResult:
        """Return which of torch's backends computes attention."""
        kernels = self._kernels()
        names = ("flash", "fmha", "efficient_attention", "attention")
        fused = next((name for name in names if any(name in kernel for kernel in kernels)), None)
        says = f"fused ({fused})" if fused else "not fused: slower, and takes more memory"
        return TrialResult("attention", fused is not None, says, {"backend": fused})

    def pace(self) -> TrialResult:
        """Return how many pictures a second a guided job of 10 evaluations would make."""
        count = self._shapes.batch
        step = self._timed(lambda: self._ask(self._unet, _GUIDED * count))
        there = self._timed(lambda: self._encode(count))
        back = self._timed(lambda: self._decode(count))
        self._seconds = (_EVALUATIONS * step + there + back) / count
        side = self._shapes.side
        says = (
            f"{1 / self._seconds:.3g} pictures/s of {side} x {side} px without ControlNet "
            f"({_EVALUATIONS} guided evaluations, batches of {count}): UNet {1e3 * step:.0f} ms, "
            f"VAE {1e3 * there:.0f} and {1e3 * back:.0f} ms a batch"
        )
        figures = {"pictures_per_second": 1 / self._seconds, "unet_seconds": step}
        return TrialResult("pace", True, says, {**figures, "encode": there, "decode": back})

    def checks(self) -> TrialResult:
        """Return what the default checks take of such a job, on this device and on the CPU."""
        from sv2r.checks import score

        source, labels = _scene(self._shapes.side)
        seconds = {
            place: self._timed(partial(score, source, source, labels, device=place))
            for place in dict.fromkeys((self._device, "cpu"))
        }
        shares = {place: took / self._seconds for place, took in seconds.items() if self._seconds}
        told = ", ".join(f"{1e3 * took:.0f} ms on {place}" for place, took in seconds.items())
        says = f"{told} a picture with {_INSTANCES} instances, one thread"
        return TrialResult("checks", True, says, {"seconds": seconds, "share_of_a_picture": shares})

    def copies(self) -> TrialResult:
        """Return how fast pictures come back to the CPU."""
        import torch

        levels = (255 * self._pictures).to(torch.uint8).repeat(self._shapes.batch, 1, 1, 1)
        pinned = torch.empty(
            levels.shape, dtype=levels.dtype, pin_memory=self._device.startswith("cuda")
        )
        rate = levels.numel() / max(self._timed(lambda: pinned.copy_(levels)), 1e-9)
        says = f"{rate / 1e9:.3g} GB/s from the device"
        return TrialResult("copies", True, says, {"bytes_per_second": rate})

    def _ask(self, unet: Any, count: int) -> torch.Tensor:
        weights = next(unet.parameters()).dtype
        noisy = self._noisy.to(weights).expand(count, -1, -1, -1)
        texts = self._texts.to(weights).expand(count, -1, -1)
        with repeatable(self._device):
            answer: torch.Tensor = unet(noisy, 500, texts, return_dict=False)[0]
        return answer

    def _encode(self, count: int) -> None:
        pictures = self._pictures.to(self._dtype).repeat(count, 1, 1, 1)
        with repeatable(self._device):
            self._vae.encode(pictures)

    def _decode(self, count: int) -> None:
        latents = self._noisy[:, : self._vae.config.latent_channels].to(self._dtype)
        with repeatable(self._device):
            self._vae.decode(latents.repeat(count, 1, 1, 1))

    def _kernels(self) -> list[str]:
        """Return the names of what one evaluation launches."""
        import torch
        from torch.profiler import ProfilerActivity, profile

        self._ask(self._unet, 1)
        cuda = self._device.startswith("cuda")
        activity = ProfilerActivity.CUDA if cuda else ProfilerActivity.CPU
        with profile(activities=[activity]) as seen:
            self._ask(self._unet, 1)
            if cuda:
                torch.cuda.synchronize(self._device)
        return [event.key.lower() for event in seen.key_averages()]

    def _timed(self, work: Callable[[], Any]) -> float:
        """Return the least time of a few runs in seconds, after one that does not count."""
        work()
        return min(self._once(work) for _ in range(_RUNS))

    def _once(self, work: Callable[[], Any]) -> float:
        self._wait()
        start = time.perf_counter()
        work()
        self._wait()
        return time.perf_counter() - start

    def _wait(self) -> None:
        import torch

        if self._device.startswith("cuda"):
            torch.cuda.synchronize(self._device)


def _scene(side: int) -> tuple[Any, Any]:
    """Return a (side, side, 3) uint8 picture of 20 discs on a slope, and its label map."""
    import numpy as np

    y, x = np.mgrid[:side, :side]
    labels = np.zeros((side, side), np.int32)
    picture = np.stack([x, y, (x + y) // 2], -1) * 200 // side
    radius = side // 14
    for place in range(_INSTANCES):
        middle = (place // 5 + 0.5) * side / 4, (place % 5 + 0.5) * side / 5
        disc = (y - middle[0]) ** 2 + (x - middle[1]) ** 2 < radius**2
        labels[disc] = place + 1
        picture[disc] = (250 - 10 * place, 20 + 8 * place, 90)
    return picture.astype(np.uint8), labels
