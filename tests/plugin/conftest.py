"""Distributions as pip would leave them: a folder on sys.path with modules and a .dist-info."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest

Sources = Mapping[str, str]

GOOD = """
from sv2r import CheckResult, CheckSpec, Field, Options, hookimpl

class GoodOptions(Options):
    level: float = Field(0.5, ge=0, le=1, description="How good.")

def build(options, runtime):
    return lambda frame, picture: CheckResult()

@hookimpl
def sv2r_checks():
    return [CheckSpec(name="NAME", summary="A good check.", options=GoodOptions, build=build)]
"""


@dataclass(frozen=True)
class Site:
    """A folder that stands for site-packages; install() puts distributions into it."""

    root: Path

    def install(self, name: str, version: str, modules: Sources, points: Sources) -> Path:
        """Return the distribution's folder, which is on sys.path.

        modules: module name to source. points: entry point name to module name.
        """
        folder = self.root / f"{name}-{version}"
        info = folder / f"{name.replace('-', '_')}-{version}.dist-info"
        info.mkdir(parents=True)
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
        lines = [f"{point} = {module}" for point, module in points.items()]
        (info / "entry_points.txt").write_text("\n".join(["[sv2r]", *lines]) + "\n")
        for module, source in modules.items():
            (folder / f"{module}.py").write_text(source)
        sys.path.insert(0, str(folder))
        importlib.invalidate_caches()
        return folder

    def plugin(self, name: str, source: str, version: str = "1.0") -> Path:
        """Install distribution sv2r-NAME with one plugin NAME of one module."""
        module = f"sv2r_{name.replace('-', '_')}"
        return self.install(f"sv2r-{name}", version, {module: source}, {name: module})


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.delenv("SV2R_DISABLE_PLUGINS", raising=False)
    yield Site(tmp_path)
    for name, module in list(sys.modules.items()):
        if str(getattr(module, "__file__", None)).startswith(str(tmp_path)):
            del sys.modules[name]


@pytest.fixture
def good() -> Callable[[str], str]:
    """Return the source of a plugin that brings one check of a name."""
    return lambda name: GOOD.replace("NAME", name)
