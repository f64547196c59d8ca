"""What libraries say when memory is full, and what is set for a process once."""

from __future__ import annotations

import gc
import os
import subprocess
import sys
import threading
import weakref

import pytest
import torch

from sv2r import devices
from sv2r.devices import (
    fix_algorithms,
    has_bfloat16,
    is_out_of_memory,
    own_stream,
    settle_waiting,
    sharing_a_device,
    unless_full,
)
from sv2r.diffusion.bits import repeatable

ACCELERATOR = getattr(torch, "AcceleratorError", RuntimeError)


@pytest.mark.parametrize(
    "error",
    [
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB"),
        MemoryError(),
        RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried to"),
        RuntimeError("CUDA error: out of memory\nCUDA kernel errors might be asynchronous"),
        RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"),
        RuntimeError("cuDNN error: CUDNN_STATUS_ALLOC_FAILED"),
        RuntimeError("GET was unable to find an engine to execute this computation"),
        RuntimeError("Unable to find a valid cuDNN algorithm to run convolution"),
        RuntimeError("MPS backend out of memory (MPS allocated: 9.00 GB)"),
    ],
)
def test_what_says_that_memory_is_full(error: Exception) -> None:
    assert is_out_of_memory(error)
    wrapped = ValueError("a wrapper")
    wrapped.__cause__ = error
    assert is_out_of_memory(wrapped)


def test_an_accelerator_error_for_want_of_memory() -> None:
    assert is_out_of_memory(ACCELERATOR("CUDA error: out of memory"))


@pytest.mark.parametrize(
    "error",
    [
        RuntimeError("CUDA error: an illegal memory access was encountered"),
        RuntimeError("mat1 and mat2 shapes cannot be multiplied"),
        ValueError("out of memory"),
        KeyError("CUDNN_STATUS_ALLOC_FAILED"),
    ],
)
def test_other_errors_do_not(error: Exception) -> None:
    assert not is_out_of_memory(error)


def test_memory_is_free_when_the_error_is_gone() -> None:
    """Inside of `except`, the frames of the error still hold what they were computing."""
    held: list[weakref.ref[torch.Tensor]] = []

    def work() -> int:
        batch = torch.zeros(3)
        held.append(weakref.ref(batch))
        raise torch.OutOfMemoryError("out of memory")

    freed: list[bool] = []
    gc.callbacks.append(lambda phase, _: freed.append(phase == "stop" and held[0]() is None))
    try:
        assert unless_full(work) is None
    finally:
        gc.callbacks.pop()
    assert freed[-1]
    assert held[0]() is None


def test_other_errors_pass() -> None:
    with pytest.raises(ZeroDivisionError):
        unless_full(lambda: 1 / 0)
    assert unless_full(lambda value: value + 1, 1) == 2


def test_cudnn_is_on_inside_a_batch_and_its_algorithms_are_fixed() -> None:
    """`cudnn.flags` turns it off unless it is told otherwise, for all threads."""
    cudnn = torch.backends.cudnn
    before = cudnn.enabled, cudnn.benchmark, cudnn.deterministic
    try:
        cudnn.benchmark, cudnn.deterministic = True, False
        fix_algorithms("cuda:0")
        with repeatable("cuda:0"):
            assert (cudnn.enabled, cudnn.benchmark, cudnn.deterministic) == (True, False, True)
        assert (cudnn.enabled, cudnn.benchmark, cudnn.deterministic) == (True, False, True)
    finally:
        cudnn.enabled, cudnn.benchmark, cudnn.deterministic = before


@pytest.mark.parametrize(("major", "there"), [(7, False), (8, True), (9, True)])
def test_bfloat16_is_asked_of_the_named_device(
    monkeypatch: pytest.MonkeyPatch, major: int, there: bool
) -> None:
    asked: list[str] = []

    def capability(device: str) -> tuple[int, int]:
        asked.append(device)
        return (major, 5)

    monkeypatch.setattr(torch.cuda, "get_device_capability", capability)
    assert has_bfloat16("cuda:1") is there
    assert asked == ["cuda:1"]


@pytest.mark.parametrize(("load", "chosen"), [(0.0, None), (1000.0, "PASSIVE")])
def test_threads_wait_as_the_load_asks(
    monkeypatch: pytest.MonkeyPatch, load: float, chosen: str | None
) -> None:
    monkeypatch.setenv("OMP_WAIT_POLICY", "")
    monkeypatch.delenv("OMP_WAIT_POLICY")
    settle_waiting(load)
    assert os.environ.get("OMP_WAIT_POLICY") == chosen


def test_a_user_s_own_choice_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_WAIT_POLICY", "ACTIVE")
    settle_waiting(1000)
    assert os.environ["OMP_WAIT_POLICY"] == "ACTIVE"


def test_a_call_from_python_chooses_before_torch_is_loaded() -> None:
    code = """
import os, sys
os.getloadavg = lambda: (1000.0, 0, 0)
import sv2r
try:
    sv2r.convert({"input": "/nowhere", "output": "/nowhere/out"})
except sv2r.Sv2rError:
    pass
print(os.environ.get("OMP_WAIT_POLICY"), "torch" in sys.modules)
"""
    env = {name: value for name, value in os.environ.items() if name != "OMP_WAIT_POLICY"}
    ran = subprocess.run(
        [sys.executable, "-c", code], env=env, capture_output=True, text=True, check=True
    )
    assert ran.stdout.split()[0] == "PASSIVE"


def test_what_runs_sharing_a_device_is_done_again_by_itself_where_memory_is_full() -> None:
    calls: list[int] = []

    def check(value: int) -> int:
        calls.append(value)
        if len(calls) == 1:
            raise RuntimeError("cuDNN error: CUDNN_STATUS_ALLOC_FAILED")
        return value + 1

    assert sharing_a_device("cpu", check)(4) == 5
    assert calls == [4, 4]


def test_what_never_fits_says_so() -> None:
    def check() -> int:
        raise torch.OutOfMemoryError("out of memory")

    with pytest.raises(torch.OutOfMemoryError):
        sharing_a_device("cpu", check)()


def test_each_thread_has_a_stream_of_its_own() -> None:
    from tests.pretend import pretend_gpu

    seen: list[object] = []

    def work() -> None:
        with own_stream("cuda:0"):
            seen.append(devices._stream("cuda:0"))
            seen.append(devices._stream("cuda:0"))

    with pretend_gpu():
        for _ in range(2):
            thread = threading.Thread(target=work)
            thread.start()
            thread.join()
    assert seen[0] is seen[1]
    assert seen[2] is seen[3]
    assert seen[0] is not seen[2]
