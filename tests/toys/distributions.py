"""Plugins' distributions, built from their source and installed into a folder."""

from __future__ import annotations

import importlib
import os
import sys
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from hatchling.build import build_wheel


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
