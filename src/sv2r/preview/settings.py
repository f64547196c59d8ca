"""Settings to compare: what `--vary` says, and the configs that come of it."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256

from sv2r.errors import ConfigError

# More rows than that nobody compares by eye.
MOST_SETTINGS = 32


@dataclass(frozen=True)
class Varied:
    """An option with the values that it takes in turn.

    name: as it was typed, without hyphens in front. values: as texts.
    """

    name: str
    values: tuple[str, ...]


@dataclass(frozen=True)
class Setting:
    """One value for each option that is varied. values: (name, text) each; none: as asked."""

    values: tuple[tuple[str, str], ...]

    @property
    def title(self) -> str:
        """Return it in words: "translator.strength 0.3 · seed 1"."""
        return " · ".join(f"{name} {value}" for name, value in self.values) or "as asked"

    @property
    def folder(self) -> str:
        """Return the name of its folder: "translator.strength-0.3_seed-1"."""
        plain = "_".join(f"{name}-{value}" for name, value in self.values) or "as-asked"
        name = "".join(c if c.isalnum() or c in "._-" else "-" for c in plain)[:100].strip(".")
        # Two prompts that differ in a comma, or at their end, are two settings.
        return name if name == plain else f"{name}-{sha256(plain.encode()).hexdigest()[:8]}"


def read_vary(texts: Sequence[str]) -> list[Varied]:
    """Return what is varied, from texts such as ``translator.strength=0.3,0.5,0.7``.

    Values with commas in them are parted by ``|``.

    Raises:
        ConfigError: a text names no option or no value, or an option comes twice.
    """
    found: dict[str, Varied] = {}
    for text in texts:
        name, _, values = text.removeprefix("--").partition("=")
        parts = tuple(part.strip() for part in values.split("|" if "|" in values else ","))
        if not name or not all(parts):
            raise ConfigError(f"--vary {text}: write OPTION=VALUE,VALUE")
        if name in found or len(set(parts)) < len(parts):
            raise ConfigError(f"--vary {text}: each option, and each of its values, once")
        found[name] = Varied(name, parts)
    return list(found.values())


def settings_of(varied: Sequence[Varied]) -> list[Setting]:
    """Return every combination, the last option changing fastest.

    Raises:
        ConfigError: there are more than MOST_SETTINGS.
    """
    pairs = [[(one.name, value) for value in one.values] for one in varied]
    found = [Setting(values) for values in itertools.product(*pairs)]
    if len(found) > MOST_SETTINGS:
        raise ConfigError(f"--vary makes {len(found):,} settings; {MOST_SETTINGS} at most")
    return found
