from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from sv2r import presets

CONFIGS = Path(__file__).parents[1] / "configs"


def test_the_presets_are_the_yaml_files_of_the_checkout_by_name():
    expected = sorted(file.name for file in CONFIGS.glob("*.yaml"))
    assert "default.yaml" in expected
    assert [file.name for file in presets.sv2r_presets()] == expected


def test_each_preset_is_a_mapping_that_begins_with_a_comment_for_its_user():
    for file in presets.sv2r_presets():
        text = file.read_text(encoding="utf-8")
        assert text.startswith("# "), file.name
        assert isinstance(yaml.safe_load(text), dict), file.name


@pytest.fixture
def installed(tmp_path, monkeypatch):
    """The module as an installed package has it, next to a `configs` folder of its own."""
    package = tmp_path / "sv2r"
    (package / "configs").mkdir(parents=True)
    for name in ("b.yaml", "a.yaml", "notes.txt"):
        (package / "configs" / name).write_text("# text\n")
    (package / "__init__.py").write_text("")
    monkeypatch.setattr(presets, "files", lambda name: tmp_path / name)
    return package


def test_an_installed_package_brings_its_own(installed):
    assert [file.name for file in presets.sv2r_presets()] == ["a.yaml", "b.yaml"]
