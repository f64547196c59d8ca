from __future__ import annotations

import itertools
import logging
from pathlib import Path
from typing import Any

import diffusers
import pytest
import torch

from sv2r.diffusion import prompts as prompts_module
from sv2r.diffusion.families import family_of
from sv2r.diffusion.prompts import Prompts
from sv2r.hub import quiet


@pytest.fixture
def pipe(root: Path) -> Any:
    return diffusers.StableDiffusionXLImg2ImgPipeline.from_pretrained(root / "sdxl")


def make(pipe: Any, *, moves: bool = False) -> Prompts:
    family = family_of(type(pipe).__name__)
    assert family is not None
    return Prompts(pipe, family, "cpu", moves=moves)


def test_rows_are_what_the_pipeline_encodes_for_the_whole_batch(pipe: Any) -> None:
    texts, negatives = ["a car", "a dog", "a car"], ["blurry", "dark", "blurry"]
    wanted = pipe.encode_prompt(prompt=texts, negative_prompt=negatives, device="cpu")

    found = make(pipe).embed(texts, negatives, guided=True)

    names = ("prompt_embeds", "negative_prompt_embeds", "pooled_prompt_embeds")
    for name, value in zip((*names, "negative_pooled_prompt_embeds"), wanted, strict=True):
        assert torch.allclose(found[name], value, atol=1e-5)


def test_no_negative_prompt_is_not_an_empty_one(pipe: Any) -> None:
    """SDXL's pipeline takes zeros where no negative prompt is given."""
    found = make(pipe).embed(["a car"], [""], guided=True)
    assert not found["negative_prompt_embeds"].any()
    assert found["prompt_embeds"].any()


def test_only_the_last_texts_are_kept(pipe: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(prompts_module, "_KEPT", 2)
    calls: list[int] = []
    pipe.text_encoder.register_forward_hook(lambda *_: calls.append(1))
    prompts = make(pipe)
    for text in ("a", "b", "a", "c", "a", "b"):
        prompts.embed([text], [""], guided=False)
    assert len(calls) == 4  # a, b, c, and b again


def test_text_encoders_leave_the_device_once_no_text_is_new(pipe: Any) -> None:
    encoder = pipe.text_encoder
    prompts = make(pipe, moves=True)
    assert pipe.text_encoder is None
    prompts.embed(["a car"], [""], guided=True)
    assert pipe.text_encoder is encoder
    prompts.embed(["a car"], [""], guided=True)
    assert pipe.text_encoder is None
    assert pipe.text_encoder_2 is None


def test_texts_that_alternate_do_not_send_the_encoders_to_and_fro(pipe: Any) -> None:
    prompts = make(pipe, moves=True)
    there = []
    for number in range(64):
        prompts.embed([f"a car {number}" if number % 2 else "a dog"], [""], guided=False)
        there.append(pipe.text_encoder is not None)
    moves = sum(one != other for one, other in itertools.pairwise([False, *there]))
    assert moves <= 4


def test_weights_come_back_from_the_device_as_they_went(pipe: Any) -> None:
    before = {name: value.clone() for name, value in pipe.text_encoder.state_dict().items()}
    encoder, prompts = pipe.text_encoder, make(pipe, moves=True)
    for text in ("a", "a", "b", "b", "b", "c"):
        prompts.embed([text], [""], guided=False)
    assert all(torch.equal(before[name], v) for name, v in encoder.state_dict().items())


def test_the_first_text_that_is_cut_is_told(pipe: Any, caplog: pytest.LogCaptureFixture) -> None:
    prompts, long = make(pipe), "rain " * 40
    with caplog.at_level(logging.WARNING, "sv2r.diffusion"), quiet():
        for text in ("a car", long, f"{long} again", long):
            prompts.embed([text], [""], guided=False)
    assert caplog.messages == [f"the model reads only the first 77 tokens of: {long}"]
