"""Jobs with broken plugins, and with plugins that break when they are used."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

import sv2r
from sv2r.cli.main import cli
from sv2r.errors import PluginError

TRANSLATOR = '''
from sv2r import Options, TranslatorSpec, hookimpl

class InvertOptions(Options):
    """None."""

def build(options, runtime):
    import torch

    def translate(batch):
        return [((1 - frame.image) * 255).round().to(torch.uint8) for frame in batch.frames]

    return translate

@hookimpl
def sv2r_translators():
    return [TranslatorSpec(name="invert", summary="Invert.", options=InvertOptions, build=build)]
'''

CHECK = """
from sv2r import CheckResult, CheckSpec, Options, hookimpl


def build(options, runtime):
    def check(frame, picture):
        return {}["nothing"] if frame.sample.id == "c.png" else CheckResult()

    return check


@hookimpl
def sv2r_checks():
    return [CheckSpec(name="picky", summary="Dislikes one.", options=Options, build=build)]
"""


def _config(renders: Path, tmp_path: Path) -> dict[str, Any]:
    folders = {"input": renders, "output": tmp_path / "real"}
    return {**folders, "translator": "invert", "checks": ["sanity"]}


def test_a_job_runs_on_a_plugin_beside_broken_ones(
    site: Any, renders: Path, tmp_path: Path
) -> None:
    site.plugin("haze", "import haze_net")
    site.plugin("exits", "raise SystemExit(1)")
    site.plugin("invert", TRANSLATOR)

    options = ["--input", str(renders), "--output", str(tmp_path / "real")]
    result = CliRunner().invoke(
        cli, ["convert", *options, "--translator", "invert", "--check", "sanity"]
    )

    assert "done 6 · rejected 0 · failed 0" in result.output
    warnings = [line for line in result.output.splitlines() if line.startswith("warning")]
    assert any("'haze' (sv2r-haze 1.0) disabled: import failed" in line for line in warnings)
    assert any("'exits' (sv2r-exits 1.0) disabled: import failed" in line for line in warnings)


def test_a_plugin_that_cannot_be_built_is_named_with_its_distribution(
    site: Any, renders: Path, tmp_path: Path
) -> None:
    source = TRANSLATOR.replace("    import torch\n", "    raise OSError('no weights')\n")
    site.plugin("invert", source, version="0.3")

    with pytest.raises(PluginError) as caught:
        sv2r.convert(_config(renders, tmp_path))

    assert "translator 'invert'" in str(caught.value)
    assert "'invert' (sv2r-invert 0.3)" in str(caught.value)
    assert "OSError: no weights" in str(caught.value)
    assert not (tmp_path / "real").exists()


def test_a_plugin_that_raises_on_a_picture_fails_that_picture_alone(
    site: Any, renders: Path, tmp_path: Path
) -> None:
    bad = "        assert all('b/' not in f.sample.id for f in batch.frames), 'not this one'\n"
    source = TRANSLATOR.replace("        return [((1", f"{bad}        return [((1")
    site.plugin("invert", source)

    summary = sv2r.convert({**_config(renders, tmp_path), "batch_size": 1})

    assert (summary.done, summary.failed, summary.exit_code) == (3, 3, 1)
    assert sorted(record.sample for record in summary.troubles) == [
        "b/0.png",
        "b/1.jpg",
        "b/2.png",
    ]
    assert {str(record.error) for record in summary.troubles} == {
        f"{name}: translator 'invert' of plugin 'invert' (sv2r-invert 1.0) failed in call: "
        "AssertionError: not this one"
        for name in ("b/0.png", "b/1.jpg", "b/2.png")
    }


def test_a_check_that_raises_on_a_picture_fails_that_picture_alone(
    site: Any, renders: Path, tmp_path: Path
) -> None:
    site.plugin("invert", TRANSLATOR)
    site.plugin("picky", CHECK)

    summary = sv2r.convert({**_config(renders, tmp_path), "checks": ["picky"]})

    assert (summary.done, summary.failed, summary.exit_code) == (5, 1, 1)
    who = "check 'picky' of plugin 'picky' (sv2r-picky 1.0)"
    told = f"c.png: {who} failed in call: KeyError: 'nothing'"
    assert [record.error for record in summary.troubles] == [told]


def test_a_plugin_that_changes_a_pictures_size_publishes_nothing(
    site: Any, renders: Path, tmp_path: Path
) -> None:
    site.plugin("invert", TRANSLATOR.replace("(1 - frame.image)", "frame.image[:, :24, :32]"))

    summary = sv2r.convert(_config(renders, tmp_path))

    assert (summary.done, summary.failed) == (0, 6)
    assert not list((tmp_path / "real").rglob("*.png"))
