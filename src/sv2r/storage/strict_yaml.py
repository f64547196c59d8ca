"""YAML as people expect it: no duplicate keys, `1e-5` a number, `no` a word, never code."""

from __future__ import annotations

import re
from collections.abc import Hashable
from typing import Any

import yaml

from sv2r.errors import ConfigError

# Values of a config, at the most: far above any that is meant, far below what takes minutes.
_LARGEST = 100_000


class _Loader(yaml.SafeLoader):
    """SafeLoader with YAML 1.2's scalars and no duplicate keys."""

    yaml_implicit_resolvers: dict[str, list[tuple[str, re.Pattern[str]]]] = {}  # noqa: RUF012

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        seen: set[Any] = set()
        for key_node, _ in node.value:
            key = self.construct_object(key_node, deep=True)
            if not isinstance(key, Hashable):
                raise _problem(key_node, "a key must be a plain word")
            if key in seen:
                raise _problem(key_node, f"the key '{key}' stands twice; keep one of them")
            seen.add(key)
        return super().construct_mapping(node, deep)


for _tag, _pattern, _first in (
    ("bool", r"true|True|TRUE|false|False|FALSE", "tTfF"),
    ("null", r"~|null|Null|NULL|", "~nN\0"),
    ("int", r"[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+", "-+0123456789"),
    ("float", r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?", "-+.0123456789"),
    ("float", r"[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)", "-+."),
):
    _Loader.add_implicit_resolver(
        f"tag:yaml.org,2002:{_tag}",
        re.compile(rf"(?:{_pattern})\Z"),
        ["" if letter == "\0" else letter for letter in _first],
    )


def _integer(_: _Loader, node: yaml.ScalarNode) -> int:
    text = str(node.value)
    return int(text, 0) if text[:2] in ("0x", "0o") else int(text)


_Loader.add_constructor("tag:yaml.org,2002:int", _integer)


def _no_tag(_: _Loader, node: yaml.Node) -> None:
    raise _problem(node, f"the tag {node.tag} is not read; write a plain value")


_Loader.add_constructor(None, _no_tag)


def read_yaml(text: str, name: str) -> dict[str, Any]:
    """Return a YAML mapping; name is how errors call the file.

    Raises:
        ConfigError: it is no YAML, no mapping, or has a key twice: one line with the line number.
    """
    try:
        data = _constructed(text)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        line = f" line {mark.line + 1}" if mark else ""
        raise ConfigError(f"{name}{line}: {error.problem or 'not YAML'}") from None
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise ConfigError(f"{name}: not YAML: {' '.join(str(error).split())}") from None
    if data is None:
        return {}
    if not isinstance(data, dict) or not all(isinstance(key, str) for key in data):
        raise ConfigError(f"{name}: a config is a mapping of names to values")
    return data


def _constructed(text: str) -> Any:
    """Return what a text says, once its aliases are known not to multiply without end."""
    loader = _Loader(text)
    try:
        node = loader.get_single_node()
        if node is None:
            return None
        if _size(node, {}, set()) > _LARGEST:
            raise _problem(node, "its aliases multiply to too much; write the values out")
        return loader.construct_document(node)
    finally:
        loader.dispose()


def _size(node: yaml.Node, known: dict[int, int], above: set[int]) -> int:
    """Return how many values a node stands for, those of its aliases counted each time."""
    if not isinstance(node, yaml.CollectionNode):
        return 1
    key = id(node)
    if key in above:
        raise _problem(node, "an anchor that holds itself is not read")
    if key not in known:
        above.add(key)
        mapping = isinstance(node, yaml.MappingNode)
        parts = [part for pair in node.value for part in pair] if mapping else node.value
        known[key] = 1 + sum(_size(part, known, above) for part in parts)
        above.remove(key)
    return known[key]


def write_yaml(data: dict[str, Any]) -> str:
    """Return data as YAML, keys in their order, in a form that `read_yaml` reads back equal."""
    return yaml.dump(data, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=100)


class _Dumper(yaml.SafeDumper):
    """SafeDumper that quotes whatever this module or YAML 1.1 would not read as the same text."""


_OURS = _Loader("")
# Characters that YAML reads as line breaks unless they are escaped, which double quotes allow.
_BREAKS = frozenset("\x85\u2028\u2029\ufeff")


def _text(dumper: yaml.SafeDumper, value: str) -> yaml.ScalarNode:
    readings = {reader.resolve(yaml.ScalarNode, value, (True, False)) for reader in (dumper, _OURS)}  # type: ignore[no-untyped-call]
    style = None if readings == {"tag:yaml.org,2002:str"} else "'"
    if not _BREAKS.isdisjoint(value):
        style = '"'
    return dumper.represent_scalar("tag:yaml.org,2002:str", value, style=style)


_Dumper.add_representer(str, _text)


def _problem(node: yaml.Node, text: str) -> yaml.MarkedYAMLError:
    return yaml.MarkedYAMLError(problem=text, problem_mark=node.start_mark)
