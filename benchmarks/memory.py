"""What one training step of a bridge needs, at the size of real models, without such a machine.

    uv run python -m benchmarks.memory [--side 512] [--batch 4] [--json FILE]

The step, with gradient checkpointing, is traced on the `meta` device: every tensor has its shape
and no bytes; the storages that live at once are added up. `meta` knows no autocast: the network and
what it learns are of one type, judges float32 in both rows. What a CUDA context and cuDNN's
workspaces take is not in it; attention is counted as if its matrices were kept, which fused kernels
do not.
"""

from __future__ import annotations

import copy
import weakref
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import torch
from diffusers import AutoencoderKL, DDIMScheduler, UNet2DConditionModel
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from benchmarks.lib.table import Row, parser, report
from sv2r.diffusion.families import family_of
from sv2r.training.bridge import OneStep
from sv2r.training.bridge_model import choose_judge, learn_weights, one_step, short_scheduler, size
from sv2r.training.options import BridgeOptions
from sv2r.training.players import Players
from sv2r.training.structure import feature_channels

GIB = 2**30
# As stabilityai/sd-turbo and its base, Stable Diffusion 2.1, are built.
_UNET = {
    "sample_size": 64,
    "cross_attention_dim": 1024,
    "attention_head_dim": [5, 10, 20, 20],
    "use_linear_projection": True,
}
_VAE = {
    "block_out_channels": (128, 256, 512, 512),
    "down_block_types": ("DownEncoderBlock2D",) * 4,
    "up_block_types": ("UpDecoderBlock2D",) * 4,
    "layers_per_block": 2,
    "sample_size": 512,
}
_BETAS = {"beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear"}


class Living(TorchDispatchMode):
    """Adds up the bytes of `meta` tensors that are alive, and keeps the most there were."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.now = self.most = 0
        self._seen: dict[int, Any] = {}

    def add(self, tensor: torch.Tensor) -> None:
        """Count a tensor's storage until it goes."""
        storage = tensor.untyped_storage()
        key, count = storage._cdata, storage.nbytes()
        if key in self._seen or tensor.device.type != "meta":
            return
        self.now += count
        self.most = max(self.most, self.now)

        def gone(_: object) -> None:
            self.now -= count
            self._seen.pop(key, None)

        self._seen[key] = weakref.ref(storage, gone)

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Any = (), kwargs: Any = None
    ) -> object:
        """Run an operation and count what it returns."""
        made = func(*args, **(kwargs or {}))
        for leaf in tree_leaves(made):
            if isinstance(leaf, torch.Tensor):
                self.add(leaf)
        return made


def main() -> None:
    """Print the peak of a step in both types."""
    command = parser(__doc__ or "")
    command.add_argument("--side", type=int, default=512, help="pixels a side")
    command.add_argument("--batch", type=int, default=4, help="renders, and photos, of a step")
    asked = command.parse_args()
    types = (torch.bfloat16, torch.float32)
    rows = [traced(asked.side, asked.batch, dtype) for dtype in types]
    report([row for some in rows for row in some], asked.json)


def traced(side: int, batch: int, dtype: torch.dtype) -> list[Row]:
    """Return what a LoRA's training step takes: its weights alone, and all at its peak."""
    pipe, options = _model(dtype), _options(side, batch)
    family = family_of("StableDiffusionPipeline")
    if family is None:
        raise AssertionError
    step = one_step(pipe, family, 1, {"prompt_embeds": torch.zeros(1, 77, 1024)}, sliced=True)
    pipe.unet.enable_gradient_checkpointing()
    frozen = copy.deepcopy(pipe.unet)
    with torch.device("meta"):
        judge = choose_judge(step, options, frozen)
        learn_weights(pipe.unet, options)
        players = Players(step, judge, feature_channels(pipe.unet)[1:], options)
    pipe.unet.to(dtype)
    living = Living()
    for weight in _weights(players.to("meta"), frozen, pipe.vae):
        living.add(weight)
    own = living.now
    learnt = torch.optim.AdamW([one for one in players.parameters() if one.requires_grad])
    with living:
        for number in range(2):  # one with photos that stay as they are, one without
            players(_batch(step, options, number)).backward()
            learnt.step()
            learnt.zero_grad()
    about = f"{side} x {side}, batch {batch}, {str(dtype).removeprefix('torch.')}"
    return [
        Row(f"weights, {size(pipe.unet) / 1e6:.0f} million of a UNet: {about}", own / GIB, "GiB"),
        Row(f"peak of a step: {about}", living.most / GIB, "GiB"),
    ]


def _model(dtype: torch.dtype) -> Any:
    with torch.device("meta"):
        unet, vae = UNet2DConditionModel(**_UNET).to(dtype), AutoencoderKL(**_VAE).to(dtype)
    scheduler = short_scheduler(DDIMScheduler(**_BETAS).config, 1, 0.5)
    vae.requires_grad_(requires_grad=False)
    return SimpleNamespace(vae=vae, unet=unet, scheduler=scheduler)


def _options(side: int, batch: int) -> BridgeOptions:
    """Return the defaults, but for labels: their network is small, and reads pixels."""
    fields = BridgeOptions.model_fields
    given = {name: one.get_default(call_default_factory=True) for name, one in fields.items()}
    return BridgeOptions.model_construct(
        **{**given, "resolution": side, "batch_size": batch, "labels": 0.0}
    )


def _weights(*networks: Any) -> Iterator[torch.Tensor]:
    for network in networks:
        yield from network.parameters()


def _batch(step: OneStep, options: BridgeOptions, number: int) -> dict[str, torch.Tensor]:
    count, side = options.batch_size, options.resolution
    latent = side // 8, side // 8

    def empty(*shape: int) -> torch.Tensor:
        return torch.zeros(*shape, device="meta")

    return {
        "render": empty(count, 3, side, side),
        "photo": empty(count, 3, side, side),
        "labels": empty(count, side, side),
        "noise": empty(count, 2, step.pipe.vae.config.latent_channels, *latent),
        "draw": torch.full((count,), number),
    }


if __name__ == "__main__":
    main()
