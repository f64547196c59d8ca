"""`sv2r bench`: trainings of toy size, and what is said of sets that cannot be compared."""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from pycocotools import mask as rle

from sv2r.bench.precision import coco_figures
from sv2r.bench.sets import labelled_set, look_bits, shared_pictures, write_coco
from sv2r.plugin.specs import Training
from sv2r.trainers.command import read_detections
from tests.toys.datasets import add_pattern, make_coco

NAMES = tuple(f"{number}.png" for number in range(6))

# Finds each picture's labels, moved by as many pixels as a file beside the training says.
SCRIPT = """
import json, sys
from pathlib import Path
from pycocotools import mask as rle
import numpy as np
train, test, out, seed = Path(sys.argv[1]), Path(sys.argv[2]), Path(sys.argv[3]), int(sys.argv[4])
data = json.loads((test / "annotations.json").read_text())
learnt = json.loads((train / "annotations.json").read_text())
found = []
for one in data["annotations"]:
    mask = np.roll(rle.decode(one["segmentation"]), len(learnt["images"]) // 6 - 1, axis=1)
    encoded = rle.encode(np.asfortranarray(mask))
    encoded["counts"] = encoded["counts"].decode()
    found.append({"image_id": one["image_id"], "category_id": one["category_id"],
                  "score": 0.5 + 0.01 * seed, "segmentation": encoded})
print("seed", seed)
(out / "detections.json").write_text(json.dumps(found))
"""


@pytest.fixture
def place(tmp_path) -> Path:
    """Three datasets whose pictures differ, and a training script."""
    for number, name in enumerate(("real", "renders", "other")):
        make_coco(tmp_path / name, NAMES, seed=100 * number)
        add_pattern(tmp_path / name, number)  # what looks alike is refused
    (tmp_path / "train.py").write_text(SCRIPT)
    return tmp_path


def asked(place, *arms, trainer="command", output="out", seeds=2):
    words = ["bench", "--real", place / "real", "--output", place / output, "--seeds", seeds]
    for arm in arms or ("synthetic=renders", "mixed=renders+other"):
        name, _, sets = arm.partition("=")
        words += ["--arm", f"{name}=" + "+".join(str(place / part) for part in sets.split("+"))]
    words += ["--trainer", trainer, "--device", "cpu"]
    if trainer == "command":
        script = f"{sys.executable} {place / 'train.py'} {{train}} {{test}} {{out}} {{seed}}"
        words += ["--trainer.command", script]
    return words


def test_arms_are_compared_and_what_is_done_is_not_done_again(sv2r, place):
    code, out, error = sv2r(*asked(place), "--json")
    assert code == 0, error
    found = json.loads(out)
    assert [arm["name"] for arm in found["arms"]] == ["synthetic", "mixed"]
    assert [arm["pictures"] for arm in found["arms"]] == [6, 12]
    synthetic, mixed = found["arms"]
    # The script finds all of it, after a training on six pictures; after one on twelve, one pixel
    # beside it.
    assert synthetic["figures"]["mask AP"] == pytest.approx(1)
    assert 0.5 < mixed["figures"]["mask AP"] < 0.95
    (difference,) = found["differences"]
    assert difference["decided"]
    assert difference["points"] == pytest.approx(100 * (mixed["figures"]["mask AP"] - 1), abs=0.1)
    assert difference["words"].startswith("mixed is worse than synthetic by ")
    before = {p: p.stat().st_mtime_ns for p in (place / "out/runs").rglob("result.json")}
    assert len(before) == 4
    code, out, error = sv2r(*asked(place))
    assert code == 0
    assert "0 of 4 trainings to do" in error
    assert {p: p.stat().st_mtime_ns for p in before} == before
    assert "verdict     mixed is worse than synthetic by " in out
    page = (place / "out/bench.html").read_text()
    assert page.count("data:image/jpeg") == 4 * 3
    assert "mixed is worse than synthetic" in page
    # One picture more, and the arm is trained again.
    shutil.copy(place / "other/1.png", place / "renders/1.png")
    code, _, error = sv2r(*asked(place))
    assert "4 of 4 trainings to do" in error


def test_a_training_can_be_left_and_gone_on_with(sv2r, place):
    code, out, _ = sv2r(*asked(place), "--time", "0s")
    assert code == 1
    assert "no seed is done for every arm; 4 trainings are left" in out
    assert sv2r(*asked(place))[0] == 0


