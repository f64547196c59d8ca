"""What all tests share: toy checkpoints, made once, and small datasets on disk."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path

# Toy networks gain nothing from threads, and threads that wait for each other lose much wherever
# the cores are shared. Read by torch when it is loaded, here and in the processes tests start.
os.environ.setdefault("OMP_NUM_THREADS", "1")

import pytest
from hypothesis import HealthCheck, settings

from sv2r.plugin.registry import Registry, load_registry
from tests import toys
from tests.toys.datasets import make_coco
from tests.toys.distributions import Site

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


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    """A folder that stands for site-packages; what is imported from it is forgotten."""
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.delenv("SV2R_DISABLE_PLUGINS", raising=False)
    yield Site(tmp_path)
    for name, module in list(sys.modules.items()):
        if str(getattr(module, "__file__", None)).startswith(str(tmp_path)):
            del sys.modules[name]
