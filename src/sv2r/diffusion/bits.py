"""Makes a picture's bits independent of its place in a batch."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any


@contextmanager
def repeatable(device: str, *, compiled: bool = False) -> Iterator[None]:
    """Let a CPU compute the same bits for the same picture every time while this lasts.

    See `_place_free`; compiled networks have kernels of their own, which a mode would only have
    compiled again. For CUDA there is `sv2r.devices.fix_algorithms`.
    """
    if compiled or device.startswith("cuda"):
        yield
    else:
        with _place_free():
            yield


def _place_free() -> Any:
    """Return a mode in which element-wise functions do not depend on an element's place.

    torch's CPU kernels run over a tensor in vectors and finish the rest one by one, with another
    exponential, whose last bit differs: which elements are the rest depends on how many pictures
    come before. A mode of torch.overrides is local to its thread, so nothing else is changed.
    """
    import torch
    from torch.nn import functional
    from torch.overrides import TorchFunctionMode

    class PlaceFree(TorchFunctionMode):
        """Calls silu by way of exp alone, and gelu and group_norm on contiguous input."""

        def __torch_function__(
            self, function: Any, types: Any, args: Any = (), kwargs: Any = None
        ) -> Any:
            """Return what the function returns, the three named ones computed place-free."""
            if function is functional.silu:
                return args[0] / (1 + torch.exp(-args[0]))
            if function in (functional.gelu, functional.group_norm):
                args = (args[0].contiguous(), *args[1:])
            return function(*args, **(kwargs or {}))

    return PlaceFree()
