"""`sv2r export` as it is typed: other labels, the same pictures."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

from sv2r.loaders.coco.loader import CocoOptions
from sv2r.loaders.coco.loader import build as build_coco
from sv2r.loaders.folder.loader import build as build_folder
from sv2r.plugin.specs import Runtime
from tests.toys.archives import pack
from tests.toys.datasets import make_coco
from tests.toys.folders import options
from tests.toys.jobs import records_of

NAMES = ("a/0.png", "a/1.png", "b/0.png", "b/1.jpg", "b/2.png", "c.png")


def masks(dataset):
    """Return each picture's instances, by category and mask."""
    return [
        sorted(
            (one.category, found.mask(id_).tobytes())
            for id_, one in found.table.items()
            if found.mask(id_).any()
        )
        for found in (sample.load_instances() for sample in dataset.samples)
    ]


def coco(root):
    return build_coco(CocoOptions(), Runtime(input=root))(root)


def test_pictures_are_the_files_of_the_input_and_labels_mean_the_same(sv2r, renders, tmp_path):
    out = tmp_path / "out"
    code, text, error = sv2r("export", renders, "--writer", "folder", "--output", out)
    assert code == 0
    assert text.startswith("done 6 · rejected 0 · failed 0 · ")
    assert "translator" not in error
    for name in NAMES:
        assert (out / "images" / name).read_bytes() == (renders / name).read_bytes()
        record = records_of(out)[name]
        assert record["output_sha256"] == record["input_sha256"]
    shown = options(images="images", masks="masks", encoding="ids")
    assert masks(build_folder(shown, Runtime(input=out))(out)) == masks(coco(renders))
    assert not (out / "sv2r" / "report.html").exists()
    assert sv2r("verify", out)[0] == 0


def test_another_format_encodes_the_pixels_anew(sv2r, renders, tmp_path):
    out = tmp_path / "out"
    words = ("--writer", "coco", "--output", out, "--format", "png")
    assert sv2r("export", renders, *words)[0] == 0
    made, source = out / "images/b/1.png", renders / "b/1.jpg"
    assert Image.open(made).convert("RGB").tobytes() == Image.open(source).convert("RGB").tobytes()
    assert (out / "images/c.png").read_bytes() == (renders / "c.png").read_bytes()


def test_a_picture_that_viewers_would_turn_is_not_copied(sv2r, tmp_path):
    source = make_coco(tmp_path / "in", ("a.jpg", "b.jpg"))
    with Image.open(source / "a.jpg") as picture:
        exif = picture.getexif()
        exif[0x0112] = 3
        picture.save(source / "a.jpg", exif=exif, quality=95)
    out = tmp_path / "out"
    assert sv2r("export", source, "--writer", "coco", "--output", out)[0] == 0
    assert records_of(out)["a.jpg"]["normalised"] == ["EXIF orientation 3 not applied"]
    assert Image.open(out / "images/a.jpg").getexif() == {}
    assert (out / "images/b.jpg").read_bytes() == (source / "b.jpg").read_bytes()


def test_the_same_command_again_does_what_is_missing(sv2r, renders, tmp_path):
    out, words = tmp_path / "out", ("--writer", "coco", "--json", "--output")
    assert json.loads(sv2r("export", renders, *words, out, "--limit", "2")[1])["done"] == 2
    told = json.loads(sv2r("export", renders, *words, out)[1])
    assert (told["done"], told["restored"], told["exit_code"]) == (6, 2, 0)
    assert masks(coco(out)) == masks(coco(renders))
    code, _, error = sv2r("export", renders, "--writer", "folder", "--output", out)
    assert (code, "writer.name was 'coco', now 'folder'" in error) == (2, True)
    assert sv2r("export", renders, "--writer", "folder", "--output", out, "--overwrite")[0] == 0
    assert not (out / "annotations.json").exists()


