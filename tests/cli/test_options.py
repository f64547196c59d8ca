"""Options of plugins as click reads them."""

from __future__ import annotations

import json
import re

import pytest
from click.shell_completion import ShellComplete

from sv2r.cli.main import cli
from sv2r.cli.progress import brief
from sv2r.config.selection import select

SHOW = ("config", "show", "--no-origins")


def shown(sv2r, *words):
    code, out, error = sv2r(*SHOW, *words)
    assert (code, error) == (0, "")
    return out


@pytest.mark.parametrize(
    ("words", "error"),
    [
        (["--seed", 1, "--seed", 2], "--seed is given twice; leave one out"),
        (
            ["--translator.strength", 0.4, "--translator.strength=0.5"],
            "--translator.strength is given twice; leave one out",
        ),
        (["--preset", "default", "--preset", "default"], "--preset is given twice; leave one out"),
        (
            ["--on-damage", "keep", "--damage.steps", "undo"],
            "--on-damage and --damage.steps are one option; leave one out",
        ),
        (["--prompt", "a", "--prompt", "b"], "--prompt is given twice; leave one out"),
        (
            ["--translator", "sdedit", "--translator.strenth", 0.4],
            "no option --translator.strenth; did you mean --translator.strength? (sv2r plugins",
        ),
        (
            ["--conditioner.canny.sigma", 2],
            "--conditioner.canny.sigma: add --conditioner canny to use it",
        ),
        (["--sed", 3], "no option --sed; did you mean --seed?"),
        (["--translator.a.b", 3], "no option --translator.a.b; options of a component are"),
        (["--prompt.negativ", "x"], "no option --prompt.negativ; did you mean --prompt.negative?"),
        (["--translator.strength"], "--translator.strength needs a value; --help says which"),
        (["--batch-size"], "--batch-size needs a value; --help says which"),
        (["--help=x"], "--help takes no value; leave it out"),
        (
            ["--loader.only-named"],
            "--loader.only-named needs --input, or --loader NAME, to mean something",
        ),
        (
            ["--translator", "sdedit", "--strength", 0.4, "--translator.strength", 0.5],
            "--translator.strength is given twice; leave one out",
        ),
        (
            ["--translator", "sdedit", "--strenth", 1],
            "no option --strenth; did you mean --strength?",
        ),
        (
            ["--translator", "sdedit", "--conditioner", "depth", "--model", "m"],
            "--model may be --translator.model or --conditioner.depth.model; give one of these",
        ),
        (
            ["--translator", "grade", "--guidance-scale", 2],
            "--guidance-scale is an option of the translators checkpoint, controlnet, sdedit; choo",
        ),
        (
            ["--low_threshold", 2],
            "--low_threshold is an option of the conditioner canny: add --con",
        ),
    ],
)
def test_a_wrong_option_is_one_line(sv2r, words, error):
    code, out, told = sv2r("config", "show", *words)
    assert (code, out, told.count("\n")) == (2, "", 1)
    assert told.startswith(f"Error: {error}")


@pytest.mark.parametrize(
    ("typed", "path"),
    [("--strength", "strength"), ("--guidance-scale", "guidance_scale"), ("--steps", "steps")],
)
def test_the_last_word_of_a_plugins_option_is_enough(sv2r, typed, path):
    words = ["--translator", "sdedit", "--translator.model", "m"]
    short, full = shown(sv2r, *words, typed, 1), shown(sv2r, *words, f"--translator.{path}", 1)
    assert short == full
    assert f"{path}: 1" in short


def test_convert_alone_says_in_three_lines_what_it_needs(sv2r):
    code, out, told = sv2r("convert")
    assert (code, out) == (2, "")
    assert told == (
        "sv2r convert needs a labelled dataset, a new folder and a model:\n"
        "  sv2r convert --input RENDERS --output REAL --translator sdedit --model MODEL\n"
        "sv2r convert --help lists all options; sv2r demo shows it without anything of yours.\n"
    )


def test_a_command_without_its_arguments_shows_its_help(sv2r):
    code, _, error = sv2r("verify")
    assert (code, error.splitlines()[0]) == (2, "Usage: sv2r verify [OPTIONS] OUTPUT")


def test_only_takes_a_list_of_ids_from_a_file(sv2r, tmp_path):
    (tmp_path / "ids.txt").write_text("b.png\n\nodd [1].png\n")
    out = shown(sv2r, "--only", f"@{tmp_path}/ids.txt", "--only", "train/*")
    assert "only:\n- b.png\n- odd [[]1].png\n- train/*\n" in out
    code, _, error = sv2r("config", "show", "--only", f"@{tmp_path}/gone.txt")
    assert (code, error.count("\n")) == (2, 1)
    assert f"--only: @{tmp_path}/gone.txt: no such file or directory" in error


def test_a_selection_takes_names_and_patterns():
    ids = ["a.png", "odd [1].png", "train/b.png", "val/c.png"]
    assert [id_ for _, id_ in select(ids, ["odd [[]1].png", "train/*", "a.png"])] == ids[:3]


