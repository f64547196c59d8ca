"""What a device says when its memory is full."""

from __future__ import annotations

from contextlib import suppress


def is_out_of_memory(error: BaseException) -> bool:
    """Return whether an error, or the one behind it, says that no memory is left.

    The memory is a device's or the machine's.
    """
    import torch

    # On the CPU torch has no class of its own for it.
    refused = isinstance(error, RuntimeError) and "can't allocate memory" in str(error)
    if refused or isinstance(error, (torch.OutOfMemoryError, MemoryError)):
        return True
    return error.__cause__ is not None and is_out_of_memory(error.__cause__)


def free_memory() -> None:
    """Give back what torch holds and nothing uses."""
    import gc

    import torch

    gc.collect()
    if torch.cuda.is_available():
        with suppress(RuntimeError):
            torch.cuda.empty_cache()
