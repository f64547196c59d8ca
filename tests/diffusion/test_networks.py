from __future__ import annotations

from pathlib import Path
from typing import Any

import diffusers
import pytest
import torch

from sv2r.diffusion.networks import Once, Tiling, embed_condition_once, feed_embedded, skip_idle
from sv2r.images.geometry import blend, feather
from sv2r.plugin.specs import Runtime
from sv2r.translators import controlnet, sdedit
from tests import toys


@pytest.fixture
def unet(root: Path) -> Any:
    return diffusers.UNet2DConditionModel.from_pretrained(root / "sd15", subfolder="unet")


@pytest.fixture
def net(root: Path) -> Any:
    return diffusers.ControlNetModel.from_pretrained(root / "canny")


def test_a_result_is_kept_until_it_is_forgotten() -> None:
    calls: list[torch.Tensor] = []
    once = Once(calls.append)
    one, like_it = torch.zeros(2), torch.zeros(2)

    for tensor in (one, like_it, one):
        once(tensor)
    assert len(calls) == 2
    once.forget()
    once(one)
    assert len(calls) == 3


@torch.no_grad()
def test_an_embedded_condition_changes_nothing(net: Any) -> None:
    latents, text, condition = (
        torch.randn(2, 4, 8, 8),
        torch.randn(2, 5, 16),
        torch.rand(2, 3, 16, 16),
    )
    before = net(latents, 10, text, condition, return_dict=False)

    feed_embedded(net, embed_condition_once(net, "cpu"))
    after = net(
        latents, 10, encoder_hidden_states=text, controlnet_cond=condition, return_dict=False
    )

    assert all(torch.equal(one, other) for one, other in zip(before[0], after[0], strict=True))
    assert torch.equal(before[1], after[1])


@pytest.mark.parametrize("several", [False, True])
@torch.no_grad()
def test_tiles_are_what_each_part_alone_predicts(root: Path, unet: Any, several: bool) -> None:
    def nets() -> Any:
        made = [
            diffusers.ControlNetModel.from_pretrained(root / "canny") for _ in range(1 + several)
        ]
        return diffusers.MultiControlNetModel(made) if several else made[0]

    latents, text = torch.randn(2, 4, 12, 20), torch.randn(2, 5, 16)
    conditions = [torch.rand(2, 3, 24, 40) for _ in range(1 + several)]
    places, size = [(0, 0), (0, 6), (0, 12), (4, 0), (4, 6), (4, 12)], (12, 20)
    plain, alone = nets(), []
    for top, left in places:
        piece = latents[..., top : top + 8, left : left + 8]
        parts = [c[..., 2 * top : 2 * top + 16, 2 * left : 2 * left + 16] for c in conditions]
        down, mid = plain(
            piece,
            10,
            encoder_hidden_states=text,
            controlnet_cond=parts if several else parts[0],
            conditioning_scale=[0.5, 0.7] if several else 0.5,
            return_dict=False,
        )
        alone.append(
            unet(
                piece,
                10,
                encoder_hidden_states=text,
                down_block_additional_residuals=down,
                mid_block_additional_residual=mid,
                return_dict=False,
            )[0]
        )

    tiling, tiled = Tiling(side=8, overlap=2, factor=2), nets()
    tiling.run_core(unet)
    tiling.run_controlnet(tiled)
    down, mid = tiled(
        latents,
        10,
        encoder_hidden_states=text,
        controlnet_cond=conditions if several else conditions[0],
        conditioning_scale=[0.5, 0.7] if several else 0.5,
        return_dict=False,
    )
    made = unet(
        latents,
        10,
        encoder_hidden_states=text,
        down_block_additional_residuals=down,
        mid_block_additional_residual=mid,
        return_dict=False,
    )[0]

    assert tiling.places(size) == places
    assert torch.allclose(made, blend(alone, places, size, feather((8, 8), 2)), atol=1e-6)


@pytest.mark.parametrize("model", ["sd15", "sdxl", "sd3"])
def test_a_picture_no_larger_than_a_tile_is_the_native_one(root: Path, model: str) -> None:
    options: dict[str, Any] = {"model": str(root / model), "steps": 4}
    batch = toys.batch([(30, 44)])
    native = sdedit.build(sdedit.SdeditOptions(**options), Runtime())(batch)[0]
    tiled = sdedit.SdeditOptions(**options, fit="tile", resolution=44)
    assert torch.equal(sdedit.build(tiled, Runtime())(batch)[0], native)


