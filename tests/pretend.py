"""A GPU that is not there: tensors that say ``cuda:0``, refuse to mix with others, and are counted.

    with pretend_gpu() as counts:
        translate(batch)
    assert counts.waits.total() == 2

Each tensor keeps its numbers on the CPU, so results are the CPU's own. What is counted is what a
GPU would have cost: copies to it, and waits for it (``.item()``, ``.tolist()``, ``.cpu()``).
"""

from __future__ import annotations

import traceback
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from typing import Any
from unittest.mock import patch

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_flatten, tree_map

DEVICE = torch.device("cuda:0")
_COPIES = ("aten::copy_", "aten::_to_copy")
_INDEXING = ("aten::index", "aten::index_put_", "aten::_index_put_impl_")
# Their result's size is known only once the GPU is done.
_WAITS = ("aten::_local_scalar_dense", "aten::nonzero", "aten::masked_select", "aten::equal")


class OtherDeviceError(RuntimeError):
    """Tensors of two devices met in one operation."""


@dataclass
class Counts:
    """What a GPU would have cost, by the line of ours that asked for it.

    waits: times that the CPU waits for the GPU. sent: bytes copied to the GPU. blocking: of those
    copies, the ones that the CPU waits for.
    """

    waits: Counter[str] = field(default_factory=Counter)
    sent: Counter[str] = field(default_factory=Counter)
    blocking: Counter[str] = field(default_factory=Counter)


_counts = Counts()


