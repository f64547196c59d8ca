"""The command line as it is typed."""

from __future__ import annotations

import sys

import pytest

from sv2r.cli.main import cli, run_command


@pytest.fixture
def sv2r(monkeypatch, capfd):
    """Run the command line and return (exit code, stdout, stderr)."""

    def run(*args: object) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["sv2r", *map(str, args)])
        code = run_command(cli)
        captured = capfd.readouterr()
        return code, captured.out, captured.err

    return run
