"""What stays on the device: all of a pipeline, or what is running."""

from __future__ import annotations

from typing import Any, Literal

from sv2r.errors import ConfigError
from sv2r.hub import quiet

Offload = Literal["none", "model", "sequential"]

# Room that a step's activations get next to the weights, in bytes.
_ROOM = 4 * 2**30


def check_offload(asked: str, device: str) -> None:
    """Raise ConfigError where networks cannot be offloaded from that device."""
    if asked in ("model", "sequential") and not device.startswith("cuda"):
        raise ConfigError(
            f"offload {asked} moves networks between a GPU and the computer's memory, and the "
            f"device is {device}; leave --translator.offload out, or say auto"
        )


def choose_offload(asked: str, pipe: Any, device: str) -> Offload:
    """Return what is done with a pipeline that lies on the CPU, "auto" resolved."""
    import torch

    if asked == "model":
        return "model"
    if asked == "sequential":
        return "sequential"
    if asked == "none" or not device.startswith("cuda"):
        return "none"
    sizes = [_bytes(part) for part in pipe.components.values() if hasattr(part, "parameters")]
    return offload_for(sum(sizes), max(sizes), torch.cuda.mem_get_info(device)[0])


def offload_for(weights: int, largest: int, free: int) -> Offload:
    """Return the least offloading with which a pipeline fits.

    weights: bytes of all networks. largest: of the largest one. free: on the device.
    """
    if weights + _ROOM <= free:
        return "none"
    return "model" if largest + _ROOM <= free else "sequential"


def place(pipe: Any, offload: Offload, device: str) -> None:
    """Put a pipeline onto its device, or let it move there as it runs."""
    with quiet():  # diffusers warns that float16 does not run on a CPU, where it does
        if offload == "model":
            pipe.enable_model_cpu_offload(device=device)
        elif offload == "sequential":
            pipe.enable_sequential_cpu_offload(device=device)
        else:
            pipe.to(device)


def _bytes(network: Any) -> int:
    return sum(p.numel() * p.element_size() for p in network.parameters())
