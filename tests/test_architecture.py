"""One meaning, one name: no two public names of the package are alike."""

from __future__ import annotations

import ast
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import sv2r

ROOT = Path(sv2r.__file__).parent

# What every plugin's file has by convention: they are its own, and nothing imports them.
PLUGINS_OWN = {"build", "detect", "load", "load_instances", "preflight", "Shot", "View"}
# A command is called as the function that it runs.
COMMANDS = {"convert", "lint", "report", "train", "verify"}
# To be told apart; the list only shrinks.
STILL_ALIKE = {
    "ANNOTATIONS",
    "APART",
    "BLOCK",
    "Entry",
    "FAINT",
    "REACH",
    "Reading",
    "STEPS",
}


def public_names(path: Path) -> Iterator[str]:
    """Yield the public names that a module defines at its top level; type variables are none."""
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        if isinstance(node, (ast.FunctionDef, ast.ClassDef)):
            names = [node.name]
        elif isinstance(node, (ast.Assign, ast.AnnAssign)):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            value = ast.unparse(node.value) if node.value else ""
            is_variable = value.startswith(("TypeVar(", "ParamSpec("))
            names = [t.id for t in targets if isinstance(t, ast.Name) and not is_variable]
        else:
            names = []
        yield from (name for name in names if not name.startswith("_"))


def homes() -> dict[str, list[str]]:
    """Return the modules that define each public name; what `plugins new` writes is left out."""
    found: dict[str, list[str]] = defaultdict(list)
    for path in sorted(ROOT.rglob("*.py")):
        place = path.relative_to(ROOT)
        if "templates" not in place.parts:
            for name in public_names(path):
                found[name].append(place.as_posix())
    return found


def alike() -> dict[str, list[str]]:
    """Return the names with more than one meaning."""
    return {
        name: places
        for name, places in homes().items()
        if len(places) > 1
        and not name.startswith("sv2r_")
        and name not in PLUGINS_OWN
        and not (name in COMMANDS and any(place.startswith("cli/") for place in places))
    }


def test_no_two_public_names_are_alike():
    assert {name: places for name, places in alike().items() if name not in STILL_ALIKE} == {}


def test_the_list_of_names_that_are_still_alike_holds_no_other():
    assert alike().keys() >= STILL_ALIKE


def test_names_that_two_modules_define_are_seen(tmp_path):
    module = tmp_path / "module.py"
    module.write_text(
        "T = TypeVar('T')\nSIZE: int = 1\n_own = 2\nclass Kind: ...\ndef work(): ...\n"
    )
    assert list(public_names(module)) == ["SIZE", "Kind", "work"]
