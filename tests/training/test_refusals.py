"""What cannot work is said in one line before hours are spent."""

from __future__ import annotations

import json
import os
import shutil

import pytest
import torch
from pydantic import ValidationError
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from sv2r.errors import ConfigError
from sv2r.training.options import BaseOptions, ControlnetTraining, LoraOptions
from sv2r.training.run import check_memory
from tests import toys

STEPS = {"steps": 2, "batch_size": 2, "device": "cpu", "resolution": 32, "held_out": 0}


def refusal(train, kind, **options):
    with pytest.raises(ConfigError) as told:
        train(kind, **{**STEPS, **options})
    line = str(told.value)
    assert "\n" not in line
    return line


def test_a_checkpoint_of_another_family(train, tmp_path):
    model = toys.save_pix2pix(tmp_path / "model")
    line = refusal(train, "lora", model=str(model))
    assert line == (
        f"--model {model} is a StableDiffusionInstructPix2PixPipeline; sv2r train takes Stable "
        f"Diffusion 1.x, 2.x, XL and 3, and Flux"
    )
    assert not (tmp_path / "out").exists()


def test_a_controlnet_for_a_transformer(train, tmp_path):
    model = toys.save_sd3(tmp_path / "model")
    line = refusal(train, "controlnet", model=str(model))
    assert "ControlNets are trained for Stable Diffusion 1.x, 2.x and XL" in line


def test_a_unet_without_the_vae_that_it_knows():
    with pytest.raises(ValidationError, match="--unet goes with the VAE that it was trained with"):
        BaseOptions(photos="photos", output="out", unet="model/unet")


def test_no_steps_for_a_new_unet():
    with pytest.raises(
        ValidationError, match="--steps 0 leaves a UNet as it is; give one by --unet"
    ):
        BaseOptions(photos="photos", output="out", steps=0)


@pytest.mark.parametrize(
    ("part", "more", "message"),
    [
        ("vae", {}, "is a AutoencoderKL, not a UNet"),
        ("unet", {"text_width": 48}, "has cross_attention_dim 16; --text-width is 48"),
    ],
)
def test_a_unet_that_does_not_fit(train, toy_sd15, part, more, message):
    options = {"unet": str(toy_sd15 / part), "vae": str(toy_sd15 / "vae"), "vae_crop": 16}
    options |= {"text_width": 16, **more}
    assert message in refusal(train, "base", **options)


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ({"unet_channels": (8, 8)}, "has sizes of its own; leave --unet-channels out"),
        ({"unet_layers": 3}, "has sizes of its own; leave --unet-layers out"),
        ({}, "--prediction v_prediction: the scheduler next to --unet"),
    ],
)
def test_an_option_that_a_unet_contradicts(train, toy_sd15, more, message):
    given = {"unet": str(toy_sd15 / "unet"), "vae": str(toy_sd15 / "vae"), "vae_crop": 16}
    options = {**given, "text_width": 16, "heads": 2, **more}
    assert message in refusal(train, "base", **options)


def test_a_vae_whose_factor_does_not_divide_the_resolution(train, toy_sd15):
    vae = str(toy_sd15 / "vae")
    line = refusal(train, "base", vae=vae, resolution=33, vae_crop=16)
    assert line == f"--resolution 33 is not a multiple of 2, as --vae {vae} needs it"
    line = refusal(train, "base", vae=vae, vae_crop=17, sharpen_steps=1)
    assert line == f"--vae-crop 17 is not a multiple of 2, as --vae {vae} needs it"


@pytest.mark.parametrize(
    ("kind", "more", "message"),
    [
        (LoraOptions, {"lora": "l", "rank": 8}, "--rank is as --lora has it"),
        (LoraOptions, {"lora": "l", "targets": ("to_q",)}, "--targets is as --lora has it"),
        (ControlnetTraining, {"controlnet": "c", "embedding": (4,)}, "--embedding is as --contr"),
        (BaseOptions, {"text_width": 65}, "--text-width 65 is odd"),
        (BaseOptions, {"heads": 3}, "--unet-channels 64 is not a multiple of --heads 3"),
        (BaseOptions, {"latent_channels": 3}, "greater than or equal to 4"),
    ],
)
def test_options_that_contradict_each_other(kind, more, message):
    model = {} if kind is BaseOptions else {"model": "m"}
    with pytest.raises(ValidationError, match=message):
        kind.model_validate({"photos": "photos", "output": "out", **model, **more})
    # What a run wrote out, defaults and all, is no contradiction.
    written = kind.model_validate({"photos": "photos", "output": "out", **model})
    start = {LoraOptions: {"lora": "l"}, ControlnetTraining: {"controlnet": "c"}, BaseOptions: {}}
    kind.model_validate({**written.model_dump(mode="json"), **start[kind]})


