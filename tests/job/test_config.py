"""Layers of config and what is refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from sv2r.config.layers import Layer, merge, read_layers
from sv2r.config.resolve import TypedOption, difference, resolve
from sv2r.errors import ConfigError
from sv2r.storage.strict_yaml import read_yaml, write_yaml


def _base(**values):
    return {"input": "in", "output": "out", "loader": "coco", "translator": "sdedit", **values}


def _resolve(registry, *layers, texts=()):
    named = [Layer(f"layer {i}", values) for i, values in enumerate(layers)]
    return resolve(registry, named, texts)


def test_a_higher_layer_wins_and_its_name_is_kept(registry):
    config = _resolve(
        registry,
        _base(seed=1, translator={"name": "sdedit", "strength": 0.2, "steps": 10}),
        {"translator": {"strength": 0.3}},
        texts=[TypedOption(("translator", "steps"), ("20",))],
    )
    options = config.translator.options
    assert (options.strength, options.steps, config.job.seed) == (0.3, 20, 1)
    assert config.origins["translator.strength"] == "layer 1"
    assert config.origins["translator.steps"] == "command line"
    assert config.origins["seed"] == "layer 0"
    assert "translator.scheduler" not in config.origins


def test_another_component_does_not_inherit_the_options_of_the_one_it_replaces():
    merged, _ = merge(
        [
            Layer("low", {"translator": {"name": "sdedit", "strength": 0.2}}),
            Layer("high", {"translator": "controlnet"}),
        ]
    )
    assert merged["translator"] == {"name": "controlnet"}


def test_the_highest_layer_that_names_conditioners_chooses_and_options_are_inherited():
    merged, _ = merge(
        [
            Layer("low", {"conditioners": {"canny": {"low_threshold": 0.05}, "depth": {}}}),
            Layer("high", {"conditioners": ["canny", "instance-boundary"]}),
        ]
    )
    assert merged["conditioners"] == {"canny": {"low_threshold": 0.05}, "instance-boundary": {}}


def test_mappings_of_the_command_line_add_to_those_below(registry):
    config = _resolve(
        registry,
        _base(translator={"name": "controlnet", "controlnet": {"canny": "a", "depth": "b"}}),
        texts=[TypedOption(("translator", "controlnet"), ("canny=c",))],
    )
    assert dict(config.translator.options.controlnet) == {"canny": "c", "depth": "b"}


def test_a_config_is_the_same_after_a_trip_through_yaml(registry):
    config = _resolve(
        registry,
        _base(prompt="a {light} photo", conditioners=["canny"]),
        {"prompt": {"vary": {"light": ["dawn", "dusk"]}}},
    )
    again = _resolve(registry, read_yaml(write_yaml(config.as_data()), "run.yaml"))
    assert again == config
    assert again.identity() == config.identity()


def test_one_device_and_one_pattern_need_no_brackets(registry):
    job = _resolve(registry, _base(device="cuda:0", only="train/*")).job
    assert (job.device, job.only) == (("cuda:0",), ("train/*",))


@pytest.mark.parametrize(
    ("values", "line"),
    [
        ({"sed": 1}, "layer 0: no key 'sed'; did you mean seed?"),
        ({"seed": "many"}, "layer 0: --seed must be a whole number, not 'many'"),
        (
            {"batch_size": 0},
            "layer 0: --batch-size must be a number from 1 to 4096, or auto, not '0'",
        ),
        ({"translator": "controlnets"}, "no translator 'controlnets'; did you mean controlnet?"),
        (
            {"translator": {"name": "sdedit", "strenth": 0.4}},
            "no option --translator.strenth; did you mean --translator.strength?",
        ),
        (
            {"translator": {"name": "sdedit", "strength": "a lot"}},
            "--translator.strength must be a number",
        ),
        (
            {"translator": {"name": "sdedit", "strength": 2}},
            "--translator.strength must be at most 1, not 2",
        ),
        (
            {"damage": "undo,again"},
            "--damage.steps must be some of undo, retry, redo, restore, reject, keep, not 'again'",
        ),
        (
            {"prompt": "a {"},
            "single '{' encountered in format string; write {{ or }} for a brace",
        ),
        ({"conditioners": 3}, "layer 0: conditioners needs a list of names"),
        ({"prompt": {"vary": {"light": []}}}, "prompt.vary: 'light' needs a plain name"),
    ],
)
def test_what_is_wrong_is_one_line(registry, values, line):
    with pytest.raises(ConfigError) as caught:
        _resolve(registry, _base(**values))
    assert line in str(caught.value)
    assert "\n" not in str(caught.value)


def test_numbers_in_every_notation_reach_the_options(registry):
    data = read_yaml("translator: {name: sdedit, strength: 5e-1}", "x")
    config = _resolve(registry, _base(), data)
    assert config.translator.options.strength == 0.5


def test_an_option_of_a_conditioner_that_is_not_used_says_how_to_use_it(registry):
    text = TypedOption(("conditioner", "canny", "low_threshold"), ("0.1",))
    with pytest.raises(ConfigError, match="add --conditioner canny to use it"):
        _resolve(registry, _base(), texts=[text])


def test_no_translator_lists_those_there_are(registry):
    with pytest.raises(ConfigError, match=r"no translator chosen; give --translator with one of"):
        _resolve(registry, {"input": "in", "output": "out", "loader": "coco"})


def test_files_extend_presets_and_files_beside_them(registry, tmp_path: Path):
    (tmp_path / "base.yaml").write_text("extends: default\nseed: 3\n")
    (tmp_path / "mine.yaml").write_text("extends: base.yaml\nseed: 4\n")
    layers = read_layers(registry, files=[tmp_path / "mine.yaml"])
    names = [Path(layer.name).name for layer in layers]
    assert names == ["preset default", "base.yaml", "mine.yaml"]
    assert merge(layers)[0]["seed"] == 4


def test_a_file_that_extends_itself_is_refused(registry, tmp_path: Path):
    (tmp_path / "a.yaml").write_text("extends: b.yaml\n")
    (tmp_path / "b.yaml").write_text("extends: a.yaml\n")
    with pytest.raises(ConfigError, match="extends itself"):
        read_layers(registry, files=[tmp_path / "a.yaml"])


def test_every_preset_resolves(registry):
    for name in registry.presets:
        layers = read_layers(registry, preset=name)
        config = resolve(
            registry, [Layer("x", {k: _base()[k] for k in ("input", "output", "loader")}), *layers]
        )
        assert config.origins["translator.strength"].startswith("preset")


def test_what_stands_on_the_command_line_is_told_without_a_file(registry):
    with pytest.raises(ConfigError) as caught:
        _resolve(registry, _base(), texts=[TypedOption(("translator", "steps"), ("many",))])
    assert str(caught.value) == "--translator.steps must be a whole number, not 'many'"


def test_a_missing_folder_is_told_by_its_option(registry):
    with pytest.raises(ConfigError) as caught:
        _resolve(registry, {"input": "in", "translator": "sdedit"})
    told = "--output is missing: the folder to write to, or its URL; not inside the input"
    assert str(caught.value) == told


def test_a_checkpoint_that_is_here_stands_in_the_config_with_its_whole_path(
    registry, tmp_path, monkeypatch
):
    (tmp_path / "sd15").mkdir()
    monkeypatch.chdir(tmp_path)
    for model, whole in (("sd15", str(tmp_path / "sd15")), ("owner/sd15", "owner/sd15")):
        config = _resolve(registry, _base(translator={"name": "sdedit", "model": model}))
        assert config.as_data()["translator"]["model"] == whole


def test_another_component_is_told_before_its_options():
    before = {"conditioners.canny.sigma": 1.0, "seed": 0, "translator.name": "controlnet"}
    assert difference(before, {"seed": 1, "translator.name": "sdedit"}) == (
        "translator.name was 'controlnet', now 'sdedit'; "
        "conditioners.canny.sigma was 1.0, now not set; seed was 0, now 1"
    )
