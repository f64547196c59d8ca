"""`sv2r lint`: a dataset's labels, before GPU hours are spent on its pictures."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import asdict
from itertools import pairwise
from pathlib import Path
from typing import Any

import click

from sv2r.cli.dotted import Asked, DottedCommand, help_text, metavar, plugin_section
from sv2r.cli.progress import watching
from sv2r.config.resolve import detect_loader
from sv2r.errors import ConfigError
from sv2r.lint.findings import SORTS, Finding, LintOptions
from sv2r.lint.report import EXAMPLES, Report
from sv2r.lint.report import lint as look
from sv2r.lint.tally import SIDES
from sv2r.plugin.options import OptionField, option_fields, read_texts, validate_options
from sv2r.plugin.specs import Runtime
from sv2r.types import Dataset

# Categories and picture sizes that are listed; --json lists all.
_LISTED = 20
_BAR = 24  # columns of the longest bar


class _LoaderCommand(DottedCommand):
    """A command that takes the options of loaders, and of nothing else."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        rest = super().parse_args(ctx, args)
        for item in ctx.obj.texts:
            if item.path[0] != "loader":
                raise ConfigError(f"no option --{'.'.join(item.path)}; lint reads --loader.… alone")
        return rest

    def sections(self, asked: Asked) -> Iterable[tuple[str, str, list[OptionField]]]:
        name = asked.plain.get("loader")
        return plugin_section(asked.registry, "loader", name, "--loader.") if name else ()


@click.command(cls=_LoaderCommand, no_args_is_help=True)
@click.argument("dataset", metavar="INPUT", type=click.Path(path_type=Path))
@click.option("--loader", metavar="NAME", help="The dataset's format; found out if left out.")
@click.option("--limit", type=click.IntRange(min=1), help="Look at the first LIMIT samples alone.")
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
    """Look at the labels of the dataset in INPUT before GPU hours are spent on its pictures.

    What is empty, incomplete, out of the picture, there twice, too small or cannot be seen; what
    there is of each category and size; and which options suit the dataset. Nothing is written.
    Options of a loader have a dot in them: name it beside --help to see them, as in

    \b
      sv2r lint --loader coco --help

    Exit code: 0 nothing is wrong (there may be remarks), 1 something is, 2 INPUT cannot be read.
    """  # noqa: D301
    given = {name: value for name, value in values.items() if value not in (None, ())}
    options = validate_options(LintOptions, given, where="--")
    name, opened = _open(ctx.obj, dataset, loader)
    with watching("looking") as watch:
        kept = None if all_of_them else EXAMPLES
        report = look(opened, options, limit=limit, examples=kept, watch=watch)
    if as_json:
        click.echo(json.dumps(_as_data(name, opened, report), ensure_ascii=False))
    else:
        for line in lines(name, opened, report):
            click.echo(line)
    return report.exit_code


for _field in option_fields(LintOptions):
    lint.params.append(
        click.Option(
            [f"--{_field.name.replace('_', '-')}"],
            metavar=metavar(_field).strip(),
            multiple=_field.repeatable,
            help=help_text(_field),
        )
    )


def _open(asked: Asked, root: Path, name: str | None) -> tuple[str, Dataset]:
    """Return the loader's name and the dataset."""
    root = root.expanduser().absolute()
    if not root.is_dir():
        raise ConfigError(f"{root}: no such folder; give the dataset's folder")
    name = name or detect_loader(asked.registry, root)
    spec = asked.registry.spec("loader", name)
    texts = {
        item.path[-1]: read_texts(spec.options, item.path[-1], item.texts, where="--loader")
        for item in asked.texts
    }
    listing = f"sv2r plugins show loader:{name}"
    options = validate_options(spec.options, texts, where="--loader", listing=listing)
    dataset: Dataset = spec.build(options, Runtime(input=root))(root)
    return name, dataset


