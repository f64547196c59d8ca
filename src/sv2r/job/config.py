"""What a job is asked to do: presets, config files and the command line made into one config.

Order, each over the one before: a field's default, the preset, the config file (and what it
`extends`), the command line.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, field_validator

from sv2r.errors import ConfigError
from sv2r.job.prompts import PromptOptions
from sv2r.job.strict_yaml import read_yaml
from sv2r.plugin.options import Options, nearest, read_texts, validate_options
from sv2r.plugin.registry import Kind, Registry

# Sections that hold one component, and those that hold several by name.
ONE: tuple[Kind, ...] = ("loader", "translator", "writer", "executor")
SEVERAL: Mapping[str, Kind] = {"conditioners": "conditioner", "checks": "check"}


class JobOptions(Options):
    """What a job needs beside its components."""

    input: Path = Field(description="The labelled dataset's folder; nothing in it is changed.")
    output: Path = Field(description="The folder to write to; outside of the input.")
    seed: int = Field(0, ge=0, description="The run's seed; each picture's own is derived from it.")
    variants: int = Field(1, ge=1, description="Pictures to make per source.")
    batch_size: int | Literal["auto"] = Field(
        "auto",
        description="Pictures per batch, 1 or more, or auto: what the device does fastest. Another "
        "batch size may change the last bits of a picture.",
    )
    device: tuple[str, ...] = Field(
        ("auto",),
        description="Where models run (cpu, cuda:0, mps), or auto: a GPU if there is one.",
    )
    dtype: Literal["auto", "float32", "bfloat16", "float16"] = Field(
        "auto",
        description="What models compute in; auto: bfloat16 or float16 on a GPU, else float32.",
    )
    limit: int | None = Field(None, ge=1, description="Convert the first LIMIT samples alone.")
    only: tuple[str, ...] = Field(
        (), description="Convert only samples whose id matches a pattern such as 'train/*'."
    )
    readers: int = Field(2, ge=1, le=64, description="Threads that read and condition ahead.")
    writers: int = Field(2, ge=1, le=64, description="Threads that check, encode and write behind.")

    @field_validator("batch_size", mode="before")
    @classmethod
    def _number_or_auto(cls, value: object) -> object:
        text = str(value)
        if text == "auto" or (text.isdecimal() and int(text) >= 1):
            return value if text == "auto" else int(text)
        raise ValueError(f"give a number of 1 or more, or auto, not {text!r}")

    @field_validator("input", "output")
    @classmethod
    def _absolute(cls, value: Path) -> Path:
        # A run.yaml must mean the same folders wherever it is read.
        return value.expanduser().absolute()


# These may differ between a run and its resumption: they choose what is done, or where and how
# fast, not what a picture looks like (but for the last bits).
FREE = ("output", "limit", "only", "variants", "device", "batch_size", "readers", "writers")


@dataclass(frozen=True)
class Chosen:
    """A component that the job uses, and its validated options."""

    kind: Kind
    name: str
    options: Options

    def as_data(self) -> dict[str, Any]:
        """Return it as it stands in YAML."""
        return {"name": self.name, **self.options.model_dump(mode="json")}


@dataclass(frozen=True)
class Config:
    """A job's config, resolved and validated; origins says where each value came from."""

    job: JobOptions
    prompt: PromptOptions
    loader: Chosen
    translator: Chosen
    writer: Chosen
    executor: Chosen
    conditioners: tuple[Chosen, ...] = ()
    checks: tuple[Chosen, ...] = ()
    origins: Mapping[str, str] = field(default_factory=dict, compare=False)

    def as_data(self) -> dict[str, Any]:
        """Return the whole config as it stands in YAML, every default written out."""
        return {
            **self.job.model_dump(mode="json"),
            "prompt": self.prompt.model_dump(mode="json"),
            **{kind: getattr(self, kind).as_data() for kind in ONE},
            **{
                section: {c.name: c.options.model_dump(mode="json") for c in getattr(self, section)}
                for section in SEVERAL
            },
        }

    def identity(self) -> dict[str, Any]:
        """Return what a resumed run must share with the first: dotted name to value."""
        data = {k: v for k, v in self.as_data().items() if k not in (*FREE, "executor")}
        return flatten(data)


@dataclass(frozen=True)
class Layer:
    """Values of one origin. name: how `sv2r config show` calls it."""

    name: str
    values: Mapping[str, Any]


@dataclass(frozen=True)
class Texts:
    """An option as the command line gives it.

    path: ("translator", "strength"), or with a name in the middle ("conditioner", "canny",
    "low_threshold"). texts: each time it was given.
    """

    path: tuple[str, ...]
    texts: tuple[str, ...]


def read_layers(
    registry: Registry, *, preset: str | None = None, files: Sequence[Path] = ()
) -> list[Layer]:
    """Return the layers of a preset and of config files with all that they extend, lowest first."""
    layers = _preset_layers(registry, preset, ()) if preset else []
    for path in files:
        layers += _file_layers(registry, path, ())
    return layers


