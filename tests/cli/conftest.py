"""The command line, run in this process."""

from __future__ import annotations

import sys
from collections.abc import Callable

import pytest

from sv2r.cli.main import cli, run_command


@pytest.fixture
def sv2r(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> Callable[..., tuple[int, str, str]]:
    """Run `sv2r` with these words and return (exit code, stdout, stderr)."""

    def run(*args: object) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["sv2r", *map(str, args)])
        capfd.readouterr()
        code = run_command(cli)
        captured = capfd.readouterr()
        return code, captured.out, captured.err

    return run
