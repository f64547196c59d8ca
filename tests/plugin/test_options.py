from __future__ import annotations

import math
from pathlib import Path
from typing import Annotated, Any, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import Field, ValidationError, field_validator

from sv2r.errors import ConfigError
from sv2r.plugin.options import OptionField, Options, option_fields, read_texts, validate_options


@pytest.mark.parametrize(
    ("texts", "value"),
    [
        (["runs/lr=0.1/lora"], ["runs/lr=0.1/lora"]),
        (["runs/lr=0.1/lora=0.5"], {"runs/lr=0.1/lora": "0.5"}),
        (["a=0.5", "b=c=1"], {"a": "0.5", "b=c": "1"}),
        (["a=much"], {"a": "much"}),
        (["a"], ["a"]),
    ],
)
def test_a_key_that_has_an_equals_sign_in_it_is_not_cut_there(texts: list[str], value: Any) -> None:
    assert read_texts(Full, "lora", texts, where="--translator") == value


class Net(Options):
    scale: float = Field(1.0, ge=0, le=2, description="How much it steers.")


class Full(Options):
    model: str = Field(description="A hub id or a folder.")
    strength: float = Field(0.5, gt=0, le=1, description="How far to go.")
    steps: int = Field(20, ge=1, description="Denoising steps.")
    batch: Annotated[int, Field(ge=1)] | Literal["auto"] = Field("auto", description="Pictures.")
    fit: Literal["native", "scale"] = Field("native", description="How sizes are met.")
    compile: bool = Field(False, description="Compile the model.")
    lora: dict[str, Annotated[float, Field(ge=0)]] = Field({}, description="Weights by file.")
    mean: tuple[float, float, float] | None = Field(None, description="L, a, b.")
    words: tuple[str, ...] = Field((), max_length=2, description="Words.")
    nets: dict[str, Net] = Field({}, description="Nets by name.")
    folder: Path | None = Field(None, description="Where.")

    @field_validator("model")
    @classmethod
    def _no_pickle(cls, value: str) -> str:
        if value.endswith(".ckpt"):
            raise ValueError("a .ckpt file can hold code; give a .safetensors file")
        return value


def _refusal(values: dict[str, Any], where: str = "--translator") -> str:
    with pytest.raises(ConfigError) as caught:
        validate_options(Full, values, where=where, listing="sv2r plugins show full")
    return str(caught.value)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"strength": -1}, "--translator.strength must be greater than 0, not -1"),
        ({"strength": 1.5}, "--translator.strength must be at most 1, not 1.5"),
        ({"strength": "much"}, "--translator.strength must be a number, not 'much'"),
        ({"strength": True}, "--translator.strength must be a number, not true"),
        ({"strength": math.nan}, "--translator.strength must be a finite number, not nan"),
        ({"strength": None}, "--translator.strength must be a number, not None"),
        ({"steps": 0}, "--translator.steps must be at least 1, not 0"),
        ({"steps": "1.5"}, "--translator.steps must be a whole number, not '1.5'"),
        ({"steps": False}, "--translator.steps must be a whole number, not false"),
        ({"batch": 0}, "--translator.batch must be at least 1, not 0"),
        ({"batch": "some"}, "--translator.batch must be int or auto, not 'some'"),
        ({"fit": "tiled"}, "--translator.fit must be 'native' or 'scale', not 'tiled'"),
        ({"compile": "maybe"}, "--translator.compile must be true or false, not 'maybe'"),
        ({"model": 3}, "--translator.model must be text, not 3"),
        (
            {"model": "sd.ckpt"},
            "--translator.model: a .ckpt file can hold code; give a .safetensors file",
        ),
        ({"lora": "x"}, "--translator.lora must be names with values (name=value), not 'x'"),
        ({"lora": {"a": -1}}, "--translator.lora.a must be at least 0, not -1"),
        ({"mean": [1, 2]}, "--translator.mean.2 is missing"),
        ({"mean": [1, 2, "b"]}, "--translator.mean.2 must be a number, not 'b'"),
        ({"words": "ab"}, "--translator.words must be a list, not 'ab'"),
        ({"words": ["a", "b", "c"]}, "--translator.words must have at most 2 items, not 3"),
        ({"nets": {"a": {"scale": 3}}}, "--translator.nets.a.scale must be at most 2, not 3"),
        ({"folder": 3}, "--translator.folder must be a path, not 3"),
    ],
)
def test_a_wrong_value_is_told_in_one_line(values: dict[str, Any], message: str) -> None:
    assert _refusal({"model": "sd15", **values}) == message


