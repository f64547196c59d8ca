"""One config for a job, from presets, config files and the command line.

Order, the later wins: a field's default, the preset, the config file (and what it
`extends`), the command line.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sv2r.config.layers import COMMAND_LINE, Layer, flatten, merge, overlay
from sv2r.config.sections import (
    CHECKS,
    ONE,
    PLAIN,
    SEVERAL,
    DamageOptions,
    JobOptions,
    PromptOptions,
    SmallOptions,
)
from sv2r.errors import ConfigError, PluginError, Sv2rError
from sv2r.plugin.options import Options, OptionsT, read_texts, validate_options
from sv2r.plugin.registry import Entry, Kind, Registry
from sv2r.storage.source import SourcePath, as_source, names_in
from sv2r.types import Match

# These may differ between a run and its resumption: they choose what is done, or where and how
# fast, not what a picture looks like (but for the last bits).
MAY_DIFFER = (
    *("output", "limit", "only", "variants", "device", "batch_size", "readers", "writers"),
    *("allow_unlabelled", "keep_attempts", "work"),
)


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
    damage: DamageOptions
    small: SmallOptions
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
            "damage": self.damage.model_dump(mode="json"),
            "small": self.small.model_dump(mode="json"),
            **{kind: getattr(self, kind).as_data() for kind in ONE},
            **{
                section: {c.name: c.options.model_dump(mode="json") for c in getattr(self, section)}
                for section in SEVERAL
            },
        }

    def identity(self) -> dict[str, Any]:
        """Return what a resumed run must share with the first: dotted name to value."""
        return identity_of(self.as_data())


def identity_of(data: Mapping[str, Any]) -> dict[str, Any]:
    """Return the part of a config that a resumed run must share with the first run."""
    return flatten({k: v for k, v in data.items() if k not in (*MAY_DIFFER, "executor")})


def difference(before: Mapping[str, Any], now: Mapping[str, Any]) -> str:
    """Return how two identities differ, in words; "" if they are equal."""
    unlike = [key for key in sorted({*before, *now}) if before.get(key) != now.get(key)]
    # Another component explains why its options differ, so report it first.
    unlike.sort(key=lambda key: not key.endswith(".name"))
    changed = [f"{key} was {_value(before, key)}, now {_value(now, key)}" for key in unlike]
    more = f" and {len(changed) - 3} more" if len(changed) > 3 else ""
    return "; ".join(changed[:3]) + more


def _value(settings: Mapping[str, Any], key: str) -> str:
    return repr(settings[key]) if key in settings else "not set"


@dataclass(frozen=True)
class TypedOption:
    """An option as the command line gives it.

    path: ("translator", "strength"), or with a name in the middle ("conditioner", "canny",
    "low_threshold"). texts: each time it was given. typed: what the command line calls
    the option, where that is not its path.
    """

    path: tuple[str, ...]
    texts: tuple[str, ...]
    typed: str = ""


def resolve(
    registry: Registry, layers: Sequence[Layer], texts: Sequence[TypedOption] = ()
) -> Config:
    """Return the config from the layers and the command line's options.

    Raises:
        ConfigError: the first mistake, in one line.
    """
    merged, origins = merge(layers)
    for item in texts:
        _apply_text(registry, merged, origins, item)
    own = {k: v for k, v in merged.items() if k in JobOptions.model_fields}
    job = validate_options(JobOptions, own, where="--", origins=_files(origins))
    if "name" not in merged.setdefault("loader", {}):
        merged["loader"]["name"] = detect_loader(registry, job.input)
    chosen = _Choosing(registry, merged, origins, {item.path: item.typed for item in texts})
    return Config(
        job=job,
        prompt=chosen.plain("prompt", PromptOptions),
        damage=chosen.plain("damage", DamageOptions),
        small=chosen.plain("small", SmallOptions),
        loader=chosen.one("loader"),
        translator=chosen.one("translator"),
        writer=chosen.one("writer"),
        executor=chosen.one("executor"),
        conditioners=chosen.several("conditioners"),
        checks=chosen.several("checks"),
        origins=origins,
    )


def _files(origins: Mapping[str, str], place: str = "") -> dict[str, str]:
    """Return what comes from a file or preset below a dotted place, by the name from there."""
    return {
        key.removeprefix(place): name
        for key, name in origins.items()
        if key.startswith(place) and name != COMMAND_LINE
    }


def _apply_text(
    registry: Registry, merged: dict[str, Any], origins: dict[str, str], item: TypedOption
) -> None:
    """Apply one dotted option of the command line to the merged values."""
    kind, option = item.path[0], item.path[-1]
    section = {v: k for k, v in SEVERAL.items()}.get(kind)  # type: ignore[call-overload]
    options, inner = section_of(registry, merged, item.path, section)
    value = read_texts(options, option, item.texts, where=f"--{'.'.join(item.path[:-1])}")
    place = f"{section}.{item.path[1]}." if section else f"{kind}."
    overlay(inner, {option: value}, COMMAND_LINE, origins, place)


def section_of(
    registry: Registry, merged: dict[str, Any], path: tuple[str, ...], section: str | None
) -> tuple[type[Options], dict[str, Any]]:
    """Return the options' model and the values that a dotted option belongs to.

    Raises:
        ConfigError: there is no such section, or no component is chosen in it.
    """
    dotted = f"--{'.'.join(path)}"
    if path[0] in PLAIN and len(path) == 2:
        return PLAIN[path[0]], merged.setdefault(path[0], {})
    if section and len(path) == 3:
        chosen = merged.get(section, {})
        if path[1] not in chosen:
            raise ConfigError(f"{dotted}: add --{path[0]} {path[1]} to use it")
        return registry.spec(SEVERAL[section], path[1]).options, chosen[path[1]]
    if path[0] in ONE and len(path) == 2:
        inner = merged.setdefault(path[0], {})
        if path[0] == "loader" and "name" not in inner:
            inner["name"] = loader_for(registry, merged.get("input"), dotted)
        name = _name_of(registry, path[0], inner)
        return registry.spec(path[0], name).options, inner
    shapes = "--translator.OPTION or --conditioner.NAME.OPTION"
    raise ConfigError(f"no option {dotted}; options of a component are written {shapes}")


# The components that run by default.
DEFAULTS: Mapping[str, str] = {"writer": "mirror", "executor": "local"}


def _name_of(registry: Registry, kind: Kind, values: Mapping[str, Any]) -> str:
    name = values.get("name", DEFAULTS.get(kind))
    if not name:
        names = ", ".join(entry.name for entry in registry.of_kind(kind))
        raise ConfigError(f"no {kind} chosen; give --{kind} with one of: {names}")
    return str(name)


@dataclass(frozen=True)
class _Choosing:
    """Validates the sections of a merged config."""

    registry: Registry
    merged: Mapping[str, Any]
    origins: Mapping[str, str]
    typed: Mapping[tuple[str, ...], str]

    def plain(self, section: str, options: type[OptionsT]) -> OptionsT:
        """Return the options of a section that is not a component."""
        origins = _files(self.origins, f"{section}.")
        values = self.merged.get(section, {})
        typed = {path[-1]: name for path, name in self.typed.items() if path[0] == section}
        return validate_options(options, values, where=f"--{section}", origins=origins, typed=typed)

    def one(self, kind: Kind) -> Chosen:
        """Return the chosen component of a kind that a job has one of."""
        values = self.merged.get(kind, {})
        name = _name_of(self.registry, kind, values)
        rest = {key: value for key, value in values.items() if key != "name"}
        return self._chosen(kind, name, rest, f"--{kind}", f"{kind}.")

    def several(self, section: str) -> tuple[Chosen, ...]:
        """Return the components of a kind of which a job has any number."""
        kind = SEVERAL[section]
        default: Mapping[str, Any] = {key: {} for key in CHECKS} if section == "checks" else {}
        return tuple(
            self._chosen(kind, name, options, f"--{kind}.{name}", f"{section}.{name}.")
            for name, options in self.merged.get(section, default).items()
        )

    def _chosen(
        self, kind: Kind, name: str, values: Mapping[str, Any], where: str, place: str
    ) -> Chosen:
        spec = self.registry.spec(kind, name)
        listing, origins = f"sv2r plugins show {name}", _files(self.origins, place)
        options = validate_options(
            spec.options, values, where=where, listing=listing, origins=origins
        )
        return Chosen(kind, name, options)


def loader_for(registry: Registry, root: Any, option: str) -> str:
    """Return the name of the loader that an option belongs to where none is chosen.

    root: the input, or None where it is not given.

    Raises:
        ConfigError: there is no input to tell the loader from, or none is sure of it.
    """
    if not root:
        raise ConfigError(f"{option} needs --input, or --loader NAME, to mean something")
    return detect_loader(registry, Path(root))


def detect_loader(registry: Registry, root: Path) -> str:
    """Return the name of the loader that is most certain of a folder; the user decides a tie."""
    root = as_source(root)
    if not root.is_dir():
        raise ConfigError(f"{root}: no such folder; give the dataset's folder")
    matches = {entry.name: _match(entry, root) for entry in registry.of_kind("loader")}
    best = max((match.confidence for match in matches.values()), default=0.0)
    if not best:
        raise ConfigError(f"{root}: {_unknown(root, matches)}")
    winners = [name for name, match in matches.items() if match.confidence == best]
    if len(winners) > 1:
        reasons = "; ".join(f"{name}: {matches[name].reason}" for name in winners)
        raise ConfigError(
            f"{root}: {' and '.join(winners)} fit alike ({reasons}); choose with --loader"
        )
    return winners[0]


def _unknown(root: Path, matches: Mapping[str, Match]) -> str:
    """Return what is said of a folder that no loader is sure of, and what to do."""
    if inner := _only_folder(root):
        return f"all of it lies in {inner}: give {root / inner}"
    if known := [match.reason for match in matches.values() if match.known]:
        return "; ".join(known)
    reasons = "; ".join(f"{name}: {match.reason}" for name, match in matches.items())
    return (
        f"no loader knows this folder ({reasons}); choose with --loader NAME and its options"
        " (sv2r plugins show NAME)"
    )


def _only_folder(root: Path) -> str | None:
    """Return the folder that an archive holds and nothing else, as one packed from outside does."""
    names = [name for name in names_in(root) if not name.startswith((".", "__MACOSX"))]
    alone = isinstance(root, SourcePath) and len(names) == 1 and (root / names[0]).is_dir()
    return names[0] if alone else None


def _match(entry: Entry, root: Path) -> Match:
    """Return how certain a loader is of a folder; one that fails is reported and counts as 0."""
    try:
        match: Match = entry.value.detect(root)
        if not isinstance(match, Match):
            raise PluginError(str(entry), "detect", f"returned {type(match).__name__}, not Match")
    except Sv2rError as error:
        logging.getLogger("sv2r").warning("warning     %s", error)
        return Match(0.0, str(error))
    return match
