"""What every contract stands on: the error, the subject under test, its options."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, TypeVar

from pydantic import ValidationError
from pydantic.errors import PydanticUserError

from sv2r.errors import ConfigError, PluginError
from sv2r.plugin.collect import NAME
from sv2r.plugin.options import Options, validate_options
from sv2r.plugin.specs import Describes, PluginSpec, Runtime

Given = Options | Mapping[str, Any] | None
OptionsT = TypeVar("OptionsT", bound=Options)
ComponentT = TypeVar("ComponentT")

# Odd sizes, one of them smaller than any model's step: what a silent resize would change.
FRAME_SIZES = ((101, 75), (7, 9))


class ContractError(AssertionError):
    """A broken promise; its text is one line: who, which promise, what was seen."""


@dataclass(frozen=True)
class Subject:
    """Whom a contract is about."""

    kind: str
    name: str

    def __str__(self) -> str:
        return f"{self.kind} '{self.name}'"

    def must(self, holds: bool, promise: str, seen: str) -> None:
        """Raise ContractError unless a promise holds."""
        if not holds:
            raise ContractError(f"{self} must {promise}: {seen}")

    @contextmanager
    def managing_to(self, deed: str) -> Iterator[None]:
        """Turn whatever the block raises into a ContractError on the deed."""
        try:
            yield
        except ContractError:
            raise
        except PluginError as error:  # its own text tells who it is, which is known here
            raise ContractError(f"{self} must {deed}: {error.error}") from error
        except Exception as error:
            text = " ".join(str(error).split())
            raise ContractError(f"{self} must {deed}: {type(error).__name__}: {text}") from error


def subject_of(spec: PluginSpec[Any, Any]) -> Subject:
    """Return whom a spec is about: "translator 'grade'"."""
    return Subject(type(spec).__name__.removesuffix("Spec").lower(), str(spec.name))


def built(
    spec: PluginSpec[OptionsT, ComponentT],
    options: OptionsT | Mapping[str, Any] | None,
    runtime: Runtime,
) -> ComponentT:
    """Return the component that a spec builds from options, plain values or its defaults."""
    subject = subject_of(spec)
    chosen = chosen_options(spec, options)
    with subject.managing_to("build"):
        component = spec.build(chosen, runtime)
    subject.must(component is not None, "build a component", "build returned None")
    return component


def chosen_options(
    spec: PluginSpec[OptionsT, Any], options: OptionsT | Mapping[str, Any] | None
) -> OptionsT:
    """Return options, validated where they are plain values; the defaults for None."""
    subject = subject_of(spec)
    try:
        given = options if isinstance(options, spec.options) else None
        chosen = given or validate_options(spec.options, dict(options or {}), where="options")
    except ConfigError as error:
        raise ContractError(f"{subject} needs other options for its test: {error}") from None
    _come_back(subject, chosen)
    return chosen


def check_options(spec: PluginSpec[Any, Any]) -> None:
    """Raise ContractError unless a spec and its options serve command line, YAML and schema.

    The name is plain and the summary one line; the options are frozen and forbid unknown names,
    each field has a description, every default is valid and comes back from YAML as it went in.
    """
    subject = subject_of(spec)
    seen_name = f"the name is {spec.name!r}"
    subject.must(bool(NAME.fullmatch(spec.name)), "be named [a-z][a-z0-9-]*", seen_name)
    summary = spec.summary.strip()
    one_line = bool(summary) and "\n" not in summary
    subject.must(one_line, "have a summary of one line", f"the summary is {spec.summary!r}")
    options = spec.options
    subject.must(issubclass(options, Options), "subclass sv2r.Options", f"it is {options!r}")
    config = options.model_config
    subject.must(config.get("frozen") is True, "have frozen options", "model_config thaws them")
    forbids = config.get("extra") == "forbid"
    subject.must(forbids, "refuse unknown options", f"extra is {config.get('extra')!r}")
    for name, field in options.model_fields.items():
        described = bool((field.description or "").strip())
        subject.must(described, "describe every option", f"'{name}' has no description")
    _defaults_are_valid(subject, options)
    try:
        options.model_json_schema()
    except PydanticUserError as error:
        raise ContractError(f"{subject} must have a JSON schema: {error.message}") from error


def _defaults_are_valid(subject: Subject, options: type[Options]) -> None:
    fields = options.model_fields
    defaults = {
        name: field.get_default(call_default_factory=True, validated_data={})
        for name, field in fields.items()
        if not field.is_required()
    }
    try:
        made = options.model_validate(defaults)
    except ValidationError as error:
        wrong = [detail for detail in error.errors() if detail["type"] != "missing"]
        if wrong:
            name = ".".join(str(part) for part in wrong[0]["loc"]) or "together"
            seen = f"{name}: {wrong[0]['msg'].removeprefix('Value error, ')}"
            promise = "accept its own defaults, as run.yaml writes them out"
            raise ContractError(f"{subject} must {promise}: {seen}") from error
    else:
        _come_back(subject, made)


def _come_back(subject: Subject, options: Options) -> None:
    """Raise ContractError unless options come back from run.yaml as they went in."""
    promise = "have options that come back from run.yaml as they went in"
    plain = options.model_dump(mode="json")
    with subject.managing_to(promise):
        again = type(options).model_validate(json.loads(json.dumps(plain)))
    subject.must(again == options, promise, f"{options!r} came back as {again!r}")


def describes_itself(subject: Subject, component: object) -> None:
    """Raise ContractError when a component's account of what ran cannot stand in a record."""
    if not isinstance(component, Describes):
        return
    with subject.managing_to("return settings() as JSON values (no NaN, no tensors)"):
        json.dumps(dict(component.settings()), allow_nan=False)
