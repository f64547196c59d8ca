"""What is imported when: looks at sys.modules in a process of its own, not at the clock."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

HEAVY = ["torch", "diffusers", "transformers", "kornia", "accelerate", "peft", "pycocotools"]


def _loaded_by(code: str) -> set[str]:
    """Return the top-level modules that are loaded after some code has run."""
    report = "import json, sys; print(json.dumps(sorted({n.split('.')[0] for n in sys.modules})))"
    done = subprocess.run(
        [sys.executable, "-c", f"{code}\n{report}"], capture_output=True, text=True, check=True
    )
    return set(json.loads(done.stdout.splitlines()[-1]))


def _heavy(loaded: set[str], unwanted: list[str]) -> list[str]:
    return sorted(loaded.intersection(unwanted))


def _command(*args: str) -> str:
    return f"""
import contextlib, io
from sv2r.cli.main import cli
with contextlib.redirect_stdout(io.StringIO()):
    cli.main({list(args)!r}, standalone_mode=False)
"""


def test_importing_sv2r_imports_next_to_nothing() -> None:
    loaded = _loaded_by("import sv2r")
    assert _heavy(loaded, [*HEAVY, "numpy", "PIL", "pydantic", "pluggy", "click", "yaml"]) == []


def test_the_names_that_a_plugin_author_imports_are_light() -> None:
    loaded = _loaded_by("from sv2r import Options, Field, hookimpl, TranslatorSpec, Frame")
    assert _heavy(loaded, [*HEAVY, "numpy", "PIL"]) == []


def test_help_imports_no_library_that_computes() -> None:
    loaded = _loaded_by(_command("--help"))
    assert _heavy(loaded, [*HEAVY, "numpy", "PIL"]) == []


@pytest.mark.parametrize("args", [("plugins",), ("plugins", "show", "sobel", "--json")])
def test_the_registry_with_all_plugins_imports_no_library_that_computes(
    args: tuple[str, ...],
) -> None:
    loaded = _loaded_by(_command(*args))
    assert "sv2r_example" in loaded
    assert _heavy(loaded, [*HEAVY, "numpy"]) == []


def test_the_contract_tests_import_torch_when_they_run_not_before() -> None:
    assert _heavy(_loaded_by("import sv2r.testing"), [*HEAVY, "pytest"]) == []


@pytest.mark.parametrize(
    ("args", "unwanted"),
    [
        (("config", "list"), ["pydantic", "yaml", "numpy", "PIL"]),
        # It reads the preset whose defaults apply.
        (("convert", "--help"), ["sv2r_example", "numpy", "PIL"]),
        (("plugins",), ["yaml", "numpy", "PIL", "jinja2", "rich"]),
    ],
)
def test_a_command_imports_what_it_needs_and_no_more(
    args: tuple[str, ...], unwanted: list[str]
) -> None:
    assert _heavy(_loaded_by(_command(*args)), [*HEAVY, *unwanted]) == []


def test_a_list_of_plugins_makes_no_schema() -> None:
    code = """
import pydantic
def refuse(*args, **kwargs): raise AssertionError("a schema was made")
pydantic.BaseModel.model_json_schema = refuse
from sv2r.plugin.registry import load_registry
registry = load_registry(disable="*")
assert registry.spec("translator", "sdedit").options.__pydantic_complete__ is False
"""
    _loaded_by(code)
