"""The JSON schema of a config file, made from the same models that validate it."""

from __future__ import annotations

from typing import Any

from sv2r.config.sections import ONE, PLAIN, SEVERAL, JobOptions
from sv2r.plugin.registry import Registry

# The shorthands of sections that are not components.
_TEXT = {"type": "string"}
_TEXTS = {"type": "array", "items": _TEXT}


def job_schema(registry: Registry) -> dict[str, Any]:
    """Return a JSON schema with the options of every installed plugin."""
    base = JobOptions.model_json_schema()
    properties = {
        "extends": {
            "type": "string",
            "description": "A preset's name, or a file next to this one.",
        },
        **base["properties"],
        "prompt": {"anyOf": [_TEXT, PLAIN["prompt"].model_json_schema()]},
        "damage": {"anyOf": [_TEXT, _TEXTS, PLAIN["damage"].model_json_schema()]},
        "small": PLAIN["small"].model_json_schema(),
        **{kind: _one(registry, kind) for kind in ONE},
        **{section: _several(registry, kind) for section, kind in SEVERAL.items()},
    }
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "sv2r config",
        "type": "object",
        "properties": properties,
        "additionalProperties": False,
    }


def _one(registry: Registry, kind: str) -> dict[str, Any]:
    entries = registry.of_kind(kind)
    named = []
    for entry in entries:
        schema = entry.value.options.model_json_schema()
        schema["properties"] = {"name": {"const": entry.name}, **schema.get("properties", {})}
        schema["required"] = []  # the name and the rest may stand in what it extends
        named.append(schema)
    return {"anyOf": [{"enum": [entry.name for entry in entries]}, *named]}


def _several(registry: Registry, kind: str) -> dict[str, Any]:
    entries = registry.of_kind(kind)
    names = {"type": "array", "items": {"enum": [entry.name for entry in entries]}}
    options = {e.name: {**e.value.options.model_json_schema(), "required": []} for e in entries}
    mapping = {"type": "object", "properties": options, "additionalProperties": False}
    return {"anyOf": [names, mapping]}
