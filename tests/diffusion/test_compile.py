from __future__ import annotations

from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from torch._dynamo.testing import CompileCounter

from sv2r.diffusion import compiling
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
    translate(batch)
    assert graphs.frame_count == 0  # while batch sizes are tried
    translate.compile()
    compiled = translate(batch)
    translate.compile()
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
    translate = sdedit.build(options, Runtime())
    translate.compile()
    translate(toys.batch([(16, 40)]))
    assert graphs.frame_count == 1


def test_a_retry_with_another_scale_and_strength_needs_no_graph(
    root: Path, graphs: CompileCounter
) -> None:
    options = controlnet.ControlnetOptions(
        model=str(root / "sd15"),
        controlnet={"canny": str(root / "canny")},
        controlnet_conditioning_scale={"canny": 0.8},
        steps=6,
    )
    batch = toys.batch([(16, 24)] * 2, controls=["canny"])
    gentler = replace(batch, strength_factor=0.8, control_factor=1.25)
    eager = controlnet.build(options, Runtime())(gentler)

    translate = controlnet.build(options.model_copy(update={"compile": True}), Runtime())
    translate.compile()
    translate(batch)
    before = graphs.frame_count
    compiled = translate(gentler)

    assert graphs.frame_count == before == 2
    for one, other in zip(eager, compiled, strict=True):
        assert toys.largest_difference(one, other) <= 1


def test_the_blocks_of_a_flux_model_are_compiled_by_themselves(
    tmp_path: Path, graphs: CompileCounter
) -> None:
    options = sdedit.SdeditOptions(model=str(toys.save_flux(tmp_path)), compile=True, steps=4)
    translate = sdedit.build(options, Runtime())
    translate.compile()
    translate(toys.batch([(16, 24)]))
    transformer = translate._pipe.transformer
    blocks = [*transformer.transformer_blocks, *transformer.single_transformer_blocks]
    # One graph for each kind of block, however many of them there are.
    assert graphs.frame_count == len({type(block) for block in blocks}) == 2


def test_more_shapes_than_the_limit_are_said_and_run(
    root: Path, graphs: CompileCounter, monkeypatch: pytest.MonkeyPatch, caplog: Any
) -> None:
    monkeypatch.setattr(compiling, "SHAPES", 2)
    options = sdedit.SdeditOptions(model=str(root / "sd15"), compile=True, steps=4)
    translate = sdedit.build(options, Runtime())
    translate.compile()
    sizes = [(16, 24), (24, 16), (32, 16), (16, 32), (16, 24)]
    pictures = [translate(toys.batch([size]))[0] for size in sizes]

    assert [tuple(picture.shape[1:]) for picture in pictures] == sizes
    assert graphs.frame_count == 2
    assert caplog.text.count("UNet2DConditionModel has met more than 2 shapes of picture") == 1
    assert torch.equal(pictures[0], pictures[4])
