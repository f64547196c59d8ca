"""Every command that README and docs show is run, with toy checkpoints where they name models."""

from __future__ import annotations

import json
import re
import shlex
import shutil
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.toys.datasets import add_pattern, make_coco, write_render

ROOT = Path(__file__).parents[2]
PAGES = ("README.md", *sorted(f"docs/{path.name}" for path in (ROOT / "docs").glob("*.md")))

# What is not run here, and why.
ELSEWHERE = {
    "git clone": "there is no network",
    "pip install": "there is no network",
    "uv run sv2r demo": "takes a minute; the plugin's own tests run it",
    "uv run pytest": "would run this test",
    "uv run python -m syn_via_diff.pipeline": "tests/test_short_command.py runs it",
    "python -m benchmarks.tabletop": "takes hours",
    "sv2r convert --input s3://": "tests/remote runs it, with a server",
    "$ sv2r plugins": "of plugins that the page has written; tests/plugin/test_docs.py runs them",
}
# What a toy needs on top, so that a command ends within seconds: words by the command's beginning.
MORE = {
    # A toy keeps no object in place, and learns nothing from more steps.
    "convert": ["--on-damage", "keep", "--steps", "4"],
    "preview": ["--steps", "4"],
    "train lora": ["--steps", "1", "--resolution", "32", "--rank", "2"],
    "train controlnet": ["--steps", "1", "--resolution", "32"],
    "bench": ["--seeds", "1", "--trainer.steps", "2", "--trainer.size", "64"],
    "train bridge": ["--steps", "1", "--resolution", "32"],
}
# Where a page says "…", these words stand.
REST = {
    "convert": ["--input", "renders", "--output", "OUT"],
    "convert --dry-run": ["--input", "renders", "--output", "OUT", "--translator", "keep"],
    "preview": ["--config", "sv2r.yaml", "--output", "rest"],
}


def commands(page: str) -> Iterator[str]:
    """Yield the commands of a page's blocks: one line each, without comments."""
    text = (ROOT / page).read_text(encoding="utf-8")
    for block in re.findall(r"^```bash\n(.*?)^```$", text, re.MULTILINE | re.DOTALL):
        for line in block.replace("\\\n", " ").splitlines():
            if line.strip() and not line.startswith("#"):
                yield re.sub(r"\s+#.*", "", re.sub(r"\s+", " ", line)).strip()


def words_of(command: str, number: int) -> list[str]:
    """Return what follows `sv2r` in a command, the rest put in where a page leaves it out."""
    words = shlex.split(command.removeprefix("uv run ").removeprefix("sv2r "))
    if "…" in words:
        start = next(key for key in sorted(REST, key=len, reverse=True) if is_of(words, key))
        rest = [word.replace("OUT", f"rest-{number}") for word in REST[start]]
        place = words.index("…")
        words[place : place + 1] = rest
    extra = next((more for start, more in MORE.items() if is_of(words, start)), [])
    helping = {"--help", "--dry-run"} & set(words)
    return words if helping else [*words, *extra]


def is_of(words: list[str], start: str) -> bool:
    return words[: len(start.split())] == start.split()


@pytest.fixture(scope="module")
def workplace(tmp_path_factory, toy_sd15, toy_canny) -> Path:
    """A folder with everything that the pages take as given."""
    root = tmp_path_factory.mktemp("docs")
    names = tuple(f"{number:02}.png" for number in range(8))
    for place in ("renders", "data/renders", "data/blenderproc_coco"):
        make_coco(root / place, names)
    add_pattern(make_coco(root / "data/labelled-photos", names, seed=50), 1)
    with zipfile.ZipFile(root / "renders.zip", "w") as archive:
        for path in sorted((root / "renders").rglob("*.*")):
            archive.write(path, path.relative_to(root / "renders"))
    for place in ("photos", "data/photos"):
        for number in range(20):
            write_render(root / place / f"{number}.png", 48, 48, 100 + number)
    for name in ("models/sd15", "models/sd-turbo", "stable-diffusion-v1-5/stable-diffusion-v1-5"):
        shutil.copytree(toy_sd15, root / name)
    for name in ("models/control-canny", "models/canny", "lllyasviel/sd-controlnet-canny"):
        shutil.copytree(toy_canny, root / name)
    return root


@pytest.mark.parametrize("page", [page for page in PAGES if list(commands(page))])
def test_the_commands_of_a_page_do_what_it_says(sv2r, page, workplace, tmp_path, monkeypatch):
    place = tmp_path / "here"
    shutil.copytree(workplace, place)
    monkeypatch.chdir(place)
    monkeypatch.setenv("COLUMNS", "80")
    given_before(sv2r, page)
    for number, command in enumerate(commands(page)):
        if any(command.startswith(start) for start in ELSEWHERE):
            continue
        words = words_of(command, number)
        code, out, error = sv2r(*words)
        assert code == 0, (command, error[-2000:], out[-2000:])
        if "--json" in words:
            json.loads(out)


def given_before(sv2r, page: str) -> None:
    """Make what a page takes from one that is read before it: results, and a config."""
    toy = ["--translator", "sdedit", "--model", "models/sd15", "--steps", 4, "--on-damage", "keep"]
    for output in {
        "docs/evidence.md": ["real", "data/real"],
        "docs/export.md": ["data/real"],
        "docs/index.md": ["data/real", "data/real2"],
        "docs/verify.md": ["real"],
    }.get(page, ()):
        seed = ["--seed", len(output)]
        code, _, error = sv2r("convert", "--input", "renders", "--output", output, *toy, *seed)
        assert code == 0, error
    if page == "docs/convert.md":
        assert sv2r("init", "renders", "--yes", "--model", "models/sd15")[0] == 0


def test_what_is_not_run_is_still_there():
    every = [command for page in PAGES for command in commands(page)]
    unused = [start for start in ELSEWHERE if not any(one.startswith(start) for one in every)]
    assert unused == ["$ sv2r plugins"]  # of a page's own outputs, which are no bash blocks