def test_the_real_network_learns_and_trains_the_same_again(sv2r, place):
    steps = ("--trainer.steps", 20, "--trainer.batch_size", 2, "--trainer.size", 64)
    words = [*asked(place, trainer="maskrcnn", seeds=1), *steps]
    code, out, error = sv2r(*words, "--json")
    assert code == 0, error
    first = json.loads((place / "out/runs/synthetic-0/result.json").read_text())
    assert len(first["losses"]) == 1
    (place / "out/runs/synthetic-0/result.json").unlink()
    assert sv2r(*words)[0] == 0
    again = json.loads((place / "out/runs/synthetic-0/result.json").read_text())
    assert again["losses"] == first["losses"]
    assert again["detections"] == first["detections"]
    assert "cannot be told from" in json.loads(out)["differences"][0]["words"]


def test_two_devices_give_what_one_gives(sv2r, place):
    steps = ("--trainer.steps", 4, "--trainer.batch_size", 2, "--trainer.size", 64)
    one = [*asked(place, trainer="maskrcnn", seeds=1, output="one"), *steps]
    two = [*asked(place, trainer="maskrcnn", seeds=1, output="two"), *steps]
    assert sv2r(*one)[0] == 0
    two[two.index("--device") + 1] = "cpu,cpu"
    code, _, error = sv2r(*two)
    assert code == 0, error
    for name in ("synthetic-0", "mixed-0"):
        found = [
            json.loads((place / folder / "runs" / name / "result.json").read_text())
            for folder in ("one", "two")
        ]
        assert found[0]["detections"] == found[1]["detections"]


def rename(root: Path, old: str, new: str) -> None:
    file = root / "annotations.json"
    file.write_text(file.read_text().replace(f'"{old}"', f'"{new}"'))


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (
            lambda place, words: rename(place / "renders", "bowl", "dish"),
            "--arm synthetic: the category 'dish' is none of the real set's (coffee_mug, bowl); ",
        ),
        (
            lambda place, words: shutil.copy(place / "real/2.png", place / "other/2.png"),
            "--arm mixed: 1 of the 6 pictures of --real are in it too (1 with equal bytes)",
        ),
        (
            lambda place, words: saved_smaller(place / "real/2.png", place / "other/2.png"),
            "--arm mixed: 1 of the 6 pictures of --real are in it too (nearly equal ones)",
        ),
        (lambda place, words: words.append("--arm=x"), "--arm x: write NAME=DATASET"),
        (
            lambda place, words: words.extend(["--arm", f"mixed={place / 'other'}"]),
            "there is an arm called mixed",
        ),
        (
            lambda place, words: words.__setitem__(words.index("--output") + 1, "s3://a/b"),
            "--output s3://a/b: must be a folder of this machine",
        ),
        (lambda place, words: words.extend(["--time", "soon"]), "--time soon: write a time such"),
        (
            lambda place, words: (place / "train.py").write_text("raise SystemExit(3)"),
            "--trainer.command ended with exit code 3; ",
        ),
        (
            lambda place, words: (place / "train.py").write_text(""),
            "detections.json: the training has written no detections",
        ),
        (
            lambda place, words: words.__setitem__(-1, words[-1] + " {epochs}"),
            "--trainer.command: {epochs}: only {train}, {test}, {out}, {seed}, {device} can be",
        ),
        (
            lambda place, words: words.extend(["--categories", str(listing(place))]),
            "categories.yaml: a config is a mapping of names to values",
        ),
        (
            lambda place, words: (place / "real/3.png").write_bytes(b"\x89PNG\r\n\x1a\n"),
            "3.png: ",
        ),
    ],
)
def test_what_cannot_be_compared_is_one_line(sv2r, place, change, says):
    words = asked(place)
    change(place, words)
    code, _, error = sv2r(*words)
    assert code == 2
    assert says in error.splitlines()[-1]
    assert "Traceback" not in error


def saved_smaller(source: Path, target: Path) -> None:
    with Image.open(source) as picture:
        picture.resize((picture.width * 2, picture.height * 2)).save(target, quality=80)
    # Its labels have the size of what was there before.
    data = json.loads((target.parent / "annotations.json").read_text())
    for image in data["images"]:
        if image["file_name"] == target.name:
            with Image.open(target) as picture:
                image["width"], image["height"] = picture.size
    (target.parent / "annotations.json").write_text(json.dumps(data))