def test_an_archive_is_exported_and_its_loader_takes_options(sv2r, renders, tmp_path):
    packed, out = pack(renders, tmp_path / "renders.zip"), tmp_path / "out"
    words = ("--loader.annotations", "annotations.json", "--only", "b/*")
    code, text, error = sv2r("export", packed, "--writer", "coco", "--output", out, *words)
    assert (code, error.count("failed")) == (0, 0), text
    assert sorted(path.name for path in out.rglob("*.*g")) == [
        *("0.png", "1.jpg", "2.png", "contact-sheet.png")
    ]


def test_a_run_is_exported_with_what_is_done_of_it(sv2r, renders, tmp_path):
    (renders / "a/1.png").write_bytes(b"no picture")
    run, out = tmp_path / "run", tmp_path / "out"
    mean = [word for n in (60, 10, 5) for word in ("--mean", n)]
    std = [word for n in (15, 5, 5) for word in ("--std", n)]
    grade = ("--translator", "grade", *mean, *std, "--check", "sanity")
    assert sv2r("convert", "--input", renders, "--output", run, *grade)[0] == 1
    code, text, error = sv2r("export", run, "--writer", "folder", "--output", out)
    assert (code, text.split(" · ")[0]) == (0, "done 5"), error
    assert (out / "images/c.png").read_bytes() == (run / "c.png").read_bytes()
    assert (run / "c.png").read_bytes() != (renders / "c.png").read_bytes()
    assert sv2r("verify", out)[0] == 0
    again = tmp_path / "again"
    words = ("--writer", "coco", "--output", again, "--only", "images/b/*")
    code, text, error = sv2r("export", out, *words)
    assert (code, text.split(" · ")[0]) == (0, "done 3"), error
    assert sorted(str(p.relative_to(again)) for p in again.glob("images/*/*")) == [
        *("images/b/0.png", "images/b/1.jpg", "images/b/2.png")
    ]


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("nowhere", "--writer", "coco", "--output", "out"), "no such folder"),
        (("in", "--writer", "coko", "--output", "out"), "no writer 'coko'; did you mean coco?"),
        (("in", "--output", "out"), "Missing option '--writer'"),
        (("in", "--writer", "coco"), "--output is missing"),
        (("in", "--writer", "coco", "--output", "in/x"), "lies inside the input"),
        (("in", "--writer", "coco", "--output", "out", "--strength", "1"), "--strength"),
    ],
)
def test_a_mistake_is_one_line(sv2r, tmp_path, monkeypatch, words, told):
    make_coco(tmp_path / "in", ("a.png",))
    monkeypatch.chdir(tmp_path)
    code, text, error = sv2r("export", *words)
    assert (code, text, told in error, error.count("\n")) == (2, "", True, 1), error
    assert not Path("out").exists()


def test_nothing_that_computes_is_imported(renders, tmp_path):
    words = ["export", str(renders), "--writer", "folder", "--output", str(tmp_path / "out")]
    code = (
        "import sys; from sv2r.cli.main import cli\n"
        f"assert cli.main({words!r}, standalone_mode=False) == 0\n"
        "heavy = {'torch', 'diffusers', 'transformers', 'kornia'}\n"
        "assert not heavy & {name.split('.')[0] for name in sys.modules}"
    )
    done = subprocess.run([sys.executable, "-c", code], check=False, capture_output=True)
    assert done.returncode == 0, done.stderr.decode()


def test_without_pyarrow_the_extra_is_named(sv2r, renders, tmp_path, monkeypatch):
    out, fix = tmp_path / "out", "needs the pyarrow package; pip install sv2r[hf]\n"
    assert sv2r("export", renders, "--writer", "hf", "--output", out)[0] == 0
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    monkeypatch.setitem(sys.modules, "pyarrow.parquet", None)
    code, _, error = sv2r("export", renders, "--writer", "hf", "--output", tmp_path / "new")
    assert (code, error) == (2, f"Error: the hf writer {fix}")
    code, _, error = sv2r("lint", out)
    assert (code, error.endswith(fix), error.count("\n")) == (2, True, 1)
