"""Memory and disks that are too small are told in one line."""

from __future__ import annotations

import resource
import sys

import pytest
import running
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


def write_on_a_full_disk(path):
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
    try:
        write_state(path, 2, {"a": torch.zeros(1000)}, {}, {"state": {}}, {})
    except StorageError as error:
        told = f"{path}: cannot be written ("
        line = str(error)
        sys.exit(0 if line.startswith(told) and line.endswith("run the same command again") else 3)


def test_a_disk_that_is_full_leaves_the_state_as_it_was(tmp_path):
    path = tmp_path / "lora.safetensors"
    write_state(path, 1, {"a": torch.zeros(10)}, {}, {"state": {}}, {})
    assert running.run(write_on_a_full_disk, path) == 0
    assert read_step(path) == 1
    assert [file.name for file in tmp_path.iterdir()] == [path.name]
