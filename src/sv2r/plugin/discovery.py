"""Which plugins are installed: the entry points of the group ``sv2r``, none of them imported.

The files are read here, without `importlib.metadata`: it reads the metadata of everything that is
installed, which takes longer than all of `sv2r --help`, and fails where any other distribution's
metadata is damaged.
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import zipfile

GROUP = "sv2r"
DISABLE = "SV2R_DISABLE_PLUGINS"
_METADATA = (".dist-info", ".egg-info")
_TARGET = re.compile(r"(?P<module>[\w.]+)\s*(:\s*(?P<attribute>[\w.]+))?\s*(\[.*\])?")


@dataclass(frozen=True)
class Owner:
    """Where a plugin comes from: its entry point's name and the distribution that has it."""

    plugin: str
    distribution: str
    version: str

    def __str__(self) -> str:
        return f"'{self.plugin}' ({self.distribution} {self.version})"


@dataclass(frozen=True)
class InstalledPlugin:
    """An entry point of the group. target: "package.module" or "package.module:attribute"."""

    owner: Owner
    target: str

    def load(self) -> Any:
        """Return the module or attribute that the entry point names; its code runs.

        Raises:
            ValueError: the target is none; or anything that the module raises.
        """
        from importlib import import_module

        match = _TARGET.fullmatch(self.target)
        if match is None:
            raise ValueError(
                f"entry point {self.target!r} is neither a module nor module:attribute"
            )
        loaded = import_module(match["module"])
        for name in (match["attribute"] or "").split(".") if match["attribute"] else ():
            loaded = getattr(loaded, name)
        return loaded

    def may_implement(self, hooks: Iterable[str]) -> bool:
        """Return whether it seems to implement one of these hooks; none of it is run."""
        text = self.text()
        return text is None or any(hook.encode() in text for hook in hooks)

    def text(self) -> bytes | None:
        """Return the text of its module, None where it cannot be told without running any."""
        from importlib.util import find_spec

        top, *rest = self.target.partition(":")[0].strip().split(".")
        try:
            spec = find_spec(top)  # of a package this runs nothing
            file = Path(spec.origin) if spec and spec.origin else None
            if file and rest:
                file = file.parent.joinpath(*rest).with_suffix(".py")
            return file.read_bytes() if file else None
        except (OSError, ValueError, ImportError):
            return None


@dataclass(frozen=True)
class Damaged:
    """A distribution that has plugins, perhaps, and metadata that nobody can read."""

    owner: Owner
    reason: str


def find_plugins() -> tuple[list[InstalledPlugin], list[Damaged]]:
    """Return every plugin once, sv2r's own first, else by name: never by order of installation."""
    found: dict[Owner, InstalledPlugin] = {}
    damaged = []
    for name, version, text in _entry_point_files():
        if f"[{GROUP}]".encode() not in text:
            continue
        try:
            for plugin, target in _points(text.decode()):
                owner = Owner(plugin, name, version)
                found[owner] = InstalledPlugin(owner, target)
        except ValueError as error:
            damaged.append(Damaged(Owner("unknown", name, version), f"entry_points.txt: {error}"))
    order = sorted(found, key=lambda o: (o.distribution != GROUP, o.distribution, o.plugin))
    damaged.sort(key=lambda one: one.owner.distribution)
    return [found[owner] for owner in order], damaged


@dataclass(frozen=True)
class Unwanted:
    """The plugins that the user turned off: names of entry points or distributions, or "*"."""

    words: frozenset[str]

    @classmethod
    def read(cls, text: str | None = None) -> Unwanted:
        """Return what a comma-separated list asks for; by default what the environment says."""
        text = os.environ.get(DISABLE, "") if text is None else text
        return cls(frozenset(word.strip() for word in text.split(",") if word.strip()))

    def __contains__(self, owner: Owner) -> bool:
        if "*" in self.words and owner.distribution != GROUP:
            return True
        return owner.plugin in self.words or owner.distribution in map(normal_name, self.words)


def normal_name(distribution: str) -> str:
    """Return a distribution's name in the one spelling that PEP 503 gives it."""
    return re.sub(r"[-_.]+", "-", distribution).lower()


def _points(text: str) -> Iterator[tuple[str, str]]:
    """Yield name and target of the group's entry points.

    Raises:
        ValueError: a line is none, or a name cannot be shown.
    """
    section = ""
    for line in map(str.strip, text.splitlines()):
        if line.startswith("["):
            section = line.strip("[]").strip()
        elif section == GROUP and line and not line.startswith(("#", ";")):
            name, equals, target = (part.strip() for part in line.partition("="))
            if not equals or not name or not line.isprintable():
                raise ValueError(f"the line {line!a} is not an entry point (name = module)")
            yield name, target


def _entry_point_files() -> Iterator[tuple[str, str, bytes]]:
    """Yield name, version and entry_points.txt of each distribution, the first of a name alone."""
    seen = set()
    for folder in dict.fromkeys(sys.path):
        for info in _metadata_folders(Path(folder)):
            name, _, version = info.name.rpartition(".")[0].partition("-")
            if normal_name(name) in seen:
                continue
            seen.add(normal_name(name))
            with suppress(OSError, KeyError):  # it has no entry points
                text = (info / "entry_points.txt").read_bytes()
                yield normal_name(name), version.partition("-py")[0] or "?", text


def _metadata_folders(folder: Path) -> Iterable[Path | zipfile.Path]:
    """Return the metadata folders in a folder, or a zip file, of sys.path, by name."""
    try:
        if folder.is_file():
            return _metadata_in_zip(folder)
        names = sorted(name for name in os.listdir(folder) if name.endswith(_METADATA))  # noqa: PTH208
    except (OSError, ValueError):  # sys.path may hold what is not there, or is no path
        return []
    return [folder / name for name in names]


def _metadata_in_zip(file: Path) -> list[zipfile.Path]:
    import zipfile

    if not zipfile.is_zipfile(file):
        return []
    return [path for path in zipfile.Path(file).iterdir() if path.name.endswith(_METADATA)]
