"""What a device says when its memory is full."""

from __future__ import annotations


def is_out_of_memory(error: BaseException) -> bool:
    """Return whether an error says that a device or the machine has no memory left."""
    import torch

    # On the CPU torch has no class of its own for it.
    refused = isinstance(error, RuntimeError) and "can't allocate memory" in str(error)
    return refused or isinstance(error, (torch.OutOfMemoryError, MemoryError))
