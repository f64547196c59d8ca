"""Toy models are trained for a few steps, killed and resumed, and a job takes the result."""

from __future__ import annotations

import json
import shlex
import shutil

import pytest
import torch
from PIL import Image
from safetensors.torch import load_file

import sv2r
from sv2r.errors import ConfigError
from tests.toys import processes, trainings
from tests.toys.datasets import make_coco

SMALL = {
    "resolution": 32,
    "vae_crop": 16,
    "vae_channels": (8, 8),
    "vae_steps": 4,
    "vae_batch_size": 2,
    "sharpen_steps": 4,
    "unet_channels": (8, 16),
    "attention": 1,
    "latent_channels": 6,
    "heads": 2,
    "text_width": 16,
}
STEPS = {"steps": 6, "batch_size": 2, "warmup": 0, "device": "cpu", "save_every": 2, "seed": 5}
QUIET = {"validate_every": 0, "held_out": 0}


@pytest.fixture(scope="module")
def base(photos, tmp_path_factory):
    """A small model, trained for a few steps."""
    output = tmp_path_factory.mktemp("base") / "out"
    values = {"photos": photos, "output": output, "caption": "a photo of a mug", **SMALL, **STEPS}
    return trainings.train("base", {**values, "validate_every": 3})


def values_of(kind, model, photos, output):
    values = {"photos": photos, "output": output, "resolution": 32, **STEPS, **QUIET}
    return {**values, **SMALL} if kind == "base" else {**values, "model": str(model)}


@pytest.mark.parametrize(
    ("kind", "step"), [("lora", 4), ("controlnet", 6), ("base", 7), ("base", 13)]
)
def test_a_killed_run_ends_with_the_same_bytes(kind, step, toy_sd15, photos, tmp_path):
    never = trainings.train(kind, values_of(kind, toy_sd15, photos, tmp_path / "never"))
    values = values_of(kind, toy_sd15, photos, tmp_path / "killed")
    assert processes.run(trainings.train_and_die, kind, values, step) == -9
    assert trainings.weights(tmp_path / "killed") == {}
    resumed = trainings.train(kind, values)
    assert sum(e.ran for e in resumed.endings.values()) < sum(e.ran for e in never.endings.values())
    assert trainings.weights(tmp_path / "killed") == trainings.weights(tmp_path / "never") != {}


def test_a_seed_gives_the_same_run_and_another_seed_another(train, toy_sd15, tmp_path):
    def result(name, **more):
        values = {**STEPS, **QUIET, "resolution": 32, "model": str(toy_sd15), "steps": 2, **more}
        return trainings.weights(train("lora", output=tmp_path / name, **values).output)

    assert result("one") == result("two") != result("three", seed=6)


def test_accumulating_batches_is_as_one_large_batch(train, toy_sd15, tmp_path):
    def result(name, **more):
        values = {**STEPS, **QUIET, "resolution": 32, "model": str(toy_sd15), "steps": 2, **more}
        output = train("lora", output=tmp_path / name, **values).output
        return load_file(output / "pytorch_lora_weights.safetensors")

    whole, parts = result("one", batch_size=4), result("two", batch_size=2, accumulate=2)
    assert all(torch.allclose(whole[name], parts[name], atol=1e-5) for name in whole)


def test_gradient_checkpointing_changes_nothing_but_memory(train, toy_sd15, tmp_path):
    def result(name, **more):
        values = {**STEPS, **QUIET, "resolution": 32, "model": str(toy_sd15), "steps": 2, **more}
        output = train("controlnet", output=tmp_path / name, **values).output
        return load_file(output / "diffusion_pytorch_model.safetensors")

    plain, kept = result("one"), result("two", gradient_checkpointing=True)
    assert all(torch.allclose(plain[name], kept[name], atol=1e-6) for name in plain)


def test_the_loss_falls(train):
    ending = train("base", **{**SMALL, **STEPS, **QUIET, "vae_steps": 60, "steps": 60, "ema": 0.9})
    for part in (ending.endings["vae"], ending.endings["unet"]):
        assert part.losses[-1][1] < 0.8 * part.losses[0][1]


def test_a_unet_is_gone_on_with(base, train):
    model, more = base.output, {**SMALL, **STEPS, **QUIET, "caption": "a photo of a mug"}
    given = {"vae": str(model / "vae"), "unet": str(model / "unet"), "learning_rate": 1e-9}
    gone_on = train("base", **{**more, **given, "sharpen_steps": 0}).output
    for part in ("vae", "unet", "text_encoder"):
        file = next(path.name for path in (model / part).glob("*.safetensors"))
        before, after = load_file(model / part / file), load_file(gone_on / part / file)
        assert all(torch.allclose(before[name], after[name], atol=1e-6) for name in before)


