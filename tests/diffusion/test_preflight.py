"""What cannot work is one line that names the thing and the fix, before any weight is read."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from safetensors.torch import load_file, save_file

from sv2r.diffusion.memory import check_offload, offload_for
from sv2r.diffusion.options import DiffusionOptions
from sv2r.errors import ConfigError
from sv2r.plugin.options import validate_options
from sv2r.plugin.specs import Runtime
from sv2r.translators import checkpoint, controlnet, sdedit
from tests import toys


@pytest.fixture
def unread(root: Path, tmp_path: Path) -> Path:
    """Return sd15, sdxl, sd3, canny whose weights would not survive a look."""
    for name in ("sd15", "sdxl", "sd3", "canny", "canny-xl"):
        shutil.copytree(root / name, tmp_path / name)
    for file in tmp_path.rglob("*.safetensors"):
        file.write_bytes(b"not to be read")
    return tmp_path


def refusal(module: Any, values: Mapping[str, Any], *sizes: tuple[int, int]) -> str:
    """Return what preflight says of these options."""
    spec = module.sv2r_translators()[0]
    options = validate_options(spec.options, values, where="--translator")
    with pytest.raises(ConfigError) as caught:
        spec.preflight(options, sizes or [(32, 48)])
    message = str(caught.value)
    assert "\n" not in message
    return message


@pytest.mark.parametrize("module", [sdedit, controlnet, checkpoint])
def test_good_options_pass_without_a_look_at_the_weights(unread: Path, module: Any) -> None:
    values: dict[str, Any] = {"model": str(unread / "sd15"), "scheduler": "dpm++-2m-karras"}
    if module is controlnet:
        values["controlnet"] = {"canny": str(unread / "canny")}
    spec = module.sv2r_translators()[0]
    spec.preflight(spec.options(**values), [(7, 9), (2000, 3000)])


def test_no_model() -> None:
    assert refusal(sdedit, {}) == (
        "no model given: --translator.model takes a folder with a model_index.json, a .safetensors "
        "file or a Hugging Face repository id"
    )


def test_a_palette_without_photos(unread: Path, tmp_path: Path) -> None:
    values = {"model": str(unread / "sd15"), "palette": str(tmp_path / "none")}
    line = refusal(sdedit, values)
    assert (
        line == f"{tmp_path}/none: no such folder; give one of photographs by --translator.palette"
    )
    (tmp_path / "none").mkdir()
    assert "there is no photograph in it" in refusal(sdedit, values)


def test_less_than_one_step(unread: Path) -> None:
    values = {"model": str(unread / "sd15"), "steps": 10, "strength": 0.09}
    assert refusal(sdedit, values) == (
        "steps 10 x strength 0.09 is less than one step; give more of one of them"
    )


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("eulr", "no scheduler 'eulr'; did you mean euler?"),
        ("UniPCMultiStepScheduler", "did you mean UniPCMultistepScheduler?"),
        ("abcdefg", "no scheduler 'abcdefg'; there are ddim, ddpm, euler"),
    ],
)
def test_an_unknown_scheduler(unread: Path, name: str, hint: str) -> None:
    assert hint in refusal(sdedit, {"model": str(unread / "sd15"), "scheduler": name})


def test_a_scheduler_of_another_kind_of_model(unread: Path) -> None:
    assert refusal(sdedit, {"model": str(unread / "sd3"), "scheduler": "ddim"}).startswith(
        "scheduler 'ddim' does not fit a model for FlowMatchEulerDiscreteScheduler"
    )


@pytest.mark.parametrize("model", ["models/none-such", "no such folder", "a/b/c", "x.safetensors"])
def test_a_model_that_is_not_there(model: str) -> None:
    message = refusal(sdedit, {"model": model})
    assert message.startswith(f"--translator.model {model}: no such folder")


@pytest.mark.parametrize("suffix", [".ckpt", ".pt", ".bin", ".pth"])
def test_a_pickled_file(tmp_path: Path, suffix: str) -> None:
    file = tmp_path / f"model{suffix}"
    file.write_bytes(b"\x80\x04")
    assert refusal(checkpoint, {"model": str(file)}) == (
        f"--translator.model {file}: a {suffix} file is a pickle, which can run code when it is "
        f"read; convert it to safetensors"
    )


def test_a_folder_with_pickled_weights_only(unread: Path) -> None:
    unet = unread / "sd15" / "unet"
    (unet / "diffusion_pytorch_model.safetensors").rename(unet / "diffusion_pytorch_model.bin")
    assert refusal(sdedit, {"model": str(unread / "sd15")}) == (
        f"--translator.model {unread / 'sd15'}: unet/diffusion_pytorch_model.bin is a pickle, "
        f"which can run code when it is read; convert it to safetensors"
    )


def test_a_folder_without_weights(unread: Path) -> None:
    (unread / "sd15" / "vae" / "diffusion_pytorch_model.safetensors").unlink()
    message = refusal(sdedit, {"model": str(unread / "sd15")})
    assert message.endswith(f"there are no safetensors weights in {unread / 'sd15' / 'vae'}")


def test_a_folder_that_is_no_pipeline(tmp_path: Path) -> None:
    assert "there is no model_index.json in" in refusal(sdedit, {"model": str(tmp_path)})


def test_a_variant_that_is_not_there_and_one_that_must_be_said(unread: Path) -> None:
    model = unread / "sd15"
    assert refusal(sdedit, {"model": str(model), "variant": "fp16"}).endswith(
        "it has no weights of the variant 'fp16'; leave --translator.variant out"
    )
    unet = model / "unet" / "diffusion_pytorch_model.safetensors"
    unet.rename(unet.with_suffix(".fp16.safetensors"))
    assert refusal(sdedit, {"model": str(model)}).endswith(
        "its weights are unet/diffusion_pytorch_model.fp16.safetensors; say variant fp16"
    )
    spec = sdedit.sv2r_translators()[0]
    spec.preflight(spec.options(model=str(model), variant="fp16"), [])


def rename_class(folder: Path, name: Any) -> None:
    index = json.loads((folder / "model_index.json").read_text())
    (folder / "model_index.json").write_text(json.dumps(index | {"_class_name": name}))


def test_a_class_that_diffusers_has_not(unread: Path) -> None:
    rename_class(unread / "sd15", "StableDiffusionImg2imgPipeline")
    assert refusal(sdedit, {"model": str(unread / "sd15")}).endswith(
        "no pipeline StableDiffusionImg2imgPipeline; did you mean StableDiffusionImg2ImgPipeline?"
    )


def test_a_class_of_the_model_s_own_code(unread: Path) -> None:
    rename_class(unread / "sd15", ["pipeline", "Mine"])
    assert "which is never run" in refusal(checkpoint, {"model": str(unread / "sd15")})


def test_a_class_that_makes_no_pictures_from_pictures(unread: Path) -> None:
    rename_class(unread / "sd15", "DDPMPipeline")
    assert refusal(checkpoint, {"model": str(unread / "sd15")}) == (
        "a DDPMPipeline makes no pictures from pictures"
    )


def test_an_editing_model_has_no_strength(unread: Path) -> None:
    rename_class(unread / "sd15", "StableDiffusionInstructPix2PixPipeline")
    model = {"model": str(unread / "sd15")}
    assert refusal(sdedit, model).endswith("at a strength; try --translator checkpoint")
    assert refusal(checkpoint, {**model, "strength": 0.3}) == (
        "StableDiffusionInstructPix2PixPipeline takes no strength; leave --translator.strength out"
    )
    assert refusal(checkpoint, {**model, "fit": "tile"}) == (
        "StableDiffusionInstructPix2PixPipeline cannot be run in tiles; choose fit native or scale"
    )


def test_image_guidance_without_an_editing_model(unread: Path) -> None:
    values = {"model": str(unread / "sd15"), "image_guidance_scale": 1.5}
    assert refusal(checkpoint, values) == (
        "StableDiffusionImg2ImgPipeline takes no image_guidance_scale; leave "
        "--translator.image_guidance_scale out"
    )


def test_an_inpainting_model(unread: Path) -> None:
    config = unread / "sd15" / "unet" / "config.json"
    config.write_text(json.dumps(json.loads(config.read_text()) | {"in_channels": 9}))
    assert "its UNet takes 9 channels" in refusal(sdedit, {"model": str(unread / "sd15")})


def test_a_size_that_the_model_cannot_take(unread: Path) -> None:
    model = {"model": str(unread / "sd3")}  # 48 patches of 2 latents of 2 pixels
    spec = sdedit.sv2r_translators()[0]
    spec.preflight(spec.options(**model), [(192, 189)])
    assert refusal(sdedit, model, (100, 193)) == (
        f"pictures of 193 x 100 are larger than {unread / 'sd3'} can take (192 pixels a side) with "
        f"fit native; choose fit scale or tile and a resolution"
    )
    spec.preflight(spec.options(**model, fit="tile", resolution=192), [(100, 4000)])
    spec.preflight(spec.options(**model, fit="scale", resolution=48), [(100, 193)])


def test_a_safety_checker_that_the_model_has_not(unread: Path) -> None:
    values = {"model": str(unread / "sd15"), "safety_checker": True}
    assert refusal(sdedit, values).endswith(
        "has no safety checker; leave --translator.safety_checker out"
    )


def test_compile_without_a_compiler(unread: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(unread))
    monkeypatch.delenv("CXX", raising=False)
    monkeypatch.setattr("sys.platform", "linux")
    assert refusal(sdedit, {"model": str(unread / "sd15"), "compile": True}) == (
        "compile needs a C++ compiler and g++ is not there; install g++, set CXX to one that is, "
        "or leave --translator.compile out"
    )


def test_compile_with_a_compiler_that_cxx_does_not_name(
    unread: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "g++").touch(mode=0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("CXX", "/nowhere/g++ -m64")
    assert refusal(sdedit, {"model": str(unread / "sd15"), "compile": True}).startswith(
        "compile needs a C++ compiler and /nowhere/g++ is not there; "
    )


def test_a_pickled_lora(unread: Path) -> None:
    values = {"model": str(unread / "sd15"), "lora": ["style.pt=0.5"]}
    assert refusal(sdedit, values).startswith("--translator.lora style.pt: a .pt file is a pickle")


def test_no_controlnet(unread: Path) -> None:
    assert refusal(controlnet, {"model": str(unread / "sd15")}).startswith(
        "no ControlNet given: --translator.controlnet takes NAME=MODEL"
    )


def test_a_controlnet_of_another_family(unread: Path) -> None:
    values = {"model": str(unread / "sd15"), "controlnet": {"canny": str(unread / "canny-xl")}}
    assert refusal(controlnet, values) == (
        f"--translator.controlnet canny: {unread / 'canny-xl'} is for a model (cross-attention "
        f"32), the model {unread / 'sd15'} is a model (cross-attention 16); choose one made for it"
    )


def test_a_controlnet_that_is_none(unread: Path) -> None:
    values = {
        "model": str(unread / "sd15"),
        "controlnet": {"canny": str(unread / "sd15" / "unet")},
    }
    assert refusal(controlnet, values).endswith("is a UNet2DConditionModel, not a ControlNet")


def test_a_controlnet_for_a_family_that_takes_none(unread: Path) -> None:
    values = {"model": str(unread / "sd3"), "controlnet": {"canny": str(unread / "canny")}}
    assert "is a StableDiffusion3Pipeline; controlnet takes" in refusal(controlnet, values)


def test_a_scale_for_a_controlnet_that_is_not_given() -> None:
    values = {"controlnet": {"canny": "x"}, "controlnet_conditioning_scale": {"cany": 0.5}}
    with pytest.raises(ConfigError) as caught:
        validate_options(controlnet.ControlnetOptions, values, where="--translator")
    assert str(caught.value) == (
        "--translator: controlnet_conditioning_scale names 'cany'; the ControlNets are: canny"
    )


def test_a_controlnet_that_ends_before_it_starts() -> None:
    values = {
        "controlnet": {"canny": "x"},
        "control_guidance_start": {"canny": 0.5},
        "control_guidance_end": {"canny": 0.5},
    }
    with pytest.raises(ConfigError, match=r"control 'canny' ends at 0\.5, not after its start"):
        validate_options(controlnet.ControlnetOptions, values, where="--translator")


def test_the_control_maps_needed_are_the_controlnets_names() -> None:
    spec = controlnet.sv2r_translators()[0]
    assert spec.controls(spec.options(controlnet={"canny": "a", "depth": "b"})) == {
        "canny",
        "depth",
    }


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"strength": 0}, "--translator.strength must be greater than 0, not 0"),
        ({"strength": 1.1}, "--translator.strength must be at most 1, not 1.1"),
        ({"resolution": 512}, "resolution has no effect with fit native; choose fit scale or tile"),
        (
            {"fit": "scale", "tile_overlap": 0.1},
            "tile_overlap has no effect with fit scale; choose fit tile",
        ),
        ({"lora": {"a": "much"}}, "--translator.lora.a must be a number, not 'much'"),
    ],
)
def test_options_without_effect_or_out_of_bounds(values: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        validate_options(DiffusionOptions, values, where="--translator")
    assert message in str(caught.value)


def test_loras_are_written_in_three_ways() -> None:
    wanted = {"a.safetensors": 1.0, "b/c": 0.8}
    for written in ({"a.safetensors": 1, "b/c": 0.8}, ["a.safetensors", "b/c=0.8"]):
        assert DiffusionOptions(lora=written).lora == wanted
    assert DiffusionOptions(lora="a.safetensors").lora == {"a.safetensors": 1.0}


def test_every_option_is_described() -> None:
    for module in (sdedit, controlnet, checkpoint):
        for info in module.sv2r_translators()[0].options.model_fields.values():
            assert info.description


def test_offloading_without_a_gpu() -> None:
    with pytest.raises(ConfigError, match=r"the device is cpu; leave --translator\.offload out"):
        check_offload("model", "cpu")
    check_offload("auto", "cpu")
    check_offload("sequential", "cuda:1")


def test_offloading_as_the_free_memory_asks() -> None:
    gib = 2**30
    assert offload_for(weights=5 * gib, largest=3 * gib, free=10 * gib) == "none"
    assert offload_for(weights=5 * gib, largest=3 * gib, free=8 * gib) == "model"
    assert offload_for(weights=5 * gib, largest=3 * gib, free=6 * gib) == "sequential"


def test_weights_that_cannot_be_read_are_named(unread: Path) -> None:
    options = sdedit.SdeditOptions(model=str(unread / "sd15"))
    with pytest.raises(ConfigError) as caught:
        sdedit.build(options, Runtime())
    assert str(caught.value) == (
        f"--translator.model {unread / 'sd15'}: text_encoder/model.safetensors is damaged (Error "
        f"while deserializing header: header too large); copy it again"
    )


def test_weights_of_another_shape_are_named(root: Path, tmp_path: Path) -> None:
    model = tmp_path / "sd15"
    shutil.copytree(root / "sd15", model)
    config = model / "unet" / "config.json"
    config.write_text(json.dumps(json.loads(config.read_text()) | {"layers_per_block": 2}))
    with pytest.raises(ConfigError) as caught:
        sdedit.build(sdedit.SdeditOptions(model=str(model)), Runtime())
    assert str(caught.value).startswith(
        f"--translator.model {model} cannot be read as a StableDiffusionImg2ImgPipeline: "
    )
    assert "\n" not in str(caught.value)


def test_a_lora_of_another_model(root: Path, tmp_path: Path) -> None:
    lora = toys.save_lora(tmp_path, family="sdxl")
    options = sdedit.SdeditOptions(model=str(root / "sd15"), lora=[str(lora)])
    with pytest.raises(
        ConfigError,
        match=r"does not fit the model: it was made for another one; \d+ of its weights have",
    ):
        sdedit.build(options, Runtime())


@pytest.mark.parametrize("part", ["unet", "vae"])
def test_weights_that_are_not_all_there(toy_sd15: Path, tmp_path: Path, part: str) -> None:
    root = tmp_path / "sd15"
    shutil.copytree(toy_sd15, root)
    (file,) = (root / part).glob("*.safetensors")
    weights = load_file(file)
    kept = {name: tensor for number, (name, tensor) in enumerate(weights.items()) if number % 2}
    save_file(kept, file, metadata={"format": "pt"})
    (spec,) = sdedit.sv2r_translators()
    with pytest.raises(ConfigError) as refused:
        spec.build(spec.options(model=str(root), steps=2), Runtime())
    told = str(refused.value)
    lacking = len(weights) - len(kept)
    start = f"--translator.model {root}: {part} lacks {lacking} of its {len(weights)} tensors, such"
    assert told.startswith(start)
    assert told.endswith("; copy it again")
