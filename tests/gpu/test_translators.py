"""Pictures on a GPU: near those of a CPU in float32, and the same bits wherever they are made."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch

from sv2r.plugin.specs import Runtime, Translator
from sv2r.translators import controlnet, sdedit
from tests import toys

Models = Callable[[str], Path]
FAMILIES = ["sd15", "sdxl", "sd3", "flux"]
SIZES = [(96, 128)] * 5
RUN: dict[str, Any] = {"strength": 0.5, "steps": 8}
PROMPTS = ("a photo of a car", "a dog in the rain", "a mug on a table")
# Mean error in levels of 255 against float32 on a CPU: ten times what a dtype's rounding costs a
# toy model, a tenth of what one wrong step costs.
NEAR = {"float32": 0.1, "float16": 0.5, "bfloat16": 3.0}


def build(model: Path, device: str, dtype: str = "float32", **more: Any) -> Translator:
    options = sdedit.SdeditOptions(model=str(model), **RUN, **more)
    return sdedit.build(options, Runtime(device=device, dtype=dtype))


def build_controlled(models: Models, family: str, device: str, **more: Any) -> Translator:
    options = controlnet.ControlnetOptions(
        model=str(models(family)),
        controlnet={"canny": str(models(f"controlnet-{family}"))},
        **RUN,
        **more,
    )
    return controlnet.build(options, Runtime(device=device))


def pictures(made: Sequence[Any]) -> torch.Tensor:
    """Return a batch's pictures as (B, 3, H, W) on the CPU; a refused one fails the test."""
    assert all(isinstance(one, torch.Tensor) for one in made), made
    assert all(one.dtype == torch.uint8 for one in made)
    return torch.stack([one.cpu() for one in made])


def mean_error(one: torch.Tensor, other: torch.Tensor) -> float:
    """Return the mean absolute difference of two batches, in levels."""
    return float((one.float() - other.float()).abs().mean())


@pytest.mark.parametrize("dtype", list(NEAR))
@pytest.mark.parametrize("family", FAMILIES)
def test_each_family_and_dtype_is_near_float32_on_the_cpu(
    models: Models, device: str, family: str, dtype: str
) -> None:
    if dtype == "bfloat16" and device != "cpu" and torch.cuda.get_device_capability(0) < (8, 0):
        pytest.skip("this GPU has no bfloat16 of its own")
    batch = toys.batch(SIZES, prompts=PROMPTS)

    made = pictures(build(models(family), device, dtype)(batch))
    exact = pictures(build(models(family), "cpu")(batch))

    assert mean_error(exact[0], exact[1]) > 2  # or there is nothing to tell apart
    assert mean_error(made, exact) <= NEAR[dtype]


@pytest.mark.parametrize("family", ["sd15", "sdxl"])
def test_a_controlnet_is_near_float32_on_the_cpu(models: Models, device: str, family: str) -> None:
    batch = toys.batch(SIZES, prompts=PROMPTS, controls=("canny",))

    made = pictures(build_controlled(models, family, device)(batch))
    exact = pictures(build_controlled(models, family, "cpu")(batch))

    assert mean_error(made, exact) <= NEAR["float32"]


@pytest.mark.parametrize("dtype", list(NEAR))
@pytest.mark.parametrize("family", FAMILIES)
def test_a_picture_has_the_same_bits_at_every_place_of_a_batch(
    models: Models, device: str, family: str, dtype: str
) -> None:
    translate = build(models(family), device, dtype)
    batch = toys.batch(SIZES, prompts=PROMPTS)
    made = pictures(translate(batch))

    for shift in range(1, len(SIZES)):
        order = [(place + shift) % len(SIZES) for place in range(len(SIZES))]
        turned = type(batch)(
            tuple(batch.frames[n] for n in order),
            batch.controls,
            tuple(batch.prompts[n] for n in order),
            tuple(batch.negative_prompts[n] for n in order),
            tuple(batch.seeds[n] for n in order),
        )
        assert torch.equal(pictures(translate(turned)), made[order])


@pytest.mark.parametrize("family", ["sd15", "sdxl"])
def test_compiled_networks_make_the_same_pictures(models: Models, device: str, family: str) -> None:
    batch = toys.batch(SIZES, prompts=PROMPTS)

    made = pictures(build(models(family), device, compile=True)(batch))
    eager = pictures(build(models(family), device)(batch))

    assert mean_error(made, eager) <= NEAR["float32"]


@pytest.mark.parametrize("offload", ["model", "sequential"])
@pytest.mark.parametrize("family", FAMILIES)
def test_offloading_changes_no_picture(
    models: Models, device: str, cuda_only: None, family: str, offload: str
) -> None:
    batch = toys.batch(SIZES, prompts=PROMPTS)

    made = pictures(build(models(family), device, offload=offload)(batch))

    assert torch.equal(made, pictures(build(models(family), device)(batch)))


@pytest.mark.parametrize("family", ["sd15", "sdxl", "sd3"])
def test_tiles_are_near_float32_on_the_cpu(models: Models, device: str, family: str) -> None:
    batch = toys.batch([(160, 224)] * 2, prompts=PROMPTS)
    tiles: dict[str, Any] = {"fit": "tile", "resolution": 96}

    made = pictures(build(models(family), device, **tiles)(batch))
    exact = pictures(build(models(family), "cpu", **tiles)(batch))

    assert mean_error(made, exact) <= NEAR["float32"]


def test_no_memory_is_left_behind_by_a_hundred_batches(
    models: Models, device: str, cuda_only: None
) -> None:
    translate = build(models("sd15"), device, "float16")
    batch = toys.batch(SIZES, prompts=PROMPTS)
    for _ in range(3):
        translate(batch)
    before = torch.cuda.memory_allocated(device)

    for _ in range(100):
        translate(batch)

    assert torch.cuda.memory_allocated(device) == before