def test_a_decoder_is_sharpened_and_all_else_stays(base, train):
    model, more = base.output, {**SMALL, **STEPS, **QUIET, "caption": "a photo of a mug"}
    given = {"vae": str(model / "vae"), "unet": str(model / "unet"), "steps": 0}
    made = train("base", **{**more, **given})
    assert {name: ending.ran for name, ending in made.endings.items()} == {"decoder": 4, "unet": 0}
    unet = "unet/diffusion_pytorch_model.safetensors"
    assert (made.output / unet).read_bytes() == (model / unet).read_bytes()
    vae = "vae/diffusion_pytorch_model.safetensors"
    before, after = load_file(model / vae), load_file(made.output / vae)
    changed = {name for name in before if not torch.equal(before[name], after[name])}
    assert {name.split(".")[0] for name in changed} == {"decoder", "post_quant_conv"}


def test_half_the_sharpness_lies_half_way(base, train, tmp_path):
    model, more = base.output, {**SMALL, **STEPS, **QUIET, "caption": "a photo of a mug"}
    given = {"vae": str(model / "vae"), "unet": str(model / "unet"), "steps": 0}

    def result(name, sharpness):
        made = train("base", **{**more, **given, "sharpness": sharpness, "output": tmp_path / name})
        return load_file(made.output / "vae/diffusion_pytorch_model.safetensors")

    before = load_file(model / "vae/diffusion_pytorch_model.safetensors")
    half, whole = result("half", 0.5), result("whole", 1)
    for name in before:
        assert torch.allclose(half[name], (before[name] + whole[name]) / 2, atol=1e-6)


def test_photos_held_out_are_looked_at_as_it_goes(base):
    folder = base.output / "training"
    names = sorted(path.name for path in (folder / "pictures").iterdir())
    steps = {"decoder": (3, 4), "unet": (3, 6), "vae": (3, 4)}
    assert names == [f"{part}-{step:06}.png" for part in steps for step in steps[part]]
    with Image.open(folder / "pictures" / "unet-000006.png") as picture:
        assert picture.size == (2 * 32, 2 * 32)  # two photos, and what becomes of them
    rows = [json.loads(line) for line in (folder / "unet.jsonl").read_text().splitlines()]
    assert [row["step"] for row in rows if "held_out" in row] == [3, 6]


def test_the_card_and_the_yaml_say_what_was_done(base):
    card = (base.output / "README.md").read_text()
    assert "library_name: diffusers" in card
    assert "| unet: steps | 6 |" in card
    assert "licence | not stated" in card
    assert f"--translator.model {base.output}" in card
    assert "kind: base" in (base.output / "train.yaml").read_text()


def converted(root, translator, **more):
    """Return the pictures that a job makes of two renders."""
    renders = make_coco(root / "renders", ("a.png", "b.png"))
    options = {"steps": 4, "strength": 0.5, **translator}
    job = {"input": str(renders), "output": str(root / "real"), "translator": options, **more}
    summary = sv2r.convert({**job, "prompt": "a mug", "checks": {"sanity": {}}, "device": ["cpu"]})
    assert (summary.done, summary.failed, summary.rejected) == (2, 0, 0)
    return [(root / "real" / name).read_bytes() for name in ("a.png", "b.png")]


def test_a_job_takes_the_small_model_as_it_is(base, tmp_path):
    model = {"name": "sdedit", "model": str(base.output)}
    assert len(set(converted(tmp_path, model))) == 2


def test_a_job_takes_a_controlnet_for_the_small_model(base, train, tmp_path):
    values = {**STEPS, **QUIET, "resolution": 32, "conditioner": "canny", "learning_rate": 0.1}
    net = train("controlnet", model=str(base.output), **values)
    model = {"name": "controlnet", "model": str(base.output)}
    (tmp_path / "with").mkdir()
    job = {**model, "controlnet": {"canny": str(net.output)}}
    with_net = converted(tmp_path / "with", job, conditioners=["canny"])
    (tmp_path / "without").mkdir()
    without = converted(tmp_path / "without", {**model, "name": "sdedit"})
    assert with_net != without


def test_a_job_takes_the_lora_and_it_has_an_effect(train, toy_sd15, tmp_path):
    values = {**STEPS, **QUIET, "resolution": 32, "learning_rate": 0.1, "alpha": 32}
    made = train("lora", model=str(toy_sd15), **values)
    model = {"name": "sdedit", "model": str(toy_sd15)}
    (tmp_path / "with").mkdir()
    with_lora = converted(tmp_path / "with", {**model, "lora": str(made.output)})
    (tmp_path / "without").mkdir()
    assert with_lora != converted(tmp_path / "without", model)


def test_float16_halves_the_file(train, toy_sd15, tmp_path):
    values = {**STEPS, **QUIET, "resolution": 32, "model": str(toy_sd15), "steps": 1}
    made = train("lora", **values, weights="float16")
    tensors = load_file(made.output / "pytorch_lora_weights.safetensors").values()
    assert {tensor.dtype for tensor in tensors} == {torch.float16}


