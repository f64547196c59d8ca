"""What a device can do, how it is asked to do it, and what it says when its memory is full."""

from __future__ import annotations

import gc
import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import wraps
from typing import TYPE_CHECKING, ParamSpec, TypeVar

if TYPE_CHECKING:
    import torch

Params = ParamSpec("Params")
ResultT = TypeVar("ResultT")

# Compute capability (major) from which NVIDIA GPUs have bfloat16 in hardware.
_AMPERE = 8
# The share of the cores that may be busy with other work before threads that wait should sleep.
_BUSY = 0.25
# What the libraries under torch say for want of memory, besides torch's own error.
_FULL = (
    "can't allocate memory",
    "not enough memory",
    "out of memory",
    "CUBLAS_STATUS_ALLOC_FAILED",
    "CUDNN_STATUS_ALLOC_FAILED",
    "CUSOLVER_STATUS_ALLOC_FAILED",
    "CUFFT_ALLOC_FAILED",
    # cuDNN finds no algorithm where none has room for its workspace.
    "unable to find an engine",
    "Unable to find a valid cuDNN algorithm",
)
_streams = threading.local()
# Held by who does again what did not fit next to others.
_alone = threading.Lock()


def has_bfloat16(device: str) -> bool:
    """Return whether a CUDA device computes in bfloat16 itself, not by emulation.

    Older ones (T4, V100) can multiply such matrices through float32, and have no convolutions.
    """
    import torch

    if torch.version.hip:
        return True
    return torch.cuda.get_device_capability(device)[0] >= _AMPERE


def is_out_of_memory(error: BaseException) -> bool:
    """Return whether an error, or one that it was raised from, says that memory is full."""
    import torch

    seen: BaseException | None = error
    while seen is not None:
        if isinstance(seen, (torch.OutOfMemoryError, MemoryError)):
            return True
        # torch.AcceleratorError is a RuntimeError too.
        if isinstance(seen, RuntimeError) and any(words in str(seen) for words in _FULL):
            return True
        seen = seen.__cause__
    return False


def unless_full(
    work: Callable[Params, ResultT], *args: Params.args, **kwargs: Params.kwargs
) -> ResultT | None:
    """Return what work returns, or None where it ran out of memory, which is free again then.

    Memory is freed after the error is gone: its frames hold what they were computing.
    """
    try:
        return work(*args, **kwargs)
    except Exception as error:
        if not is_out_of_memory(error):
            raise
    free_memory()
    return None


def free_memory() -> None:
    """Give back what torch keeps of a device's memory and nothing refers to."""
    import torch

    gc.collect()
    if torch.cuda.is_available():
        with suppress(RuntimeError):
            torch.cuda.empty_cache()


def fix_algorithms(device: str) -> None:
    """Let cuDNN take the same algorithms every time, in the whole process and from now on.

    `torch.backends.cudnn.flags` would do it for a block, but for all threads at once, and turns
    cuDNN off where it is not told ``enabled=True``.
    """
    import torch

    if device.startswith("cuda"):
        torch.backends.cudnn.benchmark = False
        torch.backends.cudnn.deterministic = True


@contextmanager
def own_stream(device: str) -> Iterator[None]:
    """Let this thread's work on a CUDA device wait for itself alone, not for what a model queues.

    Each thread has one stream per device. What it computes is to be read, by ``.cpu()`` or
    ``.tolist()``, before the block ends.
    """
    if not device.startswith("cuda"):
        yield
        return
    import torch

    with torch.cuda.stream(_stream(device)):
        yield


def _stream(device: str) -> torch.cuda.Stream:
    import torch

    streams: dict[str, torch.cuda.Stream] = _streams.__dict__.setdefault("by_device", {})
    if device not in streams:
        stream: torch.cuda.Stream = torch.cuda.Stream(device)  # type: ignore[no-untyped-call]
        # Weights may still be on their way there, on the stream they were sent on.
        stream.wait_stream(torch.cuda.default_stream(device))
        streams[device] = stream
    return streams[device]


def sharing_a_device(device: str, work: Callable[Params, ResultT]) -> Callable[Params, ResultT]:
    """Return a conditioner's or a check's work, such that it lives on a device with the model.

    It has a stream of its own, and where memory is full it is done again: with what nobody uses
    given back, and by itself.
    """

    @wraps(work)
    def run(*args: Params.args, **kwargs: Params.kwargs) -> ResultT:
        with own_stream(device):
            made = unless_full(work, *args, **kwargs)
            if made is not None:
                return made
            with _alone:
                free_memory()
                return work(*args, **kwargs)

    return run


def settle_waiting(load: float | None = None) -> None:
    """Choose how OpenMP's threads wait for each other: asleep where the cores are busy already.

    Threads that wait in busy loops are twice as fast on idle cores, and up to thirty times slower
    where other work has the cores. OpenMP reads its choice once, when torch is loaded; one that the
    user has made stays, and worker processes inherit it.

    load: processes that want a core now; None asks the system.
    """
    if "OMP_WAIT_POLICY" in os.environ:
        return
    if load is None:
        load = os.getloadavg()[0] if hasattr(os, "getloadavg") else 0.0
    if load > _BUSY * (os.cpu_count() or 1):
        os.environ["OMP_WAIT_POLICY"] = "PASSIVE"
