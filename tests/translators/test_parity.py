"""sv2r's pictures are those that diffusers' own pipeline makes, within one level of 255."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import diffusers
import pytest

from sv2r.plugin.specs import Runtime
from sv2r.translators import checkpoint, controlnet, sdedit
from sv2r.types import Batch
from tests import toys

Models = Callable[[str], Path]
SIZES = [(48, 64)] * 3
TEXTS: dict[str, Any] = {
    "prompts": ("a photo of a car", "a dog in the rain", "a photo of a car"),
    "negatives": ("", "blurry", ""),
}
RUN: dict[str, Any] = {"strength": 0.5, "steps": 8}
CALL: dict[str, Any] = {"strength": 0.5, "num_inference_steps": 8}


def same_as_alone(made: Any, pipe: Any, batch: Batch, **call: Any) -> bool:
    """Return whether every picture of a batch is what the pipeline alone gives for it."""
    alone = [toys.alone(pipe, batch, place, **call) for place in range(len(batch))]
    assert toys.largest_difference(alone[0], alone[1]) > 1  # or all pictures would be the same
    return max(map(toys.largest_difference, made, alone)) <= 1


@pytest.mark.parametrize("scheduler", [None, "euler-a", "dpm++-2m", "heun"])
def test_sdedit_with_stable_diffusion(models: Models, scheduler: str | None) -> None:
    batch = toys.batch(SIZES, **TEXTS)
    options = sdedit.SdeditOptions(model=str(models("sd15")), scheduler=scheduler, **RUN)

    made = sdedit.build(options, Runtime())(batch)

    pipe = diffusers.StableDiffusionImg2ImgPipeline.from_pretrained(models("sd15"))
    classes = {
        "euler-a": diffusers.EulerAncestralDiscreteScheduler,
        "dpm++-2m": diffusers.DPMSolverMultistepScheduler,
        "heun": diffusers.HeunDiscreteScheduler,
    }
    if scheduler:
        pipe.scheduler = classes[scheduler].from_config(pipe.scheduler.config)
    assert same_as_alone(made, pipe, batch, **CALL)


def test_sdedit_at_the_true_factor_of_eight(models: Models) -> None:
    batch = toys.batch(SIZES, **TEXTS)
    options = sdedit.SdeditOptions(model=str(models("sd15-factor-8")), guidance_scale=1.0, **RUN)

    made = sdedit.build(options, Runtime())(batch)

    pipe = diffusers.StableDiffusionImg2ImgPipeline.from_pretrained(models("sd15-factor-8"))
    assert same_as_alone(made, pipe, batch, guidance_scale=1.0, **CALL)


def test_sdedit_with_stable_diffusion_xl(models: Models) -> None:
    batch = toys.batch(SIZES, **TEXTS)
    options = sdedit.SdeditOptions(model=str(models("sdxl")), **RUN)

    made = sdedit.build(options, Runtime())(batch)

    pipe = diffusers.StableDiffusionXLImg2ImgPipeline.from_pretrained(models("sdxl"))
    assert same_as_alone(made, pipe, batch, **CALL)


def test_sdedit_with_stable_diffusion_3(models: Models) -> None:
    batch = toys.batch(SIZES, **TEXTS)
    options = sdedit.SdeditOptions(model=str(models("sd3")), **RUN)

    made = sdedit.build(options, Runtime())(batch)

    pipe = diffusers.StableDiffusion3Img2ImgPipeline.from_pretrained(models("sd3"))
    assert same_as_alone(made, pipe, batch, height=48, width=64, **CALL)


def test_sdedit_with_flux(models: Models) -> None:
    batch = toys.batch(SIZES, prompts=TEXTS["prompts"])
    options = sdedit.SdeditOptions(model=str(models("flux")), **RUN)

    made = sdedit.build(options, Runtime())(batch)

    pipe = diffusers.FluxImg2ImgPipeline.from_pretrained(models("flux"))
    assert same_as_alone(made, pipe, batch, height=48, width=64, **CALL)


def test_one_controlnet(models: Models) -> None:
    batch = toys.batch(SIZES, controls=["canny"], **TEXTS)
    options = controlnet.ControlnetOptions(
        model=str(models("sd15")),
        controlnet={"canny": str(models("canny"))},
        controlnet_conditioning_scale={"canny": 0.7},
        control_guidance_end={"canny": 0.6},
        **RUN,
    )

    made = controlnet.build(options, Runtime())(batch)

    net = diffusers.ControlNetModel.from_pretrained(models("canny"))
    pipe = diffusers.StableDiffusionControlNetImg2ImgPipeline.from_pretrained(
        models("sd15"), controlnet=net
    )
    for place in range(3):
        alone = toys.alone(
            pipe,
            batch,
            place,
            control_image=batch.controls["canny"][place][None],
            controlnet_conditioning_scale=0.7,
            control_guidance_end=0.6,
            **CALL,
        )
        assert toys.largest_difference(made[place], alone) <= 1


def test_several_controlnets(models: Models) -> None:
    batch = toys.batch(SIZES, controls=["depth", "canny"], **TEXTS)
    options = controlnet.ControlnetOptions(
        model=str(models("sd15")),
        controlnet={"canny": str(models("canny")), "depth": str(models("depth"))},
        controlnet_conditioning_scale={"depth": 0.4},
        control_guidance_start={"depth": 0.3},
        **RUN,
    )

    made = controlnet.build(options, Runtime())(batch)

    nets = [diffusers.ControlNetModel.from_pretrained(models(name)) for name in ("canny", "depth")]
    pipe = diffusers.StableDiffusionControlNetImg2ImgPipeline.from_pretrained(
        models("sd15"), controlnet=nets
    )
    for place in range(3):
        alone = toys.alone(
            pipe,
            batch,
            place,
            control_image=[batch.controls[name][place][None] for name in ("canny", "depth")],
            controlnet_conditioning_scale=[1.0, 0.4],
            control_guidance_start=[0.0, 0.3],
            control_guidance_end=[1.0, 1.0],
            **CALL,
        )
        assert toys.largest_difference(made[place], alone) <= 1


def test_controlnet_with_stable_diffusion_xl(models: Models) -> None:
    batch = toys.batch(SIZES, controls=["canny"], **TEXTS)
    options = controlnet.ControlnetOptions(
        model=str(models("sdxl")), controlnet={"canny": str(models("canny-xl"))}, **RUN
    )

    made = controlnet.build(options, Runtime())(batch)

    net = diffusers.ControlNetModel.from_pretrained(models("canny-xl"))
    pipe = diffusers.StableDiffusionXLControlNetImg2ImgPipeline.from_pretrained(
        models("sdxl"), controlnet=net
    )
    for place in range(3):
        alone = toys.alone(
            pipe,
            batch,
            place,
            control_image=batch.controls["canny"][place][None],
            controlnet_conditioning_scale=1.0,
            **CALL,
        )
        assert toys.largest_difference(made[place], alone) <= 1


def test_checkpoint_with_two_loras(models: Models) -> None:
    batch = toys.batch(SIZES, **TEXTS)
    files = [models(name) / "pytorch_lora_weights.safetensors" for name in ("lora", "lora-2")]
    options = checkpoint.CheckpointOptions(
        model=str(models("sd15")), lora=[str(files[0]), f"{files[1]}=0.5"], **RUN
    )

    made = checkpoint.build(options, Runtime())(batch)

    pipe = diffusers.StableDiffusionImg2ImgPipeline.from_pretrained(models("sd15"))
    plain = toys.alone(pipe, batch, 0, **CALL)
    for name, file in zip(("one", "two"), files, strict=True):
        pipe.load_lora_weights(file.parent, weight_name=file.name, adapter_name=name)
    pipe.set_adapters(["one", "two"], [1.0, 0.5])
    assert same_as_alone(made, pipe, batch, **CALL)
    assert toys.largest_difference(plain, made[0]) > 1


def test_checkpoint_of_a_single_file(
    models: Models, tmp_path_factory: pytest.TempPathFactory
) -> None:
    batch = toys.batch(SIZES, **TEXTS)
    file, config = toys.save_sd15_file(tmp_path_factory.mktemp("single"))
    options = checkpoint.CheckpointOptions(model=str(file), config=str(config), **RUN)

    made = checkpoint.build(options, Runtime())(batch)

    pipe = diffusers.StableDiffusionImg2ImgPipeline.from_pretrained(models("sd15"))
    assert same_as_alone(made, pipe, batch, **CALL)


def test_checkpoint_of_a_pipeline_that_is_called_as_it_is(models: Models) -> None:
    batch = toys.batch(SIZES, **TEXTS)
    options = checkpoint.CheckpointOptions(
        model=str(models("pix2pix")), steps=6, image_guidance_scale=1.2
    )

    translate = checkpoint.build(options, Runtime())
    made = translate(batch)

    pipe = diffusers.StableDiffusionInstructPix2PixPipeline.from_pretrained(models("pix2pix"))
    assert same_as_alone(made, pipe, batch, num_inference_steps=6, image_guidance_scale=1.2)
    assert translate.settings()["path"] == "pipeline"