def test_an_unknown_option_is_told_with_the_nearest_one() -> None:
    assert _refusal({"model": "sd15", "strenth": 0.4}) == (
        "no option --translator.strenth; did you mean --translator.strength? "
        "(sv2r plugins show full lists all)"
    )


def test_an_unknown_option_inside_of_another_is_told_with_its_whole_name() -> None:
    assert _refusal({"model": "sd15", "nets": {"canny": {"scle": 1}}}).startswith(
        "no option --translator.nets.canny.scle; did you mean --translator.nets.canny.scale?"
    )


def test_an_unknown_option_that_is_like_none_is_told_where_all_are_listed() -> None:
    assert _refusal({"model": "sd15", "qqq": 1}) == (
        "no option --translator.qqq (sv2r plugins show full lists all)"
    )


def test_a_misspelt_required_option_is_called_misspelt_not_missing() -> None:
    assert "did you mean --translator.model?" in _refusal({"modle": "sd15"})


def test_a_missing_option_is_told_with_what_it_is() -> None:
    assert _refusal({}) == "--translator.model is missing: a hub id or a folder"


def test_a_yaml_key_is_named_without_dashes() -> None:
    assert _refusal({"model": "m", "steps": 0}, where="") == "steps must be at least 1, not 0"


@given(st.floats() | st.integers() | st.text() | st.none() | st.booleans() | st.lists(st.none()))
def test_any_value_is_taken_within_bounds_or_refused_in_one_line(value: Any) -> None:
    try:
        options = validate_options(Full, {"model": "m", "strength": value}, where="translator")
    except ConfigError as error:
        message = str(error)
        assert message.startswith("translator.strength must be ")
        assert "\n" not in message
    else:
        assert 0 < options.strength <= 1


def test_options_cannot_be_changed_afterwards() -> None:
    options = Full(model="m")
    with pytest.raises(ValidationError):
        options.steps = 3


def _field(name: str) -> OptionField:
    return {field.name: field for field in option_fields(Full)}[name]


@pytest.mark.parametrize(
    ("name", "type_", "default", "bounds"),
    [
        ("model", "text", "required", ""),
        ("strength", "number", "0.5", "0 < x <= 1"),
        ("steps", "int", "20", "1 <= x"),
        ("batch", "int | auto", "auto", "1 <= x"),
        ("fit", "native | scale", "native", ""),
        ("compile", "true | false", "false", ""),
        ("lora", "name=number", "", "0 <= x"),
        ("mean", "number", "", ""),
        ("folder", "path", "", ""),
    ],
)
def test_a_field_reads_as_a_user_would_say_it(
    name: str, type_: str, default: str, bounds: str
) -> None:
    field = _field(name)
    assert (field.type, field.default, field.bounds) == (type_, default, bounds)


def test_fields_say_how_often_they_may_be_given() -> None:
    repeatable = [field.name for field in option_fields(Full) if field.repeatable]
    assert repeatable == ["lora", "mean", "words", "nets"]
    assert [_field(name).mapping for name in repeatable] == [True, False, False, True]
    assert [_field(name).times for name in repeatable] == [0, 3, 0, 0]
    assert [_field(name).repetition for name in ("strength", "mean", "words")] == [
        *("", "give it 3 times", "may be repeated")
    ]
    assert [field.name for field in option_fields(Full) if field.boolean] == ["compile"]
    assert _field("strength").description == "How far to go."
