from __future__ import annotations

from functools import partial
from pathlib import Path

import pytest
import torch
from torch._dynamo.testing import CompileCounter

from sv2r.plugin.specs import Runtime
from sv2r.translators import controlnet, sdedit
from tests import toys


@pytest.fixture
def graphs(monkeypatch: pytest.MonkeyPatch) -> CompileCounter:
    """Return what counts the graphs that torch.compile makes; they run without being compiled.

    What is sv2r's own is which graphs are made and how often. The C++ compiler behind them takes
    minutes and is torch's.
    """
    torch._dynamo.reset()
    counter = CompileCounter()
    monkeypatch.setattr(torch, "compile", partial(torch.compile, backend=counter))
    return counter


def test_each_network_is_compiled_once_per_size(root: Path, graphs: CompileCounter) -> None:
    options = controlnet.ControlnetOptions(
        model=str(root / "sd15"), controlnet={"canny": str(root / "canny")}, strength=1, steps=4
    )
    batch = toys.batch([(16, 24)] * 2, controls=["canny"])
    eager = controlnet.build(options, Runtime())(batch)

    translate = controlnet.build(options.model_copy(update={"compile": True}), Runtime())
    compiled = translate(batch)
    translate(batch)

    assert graphs.frame_count == 2  # the UNet and the ControlNet, for eight steps
    assert translate.settings()["compile"] is True
    for one, other in zip(eager, compiled, strict=True):
        assert toys.largest_difference(one, other) <= 1
    translate(toys.batch([(24, 16)] * 2, controls=["canny"]))
    assert graphs.frame_count == 4


def test_tiles_of_one_size_need_one_graph(root: Path, graphs: CompileCounter) -> None:
    options = sdedit.SdeditOptions(
        model=str(root / "sd3"), fit="tile", resolution=16, compile=True, steps=4
    )
    sdedit.build(options, Runtime())(toys.batch([(16, 40)]))
    assert graphs.frame_count == 1