def test_auto_beside_a_device_is_refused_and_told_what_it_means(sv2r, renders, tmp_path):
    folders = ["--input", renders, "--output", tmp_path / "out", "--translator", "grade"]
    words = [*folders, "--translator.reference", renders, "--device", "auto,cpu"]
    told = "Error: --device: auto chooses by itself; say auto alone, or name all devices\n"
    code, out, error = sv2r("convert", *words)
    assert (code, out, error.splitlines(keepends=True)[-1]) == (2, "", told)


@pytest.mark.parametrize(
    ("rate", "text"), [(9123.4, "9,123"), (100, "100"), (12.345, "12.3"), (0.0123, "0.0123")]
)
def test_a_rate_has_no_exponent(rate, text):
    assert brief(rate) == text


def test_options_that_add_up_may_be_given_several_times(sv2r):
    assert "- undo\n  - keep" in shown(sv2r, "--on-damage", "undo", "--on-damage", "keep")


def test_hyphens_and_underscores_in_names_are_one(sv2r):
    one = shown(sv2r, "--batch_size", 4, "--translator.guidance_scale", 3)
    other = shown(sv2r, "--batch-size", 4, "--translator.guidance-scale", 3)
    assert one == other
    assert "batch_size: 4\n" in one


@pytest.mark.parametrize(
    ("words", "value"),
    [
        (["--translator.compile"], "true"),
        (["--translator.compile", "--seed", 1], "true"),
        (["--translator.compile", "false"], "false"),
        (["--translator.compile=no"], "false"),
    ],
)
def test_a_switch_takes_a_value_where_there_is_one(sv2r, words, value):
    assert f"compile: {value}\n" in shown(sv2r, "--preset", "default", *words)


@pytest.mark.parametrize("words", [["--seed", 1, "--allow-unlabelled"], ["--allow_unlabelled"]])
def test_a_switch_of_the_job_may_stand_last(sv2r, words):
    assert "allow_unlabelled: true\n" in shown(sv2r, "--preset", "default", *words)


@pytest.mark.parametrize("named", [["--loader", "folder"], []])
def test_a_switch_leaves_the_argument_behind_it(sv2r, folder_of_masks, named):
    words = ("--loader.categories", "7=car", "--loader.only_named", folder_of_masks, "--json")
    _, out, error = sv2r("lint", *named, *words)
    assert error == ""
    found = json.loads(out)
    assert (found["loader"], found["categories"][0]["name"]) == ("folder", "car")


@pytest.fixture
def folder_of_masks(tmp_path):
    import numpy as np
    from PIL import Image

    for name, values in (("images", 200), ("masks", 7)):
        (tmp_path / "data" / name).mkdir(parents=True)
        pixels = np.zeros((32, 40), np.uint8)
        pixels[8:20, 8:20] = values
        pixels[24:30, 24:30] = values + 1
        Image.fromarray(pixels).save(tmp_path / "data" / name / "a.png")
    return tmp_path / "data"


def completed(*words):
    complete = ShellComplete(cli, {}, "sv2r", "_SV2R_COMPLETE")
    *before, last = words
    return [item.value for item in complete.get_completions(list(before), last)]


def test_a_shell_completes_commands_options_of_chosen_plugins_and_their_words():
    assert completed("con") == ["config", "convert"]
    assert completed("convert", "--translator", "sdedit", "--translator.str") == [
        "--translator.strength"
    ]
    assert completed("convert", "--translator", "sdedit", "--translator.fit", "") == [
        "native",
        "scale",
        "tile",
    ]
    assert completed("convert", "--translator", "gone", "--see") == ["--seed"]


def test_help_shows_the_defaults_that_will_apply(sv2r, tmp_path, monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")

    def shown(*words: object) -> dict[str, str]:
        """Return the default of each option by its name."""
        _, out, _ = sv2r("convert", *words, "--help")
        text = re.sub(r"\s+", " ", out)
        parts = re.split(r" (--[a-z._-]+)(?:, --[a-z-]+)? (?=[A-Zua])", text)
        found = {}
        for name, told in zip(parts[1::2], parts[2::2], strict=True):
            if match := re.search(r"\[(?:[^\[]*; )?default: ([^];]*)", told):
                found[name] = match[1]
        return found

    plain = shown()
    assert plain["--translator"] == "sdedit"
    assert plain["--prompt"] == "a photo of {categories}, natural light, 35 mm photograph"
    assert plain["--check"] == "sanity, shift, survival, invention, background"
    assert plain["--seed"] == "0"
    assert shown("--translator", "sdedit")["--translator.strength"] == "0.4"
    assert shown("--preset", "bridge")["--translator.strength"] == "1.0"
    file = tmp_path / "mine.yaml"
    file.write_text("seed: 7\ntranslator: {name: sdedit, strength: 0.9}\nchecks: [shift]\n")
    own = shown("--config", file)
    assert (own["--seed"], own["--translator.strength"], own["--check"]) == ("7", "0.9", "shift")
    assert shown()["--seed"] == "0"
