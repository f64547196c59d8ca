"""One declaration of an option serves command line, YAML, `sv2r plugins show` and JSON schema."""

from __future__ import annotations

import types
import typing
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, TypeVar

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    ValidationError,
    ValidationInfo,
    field_validator,
)
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails, PydanticUndefined

from sv2r.errors import ConfigError
from sv2r.plugin.words import nearest
from sv2r.storage.paths import from_home, url_of, usable, without_file_scheme


def whole(path: Path) -> Path:
    """Return a path that a user gave as an absolute one, a URL as it is; made for pydantic.

    Raises:
        ValueError: there can be no such file, or nobody has that home folder.
    """
    if url_of(path):
        return usable(path)
    return usable(from_home(without_file_scheme(path)).absolute())


def _of_this_machine(path: Path) -> Path:
    if url := url_of(path):
        raise ValueError(f"must be a folder of this machine; copy {url} first")
    return whole(path)


def as_several(value: Any) -> Any:
    """Return a single text or number as a list of one, anything else as it is."""
    return [value] if isinstance(value, (str, int)) else value


# Texts, as the type of an option: in YAML a single one needs no brackets.
Several = Annotated[tuple[str, ...], BeforeValidator(as_several)]

# A folder, as the type of an option: a run.yaml must mean the same one wherever it is read.
Folder = Annotated[Path, AfterValidator(_of_this_machine)]


class Options(BaseModel):
    """The options of one plugin: a frozen pydantic model in which every field has a description."""

    model_config = ConfigDict(
        extra="forbid",
        frozen=True,
        allow_inf_nan=False,
        protected_namespaces=(),
        defer_build=True,  # a command that lists plugins validates nothing
    )

    @field_validator("*", mode="before")
    @classmethod
    def _true_is_no_number(cls, value: Any, info: ValidationInfo) -> Any:
        """Refuse a bool for a number: pydantic would read ``strength: true`` as 1.0."""
        annotation = cls.model_fields[info.field_name or ""].annotation
        if isinstance(value, bool) and _without_none(annotation) in (int, float):
            kind = "whole number" if _without_none(annotation) is int else "number"
            raise ValueError(f"must be a {kind}, not {str(value).lower()}")
        return value


OptionsT = TypeVar("OptionsT", bound=BaseModel)


