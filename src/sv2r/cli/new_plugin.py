"""`sv2r plugins new`: a package of a plugin that passes its own test at once."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

import click

from sv2r.cli.options import OnceCommand
from sv2r.errors import ConfigError
from sv2r.plugin.collect import NAME

KINDS = (
    *("loader", "conditioner", "translator", "check", "writer", "executor", "trainer"),
    *("preset", "command"),
)


@click.command("new", cls=OnceCommand)
@click.argument("kind", type=click.Choice(KINDS))
@click.argument("name")
@click.option(
    "--output",
    type=click.Path(path_type=Path),
    help="The folder to make.  [default: sv2r-NAME]",
)
def new(kind: str, name: str, output: Path | None) -> None:
    """Write a package of a plugin: pyproject, module, test and README.

    NAME is what the component is called, such as my-format. The package works as it stands, so
    change it step by step and run its test again.
    """
    if not NAME.fullmatch(name):
        raise ConfigError(f"NAME {name!r}: use small letters, digits and hyphens, like my-{kind}")
    folder = output or Path(f"sv2r-{name}")
    if folder.exists():
        raise ConfigError(f"{folder}: already exists; give another --output")
    for path, text in package(kind, name).items():
        target = folder / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text, encoding="utf-8")
        click.echo(f"wrote {target}")
    click.echo(f"next: pip install -e {folder} && pytest {folder}")


def package(kind: str, name: str) -> Mapping[str, str]:
    """Return the text of each file of a new plugin by its path in the package's folder."""
    from importlib.metadata import version

    module = f"sv2r_{name.replace('-', '_')}"
    source = f"{module}.py"
    if kind == "preset":  # its YAML file has to be installed with it
        source = f"{module}/__init__.py"
    code = _template(f"{kind}.py")
    words = {
        "my-plugin": name,
        "my_plugin": name.replace("-", "_"),
        "MyPlugin": "".join(part.capitalize() for part in name.split("-")),
        "SUMMARY": code.partition('"""')[2].partition('"""')[0].replace('"', "'"),
        "KIND": kind,
        "FILE": f"`{source}`",
        "SV2R": _requirement(version("sv2r")),
    }
    test = "loader_test.py" if kind == "loader" else "plugin_test.py"
    found = {
        "pyproject.toml": _template("pyproject.txt"),
        "README.md": _template("readme.txt"),
        source: code,
        f"test_{module}.py": _template(test),
    }
    if kind == "preset":
        found[f"{module}/{name}.yaml"] = _template("preset.yaml")
    return {path: _filled(text, words) for path, text in found.items()}


def _template(name: str) -> str:
    from importlib.resources import files

    return (files("sv2r.cli.templates") / name).read_text(encoding="utf-8")


def _filled(text: str, words: Mapping[str, str]) -> str:
    """Return a template's text with each placeholder replaced; the summary has some of its own."""
    for _ in range(2):
        text = re.sub("|".join(words), lambda match: words[match[0]], text)
    return text


def _requirement(installed: str) -> str:
    """Return what a plugin for this sv2r depends on: this minor version."""
    major, minor = installed.split(".")[:2]
    return f"sv2r>={major}.{minor},<{major}.{int(minor) + 1}"
