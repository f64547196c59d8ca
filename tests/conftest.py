"""What all tests share: toy checkpoints, made once, and small datasets on disk."""

from __future__ import annotations

import os
from pathlib import Path

# Toy networks gain nothing from threads, and threads that wait for each other lose much wherever
# the cores are shared. Read by torch when it is loaded, here and in the processes tests start.
os.environ.setdefault("OMP_NUM_THREADS", "1")

import pytest
from hypothesis import HealthCheck, settings

from sv2r.plugin.registry import Registry, load_registry
from tests import toys
from tests.toys.datasets import make_coco, write_render  # noqa: F401

# On a busy machine hypothesis takes its own waiting for slow strategies.
settings.register_profile("sv2r", suppress_health_check=[HealthCheck.too_slow], deadline=None)
settings.load_profile("sv2r")


@pytest.fixture(scope="session")
def registry() -> Registry:
    return load_registry()


@pytest.fixture(scope="session")
def toy_sd15(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return toys.save_sd15(tmp_path_factory.mktemp("models") / "sd15")


@pytest.fixture(scope="session")
def toy_canny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return toys.save_controlnet(tmp_path_factory.mktemp("models") / "canny")


@pytest.fixture
def renders(tmp_path: Path) -> Path:
    """A COCO dataset of six renders in two sizes, in nested folders, one of them a JPEG."""
    return make_coco(tmp_path / "renders")