@dataclass(frozen=True)
class OptionField:
    """One option as a person reads it.

    type: "int", "number", "text", "a | b", "key=value" ... bounds: "0 < x <= 1" or "".
    repeatable: whether it may be given several times on the command line.
    times: how often it must be given where that is fixed (three numbers), else 0.
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
    times: int = 0

    @property
    def repetition(self) -> str:
        """Return in words how often it is given on the command line; "" for once."""
        if self.times:
            return f"give it {self.times} times"
        return "may be repeated" if self.repeatable else ""


_LISTS = (list, tuple, set, frozenset, Sequence)
_CHOICES = (typing.Union, types.UnionType)


def option_fields(options: type[BaseModel]) -> list[OptionField]:
    """Return the options of a model in the order in which it declares them."""
    return [_option_field(name, info) for name, info in options.model_fields.items()]


def validate_options(
    options: type[OptionsT],
    values: Mapping[str, Any],
    *,
    where: str,
    listing: str = "",
    origins: Mapping[str, str] | None = None,
    typed: Mapping[str, str] | None = None,
) -> OptionsT:
    """Return the validated options.

    where: how the user wrote them ("--translator", "checks.sanity", "--" alone): errors name it.
    listing: the command that lists all options, for the error's end.
    origins: the file that a value comes from, by its dotted name within these options.
    typed: what the user typed for an option, where that is not its place in these options.

    Raises:
        ConfigError: one line on the first wrong value, with the nearest name for an unknown one.
    """
    try:
        return options.model_validate(dict(values))
    except ValidationError as error:
        detail = _first(error.errors())
        name = _name(detail, where, typed or {})
        message = _explain(detail, error.errors(), options, name, where, listing)
        raise ConfigError(f"{_origin(detail, origins or {})}{message}") from None


def read_texts(
    options: type[BaseModel], name: str, texts: typing.Sequence[str], *, where: str
) -> Any:
    """Return an option's value from how often and with what the command line gave it.

    A mapping's texts are KEY=VALUE; where none has a "=", the plain list is handed to the model.
    An unknown name is returned as text, for `validate_options` to refuse.

    Raises:
        ConfigError: some texts of a mapping are KEY=VALUE and some are not.
    """
    info = options.model_fields.get(name)
    known = _option_field(name, info) if info else None
    if known is None or not known.repeatable:
        return texts[-1]
    pairs = [_key_and_value(text, known.type) for text in texts] if known.mapping else []
    if not any(pairs):
        return list(texts)
    if not all(pairs):
        plain = texts[pairs.index(None)]
        raise ConfigError(f"{where}.{name}: write {plain} as KEY=VALUE, like the others")
    return dict(pair for pair in pairs if pair)


def _key_and_value(text: str, type_: str) -> tuple[str, str] | None:
    """Return what a KEY=VALUE says, None where the text is none.

    A key may have a "=" in it where the value is a number: runs/lr=0.1/lora is a path alone.
    """
    if type_ not in ("name=number", "name=int"):
        key, equals, value = text.partition("=")
        return (key, value) if equals else None
    key, equals, value = text.rpartition("=")
    is_path = "/" in value or "\\" in value
    return (key, value) if equals and not is_path else None


# What pydantic calls a wrong type, in a user's words; the rest of its messages need little.
_WORDS: Mapping[str, str] = types.MappingProxyType(
    {
        "int_parsing": "a whole number",
        "int_type": "a whole number",
        "int_from_float": "a whole number",
        "float_parsing": "a number",
        "float_type": "a number",
        "finite_number": "a finite number",
        "bool_parsing": "true or false",
        "bool_type": "true or false",
        "string_type": "text",
        "path_type": "a path",
        "dict_type": "names with values (name=value)",
        "model_type": "names with values (name=value)",
        "tuple_type": "a list",
        "list_type": "a list",
    }
)


def _first(details: list[ErrorDetails]) -> ErrorDetails:
    """Return the error to tell of: an unknown name first, since it explains a missing one."""
    return next((d for d in details if d["type"] == "extra_forbidden"), details[0])


def _origin(detail: ErrorDetails, origins: Mapping[str, str]) -> str:
    """Return "FILE: " for a value, or anything in it, that comes from a file."""
    location = [str(part) for part in detail["loc"]]
    names = (".".join(location[:end]) for end in range(len(location), 0, -1))
    return next((f"{origins[name]}: " for name in names if name in origins), "")


def _name(detail: ErrorDetails, where: str, typed: Mapping[str, str]) -> str:
    """Return how the user knows the option that an error is on."""
    location = [str(part) for part in detail["loc"]]
    return typed.get(location[0], "") or _spell(where, location) if location else where


def _explain(
    detail: ErrorDetails,
    details: list[ErrorDetails],
    options: type[BaseModel],
    name: str,
    where: str,
    listing: str,
) -> str:
    """Return one line on one error. name: how the option is called in it."""
    location = [str(part) for part in detail["loc"]]
    if detail["type"] == "extra_forbidden":
        return unknown_option(location, options, where, listing)
    field = options.model_fields.get(location[0]) if location else None
    if field and _is_choice(field.annotation):
        return _wrong_choice(details, field, _spell(where, location[:1]))
    if detail["type"] == "missing":
        about = (field.description or "").rstrip(".") if field and len(location) == 1 else ""
        return f"{name} is missing{f': {about[0].lower()}{about[1:]}' if about else ''}"
    if detail["type"] in _OWN:
        return _own_words(name, detail)
    demand = _demand(detail)
    return f"{name} {demand}" if ", not " in demand else f"{name} {demand}, not {detail['input']!r}"


# What a model's own validator says stands as it is.
_OWN = ("value_error", "assertion_error")


def _own_words(name: str, detail: ErrorDetails) -> str:
    message = detail["msg"].removeprefix("Value error, ").removeprefix("Assertion failed, ")
    if name == "--":  # of the command line as a whole: the message names its options itself
        return message
    return f"{name} {message}" if message.startswith("must ") else f"{name}: {message}"


def _wrong_choice(details: list[ErrorDetails], field: FieldInfo, name: str) -> str:
    """Return one line where no type of a choice fits: on the type that fits but for its bounds."""
    own = [detail for detail in details if detail["loc"][0] == details[0]["loc"][0]]
    if own[0]["type"] in _OWN:
        return _own_words(name, own[0])
    bound = next((d for d in own if d["type"] not in {*_WORDS, "literal_error"}), None)
    demand = _demand(bound) if bound else f"must be {type_name(field.annotation)}"
    return f"{name} {demand.replace(' | ', ' or ')}, not {own[0]['input']!r}"


def _demand(detail: ErrorDetails) -> str:
    if word := _WORDS.get(detail["type"]):
        return f"must be {word}"
    message = detail["msg"]
    for theirs, ours in (
        (" should ", " must "),
        ("greater than or equal to", "at least"),
        ("less than or equal to", "at most"),
        (" after validation", ""),
    ):
        message = message.replace(theirs, ours)
    return message[message.find("must ") :] if "must " in message else f"is wrong ({message})"


def unknown_option(
    location: Sequence[str], options: type[BaseModel], where: str, listing: str
) -> str:
    """Return one line on an option that a model has not; where, listing: as in validate_options."""
    *parents, word = location
    near = nearest(word, _fields_at(options, parents))
    hint = f"; did you mean {_spell(where, [*parents, near])}?" if near else ""
    return f"no option {_spell(where, location)}{hint}{f' ({listing} lists all)' * bool(listing)}"


def _spell(where: str, location: Sequence[str]) -> str:
    if where == "--":  # an option of the command line itself
        return f"--{'.'.join(location).replace('_', '-')}"
    return ".".join([*([where] if where else []), *location])


def _fields_at(options: type[BaseModel], location: list[str]) -> Mapping[str, FieldInfo]:
    """Return the fields of the model that stands at a location inside of options."""
    fields: Mapping[str, FieldInfo] = options.model_fields
    for part in location:
        if part in fields:
            inner = _model_in(fields[part].annotation)
            fields = inner.model_fields if inner else {}
    return fields


def _model_in(annotation: Any) -> type[BaseModel] | None:
    """Return the model that an annotation holds, also inside of ``dict[str, ...]`` and the like."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    found = (_model_in(arg) for arg in typing.get_args(annotation))
    return next((model for model in found if model), None)


