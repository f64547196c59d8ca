"""The plugin keeps sv2r's contracts."""

from __future__ import annotations

from sv2r.testing import check_plugin


def test_the_plugin_keeps_its_contracts() -> None:
    assert check_plugin("my-plugin") == ["KIND 'my-plugin'"]
