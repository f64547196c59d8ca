"""Folders of models that were changed at random: preflight says what is wrong in one line."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from sv2r.errors import Sv2rError
from sv2r.plugin.specs import Runtime
from sv2r.translators import checkpoint, controlnet, sdedit
from tests import toys
from tests.fuzz.changes import cases, change_folder, changed
from tests.fuzz.reading import assert_one_line, run


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models")
    toys.save_sd15(folder / "sd15")
    toys.save_controlnet(folder / "canny")
    return folder


def options_of(module: Any, root: Path) -> Any:
    (spec,) = module.sv2r_translators()
    nets = {"controlnet": {"canny": str(root / "canny")}} if module is controlnet else {}
    return spec, spec.options(model=str(root / "sd15"), steps=2, **nets)


def test_the_json_of_a_model(models: Path, tmp_path: Path) -> None:
    root = tmp_path / "models"
    shutil.copytree(models, root)
    files = sorted(root.rglob("*.json"))
    for chance in cases(120):
        file = chance.choice([path for path in files if path.name != "tokenizer.json"])
        before = file.read_text()
        file.write_text(json.dumps(changed(json.loads(before), chance)))
        module = chance.choice((sdedit, checkpoint, controlnet))

        def work(module: Any = module) -> None:
            try:
                spec, options = options_of(module, root)
                spec.preflight(options, [(32, 48)])
            except Sv2rError as error:
                assert_one_line(error)

        run(chance, work)
        file.write_text(before)


def test_the_files_of_a_model(models: Path, tmp_path: Path) -> None:
    """What preflight lets pass is opened; nothing but our own errors comes of it, and no hang."""
    for chance in cases(12):
        root = tmp_path / "models"
        shutil.rmtree(root, ignore_errors=True)
        shutil.copytree(models, root)
        done = change_folder(root, chance)
        module = chance.choice((sdedit, controlnet))

        def work(module: Any = module, root: Path = root) -> None:
            try:
                spec, options = options_of(module, root)
                spec.preflight(options, [(16, 24)])
                spec.build(options, Runtime())
            except Sv2rError as error:
                assert_one_line(error)

        chance.name += f" ({done})"  # type: ignore[attr-defined]
        run(chance, work)