def _is_choice(annotation: Any) -> bool:
    """Return whether an annotation is a choice between simple types: ``int | Literal["auto"]``."""
    origin = typing.get_origin(_without_none(annotation))
    return origin in _CHOICES and _model_in(annotation) is None


def _option_field(name: str, info: FieldInfo) -> OptionField:
    annotation = _without_none(info.annotation)
    origin, args = typing.get_origin(annotation), typing.get_args(annotation)
    mapping = origin in (dict, Mapping)
    return OptionField(
        name=name,
        type=type_name(info.annotation),
        default=_default_text(info),
        bounds=_bounds(info),
        description=info.description or "",
        repeatable=mapping or origin in _LISTS,
        mapping=mapping,
        boolean=annotation is bool,
        times=len(args) if origin is tuple and args[-1] is not ... else 0,
    )


def type_name(annotation: Any) -> str:
    """Return a type as a user reads it: "int", "number", "text", "a | b", "name=number"."""
    annotation = _without_none(annotation)
    origin, args = typing.get_origin(annotation), typing.get_args(annotation)
    if origin is typing.Literal:
        return " | ".join(str(arg) for arg in args)
    if origin in _CHOICES:
        return " | ".join(type_name(arg) for arg in args if arg is not type(None))
    if origin in (dict, Mapping):
        return f"name={type_name(args[1])}"
    if origin in _LISTS or origin is typing.Annotated:
        return type_name(args[0])
    names = {int: "int", float: "number", str: "text", bool: "true | false"}
    return names.get(annotation, getattr(annotation, "__name__", str(annotation)).lower())


def _without_none(annotation: Any) -> Any:
    if typing.get_origin(annotation) in _CHOICES:
        rest = [arg for arg in typing.get_args(annotation) if arg is not type(None)]
        if len(rest) == 1:
            return rest[0]
    return annotation


def _default_text(info: FieldInfo) -> str:
    if info.is_required():
        return "required"
    default = info.get_default(call_default_factory=True, validated_data={})
    if default is PydanticUndefined or default is None or default in ((), {}, [], frozenset()):
        return ""
    return default_text(default)


def default_text(value: object) -> str:
    """Return an option's value as help shows it."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, Mapping):
        return ", ".join(f"{key}={value}" for key, value in value.items())
    if isinstance(value, (list, tuple)):
        return ", ".join(str(item) for item in value)
    return str(value)


def _bounds(info: FieldInfo) -> str:
    limits = _limits(info.metadata) or _item_limits(info.annotation)
    low = next((f"{limits[k]} {s} " for k, s in (("gt", "<"), ("ge", "<=")) if k in limits), "")
    high = next((f" {s} {limits[k]}" for k, s in (("lt", "<"), ("le", "<=")) if k in limits), "")
    return f"{low}x{high}" if low or high else ""


def _limits(metadata: typing.Iterable[Any]) -> dict[str, Any]:
    return {
        name: getattr(item, name)
        for item in metadata
        for name in ("gt", "ge", "lt", "le")
        if getattr(item, name, None) is not None
    }


def _item_limits(annotation: Any) -> dict[str, Any]:
    """Return the limits of a collection's items: ``dict[str, Annotated[float, Field(ge=0)]]``."""
    if typing.get_origin(annotation) is typing.Annotated:
        metadata = typing.get_args(annotation)[1:]
        inner = [part for item in metadata for part in getattr(item, "metadata", [item])]
        return _limits(inner)
    found = (_item_limits(arg) for arg in typing.get_args(annotation))
    return next((limits for limits in found if limits), {})