def resolve(registry: Registry, layers: Sequence[Layer], texts: Sequence[Texts] = ()) -> Config:
    """Return the config that the layers and the command line's options make together.

    Raises:
        ConfigError: the first thing that is wrong, in one line.
    """
    merged, origins = merge(layers)
    for item in texts:
        _apply_text(registry, merged, origins, item)
    job = validate_options(
        JobOptions, {k: v for k, v in merged.items() if k in JobOptions.model_fields}, where=""
    )
    loader = merged.get("loader") or {"name": _detect(registry, job.input)}
    sections = {**merged, "loader": loader}
    return Config(
        job=job,
        prompt=validate_options(PromptOptions, merged.get("prompt", {}), where="prompt"),
        loader=_one(registry, "loader", sections["loader"]),
        translator=_one(registry, "translator", sections.get("translator", {})),
        writer=_one(registry, "writer", sections.get("writer", {})),
        executor=_one(registry, "executor", sections.get("executor", {})),
        conditioners=_several(registry, "conditioners", merged),
        checks=_several(registry, "checks", merged),
        origins=origins,
    )


def flatten(data: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Return nested mappings as one, keys joined by dots; empty mappings vanish."""
    flat: dict[str, Any] = {}
    for key, value in data.items():
        if isinstance(value, Mapping):
            flat.update(flatten(value, f"{prefix}{key}."))
        else:
            flat[f"{prefix}{key}"] = value
    return flat


def merge(layers: Iterable[Layer]) -> tuple[dict[str, Any], dict[str, str]]:
    """Return the layers' values in one canonical mapping, and each value's origin by dotted name.

    A component that a higher layer names anew loses the options of the one it replaces. The highest
    layer that names conditioners (or checks) says which ones run.
    """
    merged: dict[str, Any] = {}
    origins: dict[str, str] = {}
    for layer in layers:
        values = _canonical(layer)
        for kind in ONE:
            was, now = merged.get(kind, {}).get("name"), values.get(kind, {}).get("name")
            if was and now and was != now:
                del merged[kind]
        for section in SEVERAL:
            if section in values:
                kept = {n: o for n, o in merged.get(section, {}).items() if n in values[section]}
                merged[section] = {n: kept.get(n, {}) for n in values[section]}
        _overlay(merged, values, layer.name, origins)
    return merged, {key: origins[key] for key in flatten(merged) if key in origins}


def _overlay(
    into: dict[str, Any],
    values: Mapping[str, Any],
    name: str,
    origins: dict[str, str],
    at: str = "",
) -> None:
    for key, value in values.items():
        if isinstance(value, Mapping):
            inner = into.get(key)
            into[key] = dict(inner) if isinstance(inner, Mapping) else {}
            _overlay(into[key], value, name, origins, f"{at}{key}.")
        else:
            into[key] = value
            origins[f"{at}{key}"] = name


def _canonical(layer: Layer) -> dict[str, Any]:
    """Return a layer's values with the shorthands written out and unknown sections refused."""
    known = {*JobOptions.model_fields, "prompt", *ONE, *SEVERAL}
    values = dict(layer.values)
    for key in values:
        if key not in known:
            near = nearest(key, known)
            hint = f"did you mean {near}?" if near else f"there are: {', '.join(sorted(known))}"
            raise ConfigError(f"{layer.name}: no key '{key}'; {hint}")
    if isinstance(values.get("prompt"), str):
        values["prompt"] = {"template": values["prompt"]}
    for kind in ONE:
        if isinstance(values.get(kind), str):
            values[kind] = {"name": values[kind]}
    for section in SEVERAL:
        if section in values:
            values[section] = _by_name(layer.name, section, values[section])
    for key in ("prompt", *ONE):
        if key in values and not isinstance(values[key], Mapping):
            raise ConfigError(f"{layer.name}: {key} needs a name or a mapping, not {values[key]!r}")
    return values


def _by_name(layer: str, section: str, value: Any) -> dict[str, Any]:
    if value is None:
        return {}
    if isinstance(value, Mapping):
        return {str(name): dict(options or {}) for name, options in value.items()}
    if isinstance(value, (list, tuple)) and all(isinstance(item, str) for item in value):
        return {item: {} for item in value}
    raise ConfigError(f"{layer}: {section} needs a list of names, or a mapping of name to options")


def _apply_text(
    registry: Registry, merged: dict[str, Any], origins: dict[str, str], item: Texts
) -> None:
    """Lay one dotted option of the command line over the merged values."""
    kind, option = item.path[0], item.path[-1]
    section = {v: k for k, v in SEVERAL.items()}.get(kind)  # type: ignore[call-overload]
    options, inner = _section_of(registry, merged, item.path, section)
    value = read_texts(options, option, item.texts, where=f"--{'.'.join(item.path[:-1])}")
    place = f"{section}.{item.path[1]}." if section else f"{kind}."
    _overlay(inner, {option: value}, "command line", origins, place)


def _section_of(
    registry: Registry, merged: dict[str, Any], path: tuple[str, ...], section: str | None
) -> tuple[type[Options], dict[str, Any]]:
    """Return the options' model and the values that a dotted option belongs to."""
    dotted = f"--{'.'.join(path)}"
    if path[0] == "prompt" and len(path) == 2:
        return PromptOptions, merged.setdefault("prompt", {})
    if section and len(path) == 3:
        chosen = merged.get(section, {})
        if path[1] not in chosen:
            raise ConfigError(f"{dotted}: add --{path[0]} {path[1]} to use it")
        return registry.spec(SEVERAL[section], path[1]).options, chosen[path[1]]
    if path[0] in ONE and len(path) == 2:
        inner = merged.setdefault(path[0], {})
        if path[0] == "loader" and "name" not in inner:
            inner["name"] = _detect(registry, Path(merged.get("input", ".")))
        name = _name_of(registry, path[0], inner)
        return registry.spec(path[0], name).options, inner
    shapes = "--translator.OPTION or --conditioner.NAME.OPTION"
    raise ConfigError(f"no option {dotted}; options of a component are written {shapes}")


_DEFAULTS: Mapping[str, str] = {"writer": "mirror", "executor": "local"}


def _name_of(registry: Registry, kind: Kind, values: Mapping[str, Any]) -> str:
    name = values.get("name", _DEFAULTS.get(kind))
    if not name:
        names = ", ".join(entry.name for entry in registry.of_kind(kind))
        raise ConfigError(f"no {kind} chosen; give --{kind} with one of: {names}")
    return str(name)


def _one(registry: Registry, kind: Kind, values: Mapping[str, Any]) -> Chosen:
    name = _name_of(registry, kind, values)
    rest = {key: value for key, value in values.items() if key != "name"}
    return _chosen(registry, kind, name, rest, f"--{kind}")


def _several(registry: Registry, section: str, merged: Mapping[str, Any]) -> tuple[Chosen, ...]:
    kind = SEVERAL[section]
    values = merged.get(section, {"sanity": {}} if section == "checks" else {})
    return tuple(
        _chosen(registry, kind, name, options, f"--{kind}.{name}")
        for name, options in values.items()
    )


def _chosen(
    registry: Registry, kind: Kind, name: str, values: Mapping[str, Any], where: str
) -> Chosen:
    spec = registry.spec(kind, name)
    listing = f"sv2r plugins show {name}"
    return Chosen(kind, name, validate_options(spec.options, values, where=where, listing=listing))


def _detect(registry: Registry, root: Path) -> str:
    """Return the name of the loader that is surest of a folder; a tie is the user's to decide."""
    if not root.is_dir():
        raise ConfigError(f"{root}: no such folder; give the dataset's folder with --input")
    matches = {e.name: e.value.detect(root) for e in registry.of_kind("loader")}
    best = max((m.confidence for m in matches.values()), default=0.0)
    winners = [name for name, match in matches.items() if match.confidence == best]
    reasons = "; ".join(
        f"{name}: {matches[name].reason}" for name in (winners if best else matches)
    )
    if not best:
        raise ConfigError(f"{root}: no loader knows this folder ({reasons}); choose with --loader")
    if len(winners) > 1:
        raise ConfigError(
            f"{root}: {' and '.join(winners)} fit alike ({reasons}); choose with --loader"
        )
    return winners[0]


def _preset_layers(registry: Registry, name: str, seen: tuple[str, ...]) -> list[Layer]:
    entry = registry.entry("preset", name)
    text = entry.value.read_text(encoding="utf-8")
    return _extended(registry, f"preset {name}", read_yaml(text, f"preset {name}"), None, seen)


def _file_layers(registry: Registry, path: Path, seen: tuple[str, ...]) -> list[Layer]:
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise ConfigError(f"{path}: {str(error.strerror).lower()}; give a config file") from None
    except UnicodeDecodeError:
        raise ConfigError(f"{path}: not a text file; give a YAML config") from None
    return _extended(registry, str(path), read_yaml(text, str(path)), path.parent, seen)


def _extended(
    registry: Registry,
    name: str,
    values: dict[str, Any],
    folder: Path | None,
    seen: tuple[str, ...],
) -> list[Layer]:
    if name in seen:
        raise ConfigError(f"{name}: extends itself ({' > '.join((*seen, name))})")
    base = values.pop("extends", None)
    own = Layer(name, values)
    if base is None:
        return [own]
    if not isinstance(base, str):
        raise ConfigError(f"{name}: extends needs the name of a preset or of a file")
    chain = (*seen, name)
    if base in registry.presets or folder is None:
        return [*_preset_layers(registry, base, chain), own]
    if not (folder / base).is_file() and not base.endswith((".yaml", ".yml")):
        registry.entry("preset", base)
    return [*_file_layers(registry, folder / base, chain), own]
