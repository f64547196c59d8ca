"""Prompts from labels and attributes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from sv2r.config.sections import PromptOptions
from sv2r.errors import ConfigError, SampleError
from sv2r.types import Instance, Instances, Sample
from sv2r.worker.prompts import check_template, plain_words, write_prompt
from sv2r.worker.seeds import picture_seed


def _labelled(areas: dict[str, int], **attributes: str) -> tuple[Sample, Instances]:
    labels = np.zeros((10, 50), np.int32)
    table, start = {}, 0
    for id_, (category, area) in enumerate(areas.items(), 1):
        labels.reshape(-1)[start : start + area] = id_
        table[id_] = Instance(id_, category)
        start += area
    instances = Instances(labels, table)
    return Sample("a.png", Path("a.png"), lambda: instances, attributes=attributes), instances


def test_categories_come_in_plain_words_most_area_first():
    sample, instances = _labelled({"SM_CoffeeMug_02": 10, "dining-table": 100, "bowl": 30})
    prompt = write_prompt(PromptOptions(), sample, instances, 1)
    assert prompt.text == "a photo of dining table, bowl and coffee mug"


@pytest.mark.parametrize(
    ("category", "words"),
    [("1", "1"), ("trafficLight", "traffic light"), ("traffic_light.003", "traffic light")],
)
def test_category_names_become_words(category, words):
    assert plain_words(category) == words


def test_words_rename_and_leave_out():
    sample, instances = _labelled({"1": 10, "5": 100})
    options = PromptOptions(words={"1": "frying pan", "5": ""})
    assert write_prompt(options, sample, instances, 1).text == "a photo of frying pan"


def test_a_picture_without_labels_has_a_prompt_too():
    sample, instances = _labelled({})
    assert write_prompt(PromptOptions(), sample, instances, 1).text == "a photo of a scene"


def test_count_attributes_and_negative_are_filled_in():
    sample, instances = _labelled({"a": 1, "b": 2}, weather="rain")
    options = PromptOptions(template="{count} things in {weather}", negative="no {weather}")
    prompt = write_prompt(options, sample, instances, 1)
    assert (prompt.text, prompt.negative) == ("2 things in rain", "no rain")


def test_vary_draws_by_seed_and_says_what_it_drew():
    sample, instances = _labelled({"a": 1})
    options = PromptOptions(template="{light}", vary={"light": ("dawn", "noon", "dusk")})
    prompts = [write_prompt(options, sample, instances, seed) for seed in range(40)]
    assert {p.text for p in prompts} == {"dawn", "noon", "dusk"}
    assert prompts[3] == write_prompt(options, sample, instances, 3)
    assert prompts[3].drawn == {"light": prompts[3].text}


def test_vary_is_drawn_anew_for_each_variant():
    options = PromptOptions(template="{x}", vary={"x": tuple("abcdefgh")})
    sample, instances = _labelled({"a": 1})
    seeds = [picture_seed(0, "a.png", variant) for variant in range(8)]
    assert len({write_prompt(options, sample, instances, s).text for s in seeds}) > 2


def test_an_unknown_field_is_refused_before_anything_runs():
    with pytest.raises(ConfigError, match=r"no field \{wether\}; did you mean \{weather\}\?"):
        check_template(PromptOptions(template="{wether}"), {"weather": "rain"})


def test_a_field_that_one_sample_lacks_fails_that_sample():
    sample, instances = _labelled({"a": 1})
    with pytest.raises(SampleError, match=r"a.png: the prompt names \{weather\}"):
        write_prompt(PromptOptions(template="{weather}"), sample, instances, 0)


@pytest.mark.parametrize("template", ["{categories.__class__}", "{0}", "{}", "{a[b]}"])
def test_templates_take_plain_names_alone(template):
    with pytest.raises(ValueError, match="is not a name"):
        PromptOptions(template=template)


def test_seeds_are_the_documented_hash():
    # The first 48 bits of SHA-256 over "run seed NUL sample id NUL variant".
    assert picture_seed(0, "a.png", 0) == 253818818997535
    assert len({picture_seed(s, i, v) for s in (0, 1) for i in "ab" for v in (0, 1)}) == 8


@pytest.mark.parametrize("template", ["{count:d}", "{categories:,}", "{count:{width}}"])
def test_a_format_that_text_cannot_have_is_refused_before_a_picture_is_made(template):
    with pytest.raises(ValueError, match=r"is not a format for text; write \{c"):
        PromptOptions(template=template)


def test_a_format_that_text_can_have_is_let_be():
    sample, instances = _labelled({"bowl": 30})
    prompt = write_prompt(
        PromptOptions(template="{count:>3}|{categories:.2}"), sample, instances, 1
    )
    assert prompt.text == "  1|bo"