def lines(name: str, dataset: Dataset, report: Report) -> Iterator[str]:
    """Yield what was found as a person reads it, the worst first."""
    looked = _count(report.pictures, "picture")
    if report.pictures < report.total:
        looked = f"{report.pictures:,} of {_count(report.total, 'picture')}"
    categories = _count(len(report.categories), "category", "categories")
    yield f"{name} · {looked} · {_count(report.instances, 'instance')} · {categories}"
    yield from (f"  {note}" for note in dataset.notes)
    yield from _findings(report)
    yield from _categories(report)
    yield from _sizes(report)
    if report.advice:
        yield ""
        for advice in report.advice:
            yield f"try {advice.option}"
            yield f"    {advice.reason}"
    yield ""
    yield _verdict(report)


def _findings(report: Report) -> Iterator[str]:
    """Yield a line for each kind of finding, and its first ones below it."""
    for (kind, severity), count in report.counts.items():
        yield ""
        yield f"{severity:<7} {kind:<13} {count:>7,}  {SORTS[kind].title}"
        if SORTS[kind].mend:
            yield f"{'':<31}{SORTS[kind].mend}"
        shown = [f for f in report.findings if (f.kind, f.severity) == (kind, severity)]
        for finding in shown:
            yield f"        {_placed(finding)}"
        if count > len(shown):
            yield f"        and {count - len(shown):,} more; --all lists them"


def _placed(finding: Finding) -> str:
    """Return a finding as it stands below the mend of its kind."""
    mend = SORTS[finding.kind].mend
    return finding.message.removesuffix(f"; {mend}") if mend else finding.message


def _categories(report: Report) -> Iterator[str]:
    if not report.categories:
        return
    shown = report.categories[:_LISTED]
    width = min(40, max(len(category.name) for category in shown))
    most = shown[0].instances
    yield ""
    yield f"{'category':<{width}}  instances  pictures"
    for one in shown:
        counts = f"{one.instances:>9,}  {one.pictures:>8,}"
        yield f"{_fitting(one.name, width):<{width}}  {counts}  {_bar(one.instances, most)}"
    if len(report.categories) > _LISTED:
        yield f"and {len(report.categories) - _LISTED:,} more; --json lists all"


def _sizes(report: Report) -> Iterator[str]:
    """Yield the histogram of the instances' sizes, and the pictures' own."""
    if any(report.sides):
        yield ""
        yield "size of an instance, as a square"
        for bounds, count in zip(_bins(), report.sides, strict=True):
            yield f"{bounds:<12}  {count:>9,}  {_bar(count, max(report.sides))}"
    if report.sizes:
        sizes = [f"{w}×{h} ({n:,})" for (h, w), n in list(report.sizes.items())[:5]]
        more = f" and {len(report.sizes) - 5:,} more sizes" if len(report.sizes) > 5 else ""
        yield ""
        yield f"pictures  {', '.join(sizes)}{more}"


def _bins() -> list[str]:
    between = [f"{low} to {high} px" for low, high in pairwise(SIDES)]
    return [f"under {SIDES[0]} px", *between, f"{SIDES[-1]} px, more"]


def _verdict(report: Report) -> str:
    remarks = sum(report.counts.values()) - report.errors
    if not report.errors:
        told = f"; {_count(remarks, 'remark')}" if remarks else ""
        return f"nothing is wrong{told}"
    return f"{_count(report.errors, 'error')}, {_count(remarks, 'remark')}"


def _bar(count: int, most: int) -> str:
    return "█" * -(-count * _BAR // most) if most else ""


def _fitting(name: str, width: int) -> str:
    return name if len(name) <= width else f"{name[: width - 1]}…"


def _count(number: int, one: str, many: str = "") -> str:
    return f"{number:,} {one if number == 1 else many or f'{one}s'}"


def _as_data(name: str, dataset: Dataset, report: Report) -> dict[str, Any]:
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
        "sides": dict(zip(_bins(), report.sides, strict=True)),
        "sizes": [{"height": h, "width": w, "pictures": n} for (h, w), n in report.sizes.items()],
        "advice": [asdict(advice) for advice in report.advice],
        "errors": report.errors,
        "exit_code": report.exit_code,
    }