def test_a_controlnet_for_latents_of_another_size(train, toy_sd15, tmp_path):
    line = refusal(train, "controlnet", model=str(toy_sd15), embedding=(4, 4, 8))
    assert line == (
        f"--embedding has 3 numbers; the model {toy_sd15}, with one latent for 2 pixels, takes 2"
    )
    net = toys.save_controlnet(tmp_path / "net", factor=8)
    line = refusal(train, "controlnet", model=str(toy_sd15), controlnet=str(net))
    assert line.endswith(f"{toy_sd15}: it is for one latent for 8 pixels, not 2")


def test_a_lora_that_does_not_fit(train, toy_sd15, toy_sdxl, tmp_path):
    lora = toys.save_lora(tmp_path, family="sdxl")
    line = refusal(train, "lora", model=str(toy_sd15), lora=str(lora))
    assert line.startswith(f"--lora {lora} does not fit the model: ")


def test_a_lora_that_fits_is_gone_on_with(train, toy_sd15, tmp_path):
    lora = toys.save_lora(tmp_path)
    assert train("lora", model=str(toy_sd15), lora=str(lora), **STEPS).finished


def test_layers_that_are_not_there(train, toy_sd15):
    line = refusal(train, "lora", model=str(toy_sd15), targets=("to_z",))
    assert line.startswith("--targets to_z: ")


def test_a_controlnet_that_does_not_fit(train, toy_sdxl, toy_canny):
    line = refusal(train, "controlnet", model=str(toy_sdxl), controlnet=str(toy_canny))
    assert line == (
        f"--controlnet {toy_canny} does not fit the model {toy_sdxl}: cross_attention_dim is 16, "
        f"not 32"
    )


def test_a_conditioner_that_needs_labels(train, toy_sd15, tmp_path):
    line = refusal(train, "controlnet", model=str(toy_sd15), conditioner="instance-boundary")
    assert line.startswith("--conditioner instance-boundary finds nothing in photos (it may need")
    assert not (tmp_path / "out").exists()
    line = refusal(train, "controlnet", model=str(toy_sd15), conditioner="depth")
    assert line.startswith("--conditioner depth: ")
    assert "has no depth" in line


def test_a_conditioner_or_an_option_of_it_that_there_is_not(train, toy_sd15):
    line = refusal(train, "controlnet", model=str(toy_sd15), conditioner="cany")
    assert line == "no conditioner 'cany'; did you mean canny?"
    more = {"conditioner_options": {"low": 0.1}}
    line = refusal(train, "controlnet", model=str(toy_sd15), **more)
    assert line.startswith("no option --conditioner.canny.low")


def test_a_resume_with_other_settings(train, toy_sd15, tmp_path):
    train("lora", model=str(toy_sd15), **STEPS)
    line = refusal(train, "lora", model=str(toy_sd15), rank=8)
    assert line == (
        f"{tmp_path / 'out'} holds a training that was begun with --rank 16, not 8; give the same "
        f"again, or another --output"
    )
    line = refusal(train, "controlnet", model=str(toy_sd15))
    assert line.endswith("out holds a training of sv2r train lora; give another --output")


def test_a_resume_with_other_photos(train, toy_sd15, photos, tmp_path):
    folder = tmp_path / "photos"
    shutil.copytree(photos, folder)
    train("lora", model=str(toy_sd15), photos=folder, **STEPS)
    (folder / "kitchen" / "1.png").unlink()
    line = refusal(train, "lora", model=str(toy_sd15), photos=folder, steps=4)
    assert "was begun with photos 10 (SHA-256" in line
    assert line.endswith("give the same again, or another --output")


def test_a_resume_with_other_weights(train, toy_sd15, tmp_path):
    model = tmp_path / "model"
    shutil.copytree(toy_sd15, model)
    train("lora", model=str(model), **STEPS)
    toys.save_sd15(model, seed=1)
    line = refusal(train, "lora", model=str(model), steps=4)
    assert "lora.safetensors: was begun with the weights of --model SHA-256 " in line
    assert line.endswith("give the same again, or another --output")


def test_a_damaged_state(train, toy_sd15, tmp_path):
    train("lora", model=str(toy_sd15), **STEPS)
    (tmp_path / "out" / "training" / "lora.safetensors").write_bytes(b"no tensors")
    line = refusal(train, "lora", model=str(toy_sd15))
    assert "lora.safetensors: is damaged (" in line
    assert line.endswith("; delete it to begin anew")


