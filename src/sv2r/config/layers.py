"""Presets, config files and the command line as layers, merged in order."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sv2r.config.sections import ONE, PLAIN, SEVERAL, JobOptions
from sv2r.errors import ConfigError
from sv2r.plugin.registry import Registry
from sv2r.plugin.words import nearest
from sv2r.storage.regular import read_text
from sv2r.storage.strict_yaml import read_yaml

# The name of the layer that does not come from a file.
COMMAND_LINE = "command line"


@dataclass(frozen=True)
class Layer:
    """Values of one origin. name: its name in `sv2r config show`."""

    name: str
    values: Mapping[str, Any]


def read_layers(
    registry: Registry, *, preset: str | None = None, files: Sequence[Path] = ()
) -> list[Layer]:
    """Return the layers of a preset and of config files with all that they extend, lowest first."""
    layers = _preset_layers(registry, preset, ()) if preset else []
    for path in files:
        layers += _file_layers(registry, path, ())
    return layers


def merge(layers: Iterable[Layer]) -> tuple[dict[str, Any], dict[str, str]]:
    """Return the layers' values in one canonical mapping, and each value's origin by dotted name.

    If a higher layer names another component, the options of the replaced one are dropped. The
    highest layer that names conditioners (or checks) decides which ones run.
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
        overlay(merged, values, layer.name, origins)
    return merged, {key: origins[key] for key in flatten(merged) if key in origins}


def overlay(
    into: dict[str, Any],
    values: Mapping[str, Any],
    name: str,
    origins: dict[str, str],
    at: str = "",
) -> None:
    """Merge values into a mapping in place; note where each came from."""
    for key, value in values.items():
        if isinstance(value, Mapping):
            inner = into.get(key)
            into[key] = dict(inner) if isinstance(inner, Mapping) else {}
            overlay(into[key], value, name, origins, f"{at}{key}.")
        else:
            into[key] = value
            origins[f"{at}{key}"] = name


def _canonical(layer: Layer) -> dict[str, Any]:
    """Return a layer's values with shorthands expanded; refuse unknown sections."""
    known = {*JobOptions.model_fields, *PLAIN, *ONE, *SEVERAL}
    values = dict(layer.values)
    for key in values:
        if key not in known:
            near = nearest(key, known)
            hint = f"did you mean {near}?" if near else f"there are: {', '.join(sorted(known))}"
            raise ConfigError(f"{layer.name}: no key '{key}'; {hint}")
    if isinstance(values.get("prompt"), str):
        values["prompt"] = {"template": values["prompt"]}
    if isinstance(values.get("damage"), (str, list)):
        values["damage"] = {"steps": values["damage"]}
    for kind in ONE:
        if isinstance(values.get(kind), str):
            values[kind] = {"name": values[kind]}
    for section in SEVERAL:
        if section in values:
            values[section] = _by_name(layer.name, section, values[section])
    for key in (*PLAIN, *ONE):
        if key in values and not isinstance(values[key], Mapping):
            raise ConfigError(f"{layer.name}: {key} needs a name or a mapping, not {values[key]!r}")
    return values


def _by_name(layer: str, section: str, value: Any) -> dict[str, Any]:
    if value is None:
        return {}
    if isinstance(value, Mapping):
        for name, options in value.items():
            if options is not None and not isinstance(options, Mapping):
                raise ConfigError(
                    f"{layer}: {section}.{name} needs a mapping of its options, not {options!r}"
                )
        return {str(name): dict(options or {}) for name, options in value.items()}
    if isinstance(value, (list, tuple)) and all(isinstance(item, str) for item in value):
        return {item: {} for item in value}
    raise ConfigError(f"{layer}: {section} needs a list of names, or a mapping of name to options")


def flatten(data: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Return nested mappings as one, keys joined by dots; empty mappings are dropped."""
    flat: dict[str, Any] = {}
    for key, value in data.items():
        if isinstance(value, Mapping):
            flat.update(flatten(value, f"{prefix}{key}."))
        else:
            flat[f"{prefix}{key}"] = value
    return flat


def _preset_layers(registry: Registry, name: str, seen: tuple[str, ...]) -> list[Layer]:
    entry = registry.entry("preset", name)
    text = entry.value.read_text(encoding="utf-8")
    return _extended(registry, f"preset {name}", read_yaml(text, f"preset {name}"), None, seen)


def _file_layers(registry: Registry, path: Path, seen: tuple[str, ...]) -> list[Layer]:
    try:
        text = read_text(path)
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
