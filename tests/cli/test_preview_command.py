"""`sv2r preview`: a few pictures, a row for each setting."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from sv2r.loaders.coco.loader import sv2r_loaders
from sv2r.plugin.specs import Runtime
from sv2r.preview.choose import choose_samples
from sv2r.preview.settings import read_vary, settings_of
from tests.toys.datasets import make_coco

NAMES = tuple(f"{number:02}.png" for number in range(12))


@pytest.fixture
def renders(tmp_path: Path) -> Path:
    return make_coco(tmp_path / "renders", NAMES)


def dataset_of(root: Path):
    (spec,) = sv2r_loaders()
    return spec.build(spec.options(), Runtime())(root)


def asked(renders, tmp_path, toy_sd15):
    folders = ["--input", renders, "--output", tmp_path / "out", "--pictures", 3]
    return [*folders, "--translator", "sdedit", "--model", toy_sd15, "--steps", 4]


def test_each_setting_is_a_row_of_the_same_pictures(sv2r, renders, tmp_path, toy_sd15):
    words = [*asked(renders, tmp_path, toy_sd15), "--vary", "strength=0.5,1", "--vary", "seed=1,2"]
    code, out, error = sv2r("preview", *words)
    assert code == 0, error
    titles = [line.partition(":")[0] for line in out.splitlines()[:4]]
    assert titles == [f"strength {s} · seed {n}" for s in ("0.5", "1") for n in (1, 2)]
    made = sorted((tmp_path / "out/settings").iterdir())
    assert [folder.name for folder in made] == [
        *("strength-0.5_seed-1", "strength-0.5_seed-2", "strength-1_seed-1", "strength-1_seed-2")
    ]
    pictures = [sorted(p.name for p in folder.glob("images/*.png")) for folder in made]
    assert len(pictures[0]) == 3
    assert pictures == [pictures[0]] * 4
    settings = [json.loads(next((f / "sv2r/samples.jsonl").open()))["settings"] for f in made]
    assert [one["strength"] for one in settings] == [0.5, 0.5, 1.0, 1.0]
    pixels = [np.array(Image.open(folder / "images" / pictures[0][0])) for folder in made]
    assert len({one.tobytes() for one in pixels}) == 4

    page = (tmp_path / "out/preview.html").read_text()
    assert page.count("data:image/jpeg") == 3 + 4 * 3
    links = re.findall(r'<a href="([^"]+)"', page)
    assert len(links) == 12
    assert all((tmp_path / "out" / link).is_file() for link in links)
    with Image.open(tmp_path / "out/preview.png") as sheet:
        assert sheet.height > 5 * 224

    before = {path: path.stat().st_mtime_ns for path in tmp_path.glob("out/settings/*/images/*")}
    assert sv2r("preview", *words)[0] == 0
    assert {path: path.stat().st_mtime_ns for path in before} == before


def test_without_anything_varied_there_is_one_row(sv2r, renders, tmp_path, toy_sd15):
    code, out, _ = sv2r("preview", *asked(renders, tmp_path, toy_sd15))
    assert code == 0
    assert out.startswith("as asked: ")
    records = (tmp_path / "out/settings/as-asked/sv2r/samples.jsonl").read_text().splitlines()
    assert [json.loads(line)["status"] for line in records] == ["done"] * 3


@pytest.mark.parametrize(
    ("vary", "says"),
    [
        (["nope=1"], "--vary: no option --nope; --help lists all"),
        (["strenth=1"], "--vary: no option --strenth; did you mean --strength?"),
        (["strength"], "--vary strength: write OPTION=VALUE,VALUE"),
        (["strength=0.5,"], "--vary strength=0.5,: write OPTION=VALUE,VALUE"),
        (["strength=0.5,0.5"], "--vary strength=0.5,0.5: each option, and each of its values, o"),
        (["seed=1", "seed=2"], "--vary seed=2: each option, and each of its values, once"),
        (["strength=0.5,2"], "--translator.strength must be at most 1, not '2'"),
        (["scheduler=euler,nope"], "no scheduler 'nope'"),
        (["seed=1,x"], "--seed must be a whole number, not 'x'"),
        (["seed=" + ",".join(map(str, range(33)))], "--vary makes 33 settings; 32 at most"),
    ],
)
def test_what_cannot_be_varied_is_one_line_and_nothing_is_made(
    sv2r, renders, tmp_path, toy_sd15, vary, says
):
    words = [word for one in vary for word in ("--vary", one)]
    code, out, error = sv2r("preview", *asked(renders, tmp_path, toy_sd15), *words)
    assert (code, out, error.count("\n")) == (2, "", 1)
    assert error.startswith(f"Error: {says}")
    assert not (tmp_path / "out").exists()


def test_an_option_of_a_preset_s_translator_can_be_varied(sv2r, renders, tmp_path):
    words = ["--preset", "default", "--input", renders, "--output", tmp_path / "out"]
    code, _, error = sv2r("preview", *words, "--vary", "guidance-scale=x,y")
    assert code == 2
    assert error.startswith("Error: --translator.guidance_scale must be a number, not 'x'")


def test_values_with_commas_are_parted_by_bars():
    (one,) = read_vary(["prompt=a room, at night|a room, at noon"])
    assert [setting.title for setting in settings_of([one])] == [
        "prompt a room, at night",
        "prompt a room, at noon",
    ]
    # A comma more, or a word after the hundredth letter, is another setting with its own folder.
    long = "a very long prompt " * 8
    (one,) = read_vary([f"prompt=a room at night|a room, at night|{long}by day|{long}by night"])
    folders = [setting.folder for setting in settings_of([one])]
    assert len(set(folders)) == 4
    assert all(len(name) < 120 for name in folders)


def test_what_differs_is_chosen_first(renders):
    data = json.loads((renders / "annotations.json").read_text())
    data["categories"].append({"id": 99, "name": "rare"})
    data["annotations"][-1]["category_id"] = 99
    (renders / "annotations.json").write_text(json.dumps(data))
    dataset = dataset_of(renders)
    rare = [
        sample.id
        for sample in dataset.samples
        if any(i.category == "rare" for i in sample.load_instances().table.values())
    ]
    assert set(rare) <= set(choose_samples(dataset, 3))
    assert choose_samples(dataset, 99) == list(dataset.ids)
    assert choose_samples(dataset, 2, ["03.png"]) == ["03.png"]
    (renders / rare[0]).unlink()
    assert len(choose_samples(dataset, 4)) == 4