class Means(torch.nn.Module):
    """Predicts one value for all that it sees, so that each tile has its own."""

    def forward(self, sample: torch.Tensor, timestep: int) -> tuple[torch.Tensor]:
        return (sample.mean((-2, -1), keepdim=True).expand_as(sample),)


def test_tiles_leave_no_seams() -> None:
    """No step from column to column is larger than a raised cosine over the overlap makes it."""
    core = Means()
    Tiling(side=32, overlap=16, factor=2).run_core(core)
    slope = torch.linspace(0, 1, 128).expand(1, 4, 32, 128)

    predicted = core(slope, 10)[0]

    tiles = len(Tiling(32, 16, 2).places((32, 128)))
    apart = (1 - 32 / 128) / (tiles - 1)  # from one tile's value to the next one's
    steps = predicted.diff(dim=-1)[0, 0, 5]
    assert tiles == 7
    assert steps.min() >= -1e-6
    assert steps.max() < 1.1 * apart * torch.pi / 2 / 16


@pytest.mark.parametrize(("model", "net"), [("sd15", "canny"), ("sdxl", "canny-xl")])
def test_tiles_and_controlnets_make_a_picture(root: Path, model: str, net: str) -> None:
    options = controlnet.ControlnetOptions(
        model=str(root / model),
        controlnet={"canny": str(root / net)},
        fit="tile",
        resolution=32,
        steps=4,
    )
    translate = controlnet.build(options, Runtime())

    made = translate(toys.batch([(36, 90)] * 2, controls=["canny"]))

    assert [picture.shape for picture in made] == [(3, 36, 90)] * 2
    assert not any(store._kept for store in translate._stores)


def test_tiles_run_at_the_size_asked_for(root: Path) -> None:
    options = sdedit.SdeditOptions(
        model=str(root / "sd3"), fit="tile", resolution=32, tile_overlap=0.5, strength=1, steps=2
    )
    translate = sdedit.build(options, Runtime())
    core, shapes = translate._pipe.transformer, []
    core.pos_embed.register_forward_hook(lambda _, inputs, __: shapes.append(inputs[0].shape))

    translate(toys.batch([(32, 64)]))

    assert shapes == [(2, 16, 16, 16)] * 3 * 2  # with and without the prompt; 3 tiles, 2 steps


@pytest.mark.parametrize("several", [False, True])
@pytest.mark.parametrize("fit", ["native", "tile"])
def test_a_controlnet_does_not_run_outside_its_window(root: Path, several: bool, fit: str) -> None:
    names = ["canny", "edges"][: 1 + several]
    options = controlnet.ControlnetOptions(
        model=str(root / "sd15"),
        controlnet=dict.fromkeys(names, str(root / "canny")),
        control_guidance_end={"canny": 0.5},
        steps=6,
        strength=1,
        **({"fit": "tile", "resolution": 16} if fit == "tile" else {}),
    )
    translate = controlnet.build(options, Runtime())
    pipe = translate._pipe
    nets = list(getattr(pipe.controlnet, "nets", [pipe.controlnet]))
    runs = [0] * len(nets)
    for number, net in enumerate(nets):
        count_forward(net.down_blocks[0], runs, number)
    translate(toys.batch([(16, 24)], controls=names))
    tiles = 2 if fit == "tile" else 1
    assert runs == [3 * tiles, 6 * tiles][: 1 + several]


def count_forward(block: Any, runs: list[int], number: int) -> None:
    """Count a block's runs at a place of a list."""

    def count(*_: Any) -> None:
        runs[number] += 1

    block.register_forward_hook(count)


@torch.no_grad()
def test_a_skipped_controlnet_changes_nothing(root: Path) -> None:
    nets = [diffusers.ControlNetModel.from_pretrained(root / "canny") for _ in range(3)]
    both = diffusers.MultiControlNetModel(nets)
    given = {
        "encoder_hidden_states": torch.randn(1, 5, 16),
        "controlnet_cond": [torch.rand(1, 3, 16, 16) for _ in nets],
        "return_dict": False,
    }
    latents = torch.randn(1, 4, 8, 8)
    for scales in ([0.0, 0.5, 0.7], [0.5, 0.0, 0.0]):
        downs, mid = diffusers.MultiControlNetModel(nets)(
            latents, 10, conditioning_scale=scales, **given
        )
        skip_idle(both)
        ours, our_mid = both(latents, 10, conditioning_scale=scales, **given)
        assert torch.equal(mid, our_mid)
        assert all(torch.equal(one, other) for one, other in zip(downs, ours, strict=True))
    assert both(latents, 10, conditioning_scale=[0.0] * 3, **given) == (None, None)
