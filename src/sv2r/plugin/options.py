"""One declaration of an option serves command line, YAML, `sv2r plugins show` and JSON schema."""

from __future__ import annotations

import difflib
import types
import typing
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails, PydanticUndefined

from sv2r.errors import ConfigError


class Options(BaseModel):
    """The options of one plugin: a frozen pydantic model in which every field has a description."""

    model_config = ConfigDict(extra="forbid", frozen=True, protected_namespaces=())


OptionsT = TypeVar("OptionsT", bound=BaseModel)


@dataclass(frozen=True)
class OptionField:
    """One option as a person reads it.

    type: "int", "number", "text", "a | b", "key=value" ... bounds: "0 < x <= 1" or "".
    repeatable: whether it may be given several times on the command line.
    mapping: whether each value is KEY=VALUE.
    """

    name: str
    type: str
    default: str
    bounds: str
    description: str
    repeatable: bool
    mapping: bool
    boolean: bool


def option_fields(options: type[BaseModel]) -> list[OptionField]:
    """Return the options of a model in the order in which it declares them."""
    return [_option_field(name, info) for name, info in options.model_fields.items()]


def validate_options(
    options: type[OptionsT], values: Mapping[str, Any], *, where: str, listing: str = ""
) -> OptionsT:
    """Return the validated options.

    where: how the user wrote them ("--translator", "checks.sanity"): errors name it.
    listing: the command that lists all options, for the error's end.

    Raises:
        ConfigError: one line on the first wrong value, with the nearest name for an unknown one.
    """
    try:
        return options.model_validate(dict(values))
    except ValidationError as error:
        raise ConfigError(_explain(error.errors()[0], options, where, listing)) from None


def nearest(word: str, known: typing.Iterable[str]) -> str:
    """Return the known word most like the given one, or "" where none is near."""
    found = difflib.get_close_matches(word, sorted(known), n=1, cutoff=0.6)
    return found[0] if found else ""


def _explain(detail: ErrorDetails, options: type[BaseModel], where: str, listing: str) -> str:
    key = ".".join(str(part) for part in detail["loc"])
    name = f"{where}.{key}" if where and key else where or key
    if detail["type"] == "extra_forbidden":
        near = nearest(str(detail["loc"][-1]), options.model_fields)
        hint = f"; did you mean {where}.{near}?" if where else f"; did you mean {near}?"
        return (
            f"no option {name}{hint if near else ''}{f' ({listing} lists all)' if listing else ''}"
        )
    if detail["type"] == "missing":
        return f"{name} is missing{_purpose(options, detail)}"
    message = detail["msg"].removeprefix("Value error, ").removeprefix("Assertion failed, ")
    given = "" if detail["type"] == "value_error" else f", not {detail['input']!r}"
    return f"{name}: {message[:1].lower()}{message[1:]}{given}"


def _purpose(options: type[BaseModel], detail: ErrorDetails) -> str:
    info = options.model_fields.get(str(detail["loc"][0]))
    return f": {info.description}" if info and info.description else ""


def _option_field(name: str, info: FieldInfo) -> OptionField:
    origin = typing.get_origin(_without_none(info.annotation))
    mapping = origin in (dict, Mapping)
    return OptionField(
        name=name,
        type=type_name(info.annotation),
        default=_default_text(info),
        bounds=_bounds(info),
        description=info.description or "",
        repeatable=mapping or origin in (list, tuple, set, frozenset),
        mapping=mapping,
        boolean=_without_none(info.annotation) is bool,
    )


def type_name(annotation: Any) -> str:
    """Return a type as a user reads it: "int", "number", "text", "a | b", "name=number"."""
    annotation = _without_none(annotation)
    origin, args = typing.get_origin(annotation), typing.get_args(annotation)
    if origin is typing.Literal:
        return " | ".join(str(arg) for arg in args)
    if origin in (dict, Mapping):
        return f"name={type_name(args[1])}"
    if origin in (list, tuple, set, frozenset):
        return type_name(args[0])
    if origin in (typing.Union, types.UnionType):
        return " | ".join(type_name(arg) for arg in args)
    if origin is typing.Annotated:
        return type_name(args[0])
    names = {int: "int", float: "number", str: "text", bool: "true | false"}
    return names.get(annotation, getattr(annotation, "__name__", str(annotation)).lower())


def _without_none(annotation: Any) -> Any:
    if typing.get_origin(annotation) in (typing.Union, types.UnionType):
        rest = [arg for arg in typing.get_args(annotation) if arg is not type(None)]
        if len(rest) == 1:
            return rest[0]
    return annotation


def _default_text(info: FieldInfo) -> str:
    if info.is_required():
        return "required"
    default = info.get_default(call_default_factory=True, validated_data={})
    if default is PydanticUndefined or default is None or default in ((), {}, []):
        return ""
    if isinstance(default, bool):
        return str(default).lower()
    if isinstance(default, Mapping):
        return ", ".join(f"{key}={value}" for key, value in default.items())
    if isinstance(default, (list, tuple)):
        return ", ".join(str(item) for item in default)
    return str(default)


def _bounds(info: FieldInfo) -> str:
    limits = {
        name: getattr(item, name)
        for item in info.metadata
        for name in ("gt", "ge", "lt", "le")
        if getattr(item, name, None) is not None
    }
    low = next((f"{limits[k]} {s} " for k, s in (("gt", "<"), ("ge", "<=")) if k in limits), "")
    high = next((f" {s} {limits[k]}" for k, s in (("lt", "<"), ("le", "<=")) if k in limits), "")
    return f"{low}x{high}" if low or high else ""
