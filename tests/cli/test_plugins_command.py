from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from sv2r.cli.plugins import plugins
from sv2r.errors import ConfigError


@pytest.fixture
def haze(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """An installed plugin that cannot be imported."""
    info = tmp_path / "sv2r_haze-0.2.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: sv2r-haze\nVersion: 0.2\n")
    (info / "entry_points.txt").write_text("[sv2r]\nhaze = sv2r_haze\n")
    (tmp_path / "sv2r_haze.py").write_text("import haze_net\n")
    monkeypatch.syspath_prepend(tmp_path)
    yield
    sys.modules.pop("sv2r_haze", None)


def _run(*args: str, **environment: str) -> Result:
    return CliRunner().invoke(plugins, args, env=environment)


def _json(*args: str) -> Any:
    result = _run(*args, "--json")
    assert result.exit_code == 0
    return json.loads(result.output)


FAILURE = (
    "plugin 'haze' (sv2r-haze 0.2) disabled: import failed: "
    "ModuleNotFoundError: No module named 'haze_net'"
)


def test_the_list_is_a_table_of_kind_name_source_and_summary() -> None:
    lines = _run().output.splitlines()
    assert lines[0].split() == ["kind", "name", "from", "summary"]
    row = next(line for line in lines if line.split()[:2] == ["conditioner", "sobel"])
    assert row.split() == ["conditioner", "sobel", "sv2r-example", "0.1.0", "Sobel", "edges."]


def test_without_a_subcommand_the_list_is_shown() -> None:
    assert _run().output == _run("list").output


def test_a_failed_plugin_stands_below_the_table(haze: None) -> None:
    result = _run()
    assert result.exit_code == 0
    table, _, below = result.output.partition("\n\n")
    assert "sobel" in table
    assert FAILURE in below.splitlines()


def test_strict_exits_with_1_for_a_failed_plugin(haze: None) -> None:
    assert _run("--strict").exit_code == 1
    assert _run("show", "sobel", "--strict").exit_code == 1


def test_strict_exits_with_0_when_the_failed_plugin_is_disabled_and_nothing_else_failed(
    haze: None,
) -> None:
    result = _run("list", "--strict", SV2R_DISABLE_PLUGINS="haze")
    assert result.exit_code == 0, result.output
    told = "plugin 'haze' (sv2r-haze 0.2) left out by SV2R_DISABLE_PLUGINS"
    assert told in result.output.splitlines()


def test_show_spells_each_option_with_type_bounds_default_and_description() -> None:
    assert _run("show", "sobel").output == (
        "conditioner sobel · from plugin 'example' (sv2r-example 0.1.0)\n"
        "Sobel edges.\n"
        "Makes the control map 'sobel'.\n"
        "\n"
        "  --conditioner sobel\n"
        "\n"
        "  --conditioner.sobel.gain  number · 0 < x <= 100 · default 1.0\n"
        "      Multiplies the gradient before it is clipped to [0, 1].\n"
    )


@pytest.mark.parametrize(
    ("name", "spelled"),
    [
        ("grade", "--translator.max_gain"),
        ("sobel", "--conditioner.sobel.gain"),
        ("sanity", "--check.sanity.min_std"),
        ("writer:mirror", "--writer.format"),
        ("loader:coco", "--loader.annotations"),
    ],
)
def test_an_option_is_spelled_as_the_command_line_takes_it(name: str, spelled: str) -> None:
    assert f"  {spelled}  " in _run("show", name).output


def test_show_explains_every_component_of_a_name_unless_a_kind_is_asked_for() -> None:
    both = _run("show", "coco").output.splitlines()
    kinds = [line.split()[0] for line in both if " · from " in line]
    assert kinds == ["loader", "writer"]
    only = _run("show", "writer:coco").output
    assert only.startswith("writer coco · from plugin 'coco-writer'")
    assert "loader coco" not in only


def test_show_of_a_plugin_explains_all_that_it_brings() -> None:
    output = _run("show", "example").output
    assert "conditioner sobel" in output
    assert "translator grade" in output


def test_show_of_an_unknown_name_gives_the_nearest(haze: None) -> None:
    error = _run("show", "sobl").exception
    assert isinstance(error, ConfigError)
    assert str(error).startswith("no component 'sobl'; did you mean sobel?")


def test_show_of_what_a_failed_plugin_would_have_brought_gives_its_failure(haze: None) -> None:
    error = _run("show", "haze-depth").exception
    assert isinstance(error, ConfigError)
    assert str(error).endswith(FAILURE)


def test_an_unknown_subcommand_is_refused() -> None:
    result = _run("sobel")
    assert result.exit_code == 2
    assert "No such command 'sobel'" in result.output


def test_json_lists_components_with_options_and_schema(haze: None) -> None:
    data = _json()
    sobel = next(c for c in data["components"] if c["name"] == "sobel")
    assert sobel["kind"] == "conditioner"
    assert sobel["plugin"] == "example"
    assert sobel["distribution"] == "sv2r-example"
    assert sobel["options"] == [
        {
            "name": "gain",
            "spelled": "--conditioner.sobel.gain",
            "type": "number",
            "bounds": "0 < x <= 100",
            "default": "1.0",
            "repeatable": False,
            "description": "Multiplies the gradient before it is clipped to [0, 1].",
        }
    ]
    assert sobel["schema"]["properties"]["gain"]["exclusiveMinimum"] == 0
    assert sobel["schema"]["additionalProperties"] is False
    assert {
        "plugin": "haze",
        "distribution": "sv2r-haze",
        "version": "0.2",
        "stage": "import",
        "error": "ModuleNotFoundError: No module named 'haze_net'",
    } in data["failures"]


def test_json_of_show_has_the_same_shape_for_one_name() -> None:
    data = _json("show", "grade")
    assert [component["name"] for component in data["components"]] == ["grade"]
    assert {"components", "failures", "disabled"} == set(data)


def test_every_line_goes_whole_into_a_pipe() -> None:
    assert "…" not in _run(COLUMNS="40").output


def test_an_unknown_name_ends_the_command_with_2_and_one_line() -> None:
    command = [sys.executable, "-m", "sv2r.cli.main", "plugins", "show", "sobl"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr.startswith("Error: no component 'sobl'; did you mean sobel?")
    assert done.stderr.count("\n") == 1


def test_a_command_of_a_package_that_is_not_there_says_which(sv2r, monkeypatch):
    monkeypatch.setenv("SV2R_DISABLE_PLUGINS", "sv2r-tabletop")
    code, _, error = sv2r("demo")
    assert code == 2
    assert error.strip() == (
        "Error: the command 'demo' is in a package of its own: pip install 'sv2r[demo]'"
    )