def listing(place: Path) -> Path:
    (place / "categories.yaml").write_text("- bowl\n")
    return place / "categories.yaml"


def test_a_folder_with_other_files_is_left_alone(sv2r, place):
    (place / "mine/sets/synthetic").mkdir(parents=True)
    (place / "mine/sets/synthetic/thesis.txt").write_text("years of work")
    code, _, error = sv2r(*asked(place, output="mine"))
    assert code == 2
    assert error.splitlines()[-1].endswith(
        "holds files that no sv2r bench made, such as sets; give a folder that is empty or new"
    )
    assert (place / "mine/sets/synthetic/thesis.txt").read_text() == "years of work"


def test_a_script_that_changes_its_pictures_changes_none_of_the_users(sv2r, place):
    before = {path: path.read_bytes() for path in (place / "renders").rglob("*.*")}
    change = "\nfor path in train.rglob('*.png'):\n    open(path, 'wb').write(b'')\n"
    (place / "train.py").write_text(SCRIPT + change)
    assert sv2r(*asked(place))[0] == 0
    assert {path: path.read_bytes() for path in before} == before


def test_categories_are_renamed_and_left_out_as_the_file_says(sv2r, place):
    for name in ("renders", "other"):
        rename(place / name, "bowl", "dish")
    (place / "names.yaml").write_text("dish: bowl\ncoffee_mug:\n")
    code, out, error = sv2r(*asked(place), "--categories", place / "names.yaml", "--json")
    assert code == 0, error
    assert json.loads(out)["arms"][0]["instances"] == {"bowl": 6}


def test_a_set_keeps_its_masks_to_the_pixel(place, registry, tmp_path):
    real = labelled_set(place / "real", registry)
    written = write_coco(tmp_path / "coco", [real], real.categories, {})
    data = json.loads(written.annotations.read_text())
    assert [one["name"] for one in data["categories"]] == list(real.categories)
    for picture, image in zip(real.pictures, data["images"], strict=True):
        found = picture.load()
        own = [one for one in data["annotations"] if one["image_id"] == image["id"]]
        masks = [rle.decode(one["segmentation"]).astype(bool) for one in own]
        assert all(
            np.array_equal(mask, found.mask(id_))
            for mask, id_ in zip(masks, found.table, strict=True)
        )
        assert (tmp_path / "coco" / image["file_name"]).read_bytes() == picture.path.read_bytes()
    assert shared_pictures(written, written) == (6, 6)


def test_pictures_that_look_alike_share_their_bits():
    pixels = np.random.default_rng(0).integers(0, 256, (12, 12, 3), np.uint8)
    large = Image.fromarray(pixels).resize((240, 180), Image.Resampling.BICUBIC)
    one = look_bits(np.asarray(large))
    other = look_bits(np.asarray(large.resize((120, 90), Image.Resampling.BICUBIC)))
    assert int(np.unpackbits(one ^ other).sum()) <= 10
    assert int(np.unpackbits(one ^ look_bits(np.asarray(large)[::-1])).sum()) > 60


def test_figures_are_pycocotools_own(tmp_path):
    mask = np.zeros((40, 40), np.uint8)
    mask[4:20, 4:20] = 1
    encoded = rle.encode(np.asfortranarray(mask))
    whole = {"size": encoded["size"], "counts": encoded["counts"].decode()}
    truth = {
        "images": [{"id": 1, "width": 40, "height": 40}],
        "categories": [{"id": 1, "name": "box"}, {"id": 2, "name": "can"}],
        "annotations": [
            {
                "id": 1,
                "image_id": 1,
                "category_id": 1,
                "segmentation": whole,
                "bbox": [4, 4, 16, 16],
                "area": 256,
                "iscrowd": 0,
            }
        ],
    }
    right = [{"image_id": 1, "category_id": 1, "score": 0.9, "segmentation": whole}]
    found = coco_figures(truth, right)
    assert [found[key] for key in ("AP", "AP50", "AP small", "AP box")] == pytest.approx([1] * 4)
    assert "AP can" not in found
    assert "AP large" not in found
    assert coco_figures(truth, [])["AP"] == 0
    (tmp_path / "annotations.json").write_text(json.dumps(truth))
    (tmp_path / "found.json").write_text(json.dumps(right))
    assert read_detections(tmp_path / "found.json", tmp_path) == right
    assert Training(tmp_path, tmp_path, ("box",), 0, tmp_path, "cpu").show(1, 2, 0.5) is None
