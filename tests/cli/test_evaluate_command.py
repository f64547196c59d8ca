"""`sv2r evaluate`: renders, what became of them, and photographs in one table."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import sv2r as package
from sv2r.evaluation.features import find_features
from tests.toys.datasets import make_coco

NAMES = tuple(f"{number:02}.png" for number in range(10))


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("data")
    make_coco(root / "renders", NAMES)
    random = np.random.default_rng(0)
    (root / "photos/deep").mkdir(parents=True)
    for number in range(18):
        pixels = random.integers(0, 90, (70, 90, 3), np.uint8) + np.uint8(100)
        Image.fromarray(pixels).save(root / f"photos/deep/{number}.jpg")
    grade = {"name": "grade", "reference": str(root / "photos")}
    config = {"input": str(root / "renders"), "output": str(root / "real"), "translator": grade}
    package.convert({**config, "damage": ["keep"]})
    return root


def asked(data: Path, *more: object) -> list[object]:
    folders = ["--source", data / "renders", "--translated", data / "real"]
    return ["evaluate", *folders, "--photos", data / "photos", "--size", 64, *more]


def test_the_table_and_the_page_have_a_column_for_each_set(sv2r, data, tmp_path):
    code, out, error = sv2r(*asked(data, "--html", tmp_path / "page.html"))
    assert code == 0, error
    lines = out.splitlines()
    assert lines[0].split() == ["renders", "real", "photos"]
    assert lines[1].split() == ["pictures", "10", "10", "9"]
    assert any(line.startswith("kernel distance") for line in lines)
    assert any(
        re.match(r"real: \w+: survival 0\.\d\d on average, \d+ inst", line) for line in lines
    )
    assert "compared with 9 other photographs, by efficientnet-lite0, at 64 px" in out
    page = (tmp_path / "page.html").read_text()
    assert page.count("data:image/jpeg") == 3 * 8
    assert "<script" not in page


def test_json_says_what_compared_and_the_gap_that_is_closed(sv2r, data):
    code, out, _ = sv2r(*asked(data, "--json", "--seed", 3))
    assert code == 0
    found = json.loads(out)
    assert (found["features"], found["side"], found["seed"]) == ("efficientnet-lite0", 64, 3)
    renders, real, photos = found["sets"]
    assert [one["pictures"] for one in found["sets"]] == [10, 10, 9]
    # A grade takes on the photographs' colours.
    colours = [one["figures"]["colour"]["value"] for one in found["sets"]]
    assert colours[1] < 0.5 * colours[0]
    closed = (colours[0] - colours[1]) / (colours[0] - colours[2])
    assert real["figures"]["colour"]["closed"] == pytest.approx(closed)
    assert renders["figures"]["colour"]["closed"] is None
    assert {kept["check"] for kept in real["kept"]} == {"survival"}
    assert renders["kept"] == photos["kept"] == []
    assert set(real["least_real"]) <= {str(data / "real" / name) for name in NAMES}
    again = json.loads(sv2r(*asked(data, "--json", "--seed", 3))[1])
    assert again == found


def test_a_vision_model_of_ones_own_describes(sv2r, data, tmp_path):
    import torch
    from transformers import ViTConfig, ViTImageProcessor, ViTModel

    torch.manual_seed(0)
    small = {"hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1}
    config = ViTConfig(**small, num_attention_heads=2, image_size=32, patch_size=8)
    ViTModel(config).save_pretrained(tmp_path / "vit")
    ViTImageProcessor(size={"height": 32, "width": 32}).save_pretrained(tmp_path / "vit")
    code, out, error = sv2r(*asked(data, "--json", "--features", tmp_path / "vit"))
    assert code == 0, error
    assert json.loads(out)["features"] == str(tmp_path / "vit")


def test_a_model_without_a_pooler_is_averaged_over_its_tokens(tmp_path):
    import torch
    from transformers import ViTImageProcessor, ViTMSNConfig, ViTMSNModel

    torch.manual_seed(0)
    small = {"hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1}
    config = ViTMSNConfig(**small, num_attention_heads=2, image_size=32, patch_size=8)
    model = ViTMSNModel(config).eval()
    model.save_pretrained(tmp_path / "msn")
    same = {"image_mean": [0, 0, 0], "image_std": [1, 1, 1]}
    ViTImageProcessor(size={"height": 32, "width": 32}, **same).save_pretrained(tmp_path / "msn")
    pictures = [torch.randint(256, (3, 32, 32)) / 255 for _ in range(3)]
    with torch.no_grad():
        tokens = model(torch.stack(pictures)).last_hidden_state
    assert tokens.shape == (3, 17, 16)
    found = find_features(str(tmp_path / "msn")).of(pictures)
    torch.testing.assert_close(found, tokens.mean(1).double(), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"--photos": "few"}, "few: 3 photographs; 16 at least are needed, one half of them to"),
        ({"--photos": "nowhere"}, "nowhere: no such folder"),
        ({"--photos": "torn"}, "torn/3.jpg: "),
        ({"--source": "photos"}, "photos: no picture has a mask"),
        ({"--features": "no/such-model"}, "--features no/such-model: no vision model that can be"),
        ({"--translated": "renders=real"}, "there is a set called renders; give NAME=FOLDER"),
        ({"--device": "cuda:7"}, "--device cuda:7: not on this machine"),
    ],
)
def test_what_cannot_be_compared_is_one_line(sv2r, data, tmp_path, change, says):
    for folder, count in (("few", 3), ("torn", 18)):
        (tmp_path / folder).mkdir()
        for number in range(count):
            picture = (data / f"photos/deep/{number}.jpg").read_bytes()
            torn = folder == "torn" and number == 3
            (tmp_path / folder / f"{number}.jpg").write_bytes(picture[:300] if torn else picture)
    given = {"--source": "renders", "--translated": "real", "--photos": "photos", "--size": "64"}
    words = []
    for name, value in (given | change).items():
        known = next((root / value for root in (data, tmp_path) if (root / value).exists()), value)
        if name == "--translated" and "=" in value:
            known = f"renders={data / 'real'}"
        words += [name, known]
    code, out, error = sv2r("evaluate", *words)
    assert (code, out, error.count("\n")) == (2, "", 1), error
    assert says in error
