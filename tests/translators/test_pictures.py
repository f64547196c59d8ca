"""What comes out of a translator, whatever the model: sizes, bits, refusals, what is counted."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image

from sv2r.plugin.specs import Buckets, Describes, Runtime
from sv2r.translators import checkpoint, controlnet, sdedit
from sv2r.types import Batch, Refusal
from tests import toys

Models = Callable[[str], Path]
RUN: dict[str, Any] = {"strength": 0.5, "steps": 4}


def reordered(batch: Batch, order: list[int]) -> Batch:
    return Batch(
        tuple(batch.frames[i] for i in order),
        {name: tuple(maps[i] for i in order) for name, maps in batch.controls.items()},
        tuple(batch.prompts[i] for i in order),
        tuple(batch.negative_prompts[i] for i in order),
        tuple(batch.seeds[i] for i in order),
    )


@pytest.mark.parametrize("fit", ["native", "scale", "tile"])
def test_odd_sizes_come_back_exactly(models: Models, fit: str) -> None:
    more = {} if fit == "native" else {"resolution": 64}
    options = sdedit.SdeditOptions(model=str(models("sd15-factor-8")), fit=fit, **more, **RUN)
    translate = sdedit.build(options, Runtime())

    for size in ((101, 75), (7, 9), (1, 1), (64, 200)):
        picture = translate(toys.batch([size]))[0]
        assert picture.shape == (3, *size)
        assert picture.dtype == torch.uint8
        assert picture.is_contiguous()


@pytest.mark.parametrize("fit", ["native", "scale"])
def test_sizes_of_one_bucket_share_a_batch(models: Models, fit: str) -> None:
    more = {} if fit == "native" else {"resolution": 32}
    options = sdedit.SdeditOptions(model=str(models("sd15-factor-8")), fit=fit, **more, **RUN)
    translate = sdedit.build(options, Runtime())
    sizes = [(41, 60), (42, 60), (48, 64)] if fit == "native" else [(41, 60), (40, 58), (33, 47)]
    batch = toys.batch(sizes)

    assert isinstance(translate, Buckets)
    assert len({translate.bucket(*size) for size in sizes}) == 1
    together = translate(batch)
    assert [picture.shape for picture in together] == [(3, *size) for size in sizes]
    for place in range(3):
        alone = translate(reordered(batch, [place]))[0]
        assert toys.largest_difference(together[place], alone) <= 1


def test_a_native_bucket_is_the_padded_size(models: Models) -> None:
    options = sdedit.SdeditOptions(model=str(models("sd15-factor-8")))
    translate = sdedit.build(options, Runtime())
    assert translate.bucket(512, 631) == (512, 632)
    assert translate.bucket(7, 9) == (8, 16)


@pytest.mark.parametrize("model", ["sd15", "sdxl", "sd3", "flux"])
def test_a_batch_gives_the_same_bits_in_any_order(models: Models, model: str) -> None:
    options = sdedit.SdeditOptions(model=str(models(model)), **RUN)
    translate = sdedit.build(options, Runtime())
    prompts = ("a car", "a dog", "rain", "a car", "snow", "a house")
    six = toys.batch([(40, 56)] * 6, prompts=prompts)
    first = [*translate(reordered(six, [0, 1, 2, 3]))]
    second = [*translate(reordered(six, [4, 5, 5, 5]))]

    other = dict(zip([5, 2, 0, 4], translate(reordered(six, [5, 2, 0, 4])), strict=True))
    other |= dict(zip([3, 1], translate(reordered(six, [3, 1, 1, 1])), strict=False))

    for place in range(6):
        wanted = first[place] if place < 4 else second[place - 4]
        assert torch.equal(wanted, other[place])


def test_control_maps_follow_their_pictures_bit_for_bit(models: Models) -> None:
    options = controlnet.ControlnetOptions(
        model=str(models("sd15")), controlnet={"canny": str(models("canny"))}, **RUN
    )
    translate = controlnet.build(options, Runtime())
    batch = toys.batch([(40, 56)] * 4, controls=["canny"])

    made = translate(batch)
    other = translate(reordered(batch, [2, 0, 3, 1]))

    for place, source in enumerate([2, 0, 3, 1]):
        assert torch.equal(made[source], other[place])


def test_another_seed_is_another_picture(models: Models) -> None:
    translate = sdedit.build(sdedit.SdeditOptions(model=str(models("sd15")), **RUN), Runtime())
    batch = toys.batch([(40, 56)])
    one, again = translate(batch)[0], translate(batch)[0]
    other = translate(replace(batch, seeds=(2**48 - 1,)))[0]
    assert torch.equal(one, again)
    assert toys.largest_difference(one, other) > 10


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    for name, colour in (("red", (200, 30, 20)), ("blue", (20, 30, 200))):
        ramp = Image.linear_gradient("L").resize((40, 30))
        dark = Image.new("RGB", (40, 30), (20, 20, 20))
        Image.composite(Image.new("RGB", (40, 30), colour), dark, ramp).save(
            tmp_path / f"{name}.png"
        )
    return tmp_path


@pytest.mark.parametrize("model", ["sd15", "pix2pix"])
def test_pictures_end_in_the_look_of_a_photo_that_the_seed_draws(
    models: Models, model: str, photos: Path
) -> None:
    options: dict[str, Any] = {"model": str(models(model)), "steps": 4}
    plain = checkpoint.build(checkpoint.CheckpointOptions(**options), Runtime())
    options["palette"] = photos
    translate = checkpoint.build(checkpoint.CheckpointOptions(**options), Runtime())
    batch = toys.batch([(40, 56)] * 6)
    made = translate(batch)
    redder = [bool(picture[0].float().mean() > picture[2].float().mean()) for picture in made]
    assert set(redder) == {True, False}
    assert torch.equal(translate(reordered(batch, [3]))[0], made[3])
    assert toys.largest_difference(made[0], plain(batch)[0]) > 10
    assert isinstance(translate, Describes)
    assert translate.settings()["palette"] == str(photos)


def test_each_text_is_encoded_once(models: Models) -> None:
    translate = sdedit.build(sdedit.SdeditOptions(model=str(models("sdxl")), **RUN), Runtime())
    encoders = translate._prompts._encoders
    calls: list[str] = []
    for name, encoder in encoders.items():
        encoder.register_forward_hook(lambda *_, name=name: calls.append(name))
    sizes = [(16, 16)] * 4

    translate(toys.batch(sizes, prompts=("a car", "a dog"), negatives=("blurry",)))
    assert calls.count("text_encoder") == 3
    assert calls.count("text_encoder_2") == 3

    translate(toys.batch(sizes, prompts=("a dog", "a car", "a cat"), negatives=("blurry",)))
    assert calls.count("text_encoder") == 4


def test_without_guidance_no_negative_prompt_is_encoded(models: Models) -> None:
    options = sdedit.SdeditOptions(model=str(models("sd15")), guidance_scale=1, **RUN)
    translate = sdedit.build(options, Runtime())
    calls: list[int] = []
    encoder = translate._prompts._encoders["text_encoder"]
    encoder.register_forward_hook(lambda *_: calls.append(1))
    translate(toys.batch([(16, 16)] * 2, negatives=("blurry",)))
    assert len(calls) == 1


def test_a_condition_is_embedded_once_per_batch(models: Models) -> None:
    options = controlnet.ControlnetOptions(
        model=str(models("sd15")), controlnet={"canny": str(models("canny"))}, strength=1, steps=5
    )
    translate = controlnet.build(options, Runtime())
    calls = {"embedding": 0, "steps": 0}
    (store,) = translate._stores

    def count(name: str) -> None:
        calls[name] += 1

    store.compute.register_forward_hook(lambda *_: count("embedding"))
    translate._pipe.controlnet.register_forward_hook(lambda *_: count("steps"))
    translate(toys.batch([(16, 24)] * 3, controls=["canny"]))
    translate(toys.batch([(16, 24)] * 3, controls=["canny"]))

    assert calls == {"embedding": 2, "steps": 10}
    assert not store._kept


def test_the_vae_is_called_once_per_batch(models: Models) -> None:
    translate = sdedit.build(sdedit.SdeditOptions(model=str(models("sd15")), **RUN), Runtime())
    vae, shapes = translate._pipe.vae, []
    vae.encoder.register_forward_hook(lambda _, inputs, __: shapes.append(inputs[0].shape))
    vae.decoder.register_forward_hook(lambda _, inputs, __: shapes.append(inputs[0].shape))
    translate(toys.batch([(16, 24)] * 3))
    assert shapes == [(3, 3, 16, 24), (3, 4, 8, 12)]


def test_nan_is_refused_and_its_neighbour_is_not(models: Models) -> None:
    translate = sdedit.build(sdedit.SdeditOptions(model=str(models("sd15")), **RUN), Runtime())
    batch = toys.batch([(16, 24)] * 2)
    batch.frames[0].image[:] = float("nan")

    refused, fine = translate(batch)

    assert refused == Refusal("the model gave NaN, which is no picture; another dtype may help")
    assert isinstance(fine, torch.Tensor)


def test_a_flagged_picture_is_refused_and_never_black(models: Models) -> None:
    options = sdedit.SdeditOptions(model=str(models("sd15-safe")), safety_checker=True, **RUN)
    translate = sdedit.build(options, Runtime())
    checker = translate._pipe.safety_checker
    batch = toys.batch([(32, 48)] * 2)

    checker.concept_embeds_weights.data.fill_(-2)  # below every similarity: all is flagged
    assert [type(made) for made in translate(batch)] == [Refusal, Refusal]
    checker.concept_embeds_weights.data.fill_(2)
    checker.special_care_embeds_weights.data.fill_(2)
    unsafe = sdedit.SdeditOptions(model=str(models("sd15-safe")), **RUN)
    for made, plain in zip(translate(batch), sdedit.build(unsafe, Runtime())(batch), strict=True):
        assert torch.equal(made, plain)


def test_a_negative_prompt_where_the_model_takes_none_is_left_out_and_told(models: Models) -> None:
    translate = sdedit.build(sdedit.SdeditOptions(model=str(models("flux")), **RUN), Runtime())
    (asked,) = translate(toys.batch([(16, 16)], negatives=("blurry",)))
    (plain,) = translate(toys.batch([(16, 16)], negatives=("",)))
    assert torch.equal(asked, plain)
    assert translate.settings()["negative_prompt"] == "not taken"


def test_the_settings_say_what_ran(models: Models) -> None:
    import json

    options = controlnet.ControlnetOptions(
        model=str(models("sd15")),
        controlnet={"canny": str(models("canny"))},
        scheduler="heun",
        lora=[str(models("lora"))],
        strength=0.55,
        steps=5,
    )
    translate = controlnet.build(options, Runtime())
    translate(toys.batch([(16, 24)], controls=["canny"]))

    assert isinstance(translate, Describes)
    settings = json.loads(json.dumps(translate.settings()))
    assert settings["path"] == "latents"
    assert settings["family"] == "stable-diffusion"
    assert settings["pipeline"] == "StableDiffusionControlNetImg2ImgPipeline"
    assert settings["scheduler"] == "HeunDiscreteScheduler"
    assert (settings["steps"], settings["strength"]) == (5, 0.55)
    assert settings["effective_steps"] == 3  # two steps, the first of which Heun runs twice
    assert settings["guidance_scale"] == 7.5
    assert settings["vae_dtype"] == settings["dtype"] == "float32"
    assert settings["offload"] == "none"
    assert settings["attention"] == "AttnProcessor2_0"
    assert len(settings["model_sha256"]) == 64
    assert settings["controlnets"]["canny"]["scale"] == 1.0
    assert len(settings["controlnets"]["canny"]["sha256"]) == 64
    assert settings["loras"][0]["weight"] == 1.0
    assert len(settings["loras"][0]["sha256"]) == 64


def test_settings_of_a_pipeline_as_it_is_have_no_option_that_did_not_run(models: Models) -> None:
    options = checkpoint.CheckpointOptions(model=str(models("pix2pix")), steps=3)
    translate = checkpoint.build(options, Runtime())
    translate(toys.batch([(16, 24)]))
    settings = translate.settings()
    assert settings["path"] == "pipeline"
    assert settings["steps"] == settings["effective_steps"] == 3
    assert "strength" not in settings


def test_a_pipeline_as_it_is_keeps_odd_sizes(models: Models) -> None:
    options = checkpoint.CheckpointOptions(model=str(models("pix2pix")), steps=2)
    translate = checkpoint.build(options, Runtime())
    made = translate(toys.batch([(33, 21), (7, 9)]))
    assert [picture.shape for picture in made] == [(3, 33, 21), (3, 7, 9)]
