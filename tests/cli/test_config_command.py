"""`sv2r config`: presets, what a config comes to and why, and the schema that editors use."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from sv2r.storage.strict_yaml import read_yaml

PRESETS = Path(__file__).parents[2] / "configs"


def test_list_names_each_preset_with_what_it_is_for(sv2r):
    code, out, error = sv2r("config", "list")
    assert (code, error) == (0, "")
    lines = dict(line.split(maxsplit=1) for line in out.splitlines())
    assert {path.stem for path in PRESETS.glob("*.yaml")} <= lines.keys()
    assert lines["default"].startswith("Where to start: image-to-image")
    assert sv2r("config") == (code, out, error)


def test_show_says_where_each_value_came_from(sv2r, tmp_path):
    file = tmp_path / "mine.yaml"
    file.write_text("extends: controlnet-canny\nseed: 7\ntranslator: {steps: 12}\n")
    given = ["--config", file, "--translator.strength", 0.3, "--conditioner.canny.sigma", 2]
    code, out, error = sv2r("config", "show", *given)
    assert (code, error) == (0, "")
    lines = [line.rsplit(" # ", 1) for line in out.splitlines() if " # " in line]
    told = {values.strip(): origin for values, origin in lines}
    assert told["seed: 7"] == str(file)
    assert told["translator.steps: 12"] == str(file)
    assert told["translator.strength: 0.3"] == "command line"
    assert told["conditioners.canny.sigma: 2.0"] == "command line"
    assert told["conditioners.canny.low_threshold: 0.1"] == "preset controlnet-canny"
    assert told["translator.fit: native"] == "default"
    assert not [line for line in told if line.startswith(("input", "output", "loader"))]


def test_show_without_origins_is_a_config(sv2r, tmp_path):
    code, out, _ = sv2r("config", "show", "--preset", "controlnet-instance", "--no-origins")
    assert code == 0
    again = tmp_path / "again.yaml"
    again.write_text(out)
    assert sv2r("config", "show", "--config", again, "--no-origins") == (0, out, "")
    assert read_yaml(out, "out")["conditioners"].keys() == {"canny", "depth", "instance-boundary"}


def test_copy_keeps_every_byte_and_never_overwrites(sv2r, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    code, out, _ = sv2r("config", "copy", "default")
    assert (code, out) == (0, "default.yaml  (use it: sv2r convert --config default.yaml)\n")
    assert Path("default.yaml").read_bytes() == (PRESETS / "default.yaml").read_bytes()
    assert sv2r("config", "copy", "sdxl-controlnet", "default.yaml") == (
        2,
        "",
        "Error: default.yaml: already exists; give another FILE\n",
    )
    assert Path("default.yaml").read_bytes() == (PRESETS / "default.yaml").read_bytes()
    code, _, error = sv2r("config", "copy", "sdxl-controlnot")
    assert (code, "did you mean sdxl-controlnet?" in error) == (2, True)


@pytest.fixture(scope="module")
def schema() -> dict[str, Any]:
    from sv2r.config.schema import job_schema
    from sv2r.plugin.registry import load_registry

    return job_schema(load_registry())


def test_schema_is_what_the_command_prints(sv2r, schema):
    code, out, error = sv2r("config", "schema")
    assert (code, error) == (0, "")
    assert json.loads(out) == json.loads(json.dumps(schema))


@pytest.mark.parametrize("preset", sorted(PRESETS.glob("*.yaml")), ids=lambda path: path.stem)
def test_the_schema_takes_every_preset(schema, preset):
    assert objection(read_yaml(preset.read_text(), preset.name), schema) == ""


@pytest.mark.parametrize(
    "text",
    [
        "{extends: default, translator: {model: models/sd15}}",
        "{translator: sdedit, prompt: a street, checks: [sanity], damage: [undo, reject]}",
        "{conditioners: {canny: {sigma: 1.5}}, device: [cpu, cpu], batch_size: auto}",
    ],
)
def test_the_schema_takes_the_short_forms(schema, text):
    assert objection(yaml.safe_load(text), schema) == ""


@pytest.mark.parametrize(
    ("text", "where"),
    [
        ("{sed: 1}", "sed"),
        ("{seed: -1}", "seed"),
        ("{seed: much}", "seed"),
        ("{translator: {name: sdedit, strenth: 0.4}}", "translator"),
        ("{translator: {name: sdedit, strength: 1.5}}", "translator"),
        ("{translator: sdedid}", "translator"),
        ("{conditioners: {cany: {}}}", "conditioners"),
    ],
)
def test_the_schema_refuses_what_a_job_would(schema, text, where):
    assert objection(yaml.safe_load(text), schema).startswith(where)


def test_what_a_run_wrote_fits_the_schema(sv2r, schema):
    out = sv2r("config", "show", "--preset", "sdedit-photoreal", "--no-origins")[1]
    assert objection(read_yaml(out, "out"), schema) == ""


_TYPES = {
    "string": str,
    "array": list,
    "object": dict,
    "boolean": bool,
    "null": type(None),
    "integer": int,
    "number": (int, float),
}
_BOUNDS = {
    "minimum": lambda value, bound: value >= bound,
    "maximum": lambda value, bound: value <= bound,
    "exclusiveMinimum": lambda value, bound: value > bound,
    "exclusiveMaximum": lambda value, bound: value < bound,
    "minItems": lambda value, bound: len(value) >= bound,
    "maxItems": lambda value, bound: len(value) <= bound,
    "minLength": lambda value, bound: len(value) >= bound,
}
_WORDS = {"$schema", "title", "description", "default", "format"}


def objection(value: Any, schema: dict[str, Any], at: str = "") -> str:
    """Return where a value first breaks a JSON schema, by those of its keywords that occur here."""
    # The type first: the others speak of values of that type alone.
    for keyword, said in sorted(schema.items(), key=lambda item: item[0] != "type"):
        if keyword == "anyOf":
            broken = all(objection(value, one, at) for one in said)
        elif keyword in ("enum", "const"):
            broken = value not in (said if keyword == "enum" else [said])
        elif keyword == "type":
            fits = isinstance(value, _TYPES[said])
            broken = not fits or (isinstance(value, bool) and said != "boolean")
        elif keyword == "required":
            broken = not set(said) <= value.keys()
        elif keyword in _BOUNDS:
            broken = not _BOUNDS[keyword](value, said)
        elif keyword in ("properties", "additionalProperties", "items", "prefixItems"):
            continue
        else:
            assert keyword in _WORDS, keyword
            continue
        if broken:
            return f"{at or 'the whole'} breaks {keyword}"
    return next(filter(None, _inner(value, schema, at)), "")


def _inner(value: Any, schema: dict[str, Any], at: str):
    if isinstance(value, dict):
        known = schema.get("properties", {})
        for key, inside in value.items():
            more = known.get(key, schema.get("additionalProperties", True))
            name = f"{at}.{key}".strip(".")
            yield (
                f"{name} is not known"
                if more is False
                else (objection(inside, more, name) if isinstance(more, dict) else "")
            )
    if isinstance(value, list):
        first = schema.get("prefixItems", [])
        for number, inside in enumerate(value):
            one = first[number] if number < len(first) else schema.get("items", {})
            yield objection(inside, one, f"{at}.{number}")