@pytest.fixture(scope="module")
def trained(tmp_path_factory, photos, toy_sd15):
    """Return a folder with a LoRA at step 2, which goes on to step 3 where nothing is damaged."""
    from tests.toys import trainings

    folder = tmp_path_factory.mktemp("trained") / "out"
    values = {"photos": photos, "output": folder, "model": str(toy_sd15), **STEPS}
    trainings.train("lora", {**values, "schedule": "constant"})
    return folder


@pytest.fixture
def damaged(trained, tmp_path, train, toy_sd15):
    """Return what changes a file of that training and gives the refusal to go on with it."""
    output = tmp_path / "out"
    shutil.copytree(trained, output)

    def refused(name, change):
        change(output / name)
        more = {"model": str(toy_sd15), "steps": 3, "schedule": "constant", "output": output}
        return refusal(train, "lora", **more)

    return refused


def rewritten(change):
    """Return what changes a state's (tensors, told values), and perhaps returns other values."""

    def rewrite(path):
        with safe_open(path, "pt") as file:
            told = json.loads(file.metadata()["sv2r"])
        tensors = load_file(path)
        other = change(tensors, told)
        told = other if isinstance(other, list) else told
        save_file(tensors, path, metadata={"sv2r": json.dumps(told)})

    return rewrite


def first(tensors, start):
    return next(name for name in sorted(tensors) if name.startswith(start))


def without(start):
    return rewritten(lambda tensors, _: tensors.pop(first(tensors, start)))


def reshaped(start):
    return rewritten(lambda tensors, _: tensors.update({first(tensors, start): torch.zeros(3, 7)}))


STATE_DAMAGES = [
    (without("weights/"), "is damaged ('"),
    (without("mean/"), "is damaged ('"),
    (without("optimizer/0/exp_avg"), "is damaged ('exp_avg')"),
    (reshaped("weights/"), "is damaged (The size of tensor"),
    (reshaped("mean/"), "is damaged (The size of tensor"),
    (reshaped("optimizer/0/exp_avg"), "is damaged (the optimizer's state does not fit)"),
    (rewritten(lambda _, told: told.pop("values")), "is damaged ('values')"),
    (rewritten(lambda _, told: told.update(fixed=5)), "is damaged ('int' object"),
    (rewritten(lambda _, told: told.update(step="x")), "is damaged (invalid literal"),
    (rewritten(lambda _, told: told.update(step=-1)), "is damaged (step -1)"),
    (rewritten(lambda *_: [1]), "is damaged (list indices"),
    (rewritten(lambda _, told: told.update(values={"optimizer/x/y": 1})), "is damaged (invalid"),
]


@pytest.mark.parametrize(("change", "says"), STATE_DAMAGES)
def test_a_state_that_is_not_what_it_was(damaged, change, says):
    line = damaged("training/lora.safetensors", change)
    assert f"out/training/lora.safetensors: {says}" in line
    assert line.endswith("; delete it to begin anew")


@pytest.mark.parametrize(
    "text",
    [
        b"\xff\n",
        b"{\n",
        b"[1]\n",
        b'{"a": 1}\n',
        b'{"step": 1, "loss": null}\n',
        b"[" * 100_000 + b"\n",
    ],
)
def test_a_damaged_log(damaged, text):
    line = damaged("training/lora.jsonl", lambda path: path.write_bytes(text))
    assert "out/training/lora.jsonl: is damaged (" in line
    assert line.endswith("; delete it; the curves then begin here")


def piped(path):
    path.unlink()
    os.mkfifo(path)


def linked(path):
    elsewhere = next(up for up in path.parents if up.name == "out").parent / "elsewhere"
    path.rename(elsewhere) if path.exists() else elsewhere.mkdir()
    path.symlink_to(elsewhere)


@pytest.mark.parametrize(
    ("name", "change", "says"),
    [
        ("train.yaml", lambda path: path.write_bytes(b"\xff"), "out/train.yaml: cannot be read ("),
        ("train.yaml", lambda path: path.write_bytes(b"[1]"), "a config is a mapping of names"),
        ("train.yaml", piped, "out: is not empty and holds no training; give another"),
        ("training/lora.jsonl", piped, "lora.jsonl: is no file of its own; move it, or give"),
        ("training/lora.safetensors", piped, "lora.safetensors: is no file of its own; move it"),
        ("training/lora.safetensors", linked, "lora.safetensors: is no file of its own; move it"),
        ("training/pictures", linked, "out/training/pictures: is no folder of its own; move it"),
        ("training", linked, "out/training: is no folder of its own; move it, or give another"),
    ],
)
def test_a_damaged_folder(damaged, name, change, says):
    assert says in damaged(name, change)


