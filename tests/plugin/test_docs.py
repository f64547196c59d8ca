"""Every example of docs/plugins.md is a plugin that works and keeps its contracts."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

from sv2r.cli.plugins import plugins
from sv2r.config.layers import read_layers
from sv2r.plugin.hookspecs import __file__ as hookspecs_file
from sv2r.plugin.registry import load_registry
from sv2r.testing import check_plugin
from tests.toys import distributions

PAGE = (Path(__file__).parents[2] / "docs" / "plugins.md").read_text(encoding="utf-8")


def _blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)


# hook -> the example that implements it; the whole plugin at the top of the page besides.
EXAMPLES = {
    match[1]: block
    for block in _blocks("python")
    if (match := re.search(r"^def (sv2r_\w+)\(", block, re.MULTILINE))
}
WHOLE = next(block for block in _blocks("python") if "class SobelOptions" in block)
OPTIONS = {"polite": {"level": 0}}


@pytest.fixture(autouse=True)
def without_the_example_plugin(monkeypatch: pytest.MonkeyPatch, site: Any) -> None:
    # It brings a conditioner of the same name as the page's.
    monkeypatch.setenv("SV2R_DISABLE_PLUGINS", "example")


@pytest.fixture
def numpy_dataset(tmp_path: Path) -> Path:
    root = tmp_path / "renders"
    root.mkdir()
    labels = np.zeros((9, 11), np.int32)
    labels[2:5, 3:8] = 4
    np.save(root / "0.npy", labels)
    Image.fromarray(np.zeros((9, 11, 3), np.uint8)).save(root / "0.png")
    return root


def test_every_hook_has_an_example_and_every_example_a_hook() -> None:
    hooks = re.findall(r"^def (sv2r_\w+)\(", Path(hookspecs_file).read_text(), re.MULTILINE)
    assert sorted(EXAMPLES) == sorted(hooks)
    assert [f"### {hook}" for hook in hooks] == re.findall(r"^### sv2r_\w+", PAGE, re.MULTILINE)


@pytest.mark.parametrize("hook", EXAMPLES)
def test_an_example_is_a_plugin_that_keeps_its_contracts(
    hook: str, site: Any, numpy_dataset: Path
) -> None:
    folder = site.plugin("doc", EXAMPLES[hook])
    if hook == "sv2r_presets":
        _make_package(folder, _blocks("yaml")[0])

    assert [f for f in load_registry().failures if f.owner.distribution == "sv2r-doc"] == []
    checked = check_plugin("doc", options=OPTIONS, roots={"numpy": numpy_dataset})
    assert len(checked) == 1
    assert checked[0].split()[0] == hook.removeprefix("sv2r_").removesuffix("s")


def _make_package(folder: Path, preset: str) -> None:
    package = folder / "sv2r_doc"
    package.mkdir()
    (folder / "sv2r_doc.py").rename(package / "__init__.py")
    (package / "night.yaml").write_text(preset)


def test_the_preset_of_the_page_is_a_config(site: Any) -> None:
    _make_package(site.plugin("doc", EXAMPLES["sv2r_presets"]), _blocks("yaml")[0])
    layers = read_layers(load_registry(), preset="night")
    assert [layer.values["translator"]["name"] for layer in layers] == ["sdedit"]


def test_the_whole_plugin_is_built_from_its_three_files_and_works_as_shown(
    site: Any, tmp_path: Path
) -> None:
    test = next(block for block in _blocks("python") if "def test_" in block)
    project = tmp_path / "sv2r-sobel"
    project.mkdir()
    (project / "pyproject.toml").write_text(_blocks("toml")[0])
    (project / "sv2r_sobel.py").write_text(WHOLE)
    (project / "test_sv2r_sobel.py").write_text(test)
    installed = distributions.install(project, site.root)
    assert sorted(path.name for path in installed.iterdir()) == [
        "sv2r_sobel-0.1.0.dist-info",
        "sv2r_sobel.py",
    ]

    command, _, expected = _blocks("console")[0].partition("\n")
    shown = CliRunner().invoke(plugins, command.removeprefix("$ sv2r plugins ").split())
    assert shown.output == expected

    assert distributions.run_tests(test) == 1


def test_every_python_example_is_one_that_is_run_here() -> None:
    shown = set(_blocks("python"))
    test = next(block for block in shown if "def test_" in block)
    assert shown == {*EXAMPLES.values(), WHOLE, test}


def test_the_failure_of_the_page_reads_as_shown(site: Any) -> None:
    site.plugin("haze", "import haze_net", version="0.2")
    shown = CliRunner().invoke(plugins, ["--strict"])
    assert shown.exit_code == 1
    line = next(line for line in _blocks("console")[1].splitlines() if "haze" in line)
    assert line in shown.output.splitlines()


def test_the_command_of_the_page_counts_a_run(site: Any, tmp_path: Path) -> None:
    site.plugin("doc", EXAMPLES["sv2r_commands"])
    records = tmp_path / "out" / "sv2r" / "samples.jsonl"
    records.parent.mkdir(parents=True)
    records.write_text('{"status": "done"}\n{"status": "failed"}\n{"status": "done"}\n')

    tally = load_registry().commands["tally"]
    result = CliRunner().invoke(tally, [str(tmp_path / "out")])

    assert result.output == "       2  done\n       1  failed\n"


def test_every_call_of_the_page_is_one_of_the_public_ones() -> None:
    from sv2r import testing

    named = set(re.findall(r"`((?:check|make)_\w+)\(", PAGE))
    assert named == {name for name in testing.__all__ if name != "ContractError"}
