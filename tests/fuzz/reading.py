"""What comes of reading changed inputs: a result, or our own error in one line."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sv2r.errors import Sv2rError
from sv2r.plugin.specs import Runtime


def read_all(spec: Any, root: Path) -> int:
    """Return how many instances a loader reads; what it refuses is one line of ours."""
    found = 0
    try:
        dataset = spec.build(spec.options(), Runtime())(root)
    except Sv2rError as error:
        assert_one_line(error)
        return 0
    for problem in dataset.problems:
        assert "\n" not in problem.message
    for index in range(len(dataset.ids)):
        try:
            instances = dataset.samples[index].load_instances()
        except Sv2rError as error:
            assert_one_line(error)
            continue
        found += len(instances.table)
        ids = set(np.unique(instances.labels).tolist()) - {0}
        assert ids <= set(instances.table)
    return found


def assert_one_line(error: Exception) -> None:
    assert "\n" not in str(error)
    assert str(error)


def run(chance: random.Random, work: Any) -> None:
    """Do a case's work; what goes wrong is told with its seed."""
    try:
        work()
    except Exception as error:
        pytest.fail(f"{chance.name}: {type(error).__name__}: {error}")  # type: ignore[attr-defined]