NOT_UTF8 = os.fsdecode(b"caf\xe9")


def test_a_photo_whose_name_is_not_utf8(train, toy_sd15, photos, tmp_path):
    folder = tmp_path / "photos"
    shutil.copytree(photos, folder)
    shutil.copy(folder / "kitchen" / "1.png", folder / f"{NOT_UTF8}.png")
    line = refusal(train, "lora", model=str(toy_sd15), photos=folder)
    assert line == (
        r"'caf\udce9.png': its name has characters that no caption or log can have; rename it; "
        "--skip-broken true leaves such photos out"
    )
    train("lora", model=str(toy_sd15), photos=folder, skip_broken=True, **STEPS)
    assert "10 from photos" in (tmp_path / "out" / "README.md").read_text()


@pytest.mark.parametrize("option", ["photos", "output", "caption"])
def test_an_option_that_is_not_utf8(train, toy_sd15, photos, tmp_path, option):
    value = str(tmp_path / NOT_UTF8)
    if option == "photos":
        shutil.copytree(photos, value)
    line = refusal(train, "lora", model=str(toy_sd15), **{option: value})
    assert line == f"--{option} {value}: is not UTF-8; rename it, or write it in UTF-8"


def test_an_output_that_holds_something_else(train, toy_sd15, photos, tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "thesis.txt").write_text("years of work")
    line = refusal(train, "lora", model=str(toy_sd15))
    assert line.endswith("out: is not empty and holds no training; give another")


def test_an_output_that_has_to_do_with_the_photos(train, toy_sd15, photos):
    model = str(toy_sd15)
    line = refusal(train, "lora", model=model, output=photos)
    assert line.endswith("is the folder with the photos; give another")
    line = refusal(train, "lora", model=model, output=photos / "out")
    assert "lies in the folder with the photos" in line
    line = refusal(train, "lora", model=model, photos=photos / "kitchen", output=photos)
    assert line.endswith("the folder with the photos lies in it; give another")


def test_an_output_that_cannot_be_written(train, toy_sd15, tmp_path):
    file = tmp_path / "file"
    file.write_text("no folder")
    line = refusal(train, "lora", model=str(toy_sd15), output=file)
    assert line == f"--output {file}: is a file; give another"
    line = refusal(train, "lora", model=str(toy_sd15), output=file / "a" / "b")
    assert line == f"--output {file / 'a' / 'b'}: {file} is a file; give another"


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_an_output_without_the_right_to_write(train, toy_sd15, tmp_path):
    folder = tmp_path / "theirs"
    folder.mkdir(mode=0o555)
    line = refusal(train, "lora", model=str(toy_sd15), output=folder / "out")
    assert line == f"--output {folder / 'out'}: {folder} cannot be written to; give another"


def test_fewer_steps_than_were_made(train, toy_sd15, tmp_path):
    train("lora", model=str(toy_sd15), **STEPS)
    before = (tmp_path / "out" / "train.yaml").read_bytes()
    line = refusal(train, "lora", model=str(toy_sd15), steps=1)
    assert line.endswith(
        "out holds a training that is at step 2, past --steps 1; give as many at least, or another "
        "--output"
    )
    assert (tmp_path / "out" / "train.yaml").read_bytes() == before


def test_a_resolution_that_the_model_cannot_take(train, toy_sd15):
    line = refusal(train, "lora", model=str(toy_sd15), resolution=33)
    assert line == f"--resolution 33: {toy_sd15} takes multiples of 2"


def test_too_little_memory():
    options = BaseOptions(photos="photos", output="out", resolution=128)
    vae = {"block_out_channels": (8, 8, 8), "latent_channels": 6}
    needed = 100 * (128 // 4) ** 2 * 6 * 2 * 4
    check_memory(options, 100, vae, free=needed)
    with pytest.raises(ConfigError) as told:
        check_memory(options, 100, vae, free=needed - 1)
    assert str(told.value).startswith("100 squares of 128 px need about 0.0 GB of memory and")
    assert str(told.value).endswith("use fewer photos or --crops, or --flip false")


@pytest.mark.parametrize(
    ("more", "line"),
    [
        ({"optimizer": "adamw-8bit"}, "--optimizer adamw-8bit needs a CUDA GPU; leave it out"),
        (
            {"precision": "float16"},
            "--precision float16 needs a CUDA GPU; take float32 or bfloat16",
        ),
    ],
)
def test_what_needs_a_gpu(train, toy_sd15, more, line):
    assert refusal(train, "lora", model=str(toy_sd15), **more) == line
