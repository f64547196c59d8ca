"""What computes on a GPU: cuDNN's convolutions, fused attention, and no other device's work."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import torch

from sv2r.plugin.specs import Runtime
from sv2r.translators import sdedit
from tests import toys

Models = Callable[[str], Path]


def _kernels(models: Models, device: str, dtype: str) -> list[str]:
    """Return the names of the kernels that one batch launches."""
    from torch.profiler import ProfilerActivity, profile

    options = sdedit.SdeditOptions(model=str(models("sd15")), strength=0.5, steps=4)
    translate = sdedit.build(options, Runtime(device=device, dtype=dtype))
    batch = toys.batch([(512, 512)] * 2)
    translate(batch)
    with profile(activities=[ProfilerActivity.CUDA]) as seen:
        translate(batch)
    return [event.key.lower() for event in seen.key_averages()]


def test_convolutions_are_cudnns(models: Models, device: str, cuda_only: None) -> None:
    found = _kernels(models, device, "float16")

    assert not [name for name in found if "slow_conv" in name or "im2col" in name]
    assert [name for name in found if "cudnn" in name or "cutlass" in name or "gemm" in name]


def test_attention_is_fused(models: Models, device: str, cuda_only: None) -> None:
    found = _kernels(models, device, "float16")

    assert [name for name in found if "flash" in name or "fmha" in name or "attention" in name]


def test_cudnn_stays_on_and_deterministic_while_a_batch_runs(
    models: Models, device: str, cuda_only: None
) -> None:
    seen = []

    def watch(module: object, args: object) -> None:
        flags = torch.backends.cudnn
        seen.append((flags.enabled, flags.deterministic, flags.benchmark))

    options = sdedit.SdeditOptions(model=str(models("sd15")), strength=0.5, steps=4)
    translate = sdedit.build(options, Runtime(device=device))
    handle = torch.nn.modules.module.register_module_forward_pre_hook(watch)
    try:
        translate(toys.batch([(64, 64)]))
    finally:
        handle.remove()

    assert set(seen) == {(True, True, False)}
