"""The source of a small plugin."""

from __future__ import annotations

from collections.abc import Callable

import pytest

GOOD = """
from sv2r import CheckResult, CheckSpec, Field, Options, hookimpl

class GoodOptions(Options):
    level: float = Field(0.5, ge=0, le=1, description="How good.")

def build(options, runtime):
    return lambda frame, picture: CheckResult()

@hookimpl
def sv2r_checks():
    return [CheckSpec(name="NAME", summary="A good check.", options=GoodOptions, build=build)]
"""


@pytest.fixture
def good() -> Callable[[str], str]:
    """Return the source of a plugin that brings one check of a name."""
    return lambda name: GOOD.replace("NAME", name)
