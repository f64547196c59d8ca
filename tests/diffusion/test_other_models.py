"""Models that are not what they look like: refused by what they are, in one line."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from sv2r.diffusion.pipelines import image_to_image_class, own_class
from sv2r.diffusion.source import find_network, find_pipeline
from sv2r.errors import ConfigError
from sv2r.hub import checkpoint_folder
from sv2r.plugin.options import validate_options
from sv2r.plugin.specs import Runtime
from sv2r.translators import checkpoint, controlnet, sdedit
from sv2r.weights import weight_files, weights_sha256
from tests import toys


@pytest.fixture
def model(root: Path, tmp_path: Path) -> Path:
    shutil.copytree(root / "sd15", tmp_path / "sd15")
    return tmp_path / "sd15"


def change(file: Path, **values: Any) -> None:
    """Set values in a JSON file."""
    file.write_text(json.dumps({**json.loads(file.read_text()), **values}))


def refusal(module: Any, values: Mapping[str, Any]) -> str:
    spec = module.sv2r_translators()[0]
    with pytest.raises(ConfigError) as caught:
        spec.preflight(validate_options(spec.options, values, where="--translator"), [(32, 48)])
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize(
    ("pipeline", "reason"),
    [
        ("StableDiffusionControlNetPipeline", "has a ControlNet of its own"),
        ("StableDiffusionXLControlNetPipeline", "has a ControlNet of its own"),
        ("StableDiffusionControlNetXSPipeline", "has a ControlNet of its own"),
        ("StableDiffusionControlNetInpaintPipeline", "has a ControlNet of its own"),
        ("StableDiffusionAdapterPipeline", "takes a picture as its adapter's control map"),
        ("StableDiffusionXLAdapterPipeline", "takes a picture as its adapter's control map"),
        ("StableDiffusionImageVariationPipeline", "takes a picture as an example"),
        ("StableUnCLIPImg2ImgPipeline", "takes a picture as an example"),
        ("UnCLIPImageVariationPipeline", "takes a picture as an example"),
        ("FluxPriorReduxPipeline", "takes a picture as an example"),
        ("MarigoldDepthPipeline", "takes a picture as an example"),
        ("StableDiffusionUpscalePipeline", "enlarges pictures"),
        ("StableDiffusionLatentUpscalePipeline", "enlarges pictures"),
        ("StableVideoDiffusionPipeline", "makes videos"),
        ("CycleDiffusionPipeline", "needs source_prompt besides the picture"),
    ],
)
def test_a_pipeline_that_takes_a_picture_for_something_else(pipeline: str, reason: str) -> None:
    for find in (own_class, image_to_image_class):
        with pytest.raises(ConfigError) as caught:
            find(pipeline)
        assert str(caught.value).startswith(f"a {pipeline} {reason}")


@pytest.mark.parametrize(
    ("pipeline", "runs"),
    [
        ("StableDiffusionDepth2ImgPipeline", "StableDiffusionDepth2ImgPipeline"),
        ("StableDiffusionXLPAGImg2ImgPipeline", "StableDiffusionXLPAGImg2ImgPipeline"),
        ("StableDiffusionInpaintPipeline", "StableDiffusionImg2ImgPipeline"),
        ("LatentConsistencyModelPipeline", "LatentConsistencyModelImg2ImgPipeline"),
        ("Kandinsky3Pipeline", "Kandinsky3Img2ImgPipeline"),
    ],
)
def test_a_pipeline_that_changes_the_picture(pipeline: str, runs: str) -> None:
    assert image_to_image_class(pipeline) == runs


def test_a_class_whose_package_is_missing() -> None:
    if find_spec("sentencepiece") is not None:
        pytest.skip("sentencepiece is installed, so the class is there")
    for name in ("KolorsImg2ImgPipeline", "KolorsPipeline"):
        with pytest.raises(ConfigError) as caught:
            own_class(name)
        assert str(caught.value) == (
            f"{name} needs sentencepiece, which is not installed: pip install sentencepiece"
        )


@pytest.mark.parametrize("name", ["StableDiffusionInpaintPipeline", "StableDiffusionPipeline"])
@pytest.mark.parametrize("module", [sdedit, checkpoint])
def test_a_unet_for_inpainting_whatever_its_class(model: Path, module: Any, name: str) -> None:
    change(model / "model_index.json", _class_name=name)
    change(model / "unet" / "config.json", in_channels=9)
    line = refusal(module, {"model": str(model)})
    assert line.startswith(f"--translator.model {model}: its UNet takes 9 channels, not 4")


def test_an_editing_model_without_its_second_picture(model: Path) -> None:
    change(model / "model_index.json", _class_name="StableDiffusionInstructPix2PixPipeline")
    assert "its UNet takes 4 channels, not 8" in refusal(checkpoint, {"model": str(model)})


def test_a_transformer_for_a_control_picture(root: Path, tmp_path: Path) -> None:
    flux = toys.save_flux(tmp_path / "flux")
    spec = sdedit.sv2r_translators()[0]
    spec.preflight(spec.options(model=str(flux)), [(32, 48)])
    change(flux / "transformer" / "config.json", in_channels=32)
    assert "its transformer takes 32 channels, not 16" in refusal(sdedit, {"model": str(flux)})


def test_a_text_encoder_of_another_model(model: Path) -> None:
    change(model / "text_encoder" / "config.json", hidden_size=1024)
    assert "its text encoder gives 1024 numbers a word and its UNet takes 16" in refusal(
        sdedit, {"model": str(model)}
    )


def test_a_model_for_inpainting_with_plain_channels_runs(model: Path) -> None:
    change(model / "model_index.json", _class_name="StableDiffusionInpaintPipeline")
    for module in (sdedit, checkpoint):
        spec = module.sv2r_translators()[0]
        spec.preflight(spec.options(model=str(model)), [(32, 48)])


@pytest.mark.parametrize("value", [5, "DDIMScheduler", ["diffusers"], ["diffusers", 5], {}, [[]]])
@pytest.mark.parametrize("part", ["scheduler", "unet", "text_encoder_2"])
def test_a_part_that_is_no_pair(model: Path, part: str, value: Any) -> None:
    change(model / "model_index.json", **{part: value})
    line = refusal(sdedit, {"model": str(model), "scheduler": "ddim"})
    assert f"model_index.json: {part} must be a pair of a library and a class, not" in line


@pytest.mark.parametrize(
    ("file", "values"),
    [
        ("vae/config.json", {"block_out_channels": 5}),
        ("vae/config.json", {"block_out_channels": []}),
        ("vae/config.json", {"latent_channels": "4"}),
        ("unet/config.json", {"in_channels": -4}),
        ("unet/config.json", {"sample_size": 1e30}),
        ("unet/config.json", {"cross_attention_dim": {"a": 1}}),
    ],
)
def test_numbers_that_are_none(model: Path, file: str, values: dict[str, Any]) -> None:
    change(model / file, **values)
    assert f"{file}: {next(iter(values))} cannot be " in refusal(sdedit, {"model": str(model)})


def test_json_that_is_too_deep(model: Path) -> None:
    (model / "unet" / "config.json").write_text("[" * 200_000)
    assert "not readable as JSON" in refusal(sdedit, {"model": str(model)})


@pytest.mark.parametrize(
    ("gone", "said"),
    [
        ("tokenizer", "there is no tokenizer/ with the tokenizer's vocabulary; copy"),
        ("scheduler", "there is no scheduler/scheduler_config.json; copy"),
        ("unet", "there is no unet/config.json; copy"),
    ],
)
def test_a_folder_without_one_of_its_parts(model: Path, gone: str, said: str) -> None:
    shutil.rmtree(model / gone)
    assert said in refusal(sdedit, {"model": str(model)})


def test_a_tokenizer_without_its_vocabulary(model: Path) -> None:
    (model / "tokenizer" / "tokenizer.json").unlink()
    (model / "tokenizer" / "vocab.json").unlink(missing_ok=True)
    assert "with the tokenizer's vocabulary" in refusal(sdedit, {"model": str(model)})


def shard(folder: Path, names: tuple[str, str]) -> None:
    """Split a network's only file of weights in two and write the index that names them."""
    whole = next(folder.glob("*.safetensors"))
    tensors = load_file(whole)
    whole.unlink()
    keys = sorted(tensors)
    halves = keys[: len(keys) // 2], keys[len(keys) // 2 :]
    for name, half in zip(names, halves, strict=True):
        if name.endswith(".bin"):
            torch.save({key: tensors[key] for key in half}, folder / name)
        else:
            save_file({key: tensors[key] for key in half}, folder / name, {"format": "pt"})
    names_by_key = {key: name for name, half in zip(names, halves, strict=True) for key in half}
    index = {"metadata": {"total_size": 0}, "weight_map": names_by_key}
    (folder / f"{whole.name}.index.json").write_text(json.dumps(index))


SHARDS = ("w-00001-of-00002.safetensors", "w-00002-of-00002.safetensors")


@pytest.mark.parametrize("part", ["unet", "text_encoder"])
def test_an_index_that_names_pickles(model: Path, part: str) -> None:
    shard(model / part, (SHARDS[0], "w-00002-of-00002.bin"))
    for module in (sdedit, checkpoint):
        assert (
            "index.json names w-00002-of-00002.bin: a .bin file is a pickle, which can run code"
        ) in refusal(module, {"model": str(model)})


@pytest.mark.parametrize("name", ["../unet/x.safetensors", "/etc/x.safetensors", "x.npz", "a\\b"])
def test_an_index_that_names_a_file_elsewhere(model: Path, name: str) -> None:
    shard(model / "unet", SHARDS)
    index = next((model / "unet").glob("*.index.json"))
    index.write_text(index.read_text().replace(SHARDS[1], json.dumps(name)[1:-1]))
    assert "which is no .safetensors file next to it" in refusal(sdedit, {"model": str(model)})


@pytest.mark.parametrize("text", ["[]", '{"weight_map": [1]}', '{"weight_map": {"a": 1}}', "{", ""])
def test_an_index_that_is_none(model: Path, text: str) -> None:
    (model / "unet" / "diffusion_pytorch_model.safetensors.index.json").write_text(text)
    assert "diffusion_pytorch_model.safetensors.index.json is not an index (" in refusal(
        sdedit, {"model": str(model)}
    )


def test_a_shard_that_is_not_there(model: Path) -> None:
    shard(model / "unet", SHARDS)
    (model / "unet" / SHARDS[1]).unlink()
    assert f"unet/{SHARDS[1]} is not there" in refusal(sdedit, {"model": str(model)})


def test_an_index_of_pickles_for_other_networks(root: Path, tmp_path: Path) -> None:
    net = tmp_path / "canny"
    shutil.copytree(root / "canny", net)
    shard(net, (SHARDS[0], "w.bin"))
    with pytest.raises(ConfigError, match=r"names w\.bin: a \.bin file is a pickle"):
        find_network(str(net), option="--translator.controlnet canny")
    with pytest.raises(ConfigError, match=r"names w\.bin: a \.bin file is a pickle"):
        checkpoint_folder(str(net), None, "--conditioner.depth.model")


def test_the_hash_covers_shards_of_any_name_and_the_model_runs(model: Path, root: Path) -> None:
    shard(model / "unet", ("a.first.safetensors", "a.second.safetensors"))
    files = weight_files(model / "unet")
    assert [file.name for file in files] == ["a.first.safetensors", "a.second.safetensors"]
    before = weights_sha256(find_pipeline(str(model)).weight_files(), model)
    sharded = sdedit.build(sdedit.SdeditOptions(model=str(model), steps=4), Runtime())
    whole = sdedit.build(sdedit.SdeditOptions(model=str(root / "sd15"), steps=4), Runtime())
    batch = toys.batch([(16, 24)])
    assert torch.equal(sharded(batch)[0], whole(batch)[0])

    tensors = load_file(files[1])
    save_file({key: 2 * value for key, value in tensors.items()}, files[1], {"format": "pt"})
    assert weights_sha256(find_pipeline(str(model)).weight_files(), model) != before


def test_a_pickled_text_encoder_beside_a_single_file(tmp_path: Path) -> None:
    file, config = toys.save_sd15_file(tmp_path)
    (config / "text_encoder" / "pytorch_model.bin").write_bytes(b"\x80\x04")
    assert "text_encoder/pytorch_model.bin is a pickle" in refusal(
        sdedit, {"model": str(file), "config": str(config)}
    )


def test_a_pipe_in_a_model_s_folder(model: Path) -> None:
    os.mkfifo(model / "tokenizer" / "merges.txt.pipe")
    assert refusal(sdedit, {"model": str(model)}) == (
        f"--translator.model {model}: tokenizer/merges.txt.pipe is not a file; copy the model again"
    )


def test_weights_that_are_a_link_to_themselves(model: Path) -> None:
    weights = model / "unet" / "diffusion_pytorch_model.safetensors"
    weights.unlink()
    weights.symlink_to(weights.name)
    assert "there are no safetensors weights in" in refusal(sdedit, {"model": str(model)})


def lora(tmp_path: Path, rename: Any) -> Path:
    """Return a LoRA file whose keys are renamed; a key renamed to None is left out."""
    tensors = load_file(toys.save_lora(tmp_path / "lora"))
    renamed = {rename(key): value for key, value in tensors.items()}
    file = tmp_path / "style.safetensors"
    save_file({key: value for key, value in renamed.items() if key}, file, {"format": "pt"})
    return file


@pytest.mark.parametrize("prefix", ["diffusion_model.", "base_model.model.", "transformer.", ""])
def test_a_lora_that_fits_nowhere(root: Path, tmp_path: Path, prefix: str) -> None:
    file = lora(tmp_path, lambda key: prefix + key.removeprefix("unet."))
    options = sdedit.SdeditOptions(model=str(root / "sd15"), lora=[str(file)])
    with pytest.raises(ConfigError) as caught:
        sdedit.build(options, Runtime())
    line = str(caught.value)
    assert line.startswith(f"--translator.lora {file}: none of the ")
    assert f"layers in style.safetensors fits the model; the first is {prefix}down_blocks." in line


def test_a_lora_of_which_a_part_fits(
    root: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    file = lora(tmp_path, lambda key: key.replace("attn2", "attn9"))
    options = sdedit.SdeditOptions(model=str(root / "sd15"), lora=[str(file)])
    sdedit.build(options, Runtime())
    tensors = [key for key in load_file(file) if "down.weight" in key or "lora_A" in key]
    fit = sum("attn1" in key for key in tensors)
    assert 0 < fit < len(tensors)
    assert f"only {fit} of {len(tensors)} layers in style.safetensors fit" in caplog.text


def test_a_lora_that_fits_is_not_spoken_of(
    root: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    file = lora(tmp_path, lambda key: key)
    options = sdedit.SdeditOptions(model=str(root / "sd15"), lora=[str(file)])
    made = sdedit.build(options, Runtime())
    assert caplog.text == ""
    assert made.settings()["loras"][0]["sha256"] == weights_sha256([file], tmp_path)


def test_a_file_without_lora_layers(root: Path) -> None:
    file = root / "sd15" / "vae" / "diffusion_pytorch_model.safetensors"
    options = sdedit.SdeditOptions(model=str(root / "sd15"), lora=[str(file)])
    with pytest.raises(ConfigError, match=r"there are no LoRA layers in diffusion_pytorch_model"):
        sdedit.build(options, Runtime())


def test_a_folder_of_several_loras(model: Path, tmp_path: Path) -> None:
    folder = tmp_path / "loras"
    folder.mkdir()
    for name in ("a", "b"):
        save_file({"x.lora_A.weight": torch.ones(1)}, folder / f"{name}.safetensors")
    line = refusal(sdedit, {"model": str(model), "lora": [str(folder)]})
    assert "several .safetensors files (a.safetensors, b.safetensors); name one" in line


def test_a_saved_controlnet_pipeline_under_controlnet(root: Path, model: Path) -> None:
    change(model / "model_index.json", _class_name="StableDiffusionControlNetPipeline")
    values = {"model": str(model), "controlnet": {"canny": str(root / "canny")}}
    assert "has a ControlNet of its own" in refusal(controlnet, values)
