"""Plugins' distributions as pip would leave them: a folder on `sys.path` with a .dist-info."""

from __future__ import annotations

import importlib
import os
import sys
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hatchling.build import build_wheel

Sources = Mapping[str, str]


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


def install(project: Path, site: Path) -> Path:
    """Return the folder that a project is installed into, which is then on `sys.path`.

    The wheel is built by the project's own build backend; nothing is downloaded.
    """
    wheels = site / "wheels"
    wheels.mkdir(parents=True, exist_ok=True)
    with _working_in(project):
        wheel = wheels / build_wheel(str(wheels))
    folder = site / wheel.stem
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(folder)
    sys.path.insert(0, str(folder))
    importlib.invalidate_caches()
    return folder


def run_tests(source: str, **fixtures: Any) -> int:
    """Run the test functions of a module's source; return how many there were.

    fixtures: what the functions' arguments are, by name.
    """
    namespace: dict[str, Any] = {}
    exec(compile(source, "test", "exec"), namespace)
    tests = [value for name, value in namespace.items() if name.startswith("test_")]
    for test in tests:
        names = test.__code__.co_varnames[: test.__code__.co_argcount]
        test(**{name: fixtures[name] for name in names})
    return len(tests)


@contextmanager
def _working_in(folder: Path) -> Iterator[None]:
    before = Path.cwd()
    os.chdir(folder)
    try:
        yield
    finally:
        os.chdir(before)
