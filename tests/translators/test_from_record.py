"""A picture is made again from its line of samples.jsonl, with diffusers alone."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import diffusers
import numpy as np
import pytest
import torch
from PIL import Image

import sv2r
from sv2r.loaders.coco.loader import sv2r_loaders
from sv2r.plugin.registry import Registry
from sv2r.plugin.specs import Runtime
from sv2r.worker.frames import read_frame
from tests import toys
from tests.toys.datasets import make_coco

NAMES = ("a.png", "b.png")


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models")
    toys.save_sd15(folder / "sd15")
    toys.save_sdxl(folder / "sdxl")
    toys.save_pix2pix(folder / "pix2pix")
    toys.save_controlnet(folder / "canny", seed=5)
    toys.save_controlnet(folder / "near", seed=6)
    toys.save_controlnet(folder / "lines", seed=7)
    toys.save_controlnet(folder / "xl-canny", "sdxl", seed=8)
    toys.save_depth(folder / "depth")
    toys.save_lora(folder / "lora")
    return folder


def again(record: dict[str, Any], renders: Path, maps: list[np.ndarray]) -> np.ndarray:
    """Return a picture as a user of diffusers makes it from its record: (H, W, 3) uint8."""
    ran = record["settings"]
    more: dict[str, Any] = {}
    if ran.get("controlnets"):
        nets = [
            diffusers.ControlNetModel.from_pretrained(net["model"])
            for net in ran["controlnets"].values()
        ]
        more["controlnet"] = nets if len(nets) > 1 else nets[0]
    pipe = getattr(diffusers, ran["pipeline"]).from_pretrained(ran["model"], **more)
    scheduler = getattr(diffusers, ran["scheduler"])
    pipe.scheduler = scheduler.from_config(pipe.scheduler.config, **ran.get("scheduler_config", {}))
    for lora in ran.get("loras", ()):
        pipe.load_lora_weights(lora["lora"])
        pipe.fuse_lora(lora_scale=lora["weight"])
    pipe.set_progress_bar_config(disable=True)
    made = pipe(
        record["prompt"],
        image=padded(np.array(Image.open(renders / record["sample"])), ran["size"]),
        generator=torch.Generator().manual_seed(record["seed"]),
        num_inference_steps=ran["steps"],
        output_type="np",
        **arguments(record, maps),
    ).images[0]
    height, width = Image.open(renders / record["sample"]).size[::-1]
    levels: np.ndarray = (255 * made[:height, :width]).round().astype(np.uint8)
    return levels


def arguments(record: dict[str, Any], maps: list[np.ndarray]) -> dict[str, Any]:
    """Return the arguments of the call that not every pipeline takes."""
    ran = record["settings"]
    names = ("strength", "guidance_scale", "image_guidance_scale")
    call = {name: ran[name] for name in names if ran.get(name) is not None}
    if record.get("negative_prompt"):
        call["negative_prompt"] = record["negative_prompt"]
    nets = list(ran.get("controlnets", {}).values())
    if nets:
        images = [padded(image, ran["size"]) for image in maps]
        scales = ran.get("controlnet_conditioning_scale", [net["scale"] for net in nets])
        call |= {
            "control_image": images if len(nets) > 1 else images[0],
            "controlnet_conditioning_scale": scales if len(nets) > 1 else np.ravel(scales)[0],
            "control_guidance_start": [net["start"] for net in nets],
            "control_guidance_end": [net["end"] for net in nets],
        }
    return call


def padded(image: np.ndarray, size: list[int]) -> Any:
    """Return an (H, W, 3) picture as a tensor with its right and lower edges mirrored."""
    rows, columns = size[0] - image.shape[0], size[1] - image.shape[1]
    mirrored = np.pad(image, ((0, rows), (0, columns), (0, 0)), mode="reflect")
    scale = 255 if mirrored.dtype == np.uint8 else 1
    return torch.from_numpy(mirrored).permute(2, 0, 1)[None].float() / scale


def control_maps(record: dict[str, Any], renders: Path, registry: Registry) -> list[np.ndarray]:
    """Return the control maps of a record, made as its settings say, in the ControlNets' order."""
    (spec,) = sv2r_loaders()
    dataset = spec.build(spec.options(), Runtime())(renders)
    frame = read_frame(dataset, list(dataset.ids).index(record["sample"]))
    found = []
    for name in record["settings"].get("controlnets", {}):
        spec = registry.spec("conditioner", name)
        told = record["settings"]["conditioners"][name]
        options = spec.options(**{k: v for k, v in told.items() if k in spec.options.model_fields})
        image = spec.build(options, Runtime())(frame).image
        found.append(image.permute(1, 2, 0).numpy())
    return found


# A preset that works on larger pictures: at their own size here, which diffusers alone does too.
NATIVE = {"fit": "native", "resolution": None}

CASES: dict[str, tuple[str, dict[str, Any]]] = {
    "default": ("default", {"model": "sd15"}),
    "photoreal": ("sdedit-photoreal", {"model": "sd15", "scheduler": "dpm++-2m-karras"}),
    "lora": ("default", {"model": "sd15", "lora": ["lora"], "scheduler": "euler"}),
    "xl": ("default", {"model": "sdxl"}),
    "canny": ("controlnet-canny", {"model": "sd15", "controlnet": {"canny": "canny"}}),
    "bridge": ("bridge", {"model": "sd15"}),
    "xl-canny": (
        "sdxl-controlnet",
        {"model": "sdxl", "controlnet": {"canny": "xl-canny"}, **NATIVE},
    ),
    "instance": (
        "controlnet-instance",
        {
            "model": "sd15",
            "controlnet": {"canny": "canny", "depth": "near", "instance-boundary": "lines"},
        },
    ),
    "checkpoint": ("default", {"name": "checkpoint", "model": "sd15"}),
    "pix2pix": (
        "",
        {
            "name": "checkpoint",
            "model": "pix2pix",
            "guidance_scale": 2.0,
            "image_guidance_scale": 1.2,
        },
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_a_picture_is_made_again_from_its_record(
    models: Path, registry: Registry, tmp_path: Path, case: str
) -> None:
    preset, translator = CASES[case]
    values = dict(translator)
    values["model"] = str(models / values["model"])
    if "controlnet" in values:
        values["controlnet"] = {n: str(models / net) for n, net in values["controlnet"].items()}
    if "lora" in values:
        values["lora"] = [str(models / "lora" / "pytorch_lora_weights.safetensors")]
    renders = make_coco(tmp_path / "in", NAMES, size=(40, 48))
    config: dict[str, Any] = {
        "input": str(renders),
        "output": str(tmp_path / "out"),
        "translator": {**({} if preset else {"steps": 5}), **values},
        "damage": ["retry", "keep"],
        "batch_size": 2,
        "device": ["cpu"],
        **({"extends": preset} if preset else {"prompt": {"negative": "drawing"}}),
    }
    if "depth" in values.get("controlnet", {}):
        depth = {"model": str(models / "depth")}
        config["conditioners"] = {"canny": {}, "depth": depth, "instance-boundary": {}}
    file = tmp_path / "config.yaml"
    file.write_text(json.dumps(config))
    assert sv2r.convert(file).done == len(NAMES)

    lines = (tmp_path / "out" / "sv2r" / "samples.jsonl").read_text().splitlines()
    for record in map(json.loads, lines):
        maps = control_maps(record, renders, registry)
        wanted = again(record, renders, maps).astype(int)
        made = np.array(Image.open(tmp_path / "out" / record["output"])).astype(int)
        assert np.abs(wanted - made).max() <= 1, record["sample"]
