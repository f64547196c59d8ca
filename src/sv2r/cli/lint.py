"""`sv2r lint`: check a dataset's labels before you spend GPU hours on it."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from sv2r.cli.lines import plain
from sv2r.cli.options import (
    CommandLine,
    ModelCommand,
    ModelOption,
    component_options,
    folder_in,
    own_options,
)
from sv2r.errors import ConfigError
from sv2r.plugin.hookspecs import hookimpl

if TYPE_CHECKING:
    from sv2r.lint.report import Report
    from sv2r.plugin.registry import Registry
    from sv2r.types import Dataset


class _LintCommand(ModelCommand):
    """A command with the options of loaders, and of no other plugins."""

    @cached_property
    def own_options(self) -> Sequence[click.Option]:
        from sv2r.lint.findings import LintOptions

        return own_options(LintOptions)

    def plugin_options(self, asked: CommandLine) -> Iterable[ModelOption]:
        name = _loader_named(asked)
        return component_options(asked.registry, "loader", name, ("loader",)) if name else ()

    def unknown(self, ctx: click.Context, name: str) -> str:
        from sv2r.plugin.options import unknown_option

        if not name.startswith("--loader."):
            if "." in name:
                return f"no option {name}; lint takes only --loader.… options"
            return super().unknown(ctx, name)
        registry = ctx.obj.registry
        loader = _loader_named(ctx.obj)
        if loader is None:
            return f"{name}: whose option it is depends on the format; give INPUT or --loader"
        listing = f"sv2r plugins show loader:{loader}"
        options = registry.spec("loader", loader).options
        return unknown_option([name.removeprefix("--loader.")], options, "--loader", listing)


@click.command(cls=_LintCommand, no_args_is_help=True)
@click.argument("dataset", metavar="INPUT", type=click.Path(path_type=Path))
@click.option("--loader", metavar="NAME", help="The dataset's format; detected by default.")
@click.option("--limit", type=click.IntRange(min=1), help="Check only the first LIMIT samples.")
@click.option("--all", "all_of_them", is_flag=True, help="List every finding, not the first few.")
@click.option("--json", "as_json", is_flag=True, help="Print what was found as JSON.")
@click.pass_context
def lint(
    ctx: click.Context,
    /,
    dataset: Path,
    loader: str | None,
    limit: int | None,
    all_of_them: bool,
    as_json: bool,
    **values: Any,
) -> int:
    """Check the labels of the dataset in INPUT before you spend GPU hours on it.

    Lists labels that are empty, incomplete, out of the picture, duplicated, too small or invisible;
    counts categories and sizes; and advises options for the dataset. Nothing is written. A loader's
    options have a dot in them; name the loader with --help to see them:

    \b
      sv2r lint --loader coco --help

    Exit code: 0 no errors (remarks are allowed), 1 errors, 2 INPUT cannot be read.
    """  # noqa: D301
    from sv2r.cli.progress import watching
    from sv2r.lint.findings import LintOptions
    from sv2r.lint.lines import lint_lines
    from sv2r.lint.report import EXAMPLES
    from sv2r.lint.report import lint as look
    from sv2r.plugin.options import validate_options

    own: dict[str, Any] = {}
    of_loader: dict[str, Sequence[str]] = {}
    for option, texts in ctx.obj.typed(values):
        if option.path[0] == "loader":
            of_loader[option.path[-1]] = texts
        else:
            own[option.path[-1]] = texts if option.multiple else texts[0]
    options = validate_options(LintOptions, own, where="--")
    name, opened = open_for_lint(ctx.obj.registry, dataset, loader, of_loader)
    with watching("looking") as watch:
        kept = None if all_of_them else EXAMPLES
        report = look(opened, options, limit=limit, examples=kept, watch=watch)
    if as_json:
        click.echo(json.dumps(_as_data(name, opened, report), ensure_ascii=False))
    else:
        for line in lint_lines(name, opened, report):
            click.echo(plain(line))
    return report.exit_code


def _loader_named(asked: CommandLine) -> str | None:
    """Return the loader that is named, or found in the folder, where that is known so far."""
    from sv2r.config.resolve import detect_loader

    name: str | None = asked.named.get("loader")
    folder = folder_in(asked.rest)
    if name is None and folder is not None and not asked.helping:
        return detect_loader(asked.registry, folder)
    return name


def open_for_lint(
    registry: Registry, root: Path, name: str | None, texts: Mapping[str, Sequence[str]]
) -> tuple[str, Dataset]:
    """Return the loader's name and the dataset."""
    from sv2r.cli.paths import typed_path
    from sv2r.config.resolve import detect_loader
    from sv2r.plugin.options import read_texts, validate_options
    from sv2r.plugin.specs import Runtime
    from sv2r.storage.source import as_source

    root = as_source(typed_path(root))
    if not root.is_dir():
        raise ConfigError(f"{root}: no such folder; give the dataset's folder")
    name = name or detect_loader(registry, root)
    spec = registry.spec("loader", name)
    values = {key: read_texts(spec.options, key, t, where="--loader") for key, t in texts.items()}
    listing = f"sv2r plugins show loader:{name}"
    options = validate_options(spec.options, values, where="--loader", listing=listing)
    dataset: Dataset = spec.build(options, Runtime(input=root))(root)
    return name, dataset


def _as_data(name: str, dataset: Dataset, report: Report) -> dict[str, Any]:
    from sv2r.lint.lines import size_bins

    return {
        "loader": name,
        "notes": dataset.notes,
        "total": report.total,
        "pictures": report.pictures,
        "instances": report.instances,
        "counts": [
            {"kind": kind, "severity": severity, "count": count}
            for (kind, severity), count in report.counts.items()
        ],
        "findings": [{**asdict(f), "message": f.message} for f in report.findings],
        "categories": [asdict(category) for category in report.categories],
        "sides": dict(zip(size_bins(), report.sides, strict=True)),
        "sizes": [{"height": h, "width": w, "pictures": n} for (h, w), n in report.sizes.items()],
        "advice": [asdict(advice) for advice in report.advice],
        "errors": report.errors,
        "exit_code": report.exit_code,
    }


@hookimpl
def sv2r_commands() -> Iterable[click.Command]:
    """Return the command."""
    return [lint]
