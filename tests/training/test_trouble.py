"""Memory and disks that are too small are told in one line."""

from __future__ import annotations

import resource

import pytest
import torch

from sv2r.errors import ConfigError, StorageError
from sv2r.training.state import read_step, write_state
from sv2r.training.trouble import memory_told


def test_too_little_main_memory():
    message = "^too little memory to train the lora; try a smaller --batch-size"
    with pytest.raises(ConfigError, match=message), memory_told("train the lora"):
        torch.empty(2**58, dtype=torch.uint8)


def test_another_mistake_stays_what_it_is():
    with pytest.raises(RuntimeError, match="shapes"), memory_told("train the lora"):
        torch.ones(2, 3) @ torch.ones(2, 3)


def test_a_disk_that_is_full_leaves_the_state_as_it_was(tmp_path):
    path = tmp_path / "lora.safetensors"
    write_state(path, 1, {"a": torch.zeros(10)}, {}, {"state": {}}, {})
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    # To a file that may not grow, the system says what it says of a full disk.
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, before[1]))
    try:
        with pytest.raises(StorageError) as told:
            write_state(path, 2, {"a": torch.zeros(1000)}, {}, {"state": {}}, {})
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert str(told.value).startswith(f"{path}: cannot be written (")
    assert str(told.value).endswith("; free some space, then run the same command again")
    assert read_step(path) == 1
    assert [file.name for file in tmp_path.iterdir()] == [path.name]