class OnGpu(torch.Tensor):
    """A tensor that says it is on the GPU. held: its numbers."""

    held: torch.Tensor

    @staticmethod
    def __new__(cls, held: torch.Tensor) -> OnGpu:
        made: OnGpu = torch.Tensor._make_wrapper_subclass(
            cls,
            held.shape,
            strides=held.stride(),
            storage_offset=held.storage_offset(),
            dtype=held.dtype,
            device=DEVICE,
        )
        made.held = held
        return made

    def __init__(self, held: torch.Tensor) -> None:
        super().__init__()

    def __repr__(self, *, tensor_contents: Any = None) -> str:
        return f"OnGpu({tuple(self.shape)}, {self.dtype})"

    @classmethod
    def __torch_dispatch__(
        cls,
        func: Any,
        types: Any,
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        return _run(func, args, kwargs or {})


class _Mode(TorchDispatchMode):
    """Sees the operations that no tensor of ours takes part in, as ``torch.zeros`` on a device."""

    def __torch_dispatch__(
        self,
        func: Any,
        types: Any,
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        return _run(func, args, kwargs or {})


def _run(func: Any, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
    """Return what an operation gives, on the device where a real one would be."""
    name = func._schema.name
    tensors = [each for each in tree_flatten((args, kwargs))[0] if isinstance(each, torch.Tensor)]
    ours = [tensor for tensor in tensors if isinstance(tensor, OnGpu)]
    _refuse_mixing(name, args, tensors, ours)
    if ours and name in _WAITS:
        _counts.waits[_asker()] += 1
    on_gpu = _result_is_ours(name, args, kwargs, ours)
    given = {**kwargs, **({"device": torch.device("cpu")} if kwargs.get("device") else {})}
    given |= {"pin_memory": False} if given.get("pin_memory") else {}
    _count_copy(name, args, kwargs, ours, on_gpu=on_gpu)
    made = func(*tree_map(_held, args), **tree_map(_held, given))
    target = args[0] if args else None
    if func._schema.is_mutable and isinstance(target, OnGpu) and made is target.held:
        return target
    return tree_map(_wrapped, made) if on_gpu else made


def _refuse_mixing(
    name: str, args: Sequence[Any], tensors: Sequence[torch.Tensor], ours: Sequence[OnGpu]
) -> None:
    others = [t for t in tensors if not isinstance(t, OnGpu) and t.dim() > 0]
    if not ours or not others or name in _COPIES:
        return
    # A GPU's tensor may be indexed by numbers on the CPU, which waits; not the other way round.
    if name in _INDEXING and isinstance(args[0], OnGpu):
        return
    raise OtherDeviceError(f"{name}: {[tuple(t.shape) for t in others]} with cuda:0 at {_asker()}")


def _result_is_ours(
    name: str, args: Sequence[Any], kwargs: Mapping[str, Any], ours: Sequence[OnGpu]
) -> bool:
    if kwargs.get("device") is not None:
        return torch.device(kwargs["device"]).type == "cuda"
    return isinstance(args[0], OnGpu) if name == "aten::copy_" else bool(ours)


def _count_copy(
    name: str,
    args: Sequence[Any],
    kwargs: Mapping[str, Any],
    ours: Sequence[OnGpu],
    *,
    on_gpu: bool,
) -> None:
    if name not in _COPIES:
        return
    source = args[-1] if name == "aten::copy_" and isinstance(args[-1], torch.Tensor) else args[0]
    source = args[1] if name == "aten::copy_" else source
    if on_gpu and not isinstance(source, OnGpu):
        _counts.sent[_asker()] += source.numel() * source.element_size()
        if not kwargs.get("non_blocking"):
            _counts.blocking[_asker()] += 1
    elif ours and not on_gpu:
        _counts.waits[_asker()] += 1


def _held(each: Any) -> Any:
    return each.held if isinstance(each, OnGpu) else each


def _wrapped(each: Any) -> Any:
    return OnGpu(each) if isinstance(each, torch.Tensor) and not isinstance(each, OnGpu) else each


def _asker() -> str:
    """Return the innermost line of sv2r's that led here, or of a library's where there is none."""
    frames = [frame for frame in traceback.extract_stack() if "/torch/" not in frame.filename]
    frames = [frame for frame in frames if frame.filename != __file__]
    own = [frame for frame in frames if "/sv2r/" in frame.filename] or frames[-1:]
    place = own[-1]
    return f"{place.filename.rpartition('/sv2r/')[2]}:{place.lineno} {place.name}"


def _tolist(self: torch.Tensor) -> Any:
    if isinstance(self, OnGpu):
        _counts.waits[_asker()] += 1
        return self.held.tolist()
    return _TOLIST(self)


_TOLIST = torch.Tensor.tolist
_EMPTY = torch.empty


@contextmanager
def pretend_gpu() -> Iterator[Counts]:
    """Let there be a cuda:0 while this lasts; yields what it costs."""
    global _counts  # noqa: PLW0603  # what it counts is of the process, as a GPU is
    _counts = Counts()
    overwrite = torch.__future__.get_overwrite_module_params_on_conversion()
    torch.__future__.set_overwrite_module_params_on_conversion(True)
    torch._C._ensureCUDADeviceGuardSet()

    def empty(*args: Any, **kwargs: Any) -> torch.Tensor:
        return _EMPTY(*args, **{name: v for name, v in kwargs.items() if name != "pin_memory"})

    changed: dict[Any, dict[str, Any]] = {
        torch.Tensor: {"pin_memory": lambda tensor, *_: tensor, "tolist": _tolist},
        torch: {"empty": empty},
        torch.cuda: {
            "_lazy_init": lambda: None,
            "mem_get_info": lambda *_: (70 * 2**30, 80 * 2**30),
            "memory_reserved": lambda *_: 0,
            "memory_allocated": lambda *_: 0,
            "empty_cache": lambda: None,
            "get_device_capability": lambda *_: (9, 0),
            "Stream": _Stream,
            "default_stream": _Stream,
            "stream": lambda _: nullcontext(),
        },
    }
    patches = [patch.multiple(owner, **values) for owner, values in changed.items()]
    try:
        for each in patches:
            each.start()
        with _Mode():
            yield _counts
    finally:
        for each in reversed(patches):
            each.stop()
        torch.__future__.set_overwrite_module_params_on_conversion(overwrite)


class _Stream:
    """A queue of a GPU's that is always empty."""

    def __init__(self, device: Any = None) -> None:
        self.device = device

    def wait_stream(self, other: _Stream) -> None:
        """Return at once."""
