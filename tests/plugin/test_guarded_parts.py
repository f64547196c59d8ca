"""A guard hides no optional part of a component: sv2r asks for them by its protocols."""

from __future__ import annotations

import inspect
from typing import Any

import pytest

from sv2r.plugin import specs
from sv2r.plugin.guarded import guard_component

OPTIONAL = [
    kind
    for _, kind in inspect.getmembers(specs, inspect.isclass)
    if getattr(kind, "_is_runtime_protocol", False)
]


@pytest.mark.parametrize("protocol", OPTIONAL, ids=lambda kind: kind.__name__)
def test_what_a_component_has_its_guarded_self_has(protocol: Any) -> None:
    names = [name for name in protocol.__protocol_attrs__ if not name.startswith("__")]
    component = type("Component", (), dict.fromkeys(names, lambda self, *_: None))()
    assert isinstance(component, protocol)
    assert isinstance(guard_component("somebody", component), protocol)
