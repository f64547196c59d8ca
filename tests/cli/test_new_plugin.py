"""`sv2r plugins new`: what it writes passes its own test, for every kind of component."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from sv2r.cli.new_plugin import KINDS, package
from sv2r.plugin import hookspecs
from tests.toys import distributions
from tests.toys.distributions import Site

Run = Callable[..., tuple[int, str, str]]


@pytest.mark.parametrize("kind", KINDS)
def test_a_new_plugin_is_installed_and_passes_its_own_test(
    kind: str, sv2r: Run, site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)

    code, out, _ = sv2r("plugins", "new", kind, "my-own")

    assert code == 0
    assert out.splitlines()[-1] == "next: pip install -e sv2r-my-own && pytest sv2r-my-own"
    folder = tmp_path / "sv2r-my-own"
    distributions.install(folder, site.root)
    test = (folder / "test_sv2r_my_own.py").read_text()
    assert distributions.run_tests(test, tmp_path=tmp_path / "data") == 1
    written = "".join(package(kind, "my-own").values())
    assert [name for name in ("my-plugin", "MyPlugin", "my_plugin") if name in written] == []


def test_every_hook_has_a_template() -> None:
    hooks = [name for name in vars(hookspecs) if name.startswith("sv2r_")]
    assert sorted(hooks) == sorted(f"sv2r_{kind}s" for kind in KINDS)


def test_the_files_of_a_loader() -> None:
    files = package("loader", "my-format")
    assert sorted(files) == [
        "README.md",
        "pyproject.toml",
        "sv2r_my_format.py",
        "test_sv2r_my_format.py",
    ]
    assert 'my-format = "sv2r_my_format"' in files["pyproject.toml"]
    assert "class MyFormatOptions(Options):" in files["sv2r_my_format.py"]


def test_a_folder_that_is_there_and_a_name_that_cannot_be_are_refused(
    sv2r: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "sv2r-mine").mkdir()
    assert sv2r("plugins", "new", "check", "mine") == (
        2,
        "",
        "Error: sv2r-mine: already exists; give another --output\n",
    )
    assert sv2r("plugins", "new", "check", "My_Check") == (
        2,
        "",
        "Error: NAME 'My_Check': use small letters, digits and hyphens, like my-check\n",
    )