def test_any_name_of_a_folder_will_do(train, toy_sd15, tmp_path):
    model, output = tmp_path / "a {model} of mine", tmp_path / "its {} lora"
    shutil.copytree(toy_sd15, model)
    values = {**STEPS, **QUIET, "resolution": 32, "model": str(model), "steps": 1}
    made = train("lora", **values, output=output)
    words = shlex.split(made.use.replace("\\\n", " "))
    assert words[-4:] == ["--translator.model", str(model), "--translator.lora", str(output)]


@pytest.mark.parametrize("family", ["save_sd3", "save_flux", "save_sdxl"])
def test_a_lora_is_trained_on_every_family(family, train, tmp_path):
    from tests import toys

    model = getattr(toys, family)(tmp_path / "model")
    values = {**STEPS, "resolution": 32, "steps": 2, "caption": "a mug"}
    made = train("lora", model=str(model), **values)
    assert made.finished
    job = {"name": "sdedit", "model": str(model), "lora": str(made.output)}
    converted(tmp_path, job)


def test_a_controlnet_is_trained_for_sdxl(train, toy_sdxl, tmp_path):
    values = {**STEPS, "resolution": 32, "steps": 2}
    made = train("controlnet", model=str(toy_sdxl), **values)
    job = {"name": "controlnet", "model": str(toy_sdxl), "controlnet": {"canny": str(made.output)}}
    converted(tmp_path, job, conditioners=["canny"])


def test_time_that_is_up_leaves_a_result_and_the_same_command_goes_on(train, toy_sd15, tmp_path):
    values = {**STEPS, **QUIET, "resolution": 32, "model": str(toy_sd15)}
    stopped = train("lora", **values, max_time=1e-6)
    assert (stopped.endings["lora"].step, stopped.finished) == (1, False)
    assert list(trainings.weights(stopped.output)) == ["pytorch_lora_weights.safetensors"]
    assert train("lora", **values).endings["lora"].ran == 5
    whole = train("lora", **values, output=tmp_path / "whole")
    assert trainings.weights(stopped.output) == trainings.weights(whole.output)


def test_time_that_is_up_at_a_step_that_saves_anyway_ends_the_run(train, toy_sd15):
    values = {**STEPS, **QUIET, "resolution": 32, "model": str(toy_sd15), "save_every": 1}
    stopped = train("lora", **values, max_time=1e-6)
    assert (stopped.endings["lora"].step, stopped.finished) == (1, False)


def test_a_validation_that_fails_costs_no_step(photos, tmp_path):
    from accelerate import Accelerator
    from torch import nn

    from sv2r.training.loop import train
    from sv2r.training.options import LoraOptions
    from sv2r.training.run import Run
    from sv2r.training.state import read_state
    from sv2r.training.stopping import Stop

    class Line:
        name, count = "line", 4

        def __init__(self):
            self.network = nn.Linear(1, 1)

        def example(self, draw):
            return {"x": torch.rand(1, generator=draw.generator)}

        def loss(self, network, batch):
            return network(batch["x"]).square().mean()

        def validate(self):
            raise OSError("no validation today")

    values = {"photos": photos, "output": tmp_path, "model": "none", **STEPS}
    options = LoraOptions.model_validate({**values, "save_every": 3, "validate_every": 3})
    accelerator, stop = Accelerator(cpu=True), Stop()
    run = Run("lora", options, (), [], [], accelerator, stop, trainings.Silent(), {})
    with pytest.raises(OSError, match="no validation today"):
        train(Line(), run.plan(), accelerator, tmp_path, stop, trainings.Silent())
    assert read_state(tmp_path / "line.safetensors")[1]["step"] == 3


def test_more_steps_go_on_from_where_a_run_ended(train, toy_sd15):
    values = {**STEPS, **QUIET, "resolution": 32, "model": str(toy_sd15)}
    train("lora", **values)
    assert train("lora", **{**values, "steps": 8}).endings["lora"].ran == 2


def test_a_loss_that_is_no_number_stops_the_run(train, toy_sd15):
    values = {**STEPS, **QUIET, "resolution": 32, "model": str(toy_sd15), "learning_rate": 1e30}
    with pytest.raises(
        ConfigError, match=r"loss of the lora is not a number at step \d; begin anew"
    ):
        train("lora", **values)
    assert train("lora", **{**values, "learning_rate": 1e-4}).finished


def test_what_a_killed_run_left_is_removed(train, toy_sd15, tmp_path):
    values = {**STEPS, **QUIET, "resolution": 32, "model": str(toy_sd15), "steps": 1}
    left = [tmp_path / "out" / name for name in (".sv2r-tmp-1", "training/.sv2r-tmp-2")]
    (tmp_path / "out" / ".sv2r-tmp-result").mkdir(parents=True)
    (tmp_path / "out" / "training").mkdir()
    (tmp_path / "out" / "train.yaml").write_text("kind: lora\n")
    for file in left:
        file.write_bytes(b"half")
    assert train("lora", **values).finished
    assert not list((tmp_path / "out").rglob(".sv2r-tmp-*"))
